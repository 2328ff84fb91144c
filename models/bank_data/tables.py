"""Where a user is paid. Personal data is sealed; a payee never changes, it is removed and another added."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, String, Table, false, text

from models.base import metadata, timestamp

user_bank_data = Table(
    "user_bank_data",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column("pix_key_kind", String(8), nullable=False),
    Column("pix_key_sealed", LargeBinary, nullable=False),
    Column("pix_key_fingerprint", LargeBinary(32), nullable=False, comment="keyed hash, for uniqueness"),
    Column("pix_key_masked", String(80), nullable=False),
    Column("holder_name_sealed", LargeBinary, nullable=False),
    Column("tax_id_sealed", LargeBinary, nullable=False),
    Column("tax_id_fingerprint", LargeBinary(32), comment="keyed hash; null: of a row older than the column"),
    Column("is_primary", Boolean, nullable=False, server_default=false()),
    timestamp("verified_at", nullable=True),
    timestamp("created_at"),
    timestamp("removed_at", nullable=True),
    Index(
        "uq_user_bank_data_key",
        "user_id",
        "pix_key_fingerprint",
        unique=True,
        postgresql_where=text("removed_at IS NULL"),
    ),
    Index(
        "uq_user_bank_data_primary",
        "user_id",
        unique=True,
        postgresql_where=text("is_primary AND removed_at IS NULL"),
    ),
)
