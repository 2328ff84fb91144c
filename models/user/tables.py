"""People and machine clients."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, LargeBinary, String, Table

from models.base import metadata, timestamp

users = Table(
    "users",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("password_hash", String(200), comment="argon2id; null: API keys only"),
    Column("role", String(16), nullable=False, server_default="user"),
    timestamp("created_at"),
    CheckConstraint("role IN ('user', 'operator', 'arbiter', 'arbiter_read', 'admin')", name="role_is_known"),
    CheckConstraint("email = lower(email)", name="email_is_lower_case"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("key_hash", LargeBinary(32), nullable=False, unique=True, comment="SHA-256 of 32 random bytes"),
    timestamp("created_at"),
    timestamp("revoked_at", nullable=True),
)
