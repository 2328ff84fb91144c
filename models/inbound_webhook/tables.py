"""What providers told us, kept before they get their 2xx."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from models.base import metadata, timestamp

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("provider", String(32), nullable=False),
    Column("event_id", String(200), nullable=False),
    Column("payout_key", String(32), ForeignKey("payouts.key")),
    Column("claimed_key", String(100), nullable=False, comment="what the body said; may be none of ours"),
    Column("claimed_state", String(16), nullable=False),
    Column("body_sealed", LargeBinary, nullable=False),
    timestamp("received_at"),
    UniqueConstraint("provider", "event_id"),
    Index("ix_webhook_events_payout", "payout_key"),
    Index("ix_webhook_events_claimed", "provider", "claimed_key"),
)
