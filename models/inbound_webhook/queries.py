"""Reads of what providers told us."""

from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.inbound_webhook.tables import webhook_events


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook about a payout. ``state``: what it claimed, which is a hint and no fact."""

    event_id: str
    state: str
    received_at: datetime


async def of_payout(conn: AsyncConnection, payout_key: str) -> list[Delivery]:
    """In the order of arrival; each event once, however often the provider repeated it."""
    c = webhook_events.c
    statement = select(c.event_id, c.claimed_state, c.received_at).where(c.payout_key == payout_key).order_by(c.id)
    return [Delivery(*row) for row in (await conn.execute(statement)).all()]
