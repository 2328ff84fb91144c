"""The chats of P2P trades, sealed. Lines are only ever added."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from models.base import metadata, timestamp

p2p_messages = Table(
    "p2p_messages",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("trade_id", String(32), ForeignKey("p2p_trades.id"), nullable=False),
    Column("number", Integer, nullable=False, comment="in the trade's chat, from 1 without gaps"),
    Column("kind", String(16), nullable=False),
    Column("sender_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("text_sealed", LargeBinary),
    Column("file_id", String(32), ForeignKey("p2p_files.id"), unique=True),
    timestamp("at"),
    UniqueConstraint("trade_id", "number"),
    CheckConstraint("number > 0", name="number_counts"),
    CheckConstraint(
        "kind IN ('text', 'auto_reply', 'file') AND (kind = 'file') = (file_id IS NOT NULL)"
        " AND (kind = 'file') = (text_sealed IS NULL)",
        name="says_one_thing",
    ),
    Index("ix_p2p_messages_sender", "sender_id", "at"),
)
