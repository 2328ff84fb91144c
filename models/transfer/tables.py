"""On-chain transfers of ours: the intent, and each signed attempt with its exact bytes."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from models.base import BaseUnits, metadata, timestamp

transfer_transactions = Table(
    "transfer_transactions",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("purpose", String(16), nullable=False, comment="custody | delivery | gas | refund | return"),
    Column("trade_id", String(32), ForeignKey("instant_trades.id")),
    Column("parent_key", String(200), ForeignKey("transfer_transactions.key"), comment="of a gas top-up"),
    Column("return_id", String(32), ForeignKey("deposit_returns.id")),
    Column("network_id", String(32), ForeignKey("networks.id"), nullable=False),
    Column("asset_id", String(64), ForeignKey("assets.id"), nullable=False),
    Column("from_address_id", BigInteger, ForeignKey("system_addresses.id"), nullable=False),
    Column("to_address", String(128), nullable=False),
    Column("amount_units", BaseUnits, nullable=False),
    Column("status", String(16), nullable=False, server_default="intended"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("reason", String(200)),
    Column("nonce", BigInteger),
    Column("offer", JSONB, comment="the fee that custody may sign next; null: nothing to sign"),
    Column("txid", String(128), comment="the attempt that is in a block"),
    Column("block_height", BigInteger),
    Column("block_hash", String(128)),
    Column("confirmations", Integer, nullable=False, server_default="0"),
    Column("fee_units", BaseUnits, comment="what it really cost, native coin"),
    timestamp("created_at"),
    timestamp("updated_at"),
    CheckConstraint("amount_units > 0", name="amount_is_positive"),
    CheckConstraint("purpose IN ('custody', 'delivery', 'gas', 'refund', 'return')", name="purpose_is_known"),
    CheckConstraint("(status IN ('intended', 'rejected')) OR nonce IS NOT NULL", name="signed_ones_have_a_nonce"),
    Index("uq_transfer_transactions_nonce", "from_address_id", "nonce", unique=True),
    Index(
        "ix_transfer_transactions_in_flight",
        "network_id",
        postgresql_where=text("status IN ('signed', 'broadcast', 'mined')"),
    ),
    Index("ix_transfer_transactions_trade", "trade_id"),
)

transfer_attempts = Table(
    "transfer_attempts",
    metadata,
    Column("key", String(200), ForeignKey("transfer_transactions.key"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("txid", String(128), nullable=False, unique=True),
    Column("fee", JSONB, nullable=False),
    Column("raw", Text, nullable=False, comment="the exact bytes to send, for ever"),
    timestamp("signed_at"),
    timestamp("broadcast_at", nullable=True),
)
