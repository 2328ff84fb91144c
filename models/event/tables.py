"""The one list of events, in the order in which they are read."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, String, Table
from sqlalchemy.dialects.postgresql import JSONB

from models.base import metadata, timestamp

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="the cursor; see event_horizon()"),
    Column("user_id", String(32), comment="null: for everybody"),
    Column("kind", String(32), nullable=False),
    Column("payload", JSONB, nullable=False, comment="ids, states, amounts; nothing personal"),
    timestamp("at"),
    CheckConstraint("jsonb_typeof(payload) = 'object' AND length(payload::text) <= 8000", name="payload_is_small"),
    Index("ix_events_user", "user_id", "id"),
)
"""No foreign key to ``users``: checking it would lock, and so write, the row of a busy user at each event."""
