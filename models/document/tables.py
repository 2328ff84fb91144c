"""Who a user is: the document that an operator has seen, and every change of it."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index, LargeBinary, String, Table

from models.base import metadata, timestamp

user_documents = Table(
    "user_documents",
    metadata,
    Column("user_id", String(32), ForeignKey("users.id"), primary_key=True),
    Column("kind", String(4), nullable=False),
    Column("tax_id_sealed", LargeBinary, nullable=False),
    Column(
        "tax_id_fingerprint",
        LargeBinary(32),
        nullable=False,
        unique=True,
        comment="keyed hash: a person has one account",
    ),
    Column("tax_id_masked", String(20), nullable=False),
    Column("name_sealed", LargeBinary, nullable=False),
    timestamp("verified_at"),
    Column("verified_by", String(32), ForeignKey("users.id"), nullable=False),
    CheckConstraint("kind IN ('cpf', 'cnpj')", name="kind_is_known"),
)

user_document_history = Table(
    "user_document_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("kind", String(4), nullable=False),
    Column("tax_id_masked", String(20), nullable=False),
    Column("change", String(8), nullable=False),
    Column("evidence", String(200), nullable=False, comment="a document's reference, nothing personal"),
    Column("verified_by", String(32), ForeignKey("users.id"), nullable=False),
    timestamp("at"),
    CheckConstraint("change IN ('verified', 'replaced')", name="change_is_known"),
    Index("ix_user_document_history_user", "user_id", "id"),
)
