"""reconciliation with the banks: their lines, what each comparison came to, and the breaks"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


TRANSITIONS = [
    {"noun": "break", "before": "open", "after": "acknowledged"},
    {"noun": "break", "before": "open", "after": "cleared"},
    {"noun": "break", "before": "acknowledged", "after": "cleared"},
    {"noun": "break", "before": "acknowledged", "after": "resolved"},
    {"noun": "break", "before": "cleared", "after": "open"},
]
LAWS = Path(__file__).parent.parent / "sql" / "0005_reconciliation.sql"


def upgrade() -> None:
    op.create_table(
        "bank_lines",
        sa.Column(
            "id",
            sa.String(length=32),
            nullable=False,
            comment="of provider, line and content, so the same line is one row",
        ),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("line_id", sa.String(length=200), nullable=False, comment="the provider's own"),
        sa.Column("day", sa.Date(), nullable=False, comment="of the statement that shows it, in the bank's time"),
        sa.Column("key", sa.String(length=100), nullable=True),
        sa.Column("end_to_end_id", sa.String(length=100), nullable=True),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False, comment="signed: money in is positive"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "gone_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since then the statement does not show it, or shows it otherwise",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_lines")),
    )
    op.create_index("ix_bank_lines_day", "bank_lines", ["provider", "day"], unique=False)
    op.create_index(
        "ix_bank_lines_end_to_end_id",
        "bank_lines",
        ["provider", "end_to_end_id"],
        unique=False,
        postgresql_where=sa.text("end_to_end_id IS NOT NULL"),
    )
    op.create_index(
        "ix_bank_lines_key",
        "bank_lines",
        ["provider", "key"],
        unique=False,
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_index(
        "uq_bank_lines_shown",
        "bank_lines",
        ["provider", "line_id"],
        unique=True,
        postgresql_where=sa.text("gone_at IS NULL"),
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="in the bank's time"),
        sa.Column(
            "run", sa.String(length=64), nullable=False, comment="the workflow's run, of which there is one row"
        ),
        sa.Column("bank_answered", sa.Boolean(), nullable=False, comment="false: nothing was compared"),
        sa.Column("statement_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("lines_centavos", sa.BigInteger(), nullable=False),
        sa.Column("movements", sa.Integer(), nullable=False),
        sa.Column("movements_centavos", sa.BigInteger(), nullable=False),
        sa.Column(
            "opening_centavos",
            sa.BigInteger(),
            nullable=True,
            comment="the account's balance as the bank says, where it is known",
        ),
        sa.Column(
            "closing_centavos",
            sa.BigInteger(),
            nullable=True,
            comment="likewise; of today: when the statement was read",
        ),
        sa.Column(
            "classes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="of each class, its rows and sums",
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "bank_answered = (statement_read_at IS NOT NULL)", name=op.f("reconciliations_say_when_the_bank_answered")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
        sa.UniqueConstraint("provider", "day", "run", name=op.f("uq_reconciliations_provider_day_run")),
    )
    op.create_index("ix_reconciliations_newest", "reconciliations", ["provider", "day", "finished_at"], unique=False)
    op.create_table(
        "breaks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column(
            "provider",
            sa.String(length=32),
            nullable=True,
            comment="null: no bank account of ours explains the posting",
        ),
        sa.Column("class", sa.String(length=32), nullable=False),
        sa.Column("line_id", sa.String(length=32), nullable=True),
        sa.Column("ledger_key", sa.String(length=200), nullable=True),
        sa.Column("day", sa.Date(), nullable=False, comment="the line's, else the movement's, in the bank's time"),
        sa.Column("bank_centavos", sa.BigInteger(), nullable=True, comment="the line's amount"),
        sa.Column(
            "ledger_centavos", sa.BigInteger(), nullable=True, comment="the movement's amount, from the bank's side"
        ),
        sa.Column("hint", sa.String(length=32), nullable=True),
        sa.Column(
            "suggestions",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="of the other side: same amount, same day",
        ),
        sa.Column("status", sa.String(length=16), server_default="open", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("owner_id", sa.String(length=32), nullable=True, comment="the operator who works on it"),
        sa.Column("resolution", sa.String(length=32), nullable=True),
        sa.Column("evidence", sa.String(length=200), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True, comment="when the log asked for a person"),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status = 'resolved') = (resolution IS NOT NULL AND evidence IS NOT NULL)",
            name=op.f("breaks_resolved_say_why"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('acknowledged', 'resolved') OR owner_id IS NOT NULL",
            name=op.f("breaks_in_work_have_an_owner"),
        ),
        sa.CheckConstraint(
            "(ledger_key IS NULL) = (ledger_centavos IS NULL)", name=op.f("breaks_have_the_movements_amount")
        ),
        sa.CheckConstraint("(line_id IS NULL) = (bank_centavos IS NULL)", name=op.f("breaks_have_the_lines_amount")),
        sa.CheckConstraint("line_id IS NOT NULL OR ledger_key IS NOT NULL", name=op.f("breaks_are_about_something")),
        sa.ForeignKeyConstraint(
            ["ledger_key"], ["ledger_transactions.key"], name=op.f("fk_breaks_ledger_key_ledger_transactions")
        ),
        sa.ForeignKeyConstraint(["line_id"], ["bank_lines.id"], name=op.f("fk_breaks_line_id_bank_lines")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_breaks_owner_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breaks")),
        sa.UniqueConstraint(
            "provider",
            "class",
            "line_id",
            "ledger_key",
            name=op.f("uq_breaks_provider_class_line_id_ledger_key"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_breaks_age", "breaks", ["first_seen_at", "id"], unique=False)
    op.create_index("ix_breaks_line", "breaks", ["line_id"], unique=False)
    op.create_index(
        "ix_breaks_live",
        "breaks",
        ["status", "class"],
        unique=False,
        postgresql_where=sa.text("status IN ('open', 'acknowledged')"),
    )
    op.create_index("ix_breaks_movement", "breaks", ["ledger_key"], unique=False)
    op.create_table(
        "break_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("break_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("old_status", sa.String(length=16), nullable=True),
        sa.Column("new_status", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False, comment="system, or a user's id"),
        sa.Column("reason", sa.String(length=64), nullable=True, comment="a resolution, or what a later run found"),
        sa.Column("evidence", sa.String(length=200), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["break_id"], ["breaks.id"], name=op.f("fk_break_history_break_id_breaks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break_history")),
        sa.UniqueConstraint("break_id", "version", name=op.f("uq_break_history_break_id_version")),
    )
    op.create_index(
        "ix_payouts_end_to_end_id",
        "payouts",
        ["end_to_end_id"],
        unique=False,
        postgresql_where=sa.text("end_to_end_id IS NOT NULL"),
    )
    table = sa.table("transitions", sa.column("noun"), sa.column("before"), sa.column("after"))
    op.bulk_insert(table, TRANSITIONS)
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)
