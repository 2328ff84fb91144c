"""withdrawals of reais by PIX, whose payouts belong to no trade"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


TRANSITIONS = [
    {"noun": "pix_withdrawal", "before": "paying_out", "after": "completed"},
    {"noun": "pix_withdrawal", "before": "paying_out", "after": "needs_review"},
    {"noun": "pix_withdrawal", "before": "paying_out", "after": "refunded"},
    {"noun": "pix_withdrawal", "before": "needs_review", "after": "completed"},
    {"noun": "pix_withdrawal", "before": "needs_review", "after": "refunded"},
    {"noun": "pix_withdrawal", "before": "completed", "after": "refunded"},
]
LAWS = Path(__file__).parent.parent / "sql" / "0007_pix_withdrawals.sql"


def upgrade() -> None:
    _withdrawals()
    _history()
    op.alter_column("payouts", "trade_id", nullable=True)
    op.add_column("payouts", sa.Column("withdrawal_id", sa.String(32)))
    op.create_foreign_key(
        op.f("fk_payouts_withdrawal_id_pix_withdrawals"), "payouts", "pix_withdrawals", ["withdrawal_id"], ["id"]
    )
    op.create_unique_constraint(op.f("uq_payouts_withdrawal_id"), "payouts", ["withdrawal_id"])
    op.create_check_constraint(op.f("payouts_belong_to_one"), "payouts", "num_nonnulls(trade_id, withdrawal_id) = 1")
    table = sa.table("transitions", sa.column("noun"), sa.column("before"), sa.column("after"))
    op.bulk_insert(table, TRANSITIONS)
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)


def _withdrawals() -> None:
    op.create_table(
        "pix_withdrawals",
        sa.Column("id", sa.String(32), nullable=False, comment="the key of its payout as well"),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("bank_data_id", sa.String(32), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), server_default="paying_out", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("reason", sa.String(64)),
        _time("deadline_at"),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("amount_centavos > 0", name=op.f("pix_withdrawals_amount_is_positive")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_pix_withdrawals_user_id_users")),
        sa.ForeignKeyConstraint(
            ["bank_data_id"], ["user_bank_data.id"], name=op.f("fk_pix_withdrawals_bank_data_id_user_bank_data")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pix_withdrawals")),
    )
    op.create_index("ix_pix_withdrawals_user", "pix_withdrawals", ["user_id", "created_at", "id"])
    op.create_index(
        "ix_pix_withdrawals_open",
        "pix_withdrawals",
        ["status"],
        postgresql_where=sa.text("status IN ('paying_out', 'needs_review')"),
    )


def _history() -> None:
    op.create_table(
        "pix_withdrawal_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("withdrawal_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("old_status", sa.String(16)),
        sa.Column("new_status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("actor", sa.String(64), nullable=False, comment="system, or a user's id"),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        _time("at"),
        sa.ForeignKeyConstraint(
            ["withdrawal_id"],
            ["pix_withdrawals.id"],
            name=op.f("fk_pix_withdrawal_history_withdrawal_id_pix_withdrawals"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pix_withdrawal_history")),
        sa.UniqueConstraint("withdrawal_id", "version", name=op.f("uq_pix_withdrawal_history_withdrawal_id_version")),
    )


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
