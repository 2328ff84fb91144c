"""Reads of what providers told us."""

from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.inbound_webhook.tables import webhook_events


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook about a payout or a charge. ``state``: what it claimed, which is a hint and no fact."""

    event_id: str
    state: str
    received_at: datetime


async def of_key(conn: AsyncConnection, provider: str, key: str) -> list[Delivery]:
    """About our key, in the order of arrival; each event once, however often the provider repeated it."""
    c = webhook_events.c
    statement = (
        select(c.event_id, c.claimed_state, c.received_at)
        .where(c.provider == provider, c.claimed_key == key)
        .order_by(c.id)
    )
    return [Delivery(*row) for row in (await conn.execute(statement)).all()]
