"""Withdrawals of reais: what was ordered never changes, where it stands does, with a line for each change."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from models.base import metadata, timestamp

pix_withdrawals = Table(
    "pix_withdrawals",
    metadata,
    Column("id", String(32), primary_key=True, comment="the key of its payout as well"),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("bank_data_id", String(32), ForeignKey("user_bank_data.id"), nullable=False),
    Column("amount_centavos", BigInteger, nullable=False),
    Column("provider", String(32), nullable=False),
    Column("status", String(16), nullable=False, server_default="paying_out"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("reason", String(64)),
    timestamp("deadline_at"),
    timestamp("created_at"),
    timestamp("updated_at"),
    CheckConstraint("amount_centavos > 0", name="amount_is_positive"),
    Index("ix_pix_withdrawals_user", "user_id", "created_at", "id"),
    Index("ix_pix_withdrawals_open", "status", postgresql_where=text("status IN ('paying_out', 'needs_review')")),
)

pix_withdrawal_history = Table(
    "pix_withdrawal_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("withdrawal_id", String(32), ForeignKey("pix_withdrawals.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("old_status", String(16)),
    Column("new_status", String(16), nullable=False),
    Column("reason", String(64)),
    Column("actor", String(64), nullable=False, comment="system, or a user's id"),
    Column("details", JSONB, nullable=False, server_default="{}"),
    timestamp("at"),
    UniqueConstraint("withdrawal_id", "version"),
)
