"""The ledger's tables. Their laws are triggers in the migration: see ``migrations/sql/0001_laws.sql``."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from models.base import BaseUnits, metadata, timestamp

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("owner", String(32), ForeignKey("users.id")),
    Column("asset_id", String(64), ForeignKey("assets.id"), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("is_constrained", Boolean, nullable=False),
    Column("balance", BaseUnits, comment="of constrained accounts; the others' is the sum of postings"),
    timestamp("created_at"),
    UniqueConstraint("owner", "asset_id", "purpose", postgresql_nulls_not_distinct=True),
    CheckConstraint("NOT is_constrained OR balance >= 0", name="never_negative"),
    CheckConstraint("is_constrained = (balance IS NOT NULL)", name="balance_iff_constrained"),
    CheckConstraint("is_constrained = (owner IS NOT NULL)", name="users_are_constrained"),
)

ledger_transactions = Table(
    "ledger_transactions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("reference", String(200), nullable=False, index=True),
    Column("content_hash", LargeBinary(32), nullable=False),
    timestamp("recorded_at"),
)

ledger_postings = Table(
    "ledger_postings",
    metadata,
    Column("transaction_id", BigInteger, ForeignKey("ledger_transactions.id"), primary_key=True),
    Column("account_id", BigInteger, ForeignKey("ledger_accounts.id"), primary_key=True),
    Column("amount", BaseUnits, nullable=False),
    Column("balance_after", BaseUnits, comment="set by the database, for constrained accounts"),
    CheckConstraint("amount <> 0", name="moves_something"),
    Index("ix_ledger_postings_account", "account_id", "transaction_id"),
)
