"""Who does not want to trade with whom. Only its author knows of a row."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, String, Table

from models.base import metadata, timestamp

p2p_blocks = Table(
    "p2p_blocks",
    metadata,
    Column("user_id", String(32), ForeignKey("users.id"), primary_key=True),
    Column("blocked_id", String(32), ForeignKey("users.id"), primary_key=True),
    timestamp("created_at"),
    CheckConstraint("user_id <> blocked_id", name="is_of_another"),
    Index("ix_p2p_blocks_blocked", "blocked_id", "user_id"),
)
