"""PIX receipts: one row for each endToEndId that paid a charge of ours."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from models.base import metadata, timestamp

pix_receipts = Table(
    "pix_receipts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("provider", String(32), nullable=False),
    Column("end_to_end_id", String(64), nullable=False, comment="opaque; 32 characters by the rule"),
    Column("charge_key", String(32), ForeignKey("charges.key"), nullable=False),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("amount_centavos", BigInteger, nullable=False, comment="0: blocked, and the bank shows no amount yet"),
    timestamp("received_at"),
    Column("payer", String(8), nullable=False, comment="same | other | unknown, against the user's document"),
    Column("status", String(16), nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("reason", String(64), comment="why it goes back"),
    Column(
        "taken_back_centavos",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="of it, what the bank took back and is booked",
    ),
    timestamp("created_at"),
    timestamp("updated_at"),
    UniqueConstraint("provider", "end_to_end_id"),
    CheckConstraint(
        "amount_centavos > 0 OR (amount_centavos = 0 AND status IN ('blocked', 'taken_back'))",
        name="amount_is_positive",
    ),
    CheckConstraint(
        "taken_back_centavos BETWEEN 0 AND amount_centavos AND CASE status"
        " WHEN 'taken_back' THEN taken_back_centavos = amount_centavos"
        " ELSE taken_back_centavos < amount_centavos OR amount_centavos = 0 END",
        name="taken_back_ones_are_gone",
    ),
    CheckConstraint("payer IN ('same', 'other', 'unknown')", name="payer_is_known"),
    CheckConstraint(
        "status <> 'credited' OR payer = 'same' OR reason IS NOT NULL", name="only_the_users_own_reais_pay"
    ),
    Index("ix_pix_receipts_charge", "charge_key"),
    Index(
        "uq_pix_receipts_one_credited",
        "charge_key",
        unique=True,
        postgresql_where=text("status = 'credited' AND reason IS NULL"),
    ),
)
