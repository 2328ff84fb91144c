"""create the backbone"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


TRANSITIONS = [
    {"noun": "instant_trade", "before": "awaiting_deposit", "after": "cancelled"},
    {"noun": "instant_trade", "before": "awaiting_deposit", "after": "confirming"},
    {"noun": "instant_trade", "before": "awaiting_deposit", "after": "expired"},
    {"noun": "instant_trade", "before": "awaiting_deposit", "after": "refunding"},
    {"noun": "instant_trade", "before": "transferring", "after": "cancelled"},
    {"noun": "instant_trade", "before": "transferring", "after": "confirming"},
    {"noun": "instant_trade", "before": "transferring", "after": "needs_review"},
    {"noun": "instant_trade", "before": "confirming", "after": "awaiting_deposit"},
    {"noun": "instant_trade", "before": "confirming", "after": "cancelled"},
    {"noun": "instant_trade", "before": "confirming", "after": "needs_review"},
    {"noun": "instant_trade", "before": "confirming", "after": "paying_out"},
    {"noun": "instant_trade", "before": "confirming", "after": "transferring"},
    {"noun": "instant_trade", "before": "paying_out", "after": "completed"},
    {"noun": "instant_trade", "before": "paying_out", "after": "needs_review"},
    {"noun": "instant_trade", "before": "paying_out", "after": "refunding"},
    {"noun": "instant_trade", "before": "refunding", "after": "needs_review"},
    {"noun": "instant_trade", "before": "refunding", "after": "refunded"},
    {"noun": "instant_trade", "before": "needs_review", "after": "cancelled"},
    {"noun": "instant_trade", "before": "needs_review", "after": "completed"},
    {"noun": "instant_trade", "before": "needs_review", "after": "paying_out"},
    {"noun": "instant_trade", "before": "needs_review", "after": "refunded"},
    {"noun": "instant_trade", "before": "needs_review", "after": "refunding"},
    {"noun": "instant_trade", "before": "completed", "after": "needs_review"},
    {"noun": "transfer", "before": "intended", "after": "rejected"},
    {"noun": "transfer", "before": "intended", "after": "signed"},
    {"noun": "transfer", "before": "signed", "after": "broadcast"},
    {"noun": "transfer", "before": "broadcast", "after": "failed"},
    {"noun": "transfer", "before": "broadcast", "after": "final"},
    {"noun": "transfer", "before": "broadcast", "after": "mined"},
    {"noun": "transfer", "before": "mined", "after": "broadcast"},
    {"noun": "transfer", "before": "mined", "after": "failed"},
    {"noun": "transfer", "before": "mined", "after": "final"},
    {"noun": "payout", "before": "created", "after": "submitted"},
    {"noun": "payout", "before": "submitted", "after": "paid"},
    {"noun": "payout", "before": "submitted", "after": "processing"},
    {"noun": "payout", "before": "submitted", "after": "rejected"},
    {"noun": "payout", "before": "submitted", "after": "unknown"},
    {"noun": "payout", "before": "unknown", "after": "paid"},
    {"noun": "payout", "before": "unknown", "after": "processing"},
    {"noun": "payout", "before": "unknown", "after": "rejected"},
    {"noun": "payout", "before": "unknown", "after": "submitted"},
    {"noun": "payout", "before": "processing", "after": "paid"},
    {"noun": "payout", "before": "processing", "after": "rejected"},
    {"noun": "payout", "before": "paid", "after": "returned"},
]
LAWS = Path(__file__).parent.parent / "sql" / "0001_laws.sql"


def upgrade() -> None:
    op.create_table(
        "ledger_transactions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_transactions")),
        sa.UniqueConstraint("key", name=op.f("uq_ledger_transactions_key")),
    )
    op.create_index(op.f("ix_ledger_transactions_reference"), "ledger_transactions", ["reference"], unique=False)
    op.create_table(
        "networks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("confirmations", sa.Integer(), nullable=False, comment="blocks until final, its own included"),
        sa.Column("native_asset", sa.String(length=64), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.CheckConstraint("confirmations >= 1", name=op.f("networks_confirmations_are_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_networks")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("workflow_id", sa.String(length=200), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_unsent", "outbox", ["id"], unique=False, postgresql_where=sa.text("sent_at IS NULL"))
    op.create_table(
        "system_wallets",
        sa.Column("id", sa.String(length=64), nullable=False, comment="the sealed file's wallet id"),
        sa.Column("kind", sa.String(length=16), server_default="custodial", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_wallets")),
    )
    op.create_table(
        "transitions",
        sa.Column("noun", sa.String(length=32), nullable=False),
        sa.Column("before", sa.String(length=32), nullable=False),
        sa.Column("after", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("noun", "before", "after", name=op.f("pk_transitions")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=True, comment="argon2id; null: API keys only"),
        sa.Column("role", sa.String(length=16), server_default="user", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('user', 'operator', 'admin')", name=op.f("users_role_is_known")),
        sa.CheckConstraint("email = lower(email)", name=op.f("users_email_is_lower_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of 32 random bytes"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_table(
        "assets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=16), nullable=False),
        sa.Column("network_id", sa.String(length=32), nullable=True),
        sa.Column("contract", sa.String(length=128), nullable=True),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("price_decimals", sa.Integer(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_assets_network_id_networks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assets")),
    )
    op.create_table(
        "chain_blocks",
        sa.Column("network_id", sa.String(length=32), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_chain_blocks_network_id_networks")),
        sa.PrimaryKeyConstraint("network_id", "height", name=op.f("pk_chain_blocks")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column(
            "request_hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="SHA-256 of method, path and body",
        ),
        sa.Column("status", sa.Integer(), nullable=True, comment="null: accepted, its answer not known yet"),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_idempotency_keys_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "system_addresses",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("network_id", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=128), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False, comment="the last step of the derivation path"),
        sa.Column("role", sa.String(length=8), nullable=False, comment="free | house | user | trade"),
        sa.Column("user_id", sa.String(length=32), nullable=True),
        sa.Column("trade_id", sa.String(length=32), nullable=True),
        sa.Column("next_nonce", sa.BigInteger(), nullable=True, comment="null until the first transfer from here"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(role = 'user') <= (user_id IS NOT NULL)", name=op.f("system_addresses_users_have_an_owner")
        ),
        sa.CheckConstraint("role IN ('free', 'house', 'user', 'trade')", name=op.f("system_addresses_role_is_known")),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_system_addresses_network_id_networks")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_system_addresses_user_id_users")),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["system_wallets.id"], name=op.f("fk_system_addresses_wallet_id_system_wallets")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_addresses")),
        sa.UniqueConstraint("network_id", "address", name=op.f("uq_system_addresses_network_id_address")),
        sa.UniqueConstraint(
            "wallet_id", "network_id", "index", name=op.f("uq_system_addresses_wallet_id_network_id_index")
        ),
    )
    op.create_index(
        "ix_system_addresses_free",
        "system_addresses",
        ["network_id", "index"],
        unique=False,
        postgresql_where=sa.text("role = 'free'"),
    )
    op.create_index(
        "uq_system_addresses_house",
        "system_addresses",
        ["network_id"],
        unique=True,
        postgresql_where=sa.text("role = 'house'"),
    )
    op.create_index(
        "uq_system_addresses_user",
        "system_addresses",
        ["network_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("role = 'user'"),
    )
    op.create_table(
        "user_bank_data",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("pix_key_kind", sa.String(length=8), nullable=False),
        sa.Column("pix_key_sealed", sa.LargeBinary(), nullable=False),
        sa.Column(
            "pix_key_fingerprint",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="keyed hash, for uniqueness",
        ),
        sa.Column("pix_key_masked", sa.String(length=80), nullable=False),
        sa.Column("holder_name_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("tax_id_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_bank_data_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_bank_data")),
    )
    op.create_index(
        "uq_user_bank_data_key",
        "user_bank_data",
        ["user_id", "pix_key_fingerprint"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=True),
        sa.Column("asset_id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("is_constrained", sa.Boolean(), nullable=False),
        sa.Column(
            "balance",
            sa.Numeric(78, 0),
            nullable=True,
            comment="of constrained accounts; the others' is the sum of postings",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("NOT is_constrained OR balance >= 0", name=op.f("ledger_accounts_never_negative")),
        sa.CheckConstraint(
            "is_constrained = (balance IS NOT NULL)", name=op.f("ledger_accounts_balance_iff_constrained")
        ),
        sa.CheckConstraint(
            "is_constrained = (owner IS NOT NULL)", name=op.f("ledger_accounts_users_are_constrained")
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_ledger_accounts_asset_id_assets")),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name=op.f("fk_ledger_accounts_owner_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint(
            "owner",
            "asset_id",
            "purpose",
            name=op.f("uq_ledger_accounts_owner_asset_id_purpose"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "quotes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("operation", sa.String(length=8), nullable=False),
        sa.Column("asset_id", sa.String(length=64), nullable=False),
        sa.Column("network_id", sa.String(length=32), nullable=False),
        sa.Column("funding", sa.String(length=16), nullable=False),
        sa.Column("locked_side", sa.String(length=8), nullable=False, comment="amount | receive"),
        sa.Column("amount_units", sa.Numeric(78, 0), nullable=False),
        sa.Column("price", sa.Numeric(precision=40, scale=18), nullable=False, comment="BRL per unit shown"),
        sa.Column("gross_centavos", sa.BigInteger(), nullable=False),
        sa.Column("spread_centavos", sa.BigInteger(), nullable=False),
        sa.Column("network_fee_centavos", sa.BigInteger(), nullable=False),
        sa.Column("total_centavos", sa.BigInteger(), nullable=False),
        sa.Column("return_min_centavos", sa.BigInteger(), nullable=False),
        sa.Column("refund_address", sa.String(length=128), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(funding = 'deposit') = (refund_address IS NOT NULL)", name=op.f("quotes_deposits_can_go_back")
        ),
        sa.CheckConstraint("funding IN ('custody', 'deposit')", name=op.f("quotes_funding_is_known")),
        sa.CheckConstraint("operation = 'sell'", name=op.f("quotes_operation_is_known")),
        sa.CheckConstraint("amount_units > 0", name=op.f("quotes_amount_is_positive")),
        sa.CheckConstraint(
            "total_centavos = gross_centavos - spread_centavos - network_fee_centavos AND total_centavos > 0",
            name=op.f("quotes_parts_make_the_total"),
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_quotes_asset_id_assets")),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_quotes_network_id_networks")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_quotes_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotes")),
    )
    op.create_table(
        "instant_trades",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("quote_id", sa.String(length=32), nullable=False),
        sa.Column("operation", sa.String(length=8), nullable=False),
        sa.Column("funding", sa.String(length=16), nullable=False),
        sa.Column("asset_id", sa.String(length=64), nullable=False),
        sa.Column("network_id", sa.String(length=32), nullable=False),
        sa.Column("amount_units", sa.Numeric(78, 0), nullable=False),
        sa.Column("price", sa.Numeric(precision=40, scale=18), nullable=False),
        sa.Column("gross_centavos", sa.BigInteger(), nullable=False),
        sa.Column("spread_centavos", sa.BigInteger(), nullable=False),
        sa.Column("network_fee_centavos", sa.BigInteger(), nullable=False),
        sa.Column("total_centavos", sa.BigInteger(), nullable=False),
        sa.Column("return_min_centavos", sa.BigInteger(), nullable=False),
        sa.Column("bank_data_id", sa.String(length=32), nullable=False),
        sa.Column("source_address_id", sa.BigInteger(), nullable=False),
        sa.Column("refund_address", sa.String(length=128), nullable=False),
        sa.Column(
            "held_units",
            sa.Numeric(78, 0),
            nullable=False,
            comment="of this trade, in the user's held account",
        ),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("ruling", sa.String(length=16), nullable=True, comment="an operator's: complete | refund"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("ruling IN ('complete', 'refund')", name=op.f("instant_trades_ruling_is_known")),
        sa.CheckConstraint("held_units >= 0", name=op.f("instant_trades_held_is_not_negative")),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_instant_trades_asset_id_assets")),
        sa.ForeignKeyConstraint(
            ["bank_data_id"],
            ["user_bank_data.id"],
            name=op.f("fk_instant_trades_bank_data_id_user_bank_data"),
        ),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_instant_trades_network_id_networks")),
        sa.ForeignKeyConstraint(["quote_id"], ["quotes.id"], name=op.f("fk_instant_trades_quote_id_quotes")),
        sa.ForeignKeyConstraint(
            ["source_address_id"],
            ["system_addresses.id"],
            name=op.f("fk_instant_trades_source_address_id_system_addresses"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_instant_trades_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instant_trades")),
        sa.UniqueConstraint("quote_id", name=op.f("uq_instant_trades_quote_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_instant_trades_reference")),
    )
    op.create_index(
        "ix_instant_trades_open",
        "instant_trades",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status NOT IN ('completed', 'cancelled', 'expired', 'refunded')"),
    )
    op.create_index("ix_instant_trades_user", "instant_trades", ["user_id", "created_at", "id"], unique=False)
    op.create_table(
        "ledger_postings",
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(78, 0), nullable=False),
        sa.Column(
            "balance_after",
            sa.Numeric(78, 0),
            nullable=True,
            comment="set by the database, for constrained accounts",
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ledger_postings_moves_something")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_accounts.id"], name=op.f("fk_ledger_postings_account_id_ledger_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["ledger_transactions.id"],
            name=op.f("fk_ledger_postings_transaction_id_ledger_transactions"),
        ),
        sa.PrimaryKeyConstraint("transaction_id", "account_id", name=op.f("pk_ledger_postings")),
    )
    op.create_index("ix_ledger_postings_account", "ledger_postings", ["account_id", "transaction_id"], unique=False)
    op.create_table(
        "deposit_returns",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("trade_id", sa.String(length=32), nullable=False),
        sa.Column("asset_id", sa.String(length=64), nullable=False),
        sa.Column("amount_units", sa.Numeric(78, 0), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False, comment="late | excess"),
        sa.Column(
            "status",
            sa.String(length=16),
            server_default="pending",
            nullable=False,
            comment="pending | returned | credited | needs_review",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'returned', 'credited', 'needs_review')",
            name=op.f("deposit_returns_status_is_known"),
        ),
        sa.CheckConstraint("amount_units > 0", name=op.f("deposit_returns_amount_is_positive")),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_deposit_returns_asset_id_assets")),
        sa.ForeignKeyConstraint(
            ["trade_id"], ["instant_trades.id"], name=op.f("fk_deposit_returns_trade_id_instant_trades")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposit_returns")),
    )
    op.create_index("ix_deposit_returns_trade", "deposit_returns", ["trade_id"], unique=False)
    op.create_table(
        "deposits",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("network_id", sa.String(length=32), nullable=False),
        sa.Column("txid", sa.String(length=128), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False, comment="-1: the native transfer itself"),
        sa.Column("asset_id", sa.String(length=64), nullable=False),
        sa.Column("address_id", sa.BigInteger(), nullable=False),
        sa.Column("trade_id", sa.String(length=32), nullable=True),
        sa.Column("from_address", sa.String(length=128), nullable=False),
        sa.Column("amount_units", sa.Numeric(78, 0), nullable=False),
        sa.Column("block_height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.String(length=128), nullable=False),
        sa.Column("block_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False, comment="seen | orphaned | final"),
        sa.Column(
            "booked_to",
            sa.String(length=16),
            nullable=True,
            comment="of a final one: held | available | desk | suspense",
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("final_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'final') = (booked_to IS NOT NULL)", name=op.f("deposits_final_ones_are_booked")
        ),
        sa.CheckConstraint("status IN ('seen', 'orphaned', 'final')", name=op.f("deposits_status_is_known")),
        sa.CheckConstraint("amount_units > 0", name=op.f("deposits_amount_is_positive")),
        sa.ForeignKeyConstraint(
            ["address_id"], ["system_addresses.id"], name=op.f("fk_deposits_address_id_system_addresses")
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_deposits_asset_id_assets")),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_deposits_network_id_networks")),
        sa.ForeignKeyConstraint(
            ["trade_id"], ["instant_trades.id"], name=op.f("fk_deposits_trade_id_instant_trades")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposits")),
        sa.UniqueConstraint("network_id", "txid", "log_index", name=op.f("uq_deposits_network_id_txid_log_index")),
    )
    op.create_index("ix_deposits_trade", "deposits", ["trade_id"], unique=False)
    op.create_index(
        "ix_deposits_waiting",
        "deposits",
        ["network_id", "block_height"],
        unique=False,
        postgresql_where=sa.text("status = 'seen'"),
    )
    op.create_table(
        "instant_trade_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("trade_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("old_status", sa.String(length=32), nullable=True),
        sa.Column("new_status", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False, comment="system, or a user's id"),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["trade_id"], ["instant_trades.id"], name=op.f("fk_instant_trade_history_trade_id_instant_trades")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instant_trade_history")),
        sa.UniqueConstraint("trade_id", "version", name=op.f("uq_instant_trade_history_trade_id_version")),
    )
    op.create_table(
        "payouts",
        sa.Column("key", sa.String(length=32), nullable=False, comment="the provider's idempotency key"),
        sa.Column("trade_id", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False),
        sa.Column("bank_data_id", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), server_default="created", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("provider_id", sa.String(length=100), nullable=True),
        sa.Column("end_to_end_id", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=100), nullable=True),
        sa.Column(
            "attested",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="an operator's evidence, where the provider could not be asked",
        ),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status = 'created' OR submitted_at IS NOT NULL", name=op.f("payouts_sent_ones_say_when")),
        sa.CheckConstraint("amount_centavos > 0", name=op.f("payouts_amount_is_positive")),
        sa.ForeignKeyConstraint(
            ["bank_data_id"], ["user_bank_data.id"], name=op.f("fk_payouts_bank_data_id_user_bank_data")
        ),
        sa.ForeignKeyConstraint(["trade_id"], ["instant_trades.id"], name=op.f("fk_payouts_trade_id_instant_trades")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_payouts")),
        sa.UniqueConstraint("trade_id", name=op.f("uq_payouts_trade_id")),
    )
    op.create_table(
        "trade_locks",
        sa.Column("trade_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["trade_id"], ["instant_trades.id"], name=op.f("fk_trade_locks_trade_id_instant_trades")
        ),
        sa.PrimaryKeyConstraint("trade_id", "kind", name=op.f("pk_trade_locks")),
    )
    op.create_table(
        "trade_outcomes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("trade_id", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("void_reason", sa.String(length=64), nullable=True),
        sa.CheckConstraint("outcome IN ('payout', 'refund')", name=op.f("trade_outcomes_outcome_is_known")),
        sa.ForeignKeyConstraint(
            ["trade_id"], ["instant_trades.id"], name=op.f("fk_trade_outcomes_trade_id_instant_trades")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trade_outcomes")),
    )
    op.create_index(
        "uq_trade_outcomes_one_live",
        "trade_outcomes",
        ["trade_id"],
        unique=True,
        postgresql_where=sa.text("voided_at IS NULL"),
    )
    op.create_table(
        "transfer_transactions",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False, comment="custody | gas | refund | return"),
        sa.Column("trade_id", sa.String(length=32), nullable=True),
        sa.Column("parent_key", sa.String(length=200), nullable=True, comment="of a gas top-up"),
        sa.Column("return_id", sa.String(length=32), nullable=True),
        sa.Column("network_id", sa.String(length=32), nullable=False),
        sa.Column("asset_id", sa.String(length=64), nullable=False),
        sa.Column("from_address_id", sa.BigInteger(), nullable=False),
        sa.Column("to_address", sa.String(length=128), nullable=False),
        sa.Column("amount_units", sa.Numeric(78, 0), nullable=False),
        sa.Column("status", sa.String(length=16), server_default="intended", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column(
            "offer",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="the fee that custody may sign next; null: nothing to sign",
        ),
        sa.Column("txid", sa.String(length=128), nullable=True, comment="the attempt that is in a block"),
        sa.Column("block_height", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.String(length=128), nullable=True),
        sa.Column("confirmations", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fee_units", sa.Numeric(78, 0), nullable=True, comment="what it really cost, native coin"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status IN ('intended', 'rejected')) OR nonce IS NOT NULL",
            name=op.f("transfer_transactions_signed_ones_have_a_nonce"),
        ),
        sa.CheckConstraint(
            "purpose IN ('custody', 'gas', 'refund', 'return')",
            name=op.f("transfer_transactions_purpose_is_known"),
        ),
        sa.CheckConstraint("amount_units > 0", name=op.f("transfer_transactions_amount_is_positive")),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_transfer_transactions_asset_id_assets")),
        sa.ForeignKeyConstraint(
            ["from_address_id"],
            ["system_addresses.id"],
            name=op.f("fk_transfer_transactions_from_address_id_system_addresses"),
        ),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_transfer_transactions_network_id_networks")
        ),
        sa.ForeignKeyConstraint(
            ["parent_key"],
            ["transfer_transactions.key"],
            name=op.f("fk_transfer_transactions_parent_key_transfer_transactions"),
        ),
        sa.ForeignKeyConstraint(
            ["return_id"],
            ["deposit_returns.id"],
            name=op.f("fk_transfer_transactions_return_id_deposit_returns"),
        ),
        sa.ForeignKeyConstraint(
            ["trade_id"], ["instant_trades.id"], name=op.f("fk_transfer_transactions_trade_id_instant_trades")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_transfer_transactions")),
    )
    op.create_index(
        "ix_transfer_transactions_in_flight",
        "transfer_transactions",
        ["network_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('signed', 'broadcast', 'mined')"),
    )
    op.create_index("ix_transfer_transactions_trade", "transfer_transactions", ["trade_id"], unique=False)
    op.create_index(
        "uq_transfer_transactions_nonce", "transfer_transactions", ["from_address_id", "nonce"], unique=True
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("payout_key", sa.String(length=32), nullable=True),
        sa.Column(
            "claimed_key",
            sa.String(length=100),
            nullable=False,
            comment="what the body said; may be none of ours",
        ),
        sa.Column("claimed_state", sa.String(length=16), nullable=False),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["payout_key"], ["payouts.key"], name=op.f("fk_webhook_events_payout_key_payouts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_events")),
        sa.UniqueConstraint("provider", "event_id", name=op.f("uq_webhook_events_provider_event_id")),
    )
    op.create_index("ix_webhook_events_payout", "webhook_events", ["payout_key"], unique=False)
    op.create_table(
        "transfer_attempts",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("txid", sa.String(length=128), nullable=False),
        sa.Column("fee", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False, comment="the exact bytes to send, for ever"),
        sa.Column("signed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("broadcast_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["key"],
            ["transfer_transactions.key"],
            name=op.f("fk_transfer_attempts_key_transfer_transactions"),
        ),
        sa.PrimaryKeyConstraint("key", "attempt", name=op.f("pk_transfer_attempts")),
        sa.UniqueConstraint("txid", name=op.f("uq_transfer_attempts_txid")),
    )
    table = sa.table("transitions", sa.column("noun"), sa.column("before"), sa.column("after"))
    op.bulk_insert(table, TRANSITIONS)
    for statement in LAWS.read_text().split("-- ;;"):
        op.execute(statement)
