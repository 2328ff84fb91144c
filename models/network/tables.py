"""The networks and assets this installation runs; seeded from ``models/assets.py`` and settings."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table

from models.base import metadata

networks = Table(
    "networks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("family", String(16), nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("confirmations", Integer, nullable=False, comment="blocks until final, its own included"),
    Column("native_asset", String(64), nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    CheckConstraint("confirmations >= 1", name="confirmations_are_positive"),
)

assets = Table(
    "assets",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("symbol", String(16), nullable=False),
    Column("network_id", String(32), ForeignKey("networks.id")),
    Column("contract", String(128)),
    Column("decimals", Integer, nullable=False),
    Column("price_decimals", Integer, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
)
