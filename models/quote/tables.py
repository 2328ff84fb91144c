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
    Column("locked_side", String(8), nullable=False, comment="amount | receive | pay"),
    Column("amount_units", BaseUnits, nullable=False),
    Column("price", Numeric(40, 18), nullable=False, comment="BRL per unit shown"),
    Column("gross_centavos", BigInteger, nullable=False),
    Column("spread_centavos", BigInteger, nullable=False),
    Column("network_fee_centavos", BigInteger, nullable=False),
    Column("total_centavos", BigInteger, nullable=False),
    Column("return_min_centavos", BigInteger, nullable=False),
    Column("refund_address", String(128)),
    Column("delivery", String(16), comment="of a purchase: custody | address"),
    Column("delivery_address", String(128), comment="of a purchase that leaves the platform"),
    timestamp("created_at"),
    timestamp("expires_at"),
    timestamp("used_at", nullable=True),
    CheckConstraint("operation IN ('sell', 'buy')", name="operation_is_known"),
    CheckConstraint("funding IN ('custody', 'deposit', 'pix')", name="funding_is_known"),
    CheckConstraint("(operation = 'buy') = (funding = 'pix')", name="purchases_are_paid_by_pix"),
    CheckConstraint("(operation = 'buy') = (delivery IS NOT NULL)", name="purchases_are_delivered"),
    CheckConstraint(
        "(delivery IS NOT DISTINCT FROM 'address') = (delivery_address IS NOT NULL)", name="deliveries_have_a_place"
    ),
    CheckConstraint(
        "total_centavos = gross_centavos + (spread_centavos + network_fee_centavos)"
        " * CASE operation WHEN 'sell' THEN -1 ELSE 1 END AND total_centavos > 0",
        name="parts_make_the_total",
    ),
    CheckConstraint("(funding = 'deposit') = (refund_address IS NOT NULL)", name="deposits_can_go_back"),
    CheckConstraint("amount_units > 0", name="amount_is_positive"),
)
