"""Keep what a provider told us; the same event again changes nothing."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.inbound_webhook.tables import webhook_events
from models.payout.tables import payouts
from models.secret_box import SecretBox


async def keep(
    conn: AsyncConnection, box: SecretBox, *, provider: str, event_id: str, key: str, state: str, body: bytes
) -> bool:
    """Store one verified event. True if it is new."""
    ours = select(payouts.c.key).where(payouts.c.key == key, payouts.c.provider == provider).scalar_subquery()
    sealed = box.seal(body.decode(errors="replace"), place=f"webhook_events/{provider}/{event_id}")
    statement = (
        insert(webhook_events)
        .values(
            provider=provider,
            event_id=event_id,
            payout_key=ours,
            claimed_key=key[:100],
            claimed_state=state,
            body_sealed=sealed,
        )
        .on_conflict_do_nothing(index_elements=["provider", "event_id"])
        .returning(webhook_events.c.id)
    )
    return (await conn.execute(statement)).first() is not None
