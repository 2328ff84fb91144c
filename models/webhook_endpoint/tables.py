"""Webhook endpoints, their secrets sealed."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, String, Table, text
from sqlalchemy.dialects.postgresql import ARRAY

from models.base import metadata, timestamp

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("url", String(1000), nullable=False),
    Column("kinds", ARRAY(String(32)), nullable=False, comment="of events"),
    Column("description", String(200), nullable=False, server_default=""),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("old_secret_sealed", LargeBinary, comment="signs as well until old_secret_until"),
    timestamp("old_secret_until", nullable=True),
    Column("after_event", BigInteger, nullable=False, comment="events up to this one are not for it"),
    timestamp("failing_since", nullable=True),
    timestamp("disabled_at", nullable=True),
    Column("disabled_reason", String(16)),
    timestamp("created_at"),
    timestamp("updated_at"),
    timestamp("removed_at", nullable=True),
    CheckConstraint("cardinality(kinds) > 0", name="wants_something"),
    CheckConstraint("(old_secret_sealed IS NULL) = (old_secret_until IS NULL)", name="old_secret_has_an_end"),
    CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_ones_say_why"),
    Index("ix_webhook_endpoints_user", "user_id", "created_at", "id", postgresql_where=text("removed_at IS NULL")),
)
