"""What the two sides of a completed trade say of each other. Only the reply comes later, and once."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

from models.base import metadata, timestamp

p2p_reviews = Table(
    "p2p_reviews",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("trade_id", String(32), ForeignKey("p2p_trades.id"), nullable=False),
    Column("author_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("subject_id", String(32), ForeignKey("users.id"), nullable=False, comment="who is reviewed"),
    Column("stars", SmallInteger, nullable=False),
    Column("comment", String(500), nullable=False, server_default=""),
    Column("reply", String(500)),
    timestamp("created_at"),
    timestamp("replied_at", nullable=True),
    UniqueConstraint("trade_id", "author_id"),
    CheckConstraint("author_id <> subject_id", name="is_of_another"),
    CheckConstraint("stars BETWEEN 1 AND 5", name="stars_are_five"),
    CheckConstraint("(reply IS NULL) = (replied_at IS NULL)", name="replies_say_when"),
    Index("ix_p2p_reviews_subject", "subject_id", "created_at", "id", postgresql_include=["stars"]),
)
