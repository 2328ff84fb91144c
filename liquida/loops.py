"""Work that a process repeats beside its queue for as long as it lives."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger()


async def for_ever(name: str, once: Callable[[], Awaitable[bool]], *, every_seconds: float) -> None:
    """Call ``once`` until cancelled, at once again while it answers True, else after a pause.

    A database that is away is waited for; any other fault ends the loop, and with it the process.
    """
    while True:
        try:
            more = await once()
        except (SQLAlchemyError, OSError) as error:
            log.warning("loop.database_unavailable", loop=name, error=type(error).__name__)
            more = False
        if not more:
            await asyncio.sleep(every_seconds)
