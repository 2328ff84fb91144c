"""Reading events by cursor, without gap and without repetition."""

from sqlalchemy import cast, func, select, union_all
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.ext.asyncio import AsyncConnection

from models.event.tables import events
from models.event.types import Told

_COLUMNS = (events.c.id, events.c.kind, events.c.user_id, events.c.payload, events.c.at)


async def horizon(conn: AsyncConnection) -> int:
    """The last id up to which every event is committed, or never will be.

    Read the events by later statements: those see what was committed until then.
    """
    return int((await conn.execute(select(func.event_horizon()))).scalar_one())


async def last(conn: AsyncConnection) -> int:
    """The last id ever given. No cursor of ours is beyond it, while a horizon may step back."""
    given = func.coalesce(func.pg_sequence_last_value(cast("events_id_seq", REGCLASS)), 0)
    return int((await conn.execute(select(given))).scalar_one())


async def page(conn: AsyncConnection, user_id: str, *, after: int, until: int, most: int) -> list[Told]:
    """The first events after that cursor that are for this user or for everybody, oldest first.

    :param until: a :func:`horizon` that was read before. What is told later may have a smaller id than what is seen.
    """
    halves = [
        select(*_COLUMNS)
        .where(owner, events.c.id > after, events.c.id <= until)
        .order_by(events.c.id)
        .limit(most)
        .subquery()
        .select()
        for owner in (events.c.user_id == user_id, events.c.user_id.is_(None))
    ]
    both = union_all(*halves).subquery()
    found = await conn.execute(select(both).order_by(both.c.id).limit(most))
    return [Told(**row._mapping) for row in found]


async def readers(conn: AsyncConnection, *, after: int, until: int) -> set[str] | None:
    """Whom the events between those cursors are for; None: everybody."""
    statement = select(events.c.user_id).where(events.c.id > after, events.c.id <= until).distinct()
    found = set((await conn.execute(statement)).scalars())
    return None if None in found else found
