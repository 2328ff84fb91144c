"""the ledger's own door: one function, two roles, seals, snapshots, holds, views"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


RUNTIME_ROLE = "liquida_runtime"
LAWS = Path(__file__).parent.parent / "sql" / "0002_ledger.sql"


def upgrade() -> None:
    known = sa.text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    if not op.get_bind().execute(known, {"role": RUNTIME_ROLE}).scalar_one():
        raise RuntimeError(
            f"the role {RUNTIME_ROLE} is missing; an administrator makes it: CREATE ROLE {RUNTIME_ROLE} LOGIN"
        )

    op.add_column(
        "ledger_accounts",
        sa.Column(
            "moved_at", sa.DateTime(timezone=True), comment="of constrained accounts: the time of the last posting"
        ),
    )
    op.add_column(
        "ledger_transactions",
        sa.Column("reason", sa.String(length=200), comment="a person's words, where a person did it"),
    )
    op.alter_column("ledger_transactions", "recorded_at", server_default=None)
    op.create_index("ix_ledger_transactions_recorded_at", "ledger_transactions", ["recorded_at", "id"])
    op.add_column(
        "ledger_postings", sa.Column("recorded_at", sa.DateTime(timezone=True), comment="the transaction's")
    )
    op.alter_column("ledger_postings", "balance_after", comment="of constrained accounts")
    op.create_check_constraint(op.f("ledger_postings_never_negative"), "ledger_postings", "balance_after >= 0")
    op.drop_constraint("fk_ledger_postings_account_id_ledger_accounts", "ledger_postings")
    op.drop_constraint("fk_ledger_postings_transaction_id_ledger_transactions", "ledger_postings")
    op.drop_index("ix_ledger_postings_account", "ledger_postings")
    op.create_index("ix_ledger_postings_account", "ledger_postings", ["account_id", "recorded_at", "transaction_id"])
    op.create_table(
        "ledger_clock",
        sa.Column("is_only", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column(
            "closing_at", sa.DateTime(timezone=True), nullable=False, comment="nobody posts at or before it any more"
        ),
        sa.Column(
            "horizon", sa.BigInteger(), comment="PostgreSQL transactions below it may still post before horizon_at"
        ),
        sa.Column("horizon_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_ledger_clock")),
        sa.CheckConstraint("is_only", name=op.f("ledger_clock_has_one_row")),
    )
    op.execute("INSERT INTO ledger_clock (closing_at) VALUES ('epoch')")
    op.create_table(
        "ledger_seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed_until", sa.DateTime(timezone=True), nullable=False, comment="inclusive"),
        sa.Column("transactions", sa.Integer(), nullable=False),
        sa.Column(
            "hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="over the seal before and the transactions since",
        ),
        sa.Column("sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_seals")),
        sa.UniqueConstraint("sealed_until", name=op.f("uq_ledger_seals_sealed_until")),
    )
    op.create_table(
        "ledger_snapshots",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False, comment="the sealed_until of a seal"),
        sa.Column("balance", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_accounts.id"], name=op.f("fk_ledger_snapshots_account_id_ledger_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", "taken_at", name=op.f("pk_ledger_snapshots")),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("asset_id", sa.String(length=64), nullable=False),
        sa.Column("amount_units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column(
            "released_units",
            sa.Numeric(precision=78, scale=0),
            server_default="0",
            nullable=False,
            comment="back to the user",
        ),
        sa.Column(
            "captured_units", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False, comment="spent"
        ),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_units > 0", name=op.f("holds_hold_something")),
        sa.CheckConstraint("released_units >= 0 AND captured_units >= 0", name=op.f("holds_only_shrink")),
        sa.CheckConstraint("released_units + captured_units <= amount_units", name=op.f("holds_never_exceeded")),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (released_units + captured_units = amount_units)",
            name=op.f("holds_end_when_nothing_is_left"),
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_holds_asset_id_assets")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_holds_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index("ix_holds_user", "holds", ["user_id", "created_at", "id"])
    op.create_index("ix_holds_expiry", "holds", ["expires_at"], postgresql_where=sa.text("ended_at IS NULL"))
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)
