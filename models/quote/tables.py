"""Quotes: a price promised for a short while, with every part of it."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Numeric, String, Table

from models.base import BaseUnits, metadata, timestamp

quotes = Table(
    "quotes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("operation", String(8), nullable=False),
    Column("asset_id", String(64), ForeignKey("assets.id"), nullable=False),
    Column("network_id", String(32), ForeignKey("networks.id"), nullable=False),
    Column("funding", String(16), nullable=False),
    Column("locked_side", String(8), nullable=False, comment="amount | receive"),
    Column("amount_units", BaseUnits, nullable=False),
    Column("price", Numeric(40, 18), nullable=False, comment="BRL per unit shown"),
    Column("gross_centavos", BigInteger, nullable=False),
    Column("spread_centavos", BigInteger, nullable=False),
    Column("network_fee_centavos", BigInteger, nullable=False),
    Column("total_centavos", BigInteger, nullable=False),
    Column("return_min_centavos", BigInteger, nullable=False),
    Column("refund_address", String(128)),
    timestamp("created_at"),
    timestamp("expires_at"),
    timestamp("used_at", nullable=True),
    CheckConstraint("operation = 'sell'", name="operation_is_known"),
    CheckConstraint("funding IN ('custody', 'deposit')", name="funding_is_known"),
    CheckConstraint(
        "total_centavos = gross_centavos - spread_centavos - network_fee_centavos AND total_centavos > 0",
        name="parts_make_the_total",
    ),
    CheckConstraint("(funding = 'deposit') = (refund_address IS NOT NULL)", name="deposits_can_go_back"),
    CheckConstraint("amount_units > 0", name="amount_is_positive"),
)
