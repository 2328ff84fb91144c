"""the P2P marketplace: block lists, reviews"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

LAWS = Path(__file__).parent.parent / "sql" / "0010_p2p_reputation.sql"


def upgrade() -> None:
    _blocks()
    _reviews()
    _indexes()
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)


def _blocks() -> None:
    op.create_table(
        "p2p_blocks",
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("blocked_id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("user_id <> blocked_id", name=op.f("p2p_blocks_is_of_another")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_p2p_blocks_user_id_users")),
        sa.ForeignKeyConstraint(["blocked_id"], ["users.id"], name=op.f("fk_p2p_blocks_blocked_id_users")),
        sa.PrimaryKeyConstraint("user_id", "blocked_id", name=op.f("pk_p2p_blocks")),
    )
    op.create_index("ix_p2p_blocks_blocked", "p2p_blocks", ["blocked_id", "user_id"])


def _reviews() -> None:
    op.create_table(
        "p2p_reviews",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("trade_id", sa.String(32), nullable=False),
        sa.Column("author_id", sa.String(32), nullable=False),
        sa.Column("subject_id", sa.String(32), nullable=False, comment="who is reviewed"),
        sa.Column("stars", sa.SmallInteger(), nullable=False),
        sa.Column("comment", sa.String(500), server_default="", nullable=False),
        sa.Column("reply", sa.String(500)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("replied_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("author_id <> subject_id", name=op.f("p2p_reviews_is_of_another")),
        sa.CheckConstraint("stars BETWEEN 1 AND 5", name=op.f("p2p_reviews_stars_are_five")),
        sa.CheckConstraint("(reply IS NULL) = (replied_at IS NULL)", name=op.f("p2p_reviews_replies_say_when")),
        sa.ForeignKeyConstraint(["trade_id"], ["p2p_trades.id"], name=op.f("fk_p2p_reviews_trade_id_p2p_trades")),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_p2p_reviews_author_id_users")),
        sa.ForeignKeyConstraint(["subject_id"], ["users.id"], name=op.f("fk_p2p_reviews_subject_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_reviews")),
        sa.UniqueConstraint("trade_id", "author_id", name=op.f("uq_p2p_reviews_trade_id_author_id")),
    )
    op.create_index(
        "ix_p2p_reviews_subject",
        "p2p_reviews",
        ["subject_id", "created_at", "id"],
        postgresql_include=["stars"],
    )


def _indexes() -> None:
    op.create_index("ix_p2p_trades_method", "p2p_trades", ["method_id"])
    op.create_index(
        "ix_p2p_trades_completed",
        "p2p_trades",
        ["asset_id", "ended_at"],
        postgresql_where=sa.text("status = 'completed'"),
    )
    op.create_index(
        "ix_p2p_trade_history_disputed",
        "p2p_trade_history",
        ["trade_id"],
        postgresql_where=sa.text("old_status = 'disputed'"),
    )
