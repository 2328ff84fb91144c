"""disputes (MED): claims of a payer's bank on PIX that we received"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


TRANSITIONS = [
    {"noun": "dispute", "before": "open", "after": "lost"},
    {"noun": "dispute", "before": "open", "after": "won"},
]
LAWS = Path(__file__).parent.parent / "sql" / "0008_disputes.sql"


def upgrade() -> None:
    _receipts()
    _disputes()
    _history()
    table = sa.table("transitions", sa.column("noun"), sa.column("before"), sa.column("after"))
    op.bulk_insert(table, TRANSITIONS)
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)


def _receipts() -> None:
    op.add_column("pix_receipts", _centavos("taken_back_centavos", "of it, what the bank took back and is booked"))
    op.execute("UPDATE pix_receipts SET taken_back_centavos = amount_centavos WHERE status = 'taken_back'")
    op.create_check_constraint(
        op.f("pix_receipts_taken_back_ones_are_gone"),
        "pix_receipts",
        "taken_back_centavos BETWEEN 0 AND amount_centavos AND CASE status"
        " WHEN 'taken_back' THEN taken_back_centavos = amount_centavos"
        " ELSE taken_back_centavos < amount_centavos OR amount_centavos = 0 END",
    )


def _disputes() -> None:
    op.create_table(
        "pix_disputes",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("dispute_id", sa.String(100), nullable=False, comment="the provider's own"),
        sa.Column("receipt_id", sa.String(32), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False, comment="claimed, as the provider says"),
        sa.Column("status", sa.String(16), server_default="open", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("cover", sa.String(16), comment="reserve | pending | nothing; null: not decided yet"),
        _centavos("covered_centavos", "of the claim, what there was to be claimed"),
        _centavos("from_user_centavos"),
        _centavos("from_house_centavos"),
        _centavos("taken_centavos", "what went back to the payer when it was lost"),
        sa.Column("answer_until", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.String(64), comment="the provider's code"),
        sa.Column("defence_sealed", sa.LargeBinary(), comment="the statement; it may name people"),
        sa.Column("defence_at", sa.DateTime(timezone=True)),
        sa.Column("defence_by", sa.String(32)),
        sa.Column("defence_evidence", sa.String(200), comment="a document's reference, nothing personal"),
        sa.Column("defence_refusal", sa.String(100), comment="why the provider did not take it"),
        sa.Column("defended_at", sa.DateTime(timezone=True)),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("amount_centavos > 0", name=op.f("pix_disputes_amount_is_positive")),
        sa.CheckConstraint("cover IN ('reserve', 'pending', 'nothing')", name=op.f("pix_disputes_cover_is_known")),
        sa.CheckConstraint(
            "status = 'open' OR cover IS NOT NULL", name=op.f("pix_disputes_decided_ones_were_covered")
        ),
        sa.CheckConstraint(
            "covered_centavos BETWEEN 0 AND amount_centavos AND taken_centavos IN (0, covered_centavos)"
            " AND (taken_centavos = 0 OR status = 'lost')",
            name=op.f("pix_disputes_parts_fit"),
        ),
        sa.CheckConstraint(
            "from_user_centavos >= 0 AND from_house_centavos >= 0"
            " AND (cover <> 'reserve' OR from_user_centavos + from_house_centavos = covered_centavos)",
            name=op.f("pix_disputes_reserve_is_whole"),
        ),
        sa.CheckConstraint(
            "num_nulls(defence_sealed, defence_at, defence_by, defence_evidence) IN (0, 4)"
            " AND (defence_at IS NOT NULL OR (defended_at IS NULL AND defence_refusal IS NULL))"
            " AND (defended_at IS NULL OR defence_refusal IS NULL)",
            name=op.f("pix_disputes_defence_is_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["receipt_id"], ["pix_receipts.id"], name=op.f("fk_pix_disputes_receipt_id_pix_receipts")
        ),
        sa.ForeignKeyConstraint(["defence_by"], ["users.id"], name=op.f("fk_pix_disputes_defence_by_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pix_disputes")),
        sa.UniqueConstraint("provider", "dispute_id", name=op.f("uq_pix_disputes_provider_dispute_id")),
    )
    op.create_index("ix_pix_disputes_age", "pix_disputes", ["created_at", "id"])
    op.create_index("ix_pix_disputes_receipt", "pix_disputes", ["receipt_id"])


def _history() -> None:
    op.create_table(
        "pix_dispute_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dispute", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("old_status", sa.String(16)),
        sa.Column("new_status", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False, comment="system, or a user's id"),
        sa.Column("reason", sa.String(200)),
        _time("at"),
        sa.ForeignKeyConstraint(
            ["dispute"], ["pix_disputes.id"], name=op.f("fk_pix_dispute_history_dispute_pix_disputes")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pix_dispute_history")),
        sa.UniqueConstraint("dispute", "version", name=op.f("uq_pix_dispute_history_dispute_version")),
    )


def _centavos(name: str, comment: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False, comment=comment)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
