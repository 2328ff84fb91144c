"""Where users want to be paid by other users. Removed ones stay: trades remember them."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, LargeBinary, String, Table

from models.base import metadata, timestamp

payment_methods = Table(
    "payment_methods",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("label", String(64), nullable=False),
    Column("details_sealed", LargeBinary, nullable=False),
    Column("tax_id_fingerprint", LargeBinary(32), nullable=False, comment="of the owner's document when it was kept"),
    timestamp("created_at"),
    timestamp("removed_at", nullable=True),
    CheckConstraint("kind IN ('pix', 'ted')", name="kind_is_known"),
    Index("ix_payment_methods_user", "user_id", "created_at", "id"),
)
