"""PIX charges: the key is stored before the provider first hears of it, and is the same for ever."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table

from models.base import metadata, timestamp

charges = Table(
    "charges",
    metadata,
    Column("key", String(32), primary_key=True, comment="the provider's idempotency key, or txid"),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False),
    Column(
        "trade_id",
        String(32),
        ForeignKey("instant_trades.id"),
        unique=True,
        comment="null: the reais go to the user's balance",
    ),
    Column(
        "p2p_trade_id", String(32), ForeignKey("p2p_trades.id"), unique=True, comment="the reais go to its seller"
    ),
    Column("provider", String(32), nullable=False),
    Column("amount_centavos", BigInteger, nullable=False),
    timestamp("expires_at"),
    timestamp("accepts_until"),
    timestamp("watched_until"),
    Column("window_seconds", Integer, comment="as sent to the provider, the same each time"),
    Column("status", String(16), nullable=False, server_default="created"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("provider_id", String(100)),
    Column("br_code", String(512), comment="copia e cola; Bacen API Pix allows 512 characters"),
    Column("reason", String(100)),
    timestamp("asked_at", nullable=True),
    timestamp("created_at"),
    timestamp("updated_at"),
    CheckConstraint("amount_centavos > 0", name="amount_is_positive"),
    CheckConstraint("trade_id IS NULL OR p2p_trade_id IS NULL", name="one_thing_is_paid"),
    CheckConstraint("p2p_trade_id = key", name="p2p_ones_have_their_trades_name"),
    CheckConstraint("expires_at <= accepts_until AND accepts_until <= watched_until", name="times_follow"),
    CheckConstraint("(status = 'active') = (br_code IS NOT NULL)", name="active_ones_can_be_paid"),
    Index("ix_charges_user", "user_id", "created_at", "key"),
)
