"""The ledger's tables. The program may only read them: see ``migrations/sql/0002_ledger.sql``."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    true,
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
    Column("moved_at", DateTime(timezone=True), comment="of constrained accounts: the time of the last posting"),
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
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("reason", String(200), comment="a person's words, where a person did it"),
    Index("ix_ledger_transactions_recorded_at", "recorded_at", "id"),
)

ledger_postings = Table(
    "ledger_postings",
    metadata,
    Column("transaction_id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", BaseUnits, nullable=False),
    Column("balance_after", BaseUnits, comment="of constrained accounts"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, comment="the transaction's"),
    CheckConstraint("amount <> 0", name="moves_something"),
    CheckConstraint("balance_after >= 0", name="never_negative"),
    Index("ix_ledger_postings_account", "account_id", "recorded_at", "transaction_id"),
)
"""No foreign keys: to check one, PostgreSQL locks the row it points to, so every posting of the house's busiest
account would queue there. Rows are written by ``ledger_post`` alone, which has just read or made what they point to;
``liquida ledger verify`` looks for strays."""

ledger_clock = Table(
    "ledger_clock",
    metadata,
    Column("is_only", Boolean, primary_key=True, server_default=true()),
    Column("closing_at", DateTime(timezone=True), nullable=False, comment="nobody posts at or before it any more"),
    Column("horizon", BigInteger, comment="PostgreSQL transactions below it may still post before horizon_at"),
    Column("horizon_at", DateTime(timezone=True)),
    CheckConstraint("is_only", name="has_one_row"),
)

ledger_seals = Table(
    "ledger_seals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("sealed_until", DateTime(timezone=True), nullable=False, unique=True, comment="inclusive"),
    Column("transactions", Integer, nullable=False),
    Column("hash", LargeBinary(32), nullable=False, comment="over the seal before and the transactions since"),
    timestamp("sealed_at"),
)

ledger_snapshots = Table(
    "ledger_snapshots",
    metadata,
    Column("account_id", BigInteger, ForeignKey("ledger_accounts.id"), primary_key=True, autoincrement=False),
    Column("taken_at", DateTime(timezone=True), primary_key=True, comment="the sealed_until of a seal"),
    Column("balance", BaseUnits, nullable=False),
)
