"""Disputes: one row for each claim of a payer's bank on a PIX that we received, and each step of it."""

from sqlalchemy import (
    BigInteger,
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
)

from models.base import metadata, timestamp

pix_disputes = Table(
    "pix_disputes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("provider", String(32), nullable=False),
    Column("dispute_id", String(100), nullable=False, comment="the provider's own"),
    Column("receipt_id", String(32), ForeignKey("pix_receipts.id"), nullable=False),
    Column("amount_centavos", BigInteger, nullable=False, comment="claimed, as the provider says"),
    Column("status", String(16), nullable=False, server_default="open"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("cover", String(16), comment="reserve | pending | nothing; null: not decided yet"),
    Column(
        "covered_centavos",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="of the claim, what there was to be claimed",
    ),
    Column("from_user_centavos", BigInteger, nullable=False, server_default="0"),
    Column("from_house_centavos", BigInteger, nullable=False, server_default="0"),
    Column(
        "taken_centavos",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="what went back to the payer when it was lost",
    ),
    timestamp("answer_until", nullable=True),
    Column("reason", String(64), comment="the provider's code"),
    Column("defence_sealed", LargeBinary, comment="the statement; it may name people"),
    timestamp("defence_at", nullable=True),
    Column("defence_by", String(32), ForeignKey("users.id")),
    Column("defence_evidence", String(200), comment="a document's reference, nothing personal"),
    Column("defence_refusal", String(100), comment="why the provider did not take it"),
    timestamp("defended_at", nullable=True),
    timestamp("created_at"),
    timestamp("updated_at"),
    UniqueConstraint("provider", "dispute_id"),
    CheckConstraint("amount_centavos > 0", name="amount_is_positive"),
    CheckConstraint("cover IN ('reserve', 'pending', 'nothing')", name="cover_is_known"),
    CheckConstraint("status = 'open' OR cover IS NOT NULL", name="decided_ones_were_covered"),
    CheckConstraint(
        "covered_centavos BETWEEN 0 AND amount_centavos AND taken_centavos IN (0, covered_centavos)"
        " AND (taken_centavos = 0 OR status = 'lost')",
        name="parts_fit",
    ),
    CheckConstraint(
        "from_user_centavos >= 0 AND from_house_centavos >= 0"
        " AND (cover <> 'reserve' OR from_user_centavos + from_house_centavos = covered_centavos)",
        name="reserve_is_whole",
    ),
    CheckConstraint(
        "num_nulls(defence_sealed, defence_at, defence_by, defence_evidence) IN (0, 4)"
        " AND (defence_at IS NOT NULL OR (defended_at IS NULL AND defence_refusal IS NULL))"
        " AND (defended_at IS NULL OR defence_refusal IS NULL)",
        name="defence_is_whole",
    ),
    Index("ix_pix_disputes_age", "created_at", "id"),
    Index("ix_pix_disputes_receipt", "receipt_id"),
)

pix_dispute_history = Table(
    "pix_dispute_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("dispute", String(32), ForeignKey("pix_disputes.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", String(32), nullable=False),
    Column("old_status", String(16)),
    Column("new_status", String(16), nullable=False),
    Column("actor", String(64), nullable=False, comment="system, or a user's id"),
    Column("reason", String(200)),
    timestamp("at"),
    UniqueConstraint("dispute", "version"),
)
