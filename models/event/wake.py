"""Readers are woken by PostgreSQL's NOTIFY, and by nobody who tells.

A transaction that notifies holds a lock of the whole server while it commits: tellers would commit one by one. So the
loop that fans events out to webhooks, which looks at the horizon several times a second anyway, says when it moved.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import NullPool, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

CHANNEL = "events"


async def wake(conn: AsyncConnection) -> None:
    """Say, when the caller's transaction commits, that the horizon moved."""
    await conn.execute(select(func.pg_notify(CHANNEL, "")))


@asynccontextmanager
async def listening(engine: AsyncEngine, on_wake: Callable[[], None]) -> AsyncIterator[asyncio.Event]:
    """Call ``on_wake`` at each :func:`wake` for the length of the block, over one connection beside the pool.

    :returns: set once the connection is lost.
    :raises OSError, sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    lost = asyncio.Event()

    def heard(*_: object) -> None:
        on_wake()

    apart = create_async_engine(engine.url, poolclass=NullPool, hide_parameters=True)
    try:
        async with apart.connect() as conn:
            driver: Any = (await conn.get_raw_connection()).driver_connection
            driver.add_termination_listener(lambda _: lost.set())
            await driver.add_listener(CHANNEL, heard)
            try:
                yield lost
            finally:
                if not driver.is_closed():
                    await driver.remove_listener(CHANNEL, heard)
    except asyncpg.PostgresError as error:
        raise ConnectionError(f"the database does not let us listen: {type(error).__name__}") from error
    finally:
        await apart.dispose()
