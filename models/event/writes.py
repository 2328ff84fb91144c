"""Telling: an event is a row of the transaction that makes the change, so there is one if and only if it happened."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.event.tables import events
from models.event.types import Event


async def tell(conn: AsyncConnection, *told: Event) -> None:
    """Write events into the caller's transaction, to be seen in this order once it commits.

    Call it after the row that changes is locked or written: two changes of one thing are then told in their order.
    """
    if told:
        rows = [{"user_id": one.user_id, "kind": one.kind, "payload": one.payload} for one in told]
        await conn.execute(insert(events).values(rows))
