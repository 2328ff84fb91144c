"""chats, files and disputes of P2P trades, and who decides them"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"

TRANSITIONS = [
    {"noun": "p2p_dispute", "before": before, "after": after}
    for before, after in (
        ("appealed", "closed"),
        ("appealed", "proposed"),
        ("appealed", "settled"),
        ("open", "proposed"),
        ("open", "ruled"),
        ("open", "settled"),
        ("proposed", "appealed"),
        ("proposed", "closed"),
        ("proposed", "open"),
        ("proposed", "ruled"),
        ("proposed", "settled"),
        ("ruled", "appealed"),
        ("ruled", "closed"),
        ("ruled", "settled"),
    )
]
LAWS = Path(__file__).parent.parent / "sql" / "0012_p2p_disputes.sql"


def upgrade() -> None:
    _roles()
    _files()
    _messages()
    _disputes()
    _rulings()
    _statements()
    _history()
    table = sa.table("transitions", sa.column("noun"), sa.column("before"), sa.column("after"))
    op.bulk_insert(table, TRANSITIONS)
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)


def _roles() -> None:
    op.drop_constraint(op.f("users_role_is_known"), "users")
    op.create_check_constraint(
        op.f("users_role_is_known"), "users", "role IN ('user', 'operator', 'arbiter', 'arbiter_read', 'admin')"
    )


def _files() -> None:
    op.create_table(
        "p2p_files",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("trade_id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False, comment="who attached it"),
        sa.Column("media_type", sa.String(32), nullable=False, comment="as its first bytes say"),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False, comment="of the clear bytes"),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "media_type IN ('image/jpeg', 'image/png', 'image/webp', 'application/pdf')",
            name=op.f("p2p_files_media_type_is_known"),
        ),
        sa.CheckConstraint(
            "size_bytes BETWEEN 1 AND 5242880 AND length(sha256) = 32", name=op.f("p2p_files_body_fits")
        ),
        sa.ForeignKeyConstraint(["trade_id"], ["p2p_trades.id"], name=op.f("fk_p2p_files_trade_id_p2p_trades")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_p2p_files_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_files")),
    )
    op.create_index("ix_p2p_files_trade", "p2p_files", ["trade_id", "at", "id"])


def _messages() -> None:
    op.create_table(
        "p2p_messages",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("trade_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="in the trade's chat, from 1 without gaps"),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sender_id", sa.String(32), nullable=False),
        sa.Column("text_sealed", sa.LargeBinary()),
        sa.Column("file_id", sa.String(32)),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('text', 'auto_reply', 'file') AND (kind = 'file') = (file_id IS NOT NULL) AND (kind = 'file') = (text_sealed IS NULL)",
            name=op.f("p2p_messages_says_one_thing"),
        ),
        sa.CheckConstraint("number > 0", name=op.f("p2p_messages_number_counts")),
        sa.ForeignKeyConstraint(["file_id"], ["p2p_files.id"], name=op.f("fk_p2p_messages_file_id_p2p_files")),
        sa.ForeignKeyConstraint(["sender_id"], ["users.id"], name=op.f("fk_p2p_messages_sender_id_users")),
        sa.ForeignKeyConstraint(["trade_id"], ["p2p_trades.id"], name=op.f("fk_p2p_messages_trade_id_p2p_trades")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_messages")),
        sa.UniqueConstraint("file_id", name=op.f("uq_p2p_messages_file_id")),
        sa.UniqueConstraint("trade_id", "number", name=op.f("uq_p2p_messages_trade_id_number")),
    )
    op.create_index("ix_p2p_messages_sender", "p2p_messages", ["sender_id", "at"])


def _disputes() -> None:
    op.create_table(
        "p2p_disputes",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("trade_id", sa.String(32), nullable=False),
        sa.Column("opened_by", sa.String(32), comment="null: the system"),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), server_default="open", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("round", sa.Integer(), server_default="1", nullable=False, comment="2 from an appeal on"),
        sa.Column("ruling_id", sa.String(32), comment="that waits for a second arbiter, or stands"),
        sa.Column("buyer_accepted_at", sa.DateTime(timezone=True)),
        sa.Column("seller_accepted_at", sa.DateTime(timezone=True)),
        sa.Column("appealed_by", sa.String(32)),
        sa.Column("buyer_bps", sa.Integer(), comment="how it ended: the buyer's part"),
        sa.Column("deadline_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status IN ('closed', 'settled')) = (ended_at IS NOT NULL) AND (status IN ('closed', 'settled')) = (buyer_bps IS NOT NULL)",
            name=op.f("p2p_disputes_ended_ones_say_how"),
        ),
        sa.CheckConstraint(
            "(status IN ('proposed', 'ruled')) = (deadline_at IS NOT NULL)",
            name=op.f("p2p_disputes_waiting_ones_end"),
        ),
        sa.CheckConstraint("status <> 'appealed' OR round = 2", name=op.f("p2p_disputes_appealed_ones_say_so")),
        sa.CheckConstraint("status <> 'ruled' OR round = 1", name=op.f("p2p_disputes_second_ruling_is_final")),
        sa.CheckConstraint(
            "status NOT IN ('proposed', 'ruled', 'closed') OR ruling_id IS NOT NULL",
            name=op.f("p2p_disputes_ruled_ones_have_a_ruling"),
        ),
        sa.CheckConstraint("buyer_bps BETWEEN 0 AND 10000", name=op.f("p2p_disputes_part_is_a_part")),
        sa.CheckConstraint(
            "round IN (1, 2) AND (round = 2) = (appealed_by IS NOT NULL)", name=op.f("p2p_disputes_appeal_is_one")
        ),
        sa.ForeignKeyConstraint(["appealed_by"], ["users.id"], name=op.f("fk_p2p_disputes_appealed_by_users")),
        sa.ForeignKeyConstraint(["opened_by"], ["users.id"], name=op.f("fk_p2p_disputes_opened_by_users")),
        sa.ForeignKeyConstraint(["trade_id"], ["p2p_trades.id"], name=op.f("fk_p2p_disputes_trade_id_p2p_trades")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_disputes")),
        sa.UniqueConstraint("trade_id", name=op.f("uq_p2p_disputes_trade_id")),
    )
    op.create_index("ix_p2p_disputes_age", "p2p_disputes", ["created_at", "id"])


def _rulings() -> None:
    op.create_table(
        "p2p_dispute_rulings",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("dispute_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="of the dispute, by this"),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("buyer_bps", sa.Integer(), nullable=False, comment="10000: all to the buyer; 0: all to the seller"),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("text_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("proposed_by", sa.String(32), nullable=False),
        sa.Column(
            "needs_second", sa.Boolean(), nullable=False, comment="the trade is worth too much for one arbiter"
        ),
        sa.Column("fate", sa.String(16), comment="null: it waits"),
        sa.Column("decided_by", sa.String(32)),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "fate <> 'alone' OR NOT needs_second", name=op.f("p2p_dispute_rulings_much_money_needs_two")
        ),
        sa.CheckConstraint(
            "fate <> 'approved' OR decided_by <> proposed_by", name=op.f("p2p_dispute_rulings_two_are_two")
        ),
        sa.CheckConstraint(
            "fate IN ('alone', 'approved', 'rejected', 'expired', 'overtaken') AND (fate IS NULL) = (decided_at IS NULL) AND coalesce(fate IN ('approved', 'rejected'), false) = (decided_by IS NOT NULL)",
            name=op.f("p2p_dispute_rulings_fate_is_whole"),
        ),
        sa.CheckConstraint(
            "round IN (1, 2) AND buyer_bps BETWEEN 0 AND 10000", name=op.f("p2p_dispute_rulings_ruling_fits")
        ),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name=op.f("fk_p2p_dispute_rulings_decided_by_users")),
        sa.ForeignKeyConstraint(
            ["dispute_id"], ["p2p_disputes.id"], name=op.f("fk_p2p_dispute_rulings_dispute_id_p2p_disputes")
        ),
        sa.ForeignKeyConstraint(["proposed_by"], ["users.id"], name=op.f("fk_p2p_dispute_rulings_proposed_by_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_dispute_rulings")),
        sa.UniqueConstraint("dispute_id", "version", name=op.f("uq_p2p_dispute_rulings_dispute_id_version")),
    )
    op.create_index(
        "uq_p2p_dispute_rulings_waiting",
        "p2p_dispute_rulings",
        ["dispute_id"],
        unique=True,
        postgresql_where=sa.text("fate IS NULL"),
    )
    op.create_foreign_key(
        op.f("fk_p2p_disputes_ruling_id_p2p_dispute_rulings"),
        "p2p_disputes",
        "p2p_dispute_rulings",
        ["ruling_id"],
        ["id"],
    )


def _statements() -> None:
    op.create_table(
        "p2p_dispute_statements",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("dispute_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="of the dispute, by this"),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("text_sealed", sa.LargeBinary(), nullable=False),
        sa.Column(
            "file_ids", postgresql.ARRAY(sa.String(32)), nullable=False, comment="of the trade's files, those meant"
        ),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["dispute_id"], ["p2p_disputes.id"], name=op.f("fk_p2p_dispute_statements_dispute_id_p2p_disputes")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_p2p_dispute_statements_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_dispute_statements")),
        sa.UniqueConstraint("dispute_id", "version", name=op.f("uq_p2p_dispute_statements_dispute_id_version")),
    )
    op.create_table(
        "p2p_dispute_offers",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("dispute_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="of the dispute, by this"),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("buyer_bps", sa.Integer(), nullable=False, comment="the buyer's part"),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("buyer_bps BETWEEN 1 AND 9999", name=op.f("p2p_dispute_offers_offer_is_a_split")),
        sa.ForeignKeyConstraint(
            ["dispute_id"], ["p2p_disputes.id"], name=op.f("fk_p2p_dispute_offers_dispute_id_p2p_disputes")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_p2p_dispute_offers_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_dispute_offers")),
        sa.UniqueConstraint("dispute_id", "version", name=op.f("uq_p2p_dispute_offers_dispute_id_version")),
    )


def _history() -> None:
    op.create_table(
        "p2p_dispute_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dispute_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("old_status", sa.String(16)),
        sa.Column("new_status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("actor", sa.String(64), nullable=False, comment="system, or a user's id"),
        sa.Column("details", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["dispute_id"], ["p2p_disputes.id"], name=op.f("fk_p2p_dispute_history_dispute_id_p2p_disputes")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_p2p_dispute_history")),
        sa.UniqueConstraint("dispute_id", "version", name=op.f("uq_p2p_dispute_history_dispute_id_version")),
    )
