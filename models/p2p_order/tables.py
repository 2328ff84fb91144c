"""P2P orders. What is available falls with each trade in the same transaction, and never below zero."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
    Time,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from models.base import BaseUnits, metadata, timestamp

p2p_orders = Table(
    "p2p_orders",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False, comment="the maker"),
    Column("side", String(8), nullable=False, comment="what the maker does: sell | buy"),
    Column("asset_id", String(64), ForeignKey("assets.id"), nullable=False),
    Column("status", String(16), nullable=False, server_default="active"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("total_units", BaseUnits, nullable=False),
    Column("available_units", BaseUnits, nullable=False, comment="not in or through a trade"),
    Column("price_kind", String(8), nullable=False),
    Column("price", Numeric(40, 18), comment="BRL per unit shown, of a fixed price"),
    Column("margin_bps", Integer, comment="of a floating price, added to the market's"),
    Column("price_floor", Numeric(40, 18)),
    Column("price_ceiling", Numeric(40, 18)),
    Column("min_centavos", BigInteger, nullable=False, comment="of one trade"),
    Column("max_centavos", BigInteger, nullable=False, comment="of one trade"),
    Column("settlements", ARRAY(String(16)), nullable=False, comment="balance | charge | direct"),
    Column("method_ids", ARRAY(String(32)), nullable=False, comment="of a sale: where the maker is paid directly"),
    Column("method_kinds", ARRAY(String(8)), nullable=False, comment="how the maker pays, or is paid, directly"),
    Column("window_seconds", Integer, nullable=False, comment="for the buyer to pay"),
    Column("terms", Text, nullable=False, server_default=""),
    Column("auto_reply_sealed", LargeBinary, comment="the first message of each trade's chat; null: none"),
    Column("opens_at", Time, comment="in America/Sao_Paulo"),
    Column("closes_at", Time),
    Column("require_verified", Boolean, nullable=False, server_default=text("false")),
    Column("min_trades", Integer, nullable=False, server_default="0"),
    Column("min_completion_bps", Integer, nullable=False, server_default="0"),
    timestamp("created_at"),
    timestamp("updated_at"),
    CheckConstraint("side IN ('sell', 'buy')", name="side_is_known"),
    CheckConstraint("available_units BETWEEN 0 AND total_units AND total_units > 0", name="amounts_fit"),
    CheckConstraint("0 < min_centavos AND min_centavos <= max_centavos", name="limits_fit"),
    CheckConstraint(
        "CASE price_kind WHEN 'fixed' THEN price > 0 AND margin_bps IS NULL AND price_floor IS NULL"
        " AND price_ceiling IS NULL WHEN 'floating' THEN price IS NULL AND margin_bps > -10000"
        " AND coalesce(price_floor <= price_ceiling, true) ELSE false END",
        name="price_is_whole",
    ),
    CheckConstraint(
        "cardinality(settlements) > 0 AND settlements <@ ARRAY['balance', 'charge', 'direct']::varchar[]",
        name="settlements_are_known",
    ),
    CheckConstraint("(opens_at IS NULL) = (closes_at IS NULL)", name="hours_have_both_ends"),
    CheckConstraint("min_trades >= 0 AND min_completion_bps BETWEEN 0 AND 10000", name="gates_fit"),
    Index("ix_p2p_orders_user", "user_id", "created_at", "id"),
    Index("ix_p2p_orders_live", "user_id", postgresql_where=text("status <> 'closed'")),
    Index(
        "ix_p2p_orders_newest",
        "created_at",
        "id",
        postgresql_where=text("status = 'active' AND available_units > 0"),
    ),
    Index(
        "ix_p2p_orders_open", "asset_id", "side", postgresql_where=text("status = 'active' AND available_units > 0")
    ),
)
