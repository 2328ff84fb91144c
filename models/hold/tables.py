"""Holds: money of a user that is set aside for a stated reason. A projection of postings, never a second truth."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, String, Table, text

from models.base import BaseUnits, metadata, timestamp

holds = Table(
    "holds",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("asset_id", String(64), ForeignKey("assets.id"), nullable=False),
    Column("amount_units", BaseUnits, nullable=False),
    Column("released_units", BaseUnits, nullable=False, server_default="0", comment="back to the user"),
    Column("captured_units", BaseUnits, nullable=False, server_default="0", comment="spent"),
    Column("reference", String(200), nullable=False),
    Column("reason", String(200)),
    timestamp("created_at"),
    timestamp("expires_at", nullable=True),
    timestamp("ended_at", nullable=True),
    CheckConstraint("amount_units > 0", name="hold_something"),
    CheckConstraint("released_units >= 0 AND captured_units >= 0", name="only_shrink"),
    CheckConstraint("released_units + captured_units <= amount_units", name="never_exceeded"),
    CheckConstraint(
        "(ended_at IS NOT NULL) = (released_units + captured_units = amount_units)",
        name="end_when_nothing_is_left",
    ),
    Index("ix_holds_user", "user_id", "created_at", "id"),
    Index("ix_holds_expiry", "expires_at", postgresql_where=text("ended_at IS NULL")),
)
