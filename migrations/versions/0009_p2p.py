"""the P2P marketplace: payment methods, orders, trades"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"

TRANSITIONS = [
    {"noun": noun, "before": before, "after": after}
    for noun, before, after in (
        ("p2p_order", "active", "closed"),
        ("p2p_order", "active", "paused"),
        ("p2p_order", "paused", "active"),
        ("p2p_order", "paused", "closed"),
        ("p2p_trade", "disputed", "completed"),
        ("p2p_trade", "disputed", "refunded"),
        ("p2p_trade", "disputed", "split"),
        ("p2p_trade", "open", "cancelled"),
        ("p2p_trade", "open", "completed"),
        ("p2p_trade", "open", "expired"),
        ("p2p_trade", "open", "payment_sent"),
        ("p2p_trade", "payment_sent", "cancelled"),
        ("p2p_trade", "payment_sent", "completed"),
        ("p2p_trade", "payment_sent", "disputed"),
        ("p2p_trade", "payment_sent", "open"),
    )
]
LAWS = Path(__file__).parent.parent / "sql" / "0009_p2p.sql"


def upgrade() -> None:
    _methods()
    _orders()
    _trades()
    _history()
    table = sa.table("transitions", sa.column("noun"), sa.column("before"), sa.column("after"))
    op.bulk_insert(table, TRANSITIONS)
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)


def _methods() -> None:
    op.create_table(
        "payment_methods",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("details_sealed", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tax_id_fingerprint",
            sa.LargeBinary(32),
            nullable=False,
            comment="of the owner's document when it was kept",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("kind IN ('pix', 'ted')", name=op.f("payment_methods_kind_is_known")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payment_methods_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_methods")),
    )
    op.create_index("ix_payment_methods_user", "payment_methods", ["user_id", "created_at", "id"])


def _orders() -> None:
    op.create_table(
        "p2p_orders",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False, comment="the maker"),
        sa.Column("side", sa.String(8), nullable=False, comment="what the maker does: sell | buy"),
        sa.Column("asset_id", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), server_default="active", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("total_units", sa.Numeric(78, 0), nullable=False),
        sa.Column("available_units", sa.Numeric(78, 0), nullable=False, comment="not in or through a trade"),
        sa.Column("price_kind", sa.String(8), nullable=False),
        sa.Column("price", sa.Numeric(40, 18), comment="BRL per unit shown, of a fixed price"),
        sa.Column("margin_bps", sa.Integer(), comment="of a floating price, added to the market's"),
        sa.Column("price_floor", sa.Numeric(40, 18)),
        sa.Column("price_ceiling", sa.Numeric(40, 18)),
        sa.Column("min_centavos", sa.BigInteger(), nullable=False, comment="of one trade"),
        sa.Column("max_centavos", sa.BigInteger(), nullable=False, comment="of one trade"),
        sa.Column(
            "settlements", postgresql.ARRAY(sa.String(16)), nullable=False, comment="balance | charge | direct"
        ),
        sa.Column(
            "method_ids",
            postgresql.ARRAY(sa.String(32)),
            nullable=False,
            comment="of a sale: where the maker is paid directly",
        ),
        sa.Column(
            "method_kinds",
            postgresql.ARRAY(sa.String(8)),
            nullable=False,
            comment="how the maker pays, or is paid, directly",
        ),
        sa.Column("window_seconds", sa.Integer(), nullable=False, comment="for the buyer to pay"),
        sa.Column("terms", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "auto_reply_sealed", sa.LargeBinary(), comment="the first message of each trade's chat; null: none"
        ),
        sa.Column("opens_at", sa.Time(), comment="in America/Sao_Paulo"),
        sa.Column("closes_at", sa.Time()),
        sa.Column("require_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("min_trades", sa.Integer(), server_default="0", nullable=False),
        sa.Column("min_completion_bps", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "CASE price_kind WHEN 'fixed' THEN price > 0 AND margin_bps IS NULL AND price_floor IS NULL AND price_ceiling IS NULL WHEN 'floating' THEN price IS NULL AND margin_bps > -10000 AND coalesce(price_floor <= price_ceiling, true) ELSE false END",
            name=op.f("p2p_orders_price_is_whole"),
        ),
        sa.CheckConstraint(
            "cardinality(settlements) > 0 AND settlements <@ ARRAY['balance', 'charge', 'direct']::varchar[]",
            name=op.f("p2p_orders_settlements_are_known"),
        ),
        sa.CheckConstraint("side IN ('sell', 'buy')", name=op.f("p2p_orders_side_is_known")),
        sa.CheckConstraint("(opens_at IS NULL) = (closes_at IS NULL)", name=op.f("p2p_orders_hours_have_both_ends")),
        sa.CheckConstraint("0 < min_centavos AND min_centavos <= max_centavos", name=op.f("p2p_orders_limits_fit")),
        sa.CheckConstraint(
            "available_units BETWEEN 0 AND total_units AND total_units > 0", name=op.f("p2p_orders_amounts_fit")
        ),
        sa.CheckConstraint(
            "min_trades >= 0 AND min_completion_bps BETWEEN 0 AND 10000", name=op.f("p2p_orders_gates_fit")
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_p2p_orders_asset_id_assets")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_p2p_orders_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_orders")),
    )
    op.create_index(
        "ix_p2p_orders_open",
        "p2p_orders",
        ["asset_id", "side"],
        postgresql_where=sa.text("status = 'active' AND available_units > 0"),
    )
    op.create_index("ix_p2p_orders_live", "p2p_orders", ["user_id"], postgresql_where=sa.text("status <> 'closed'"))
    op.create_index(
        "ix_p2p_orders_newest",
        "p2p_orders",
        ["created_at", "id"],
        postgresql_where=sa.text("status = 'active' AND available_units > 0"),
    )
    op.create_index("ix_p2p_orders_user", "p2p_orders", ["user_id", "created_at", "id"])


def _trades() -> None:
    op.create_table(
        "p2p_trades",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(32), nullable=False),
        sa.Column("order_id", sa.String(32), nullable=False),
        sa.Column("terms_version", sa.Integer(), nullable=False, comment="of the order, when it was taken"),
        sa.Column("maker_id", sa.String(32), nullable=False),
        sa.Column("seller_id", sa.String(32), nullable=False),
        sa.Column("buyer_id", sa.String(32), nullable=False),
        sa.Column("asset_id", sa.String(64), nullable=False),
        sa.Column("units", sa.Numeric(78, 0), nullable=False, comment="that the buyer pays for"),
        sa.Column("price", sa.Numeric(40, 18), nullable=False, comment="BRL per unit shown"),
        sa.Column("total_centavos", sa.BigInteger(), nullable=False),
        sa.Column("fee_bps", sa.Integer(), nullable=False),
        sa.Column("fee_units", sa.Numeric(78, 0), nullable=False, comment="the commission if all is released"),
        sa.Column("fee_payer", sa.String(8), nullable=False, comment="buyer: out of units; seller: on top of them"),
        sa.Column("settlement", sa.String(16), nullable=False),
        sa.Column("method_id", sa.String(32), comment="where the seller is paid directly"),
        sa.Column("status", sa.String(16), server_default="open", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("buyer_bps", sa.Integer(), comment="the buyer's part of a split"),
        sa.Column("window_seconds", sa.Integer(), nullable=False),
        sa.Column("confirm_seconds", sa.Integer(), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True)),
        sa.Column("paid_at", sa.DateTime(timezone=True)),
        sa.Column("reminded_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(settlement = 'direct') = (method_id IS NOT NULL)", name=op.f("p2p_trades_direct_ones_have_a_place")
        ),
        sa.CheckConstraint(
            "(status = 'split') = (buyer_bps IS NOT NULL)", name=op.f("p2p_trades_split_ones_say_how")
        ),
        sa.CheckConstraint(
            "(status IN ('completed', 'refunded', 'split', 'cancelled', 'expired')) = (ended_at IS NOT NULL)",
            name=op.f("p2p_trades_ended_ones_say_when"),
        ),
        sa.CheckConstraint(
            "(status IN ('open', 'payment_sent')) = (deadline_at IS NOT NULL)",
            name=op.f("p2p_trades_waiting_ones_end"),
        ),
        sa.CheckConstraint(
            "fee_bps BETWEEN 0 AND 10000 AND fee_units BETWEEN 0 AND units AND fee_payer IN ('buyer', 'seller')",
            name=op.f("p2p_trades_fee_fits"),
        ),
        sa.CheckConstraint(
            "settlement IN ('balance', 'charge', 'direct')", name=op.f("p2p_trades_settlement_is_known")
        ),
        sa.CheckConstraint(
            "status <> 'payment_sent' OR paid_at IS NOT NULL", name=op.f("p2p_trades_paid_ones_say_when")
        ),
        sa.CheckConstraint("buyer_bps BETWEEN 1 AND 9999", name=op.f("p2p_trades_split_is_a_part")),
        sa.CheckConstraint(
            "seller_id <> buyer_id AND maker_id IN (seller_id, buyer_id)", name=op.f("p2p_trades_takes_two")
        ),
        sa.CheckConstraint("units > 0 AND total_centavos > 0", name=op.f("p2p_trades_amounts_are_positive")),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_p2p_trades_asset_id_assets")),
        sa.ForeignKeyConstraint(["buyer_id"], ["users.id"], name=op.f("fk_p2p_trades_buyer_id_users")),
        sa.ForeignKeyConstraint(["maker_id"], ["users.id"], name=op.f("fk_p2p_trades_maker_id_users")),
        sa.ForeignKeyConstraint(
            ["method_id"], ["payment_methods.id"], name=op.f("fk_p2p_trades_method_id_payment_methods")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["p2p_orders.id"], name=op.f("fk_p2p_trades_order_id_p2p_orders")),
        sa.ForeignKeyConstraint(["seller_id"], ["users.id"], name=op.f("fk_p2p_trades_seller_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_trades")),
        sa.UniqueConstraint("reference", name=op.f("uq_p2p_trades_reference")),
    )
    op.create_index("ix_p2p_trades_buyer", "p2p_trades", ["buyer_id", "created_at", "id"])
    op.create_index(
        "ix_p2p_trades_open",
        "p2p_trades",
        ["status"],
        postgresql_where=sa.text("status IN ('open', 'payment_sent', 'disputed')"),
    )
    op.create_index("ix_p2p_trades_order", "p2p_trades", ["order_id", "created_at", "id"])
    op.create_index("ix_p2p_trades_seller", "p2p_trades", ["seller_id", "created_at", "id"])


def _history() -> None:
    op.create_table(
        "p2p_trade_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("trade_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("old_status", sa.String(16)),
        sa.Column("new_status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("actor", sa.String(64), nullable=False, comment="system, or a user's id"),
        sa.Column("details", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["trade_id"], ["p2p_trades.id"], name=op.f("fk_p2p_trade_history_trade_id_p2p_trades")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_trade_history")),
        sa.UniqueConstraint("trade_id", "version", name=op.f("uq_p2p_trade_history_trade_id_version")),
    )
