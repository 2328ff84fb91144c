"""who a user is, and whose the PIX keys are"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "user_documents",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=4), nullable=False),
        sa.Column("tax_id_sealed", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tax_id_fingerprint",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="keyed hash: a person has one account",
        ),
        sa.Column("tax_id_masked", sa.String(length=20), nullable=False),
        sa.Column("name_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("verified_by", sa.String(length=32), nullable=False),
        sa.CheckConstraint("kind IN ('cpf', 'cnpj')", name=op.f("user_documents_kind_is_known")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_documents_user_id_users")),
        sa.ForeignKeyConstraint(["verified_by"], ["users.id"], name=op.f("fk_user_documents_verified_by_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_documents")),
        sa.UniqueConstraint("tax_id_fingerprint", name=op.f("uq_user_documents_tax_id_fingerprint")),
    )
    op.create_table(
        "user_document_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=4), nullable=False),
        sa.Column("tax_id_masked", sa.String(length=20), nullable=False),
        sa.Column("change", sa.String(length=8), nullable=False),
        sa.Column(
            "evidence", sa.String(length=200), nullable=False, comment="a document's reference, nothing personal"
        ),
        sa.Column("verified_by", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("change IN ('verified', 'replaced')", name=op.f("user_document_history_change_is_known")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_document_history_user_id_users")),
        sa.ForeignKeyConstraint(
            ["verified_by"], ["users.id"], name=op.f("fk_user_document_history_verified_by_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_document_history")),
    )
    op.create_index("ix_user_document_history_user", "user_document_history", ["user_id", "id"])
    op.execute("REVOKE DELETE ON user_documents FROM liquida_runtime")
    op.execute("REVOKE UPDATE, DELETE ON user_document_history FROM liquida_runtime")
    op.execute(
        "CREATE TRIGGER user_document_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON user_document_history"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )

    op.add_column(
        "user_bank_data",
        sa.Column(
            "tax_id_fingerprint",
            sa.LargeBinary(length=32),
            comment="keyed hash; null: of a row older than the column",
        ),
    )
    op.add_column("user_bank_data", sa.Column("is_primary", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("user_bank_data", sa.Column("verified_at", sa.DateTime(timezone=True)))
    # As if the first one had been the primary from the beginning.
    op.execute(
        "UPDATE user_bank_data SET is_primary = true WHERE id IN ("
        " SELECT DISTINCT ON (user_id) id FROM user_bank_data WHERE removed_at IS NULL"
        " ORDER BY user_id, created_at, id)"
    )
    op.create_index(
        "uq_user_bank_data_primary",
        "user_bank_data",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("is_primary AND removed_at IS NULL"),
    )
