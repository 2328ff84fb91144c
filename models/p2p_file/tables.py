"""Attachments, sealed. They are only ever added."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from models.base import metadata, timestamp

p2p_files = Table(
    "p2p_files",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("trade_id", String(32), ForeignKey("p2p_trades.id"), nullable=False),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False, comment="who attached it"),
    Column("media_type", String(32), nullable=False, comment="as its first bytes say"),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False, comment="of the clear bytes"),
    Column("body_sealed", LargeBinary, nullable=False),
    timestamp("at"),
    CheckConstraint(
        "media_type IN ('image/jpeg', 'image/png', 'image/webp', 'application/pdf')", name="media_type_is_known"
    ),
    CheckConstraint("size_bytes BETWEEN 1 AND 5242880 AND length(sha256) = 32", name="body_fits"),
    Index("ix_p2p_files_trade", "trade_id", "at", "id"),
)
