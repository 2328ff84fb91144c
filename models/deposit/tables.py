"""Coins that came in from outside, how far the chain was read, and what is to go back."""

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

from models.base import BaseUnits, metadata, timestamp

deposits = Table(
    "deposits",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("network_id", String(32), ForeignKey("networks.id"), nullable=False),
    Column("txid", String(128), nullable=False),
    Column("log_index", Integer, nullable=False, comment="-1: the native transfer itself"),
    Column("asset_id", String(64), ForeignKey("assets.id"), nullable=False),
    Column("address_id", BigInteger, ForeignKey("system_addresses.id"), nullable=False),
    Column("trade_id", String(32), ForeignKey("instant_trades.id")),
    Column("from_address", String(128), nullable=False),
    Column("amount_units", BaseUnits, nullable=False),
    Column("block_height", BigInteger, nullable=False),
    Column("block_hash", String(128), nullable=False),
    timestamp("block_time"),
    Column("status", String(16), nullable=False, comment="seen | orphaned | final"),
    Column("booked_to", String(16), comment="of a final one: held | available | desk | suspense"),
    timestamp("seen_at"),
    timestamp("final_at", nullable=True),
    UniqueConstraint("network_id", "txid", "log_index"),
    CheckConstraint("amount_units > 0", name="amount_is_positive"),
    CheckConstraint("status IN ('seen', 'orphaned', 'final')", name="status_is_known"),
    CheckConstraint("(status = 'final') = (booked_to IS NOT NULL)", name="final_ones_are_booked"),
    Index("ix_deposits_waiting", "network_id", "block_height", postgresql_where=text("status = 'seen'")),
    Index("ix_deposits_trade", "trade_id"),
)

deposit_returns = Table(
    "deposit_returns",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("trade_id", String(32), ForeignKey("instant_trades.id"), nullable=False),
    Column("asset_id", String(64), ForeignKey("assets.id"), nullable=False),
    Column("amount_units", BaseUnits, nullable=False),
    Column("reason", String(64), nullable=False, comment="late | excess"),
    Column(
        "status",
        String(16),
        nullable=False,
        server_default="pending",
        comment="pending | returned | credited | needs_review",
    ),
    timestamp("created_at"),
    timestamp("ended_at", nullable=True),
    CheckConstraint("amount_units > 0", name="amount_is_positive"),
    CheckConstraint("status IN ('pending', 'returned', 'credited', 'needs_review')", name="status_is_known"),
    Index("ix_deposit_returns_trade", "trade_id"),
)

chain_blocks = Table(
    "chain_blocks",
    metadata,
    Column("network_id", String(32), ForeignKey("networks.id"), primary_key=True),
    Column("height", BigInteger, primary_key=True),
    Column("hash", String(128), nullable=False),
)
"""The last blocks that were read, newest = the cursor. A hash that no longer matches is a reorg."""
