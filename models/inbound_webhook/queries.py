"""Reads of what providers told us."""

from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.inbound_webhook.tables import webhook_events
from models.secret_box import SecretBox


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


@dataclass(frozen=True, slots=True)
class Choice:
    """Which stored events: all that fit whatever is given. ``since`` and ``until`` are inclusive.

    ``unmatched``: those that were about no payout of ours when they came.
    """

    provider: str | None = None
    event_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    unmatched: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """One event as it was kept. ``key``: what its body claimed to be about."""

    id: int
    provider: str
    event_id: str
    key: str
    received_at: datetime
    body_sealed: bytes

    def __repr__(self) -> str:
        return f"Stored(id={self.id})"

    def body(self, box: SecretBox) -> bytes:
        """:raises SealBroken: it does not open with this key."""
        return box.open(self.body_sealed, place=f"webhook_events/{self.provider}/{self.event_id}").encode()


@dataclass(frozen=True, slots=True)
class Told:
    """One event with what it claimed. ``state``: a hint and no fact."""

    provider: str
    event_id: str
    state: str
    received_at: datetime
    stored: Stored


async def told_of(conn: AsyncConnection, provider: str, key: str) -> list[Told]:
    """Everything that this provider told of our key, with what it claimed, in the order of arrival."""
    c = webhook_events.c
    statement = select(webhook_events).where(c.provider == provider, c.claimed_key == key).order_by(c.id)
    return [
        Told(
            row.provider,
            row.event_id,
            row.claimed_state,
            row.received_at,
            Stored(row.id, row.provider, row.event_id, row.claimed_key, row.received_at, row.body_sealed),
        )
        for row in await conn.execute(statement)
    ]


async def about(conn: AsyncConnection, provider: str, key: str) -> list[Stored]:
    """Everything that this provider told of our key, as it was kept, in the order of arrival."""
    c = webhook_events.c
    statement = (
        select(c.id, c.provider, c.event_id, c.claimed_key.label("key"), c.received_at, c.body_sealed)
        .where(c.provider == provider, c.claimed_key == key)
        .order_by(c.id)
    )
    return [Stored(**row._mapping) for row in await conn.execute(statement)]


async def stored(conn: AsyncConnection, choice: Choice, *, after_id: int, most: int) -> list[Stored]:
    """In the order of arrival; the next page is after the last one's ``id``."""
    c = webhook_events.c
    statement = select(c.id, c.provider, c.event_id, c.claimed_key.label("key"), c.received_at, c.body_sealed).where(
        c.id > after_id
    )
    if choice.provider is not None:
        statement = statement.where(c.provider == choice.provider)
    if choice.event_id is not None:
        statement = statement.where(c.event_id == choice.event_id)
    if choice.since is not None:
        statement = statement.where(c.received_at >= choice.since)
    if choice.until is not None:
        statement = statement.where(c.received_at <= choice.until)
    if choice.unmatched:
        statement = statement.where(c.payout_key.is_(None))
    rows = await conn.execute(statement.order_by(c.id).limit(most))
    return [Stored(**row._mapping) for row in rows]
