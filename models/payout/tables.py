"""PIX payouts: the key is stored before the provider first hears of it, and is the same for ever."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from models.base import metadata, timestamp

payouts = Table(
    "payouts",
    metadata,
    Column("key", String(32), primary_key=True, comment="the provider's idempotency key"),
    Column("trade_id", String(32), ForeignKey("instant_trades.id"), nullable=False, unique=True),
    Column("provider", String(32), nullable=False),
    Column("amount_centavos", BigInteger, nullable=False),
    Column("bank_data_id", String(32), ForeignKey("user_bank_data.id"), nullable=False),
    Column("status", String(16), nullable=False, server_default="created"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("provider_id", String(100)),
    Column("end_to_end_id", String(64)),
    Column("reason", String(100)),
    Column("attested", JSONB, comment="an operator's evidence, where the provider could not be asked"),
    timestamp("not_before", nullable=True),
    timestamp("submitted_at", nullable=True),
    timestamp("created_at"),
    timestamp("updated_at"),
    CheckConstraint("amount_centavos > 0", name="amount_is_positive"),
    CheckConstraint("status = 'created' OR submitted_at IS NOT NULL", name="sent_ones_say_when"),
    Index("ix_payouts_end_to_end_id", "end_to_end_id", postgresql_where=text("end_to_end_id IS NOT NULL")),
)
