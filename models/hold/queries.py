"""Reads of holds."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.hold.tables import holds
from models.hold.types import Hold

_H = holds.c


async def hold(conn: AsyncConnection, hold_id: str, *, lock: bool = False) -> Hold:
    """One hold; with ``lock``, its row is ours until the database transaction ends.

    :raises NotFound: there is none.
    """
    statement = select(holds).where(_H.id == hold_id)
    row = (await conn.execute(statement.with_for_update() if lock else statement)).first()
    if row is None:
        raise NotFound("there is no such hold", field="hold_id")
    return Hold(**row._mapping)


async def due(conn: AsyncConnection, now: datetime, limit: int) -> list[str]:
    """Holds with something left past their time, the longest overdue first."""
    statement = select(_H.id).where(_H.ended_at.is_(None), _H.expires_at <= now).order_by(_H.expires_at).limit(limit)
    return list((await conn.execute(statement)).scalars())
