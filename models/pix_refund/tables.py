"""Devoluções: the key is stored before the provider first hears of it; one at a time for each receipt."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, text

from models.base import metadata, timestamp

pix_refunds = Table(
    "pix_refunds",
    metadata,
    Column("key", String(32), primary_key=True, comment="the provider's idempotency key"),
    Column("receipt_id", String(32), ForeignKey("pix_receipts.id"), nullable=False),
    Column("amount_centavos", BigInteger, nullable=False),
    Column("status", String(16), nullable=False, server_default="created"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("return_id", String(64), comment="the devolução's own id (rtrId)"),
    Column("reason", String(100)),
    timestamp("submitted_at", nullable=True),
    timestamp("created_at"),
    timestamp("updated_at"),
    CheckConstraint("amount_centavos > 0", name="amount_is_positive"),
    CheckConstraint("status = 'created' OR submitted_at IS NOT NULL", name="sent_ones_say_when"),
    Index("uq_pix_refunds_one_live", "receipt_id", unique=True, postgresql_where=text("status <> 'rejected'")),
)
