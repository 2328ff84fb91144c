"""Disputes between the two of a trade: one row each; what is said, offered and ruled; and every step."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from models.base import metadata, timestamp

p2p_disputes = Table(
    "p2p_disputes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("trade_id", String(32), ForeignKey("p2p_trades.id"), nullable=False, unique=True),
    Column("opened_by", String(32), ForeignKey("users.id"), comment="null: the system"),
    Column("reason", String(32), nullable=False),
    Column("status", String(16), nullable=False, server_default="open"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("round", Integer, nullable=False, server_default="1", comment="2 from an appeal on"),
    Column(
        "ruling_id",
        String(32),
        ForeignKey("p2p_dispute_rulings.id", use_alter=True),
        comment="that waits for a second arbiter, or stands",
    ),
    timestamp("buyer_accepted_at", nullable=True),
    timestamp("seller_accepted_at", nullable=True),
    Column("appealed_by", String(32), ForeignKey("users.id")),
    Column("buyer_bps", Integer, comment="how it ended: the buyer's part"),
    timestamp("deadline_at", nullable=True),
    timestamp("ended_at", nullable=True),
    timestamp("created_at"),
    timestamp("updated_at"),
    CheckConstraint("round IN (1, 2) AND (round = 2) = (appealed_by IS NOT NULL)", name="appeal_is_one"),
    CheckConstraint("status <> 'appealed' OR round = 2", name="appealed_ones_say_so"),
    CheckConstraint("status <> 'ruled' OR round = 1", name="second_ruling_is_final"),
    CheckConstraint("(status IN ('proposed', 'ruled')) = (deadline_at IS NOT NULL)", name="waiting_ones_end"),
    CheckConstraint(
        "status NOT IN ('proposed', 'ruled', 'closed') OR ruling_id IS NOT NULL", name="ruled_ones_have_a_ruling"
    ),
    CheckConstraint(
        "(status IN ('closed', 'settled')) = (ended_at IS NOT NULL)"
        " AND (status IN ('closed', 'settled')) = (buyer_bps IS NOT NULL)",
        name="ended_ones_say_how",
    ),
    CheckConstraint("buyer_bps BETWEEN 0 AND 10000", name="part_is_a_part"),
    Index("ix_p2p_disputes_age", "created_at", "id"),
)

p2p_dispute_statements = Table(
    "p2p_dispute_statements",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dispute_id", String(32), ForeignKey("p2p_disputes.id"), nullable=False),
    Column("version", Integer, nullable=False, comment="of the dispute, by this"),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("text_sealed", LargeBinary, nullable=False),
    Column("file_ids", ARRAY(String(32)), nullable=False, comment="of the trade's files, those meant"),
    timestamp("at"),
    UniqueConstraint("dispute_id", "version"),
)

p2p_dispute_offers = Table(
    "p2p_dispute_offers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dispute_id", String(32), ForeignKey("p2p_disputes.id"), nullable=False),
    Column("version", Integer, nullable=False, comment="of the dispute, by this"),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("buyer_bps", Integer, nullable=False, comment="the buyer's part"),
    timestamp("at"),
    CheckConstraint("buyer_bps BETWEEN 1 AND 9999", name="offer_is_a_split"),
    UniqueConstraint("dispute_id", "version"),
)

p2p_dispute_rulings = Table(
    "p2p_dispute_rulings",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dispute_id", String(32), ForeignKey("p2p_disputes.id"), nullable=False),
    Column("version", Integer, nullable=False, comment="of the dispute, by this"),
    Column("round", Integer, nullable=False),
    Column("buyer_bps", Integer, nullable=False, comment="10000: all to the buyer; 0: all to the seller"),
    Column("reason", String(32), nullable=False),
    Column("text_sealed", LargeBinary, nullable=False),
    Column("proposed_by", String(32), ForeignKey("users.id"), nullable=False),
    Column("needs_second", Boolean, nullable=False, comment="the trade is worth too much for one arbiter"),
    Column("fate", String(16), comment="null: it waits"),
    Column("decided_by", String(32), ForeignKey("users.id")),
    timestamp("decided_at", nullable=True),
    timestamp("at"),
    CheckConstraint("round IN (1, 2) AND buyer_bps BETWEEN 0 AND 10000", name="ruling_fits"),
    CheckConstraint(
        "fate IN ('alone', 'approved', 'rejected', 'expired', 'overtaken')"
        " AND (fate IS NULL) = (decided_at IS NULL)"
        " AND coalesce(fate IN ('approved', 'rejected'), false) = (decided_by IS NOT NULL)",
        name="fate_is_whole",
    ),
    CheckConstraint("fate <> 'alone' OR NOT needs_second", name="much_money_needs_two"),
    CheckConstraint("fate <> 'approved' OR decided_by <> proposed_by", name="two_are_two"),
    UniqueConstraint("dispute_id", "version"),
    Index("uq_p2p_dispute_rulings_waiting", "dispute_id", unique=True, postgresql_where=text("fate IS NULL")),
)

p2p_dispute_history = Table(
    "p2p_dispute_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("dispute_id", String(32), ForeignKey("p2p_disputes.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", String(32), nullable=False),
    Column("old_status", String(16)),
    Column("new_status", String(16), nullable=False),
    Column("reason", String(64)),
    Column("actor", String(64), nullable=False, comment="system, or a user's id"),
    Column("details", JSONB, nullable=False, server_default="{}"),
    timestamp("at"),
    UniqueConstraint("dispute_id", "version"),
)
