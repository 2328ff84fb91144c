"""Trades, their log, the clocks that run on them and the one outcome each may have."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from models.base import BaseUnits, metadata, timestamp

instant_trades = Table(
    "instant_trades",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("reference", String(32), nullable=False, unique=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("quote_id", String(32), ForeignKey("quotes.id"), nullable=False, unique=True),
    Column("operation", String(8), nullable=False),
    Column("funding", String(16), nullable=False),
    Column("asset_id", String(64), ForeignKey("assets.id"), nullable=False),
    Column("network_id", String(32), ForeignKey("networks.id"), nullable=False),
    Column("amount_units", BaseUnits, nullable=False),
    Column("price", Numeric(40, 18), nullable=False),
    Column("gross_centavos", BigInteger, nullable=False),
    Column("spread_centavos", BigInteger, nullable=False),
    Column("network_fee_centavos", BigInteger, nullable=False),
    Column("total_centavos", BigInteger, nullable=False),
    Column("return_min_centavos", BigInteger, nullable=False),
    Column("bank_data_id", String(32), ForeignKey("user_bank_data.id"), comment="of a sale: where the reais go"),
    Column("source_address_id", BigInteger, ForeignKey("system_addresses.id"), nullable=False),
    Column("refund_address", String(128), comment="of a sale: where the coins go back to"),
    Column("delivery", String(16), comment="of a purchase: custody | address"),
    Column("delivery_address", String(128), comment="of a purchase: where the coins go"),
    Column("held_units", BaseUnits, nullable=False, comment="of this trade, in the user's held account"),
    Column("status", String(32), nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("reason", String(64)),
    Column("ruling", String(16), comment="an operator's: complete | refund"),
    timestamp("created_at"),
    timestamp("updated_at"),
    CheckConstraint("held_units >= 0", name="held_is_not_negative"),
    CheckConstraint(
        "CASE operation WHEN 'sell' THEN bank_data_id IS NOT NULL AND refund_address IS NOT NULL"
        " ELSE delivery IS NOT NULL AND delivery_address IS NOT NULL END",
        name="both_ends_are_known",
    ),
    CheckConstraint("ruling IN ('complete', 'refund')", name="ruling_is_known"),
    Index("ix_instant_trades_user", "user_id", "created_at", "id"),
    Index(
        "ix_instant_trades_open",
        "status",
        postgresql_where=text("status NOT IN ('completed', 'cancelled', 'expired', 'refunded')"),
    ),
)

instant_trade_history = Table(
    "instant_trade_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("trade_id", String(32), ForeignKey("instant_trades.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("old_status", String(32)),
    Column("new_status", String(32), nullable=False),
    Column("reason", String(64)),
    Column("actor", String(64), nullable=False, comment="system, or a user's id"),
    Column("details", JSONB, nullable=False, server_default="{}"),
    timestamp("at"),
    UniqueConstraint("trade_id", "version"),
)

trade_locks = Table(
    "trade_locks",
    metadata,
    Column("trade_id", String(32), ForeignKey("instant_trades.id"), primary_key=True),
    Column("kind", String(32), primary_key=True),
    timestamp("expires_at"),
    timestamp("released_at", nullable=True),
)

trade_outcomes = Table(
    "trade_outcomes",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("trade_id", String(32), ForeignKey("instant_trades.id"), nullable=False),
    Column("outcome", String(16), nullable=False),
    timestamp("decided_at"),
    timestamp("voided_at", nullable=True),
    Column("void_reason", String(64)),
    CheckConstraint("outcome IN ('payout', 'delivery', 'refund')", name="outcome_is_known"),
    Index("uq_trade_outcomes_one_live", "trade_id", unique=True, postgresql_where=text("voided_at IS NULL")),
)
