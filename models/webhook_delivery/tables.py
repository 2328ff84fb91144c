"""Deliveries, their attempts, and how far events have been fanned out into them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    true,
)

from models.base import metadata, timestamp

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(32), primary_key=True, comment="the message's id at the endpoint"),
    Column("endpoint_id", String(32), ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("event_id", BigInteger, ForeignKey("events.id"), comment="null: a ping"),
    Column("kind", String(32), nullable=False),
    Column("status", String(16), nullable=False, server_default="pending"),
    Column("round", Integer, nullable=False, server_default="1", comment="how often its sending was begun"),
    timestamp("created_at"),
    timestamp("updated_at"),
    UniqueConstraint("endpoint_id", "event_id"),
    CheckConstraint("(event_id IS NULL) = (kind = 'ping')", name="tells_of_an_event"),
    Index("ix_webhook_deliveries_endpoint", "endpoint_id", "created_at", "id"),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("delivery_id", String(32), ForeignKey("webhook_deliveries.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    timestamp("at"),
    Column("status_code", Integer),
    Column("duration_ms", Integer, nullable=False),
    Column("error", String(64), comment="a code; null: taken"),
    UniqueConstraint("delivery_id", "round", "number"),
)

webhook_cursor = Table(
    "webhook_cursor",
    metadata,
    Column("is_only", Boolean, primary_key=True, server_default=true()),
    Column("event_id", BigInteger, nullable=False, comment="events up to this one are fanned out"),
    CheckConstraint("is_only", name="has_one_row"),
)
