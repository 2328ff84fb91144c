"""PIX that comes in: charges, receipts, devoluções; and purchases"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


TRANSITIONS = [
    {"noun": "instant_trade", "before": "awaiting_payment", "after": "cancelled"},
    {"noun": "instant_trade", "before": "awaiting_payment", "after": "confirming_payment"},
    {"noun": "instant_trade", "before": "awaiting_payment", "after": "delivering"},
    {"noun": "instant_trade", "before": "awaiting_payment", "after": "expired"},
    {"noun": "instant_trade", "before": "awaiting_payment", "after": "refunding"},
    {"noun": "instant_trade", "before": "confirming_payment", "after": "delivering"},
    {"noun": "instant_trade", "before": "confirming_payment", "after": "expired"},
    {"noun": "instant_trade", "before": "confirming_payment", "after": "needs_review"},
    {"noun": "instant_trade", "before": "confirming_payment", "after": "refunding"},
    {"noun": "instant_trade", "before": "delivering", "after": "completed"},
    {"noun": "instant_trade", "before": "delivering", "after": "needs_review"},
    {"noun": "instant_trade", "before": "delivering", "after": "refunding"},
    {"noun": "instant_trade", "before": "needs_review", "after": "delivering"},
    {"noun": "instant_trade", "before": "needs_review", "after": "expired"},
    {"noun": "charge", "before": "created", "after": "refused"},
    {"noun": "charge", "before": "created", "after": "submitted"},
    {"noun": "charge", "before": "submitted", "after": "active"},
    {"noun": "charge", "before": "submitted", "after": "refused"},
    {"noun": "receipt", "before": "blocked", "after": "received"},
    {"noun": "receipt", "before": "blocked", "after": "taken_back"},
    {"noun": "receipt", "before": "received", "after": "credited"},
    {"noun": "receipt", "before": "received", "after": "refunding"},
    {"noun": "receipt", "before": "received", "after": "taken_back"},
    {"noun": "receipt", "before": "credited", "after": "refunding"},
    {"noun": "receipt", "before": "credited", "after": "taken_back"},
    {"noun": "receipt", "before": "refunding", "after": "refund_failed"},
    {"noun": "receipt", "before": "refunding", "after": "refunded"},
    {"noun": "receipt", "before": "refund_failed", "after": "credited"},
    {"noun": "receipt", "before": "refund_failed", "after": "refunding"},
    {"noun": "receipt", "before": "refund_failed", "after": "taken_back"},
    {"noun": "pix_refund", "before": "created", "after": "submitted"},
    {"noun": "pix_refund", "before": "submitted", "after": "processing"},
    {"noun": "pix_refund", "before": "submitted", "after": "refunded"},
    {"noun": "pix_refund", "before": "submitted", "after": "rejected"},
    {"noun": "pix_refund", "before": "submitted", "after": "unknown"},
    {"noun": "pix_refund", "before": "unknown", "after": "processing"},
    {"noun": "pix_refund", "before": "unknown", "after": "refunded"},
    {"noun": "pix_refund", "before": "unknown", "after": "rejected"},
    {"noun": "pix_refund", "before": "unknown", "after": "submitted"},
    {"noun": "pix_refund", "before": "processing", "after": "refunded"},
    {"noun": "pix_refund", "before": "processing", "after": "rejected"},
]
LAWS = Path(__file__).parent.parent / "sql" / "0003_pix_in.sql"


def upgrade() -> None:
    _purchases()
    _charges()
    _receipts()
    _refunds()
    op.create_index("ix_webhook_events_claimed", "webhook_events", ["provider", "claimed_key"])
    table = sa.table("transitions", sa.column("noun"), sa.column("before"), sa.column("after"))
    op.bulk_insert(table, TRANSITIONS)
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)


def _purchases() -> None:
    op.alter_column("quotes", "locked_side", comment="amount | receive | pay")
    op.add_column("quotes", sa.Column("delivery", sa.String(16), comment="of a purchase: custody | address"))
    op.add_column(
        "quotes",
        sa.Column("delivery_address", sa.String(128), comment="of a purchase that leaves the platform"),
    )
    for name in ("operation_is_known", "funding_is_known", "parts_make_the_total"):
        op.drop_constraint(op.f(f"quotes_{name}"), "quotes")
    checks = {
        "operation_is_known": "operation IN ('sell', 'buy')",
        "funding_is_known": "funding IN ('custody', 'deposit', 'pix')",
        "purchases_are_paid_by_pix": "(operation = 'buy') = (funding = 'pix')",
        "purchases_are_delivered": "(operation = 'buy') = (delivery IS NOT NULL)",
        "deliveries_have_a_place": ("(delivery IS NOT DISTINCT FROM 'address') = (delivery_address IS NOT NULL)"),
        "parts_make_the_total": (
            "total_centavos = gross_centavos + (spread_centavos + network_fee_centavos)"
            " * CASE operation WHEN 'sell' THEN -1 ELSE 1 END AND total_centavos > 0"
        ),
    }
    for name, law in checks.items():
        op.create_check_constraint(op.f(f"quotes_{name}"), "quotes", law)

    op.alter_column("instant_trades", "bank_data_id", nullable=True, comment="of a sale: where the reais go")
    op.alter_column(
        "instant_trades", "refund_address", nullable=True, comment="of a sale: where the coins go back to"
    )
    op.add_column("instant_trades", sa.Column("delivery", sa.String(16), comment="of a purchase: custody | address"))
    op.add_column(
        "instant_trades", sa.Column("delivery_address", sa.String(128), comment="of a purchase: where the coins go")
    )
    op.create_check_constraint(
        op.f("instant_trades_both_ends_are_known"),
        "instant_trades",
        "CASE operation WHEN 'sell' THEN bank_data_id IS NOT NULL AND refund_address IS NOT NULL"
        " ELSE delivery IS NOT NULL AND delivery_address IS NOT NULL END",
    )
    op.drop_constraint(op.f("trade_outcomes_outcome_is_known"), "trade_outcomes")
    op.create_check_constraint(
        op.f("trade_outcomes_outcome_is_known"), "trade_outcomes", "outcome IN ('payout', 'delivery', 'refund')"
    )
    op.alter_column("transfer_transactions", "purpose", comment="custody | delivery | gas | refund | return")
    op.drop_constraint(op.f("transfer_transactions_purpose_is_known"), "transfer_transactions")
    op.create_check_constraint(
        op.f("transfer_transactions_purpose_is_known"),
        "transfer_transactions",
        "purpose IN ('custody', 'delivery', 'gas', 'refund', 'return')",
    )


def _charges() -> None:
    op.create_table(
        "charges",
        sa.Column("key", sa.String(32), nullable=False, comment="the provider's idempotency key, or txid"),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("trade_id", sa.String(32), comment="null: the reais go to the user's balance"),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False),
        _time("expires_at"),
        _time("accepts_until"),
        _time("watched_until"),
        sa.Column("window_seconds", sa.Integer(), comment="as sent to the provider, the same each time"),
        sa.Column("status", sa.String(16), server_default="created", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("provider_id", sa.String(100)),
        sa.Column("br_code", sa.String(512), comment="copia e cola; Bacen API Pix allows 512 characters"),
        sa.Column("reason", sa.String(100)),
        sa.Column("asked_at", sa.DateTime(timezone=True)),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("amount_centavos > 0", name=op.f("charges_amount_is_positive")),
        sa.CheckConstraint(
            "expires_at <= accepts_until AND accepts_until <= watched_until", name=op.f("charges_times_follow")
        ),
        sa.CheckConstraint(
            "(status = 'active') = (br_code IS NOT NULL)", name=op.f("charges_active_ones_can_be_paid")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_charges_user_id_users")),
        sa.ForeignKeyConstraint(["trade_id"], ["instant_trades.id"], name=op.f("fk_charges_trade_id_instant_trades")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_charges")),
        sa.UniqueConstraint("trade_id", name=op.f("uq_charges_trade_id")),
    )
    op.create_index("ix_charges_user", "charges", ["user_id", "created_at", "key"])


def _receipts() -> None:
    op.create_table(
        "pix_receipts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("end_to_end_id", sa.String(64), nullable=False, comment="opaque; 32 characters by the rule"),
        sa.Column("charge_key", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column(
            "amount_centavos",
            sa.BigInteger(),
            nullable=False,
            comment="0: blocked, and the bank shows no amount yet",
        ),
        _time("received_at"),
        sa.Column(
            "payer", sa.String(8), nullable=False, comment="same | other | unknown, against the user's document"
        ),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("reason", sa.String(64), comment="why it goes back"),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint(
            "amount_centavos > 0 OR (amount_centavos = 0 AND status IN ('blocked', 'taken_back'))",
            name=op.f("pix_receipts_amount_is_positive"),
        ),
        sa.CheckConstraint("payer IN ('same', 'other', 'unknown')", name=op.f("pix_receipts_payer_is_known")),
        sa.CheckConstraint(
            "status <> 'credited' OR payer = 'same' OR reason IS NOT NULL",
            name=op.f("pix_receipts_only_the_users_own_reais_pay"),
        ),
        sa.ForeignKeyConstraint(["charge_key"], ["charges.key"], name=op.f("fk_pix_receipts_charge_key_charges")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_pix_receipts_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pix_receipts")),
        sa.UniqueConstraint("provider", "end_to_end_id", name=op.f("uq_pix_receipts_provider_end_to_end_id")),
    )
    op.create_index("ix_pix_receipts_charge", "pix_receipts", ["charge_key"])
    op.create_index(
        "uq_pix_receipts_one_credited",
        "pix_receipts",
        ["charge_key"],
        unique=True,
        postgresql_where=sa.text("status = 'credited' AND reason IS NULL"),
    )


def _refunds() -> None:
    op.create_table(
        "pix_refunds",
        sa.Column("key", sa.String(32), nullable=False, comment="the provider's idempotency key"),
        sa.Column("receipt_id", sa.String(32), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), server_default="created", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("return_id", sa.String(64), comment="the devolução's own id (rtrId)"),
        sa.Column("reason", sa.String(100)),
        sa.Column("submitted_at", sa.DateTime(timezone=True)),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("amount_centavos > 0", name=op.f("pix_refunds_amount_is_positive")),
        sa.CheckConstraint(
            "status = 'created' OR submitted_at IS NOT NULL", name=op.f("pix_refunds_sent_ones_say_when")
        ),
        sa.ForeignKeyConstraint(
            ["receipt_id"], ["pix_receipts.id"], name=op.f("fk_pix_refunds_receipt_id_pix_receipts")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_pix_refunds")),
    )
    op.create_index(
        "uq_pix_refunds_one_live",
        "pix_refunds",
        ["receipt_id"],
        unique=True,
        postgresql_where=sa.text("status <> 'rejected'"),
    )


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
