"""Settings, from the environment (prefix ``LIQUIDA_``) or a ``.env`` file. ``.env.example`` lists all."""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.p2p_order.types import Tier
from models.p2p_trade.party import Party
from models.webhook_delivery.types import STANDARD

BPS = 10_000
Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
PixProviderName = Literal["sandbox", "woovi", "efi", "brl_code"]


class NetworkSettings(BaseModel):
    """How this installation runs one network of ``models/assets.py: NETWORKS``.

    ``chain_id`` and ``confirmations`` default to the main network's.
    ``tokens``: symbol → contract and decimals, for the tokens to accept there.
    """

    rpc_urls: list[str] = Field(min_length=1)
    chain_id: int | None = None
    confirmations: int | None = Field(default=None, ge=1)
    tokens: dict[str, "TokenSettings"] = {}


class TokenSettings(BaseModel):
    contract: str
    decimals: int = Field(ge=0, le=36)
    price_decimals: int = Field(default=2, ge=0, le=18)


class Durations(BaseSettings):
    """Every wait of a trade, in seconds. They travel in the workflow's input, so a change meets new trades only."""

    model_config = SettingsConfigDict(env_prefix="LIQUIDA_SECONDS_", env_file=".env", extra="ignore")

    quote_valid: Seconds = 30
    price_cached: Seconds = 30
    deposit_window: Seconds = 15 * 60
    chain_timeout: Seconds = 30 * 60
    payout_deadline: Seconds = 60 * 60
    bump_after: Seconds = 3 * 60
    recheck_first: Seconds = 15
    recheck_most: Seconds = 10 * 60
    payout_poll_first: Seconds = 2
    payout_poll_most: Seconds = 10 * 60
    payout_resend_after: Seconds = 60
    payment_window: Seconds = 15 * 60
    payment_leniency: Seconds = 30
    payment_deadline: Seconds = 60 * 60
    block_deadline: Seconds = 80 * 60 * 60
    refund_deadline: Seconds = 60 * 60
    charge_poll_first: Seconds = 5
    charge_poll_most: Seconds = 2 * 60
    charge_watch: Seconds = 60 * 60
    payer_patience: Seconds = 60
    """How long a payment waits for its payer to become known before it goes back."""
    new_key_cooldown: Seconds = 24 * 60 * 60
    """Not a wait of a trade: how long a PIX key counts as new, from when its user added it."""
    p2p_confirm: Seconds = 60 * 60
    """For the seller of a P2P trade to confirm what the buyer says was paid, before a dispute opens by itself."""
    p2p_cooldown: Seconds = 24 * 60 * 60
    """How long a user takes nothing as the buyer who let too many trades end unpaid."""
    p2p_appeal: Seconds = 48 * 60 * 60
    """For either party to appeal a ruling on their dispute."""
    p2p_proposal: Seconds = 24 * 60 * 60
    """For a second arbiter to approve a ruling that one may not make alone."""
    p2p_chat: Seconds = 30 * 24 * 60 * 60
    """From a P2P trade's end on, until its chat takes no more messages."""
    webhook_failing: Seconds = 5 * 24 * 60 * 60
    """A webhook endpoint that has taken nothing for so long is disabled."""
    provider_check: Seconds = 30
    """Between two looks at whether each PIX provider answers."""
    provider_down_after: Seconds = 5 * 60
    """A main provider silent for so long loses new trades to ``Settings.pix_fallback``."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="LIQUIDA_", env_file=".env", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Literal["development", "production"] = "development"
    state_dir: Path = Path(".liquida")

    database_url: str = "postgresql+asyncpg://liquida_runtime@127.0.0.1:54310/liquida"
    """The role may read the ledger and post to it; it owns nothing."""
    database_owner_url: str = "postgresql+asyncpg://liquida@127.0.0.1:54310/liquida"
    """For ``liquida migrate`` alone."""
    database_pool: int = Field(default=20, ge=1)

    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "liquida"
    temporal_ui_url: str = "http://127.0.0.1:8233"

    api_host: str = "127.0.0.1"
    api_port: Port = 8000
    public_url: str = "http://127.0.0.1:8000"

    data_key: SecretStr = SecretStr("")
    """32 bytes, base64: encrypts CPF, PIX keys, names and webhook bodies in PostgreSQL."""
    jwt_secret: SecretStr = SecretStr("")
    jwt_minutes: int = Field(default=15, ge=1, le=60)
    wallet_file: Path = Path(".liquida/wallet.sealed")
    wallet_passphrase: SecretStr = SecretStr("")

    networks: dict[str, NetworkSettings] = {}
    max_fee_per_gas_gwei: int = Field(default=500, ge=1)
    """Custody refuses to sign above it."""

    price_feed: Literal["fixed", "ccxt"] = "fixed"
    price_exchange: str = "binance"
    fixed_prices: dict[str, Decimal] = {"ETH": Decimal("15000.00"), "USDT": Decimal("5.40")}
    spread_bps: int = Field(default=300, ge=0, le=5_000)
    network_fee_bps: int = Field(default=25, ge=0, le=5_000)
    trade_min_centavos: int = Field(default=1_000, ge=1)
    trade_max_centavos: int = Field(default=10_000_000, ge=1)
    return_min_centavos: int = Field(default=500, ge=0)
    """Coins worth less are credited to the user's balance instead of being sent back on chain."""
    night_most_centavos: int | None = Field(default=None, ge=0)
    """Larger payouts wait for the morning; without it, all leave at once."""
    night_from_hour: int = Field(default=20, ge=0, le=23)
    night_until_hour: int = Field(default=6, ge=0, le=23)
    new_key_most_centavos: int = Field(default=100_000, ge=0)
    """What a PIX key may receive in all while it is new."""
    pix_min_centavos: int = Field(default=100, ge=1)
    """The least deposit, and the least withdrawal, of reais."""
    deposit_day_most_centavos: int = Field(default=5_000_000, ge=0)
    """A user's deposits of reais in all of one calendar day in São Paulo; and below, the withdrawals."""
    withdrawal_day_most_centavos: int = Field(default=5_000_000, ge=0)

    p2p_charge_most_centavos: int = Field(default=1_000_000, gt=0)
    """Of one P2P trade that a PIX charge pays for: should the payer's bank take it back, the house may bear it."""
    p2p_unpaid_most: int = Field(default=5, ge=1)
    """Live P2P trades that a user may have taken as the buyer at once, said to be paid and in dispute too. Those paid
    from the balance do not count: their reais are held.
    """
    p2p_unpaid_day_most: int = Field(default=3, ge=1)
    """How many of those may end unpaid within 24 hours before the user is refused for a while."""
    p2p_commission_bps: int = Field(default=200, ge=0, le=5_000)
    """Of the coins of a P2P trade; ``p2p_commission_tiers``: other rates from a volume of 30 days on."""
    p2p_commission_tiers: list[Tier] = []
    p2p_commission_payer: Party = Party.BUYER

    p2p_messages_per_minute: int = Field(default=30, ge=1)
    """Messages and files of one user, in all their chats."""
    p2p_ruling_alone_most_centavos: int = Field(default=500_000, ge=0)
    """A dispute over more needs two arbiters."""
    evidence_key: SecretStr = SecretStr("")
    """32 bytes, base64: the Ed25519 seed that signs evidence packs."""

    pix_provider: PixProviderName = "sandbox"
    pix_fallback: PixProviderName | None = None
    """Takes new trades while the main one is down. A trade keeps its provider for ever."""

    sandbox_url: str = "http://127.0.0.1:8090"
    sandbox_api_key: SecretStr = SecretStr("")
    sandbox_webhook_secret: SecretStr = SecretStr("")

    woovi_url: str = "https://api.woovi.com"
    woovi_app_id: SecretStr = SecretStr("")
    woovi_webhook_secrets: list[Annotated[SecretStr, Field(min_length=24)]] = []
    woovi_checks_holder: bool = True

    efi_url: str = "https://pix.api.efipay.com.br"
    efi_client_id: SecretStr = SecretStr("")
    efi_client_secret: SecretStr = SecretStr("")
    efi_certificate: Path | None = None
    efi_certificate_key: Path | None = None
    """Where the private key is in a file of its own."""
    efi_pix_key: SecretStr = SecretStr("")
    efi_webhook_secrets: list[Annotated[SecretStr, Field(min_length=32)]] = []

    brl_code_url: str = ""
    brl_code_api_key: SecretStr = SecretStr("")
    brl_code_webhook_url: str = ""
    brl_code_webhook_secrets: list[Annotated[SecretStr, Field(min_length=24)]] = []

    webhook_allow_private: bool = False
    """For development: users' webhooks may go over plain HTTP, and into our own network."""
    webhook_pause_seconds: list[Seconds] = list(STANDARD.pause_seconds)
    """Between the attempts to deliver a webhook, of which there is one more."""
    webhook_retry_after_most_seconds: Seconds = STANDARD.retry_after_most_seconds
    """The most that an endpoint's own Retry-After puts an attempt off."""

    address_pool: int = Field(default=50, ge=1)
    """Free addresses that custody keeps derived ahead of need, per network."""
    relay_seconds: Seconds = 0.2
    event_streams_most: int = Field(default=10, ge=1)
    """Of one user, open at once in one API process."""
    watch_seconds: Seconds = 1.0
    worker_metrics_port: int | None = None
    reconcile_days_back: int = Field(default=3, ge=1, le=31)
    """How many days before today each hour's comparison with the bank looks at again."""
    reconcile_tolerance_seconds: Seconds = 2 * 60 * 60
    """How much later than one of bank and ledger the other may have a movement before it counts as missing."""
    break_alarm_hours: float = Field(default=4, gt=0)
    """A break that is open for longer is an error in the log, once."""

    postgres_port: Port = 54310
    """This port and the five below: where ``liquida up`` starts its parts."""
    temporal_port: Port = 7233
    temporal_ui_port: Port = 8233
    evm_port: Port = 8545
    evm_block_seconds: Seconds = 1.0
    sandbox_port: Port = 8090
    anvil: Path | None = None
    """The EVM node's program; without it, PATH and ``state_dir`` are searched."""

    log_json: bool = True
    log_level: str = "INFO"

    @model_validator(mode="after")
    def _fees_leave_something(self) -> Self:
        if self.spread_bps + self.network_fee_bps >= BPS:
            raise ValueError("LIQUIDA_SPREAD_BPS and LIQUIDA_NETWORK_FEE_BPS together must be below 10000")
        return self

    @model_validator(mode="after")
    def _fallback_is_another(self) -> Self:
        if self.pix_fallback == self.pix_provider:
            raise ValueError("LIQUIDA_PIX_FALLBACK must be another provider than LIQUIDA_PIX_PROVIDER")
        return self

    @property
    def durations(self) -> Durations:
        return Durations()


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
