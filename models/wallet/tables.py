"""The system wallet: one seed, known here only by its id, and the addresses derived from it."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from models.base import metadata, timestamp

system_wallets = Table(
    "system_wallets",
    metadata,
    Column("id", String(64), primary_key=True, comment="the sealed file's wallet id"),
    Column("kind", String(16), nullable=False, server_default="custodial"),
    timestamp("created_at"),
)

system_addresses = Table(
    "system_addresses",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("wallet_id", String(64), ForeignKey("system_wallets.id"), nullable=False),
    Column("network_id", String(32), ForeignKey("networks.id"), nullable=False),
    Column("address", String(128), nullable=False),
    Column("index", Integer, nullable=False, comment="the last step of the derivation path"),
    Column("role", String(8), nullable=False, comment="free | house | user | trade"),
    Column("user_id", String(32), ForeignKey("users.id")),
    Column("trade_id", String(32)),
    Column("next_nonce", BigInteger, comment="null until the first transfer from here"),
    timestamp("created_at"),
    UniqueConstraint("network_id", "address"),
    UniqueConstraint("wallet_id", "network_id", "index"),
    CheckConstraint("role IN ('free', 'house', 'user', 'trade')", name="role_is_known"),
    CheckConstraint("(role = 'user') <= (user_id IS NOT NULL)", name="users_have_an_owner"),
    Index("uq_system_addresses_house", "network_id", unique=True, postgresql_where=text("role = 'house'")),
    Index(
        "uq_system_addresses_user",
        "network_id",
        "user_id",
        unique=True,
        postgresql_where=text("role = 'user'"),
    ),
    Index("ix_system_addresses_free", "network_id", "index", postgresql_where=text("role = 'free'")),
)
