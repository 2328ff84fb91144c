"""Where protocols meet adapters: the only file that knows both the rooms and what fills them."""

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from pydantic import JsonValue, SecretStr, TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.chain import ChainActivities
from activities.charge import ChargeActivities
from activities.custody import CustodyActivities
from activities.deposit import DepositActivities
from activities.dispute import DisputeActivities
from activities.instant_trade import InstantTradeActivities
from activities.ledger import LedgerActivities
from activities.p2p_dispute import P2PDisputeActivities
from activities.p2p_trade import P2PTradeActivities
from activities.pix import PixActivities
from activities.pix_refund import PixRefundActivities
from activities.pix_withdrawal import PixWithdrawalActivities
from activities.reconciliation import BankStatementActivities, ReconciliationActivities
from activities.webhook_delivery import WebhookDeliveryActivities
from activities.webhook_endpoint import EndpointDoor
from api.engine import Defaults
from chains import registry
from chains.keys.sealed_file import SealedFile
from chains.protocol import Chain, Signer
from liquida import database
from liquida.loops import for_ever
from liquida.provider_watch import CHECK_SECONDS_MOST, watch_providers
from liquida.settings import Settings
from models.assets import NATIVE_ASSETS, NETWORKS, Asset, Family, Network
from models.bank_data.types import NewKeyRule
from models.charge import queries as charge_queries
from models.dispute import queries as dispute_queries
from models.errors import InvalidInput, UnknownNetwork
from models.evidence_pack.seal import EvidenceSigner
from models.instant_trade.types import Terms, Waits
from models.network import queries as network_queries
from models.network import writes as network_writes
from models.network.queries import Catalogue
from models.p2p_dispute.types import DisputeRules
from models.p2p_message.types import ChatRules
from models.p2p_order.types import P2PRules
from models.payout import queries as payout_queries
from models.payout.night import Night
from models.pix_limit.types import PixLimits
from models.provider_health.types import Failover
from models.secret_box import SecretBox
from models.webhook_delivery.types import SendingPlan
from payments.brl_code import BrlCodeProvider
from payments.efi import EfiProvider
from payments.protocol import PixCollector, PixDisputes, PixProvider
from payments.sandbox_provider import SandboxProvider
from payments.woovi import WooviProvider
from payments.woovi.provider import KEYS_AGE_SECONDS_MOST
from workflows.options import CHAIN, CUSTODY, PAYMENTS, SETTLEMENT

log = structlog.get_logger()

GWEI = 10**9
STALE_CHECKS = 3
"""So many checks may be missed before nothing is known of a provider."""

sys.setrecursionlimit(1_000)
"""Python's own. A library that signing needs sets 100,000 when it is imported, and with that a body of nested
brackets overruns the stack and ends the process, where it should end in an error."""


@dataclass(frozen=True, slots=True)
class QueueParts:
    """What one task queue's worker serves, and what runs beside it for as long as it does."""

    activities: Sequence[Callable[..., Any]]
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()


def networks(settings: Settings) -> list[Network]:
    """The networks of this installation: the catalogue's rows with what settings change.

    :raises UnknownNetwork: settings name one that is not in the catalogue.
    """
    found = []
    for name, chosen in settings.networks.items():
        if name not in NETWORKS:
            raise UnknownNetwork(f"LIQUIDA_NETWORKS names {name}; known are: {', '.join(sorted(NETWORKS))}")
        row = NETWORKS[name]
        found.append(
            Network(
                row.id,
                row.name,
                row.family,
                chosen.chain_id or row.chain_id,
                chosen.confirmations or row.confirmations,
                row.native_asset,
            )
        )
    return found


def assets(settings: Settings) -> list[Asset]:
    """The native coins of the networks in use, and the tokens that settings name."""
    found = [NATIVE_ASSETS[network.native_asset] for network in networks(settings)]
    for name, chosen in settings.networks.items():
        for symbol, token in chosen.tokens.items():
            contract = registry.address_format(NETWORKS[name].family).parse(token.contract)
            found.append(Asset(f"{symbol}.{name}", symbol, token.decimals, name, contract, token.price_decimals))
    return found


async def install(settings: Settings) -> str:
    """Bring the database to the latest schema and to the networks that settings name. The revision reached."""
    revision = await database.migrate(settings.database_owner_url)
    engine = database.engine(settings.database_url, pool=1)
    async with engine.begin() as conn:
        await network_writes.seed(conn, networks(settings), assets(settings))
    await engine.dispose()
    return revision


async def catalogue(engine: AsyncEngine) -> Catalogue:
    async with engine.connect() as conn:
        return await network_queries.catalogue(conn)


async def connect_temporal(settings: Settings, *, lazy: bool = False, runtime: Runtime | None = None) -> Client:
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=pydantic_data_converter,
        lazy=lazy,
        runtime=runtime,
    )


def telemetry(settings: Settings) -> Runtime | None:
    """The SDK's own metrics on ``worker_metrics_port``; None where no port is set."""
    if settings.worker_metrics_port is None:
        return None
    address = f"{settings.api_host}:{settings.worker_metrics_port}"
    metrics = PrometheusConfig(bind_address=address, durations_as_seconds=True, unit_suffix=True)
    return Runtime(telemetry=TelemetryConfig(metrics=metrics))


def terms(settings: Settings) -> Terms:
    durations = settings.durations
    return Terms(
        durations.deposit_window,
        durations.chain_timeout,
        durations.payout_deadline,
        settings.pix_provider,
        payment_window_seconds=durations.payment_window,
        payment_leniency_seconds=durations.payment_leniency,
        payment_deadline_seconds=durations.payment_deadline,
        block_deadline_seconds=durations.block_deadline,
        refund_deadline_seconds=durations.refund_deadline,
        night=night(settings),
    )


def night(settings: Settings) -> Night | None:
    if settings.night_most_centavos is None:
        return None
    return Night(settings.night_most_centavos, settings.night_from_hour, settings.night_until_hour)


def waits(settings: Settings) -> Waits:
    durations = settings.durations
    return Waits(
        recheck_first_seconds=durations.recheck_first,
        recheck_most_seconds=durations.recheck_most,
        bump_after_seconds=durations.bump_after,
        payout_poll_first_seconds=durations.payout_poll_first,
        payout_poll_most_seconds=durations.payout_poll_most,
        payout_resend_after_seconds=durations.payout_resend_after,
        charge_poll_first_seconds=durations.charge_poll_first,
        charge_poll_most_seconds=durations.charge_poll_most,
        charge_watch_seconds=durations.charge_watch,
    )


def new_key(settings: Settings) -> NewKeyRule:
    return NewKeyRule(settings.durations.new_key_cooldown, settings.new_key_most_centavos)


def pix_limits(settings: Settings) -> PixLimits:
    return PixLimits(
        settings.pix_min_centavos, settings.deposit_day_most_centavos, settings.withdrawal_day_most_centavos
    )


def p2p_rules(settings: Settings) -> P2PRules:
    return P2PRules(
        unpaid_most=settings.p2p_unpaid_most,
        unpaid_day_most=settings.p2p_unpaid_day_most,
        charge_most_centavos=settings.p2p_charge_most_centavos,
        cooldown_seconds=settings.durations.p2p_cooldown,
        confirm_seconds=math.ceil(settings.durations.p2p_confirm),
        commission_bps=settings.p2p_commission_bps,
        commission_tiers=tuple(settings.p2p_commission_tiers),
        commission_payer=settings.p2p_commission_payer,
        trade_min_centavos=settings.trade_min_centavos,
        trade_max_centavos=settings.trade_max_centavos,
    )


def chat_rules(settings: Settings) -> ChatRules:
    return ChatRules(settings.p2p_messages_per_minute, settings.durations.p2p_chat)


def dispute_rules(settings: Settings) -> DisputeRules:
    durations = settings.durations
    return DisputeRules(settings.p2p_ruling_alone_most_centavos, durations.p2p_appeal, durations.p2p_proposal)


def evidence_signer(settings: Settings) -> EvidenceSigner | None:
    """None: there is no key, and so no evidence packs.

    :raises SealBroken: LIQUIDA_EVIDENCE_KEY is not 32 bytes.
    """
    key = settings.evidence_key.get_secret_value()
    return EvidenceSigner(key) if key else None


def sending_plan(settings: Settings) -> SendingPlan:
    return SendingPlan(tuple(settings.webhook_pause_seconds), settings.webhook_retry_after_most_seconds)


def webhooks(settings: Settings, engine: AsyncEngine) -> WebhookDeliveryActivities:
    return WebhookDeliveryActivities(
        engine,
        secret_box(settings),
        EndpointDoor(allow_private=settings.webhook_allow_private),
        disable_after=timedelta(seconds=settings.durations.webhook_failing),
    )


def defaults(settings: Settings) -> Defaults:
    return Defaults(_json(Terms, terms(settings)), _json(Waits, waits(settings)))


def secret_box(settings: Settings) -> SecretBox:
    """:raises SealBroken: LIQUIDA_DATA_KEY is missing or not 32 bytes."""
    return SecretBox(settings.data_key.get_secret_value())


def providers(settings: Settings) -> dict[str, PixProvider]:
    """Every provider whose credentials are complete, by name: payouts of one that is no longer chosen go on.

    :raises InvalidInput: one is configured by halves, or a chosen one not at all; names the settings.
    """
    return _built(settings, CREDENTIALS)


def webhook_verifiers(settings: Settings) -> dict[str, PixProvider]:
    """Every provider whose webhooks can be verified, by name. They hold no credentials.

    :raises InvalidInput: a chosen one has no secret; names the setting.
    """
    return _built(settings, WEBHOOK_SECRETS)


def webhook_readers(settings: Settings) -> dict[str, PixProvider]:
    """Every provider there is, by name, to read what was verified and kept. That needs no setting."""
    return {name: build(settings) for name, build in BUILDERS.items()}


def _built(settings: Settings, needs: Mapping[str, Sequence[str]]) -> dict[str, PixProvider]:
    chosen = {settings.pix_provider, settings.pix_fallback}
    found: dict[str, PixProvider] = {}
    for name, wanted in needs.items():
        missing = [setting for setting in wanted if not getattr(settings, setting)]
        if len(missing) == len(wanted) and name not in chosen:
            continue
        if missing:
            raise InvalidInput(f"the PIX provider {name} needs {_spelled(missing)}")
        try:
            found[name] = BUILDERS[name](settings)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"the PIX provider {name}: {_fault(error)}; see {_spelled(wanted)}") from None
    return found


def settings_of(provider: str) -> str:
    """What a person corrects when a provider does not answer."""
    return _spelled(dict.fromkeys([f"{provider}_url", *CREDENTIALS.get(provider, ())]))


def _spelled(settings: Iterable[str]) -> str:
    return ", ".join(f"LIQUIDA_{setting.upper()}" for setting in settings)


def _fault(error: OSError | ValueError) -> str:
    """What is wrong, without what was given."""
    if isinstance(error, OSError):
        return f"{error.filename or 'the certificate'} cannot be read ({type(error).__name__})"
    return str(error)


def _sandbox(settings: Settings) -> PixProvider:
    secret = settings.sandbox_webhook_secret.get_secret_value()
    return SandboxProvider(
        settings.sandbox_url,
        api_key=settings.sandbox_api_key.get_secret_value(),
        webhook_secrets=(secret,) if secret else (),
    )


def _woovi(settings: Settings) -> PixProvider:
    return WooviProvider(
        settings.woovi_url,
        app_id=settings.woovi_app_id.get_secret_value(),
        webhook_secrets=_plain(settings.woovi_webhook_secrets),
        checks_holder=settings.woovi_checks_holder,
    )


def _efi(settings: Settings) -> PixProvider:
    return EfiProvider(
        settings.efi_url,
        client_id=settings.efi_client_id.get_secret_value(),
        client_secret=settings.efi_client_secret.get_secret_value(),
        pix_key=settings.efi_pix_key.get_secret_value(),
        certificate=settings.efi_certificate,
        certificate_key=settings.efi_certificate_key,
        webhook_secrets=_plain(settings.efi_webhook_secrets),
    )


def _brl_code(settings: Settings) -> PixProvider:
    return BrlCodeProvider(
        settings.brl_code_url,
        api_key=settings.brl_code_api_key.get_secret_value(),
        webhook_url=settings.brl_code_webhook_url,
        webhook_secrets=_plain(settings.brl_code_webhook_secrets),
    )


def _plain(secrets: Sequence[SecretStr]) -> list[str]:
    return [secret.get_secret_value() for secret in secrets]


BUILDERS: dict[str, Callable[[Settings], PixProvider]] = {
    "sandbox": _sandbox,
    "woovi": _woovi,
    "efi": _efi,
    "brl_code": _brl_code,
}
CREDENTIALS = {
    "sandbox": ("sandbox_api_key",),
    "woovi": ("woovi_app_id",),
    "efi": ("efi_client_id", "efi_client_secret", "efi_certificate", "efi_pix_key"),
    "brl_code": ("brl_code_url", "brl_code_api_key", "brl_code_webhook_url"),
}
"""What a process needs that pays. Addresses with a default are not among them."""
WEBHOOK_SECRETS = {
    "sandbox": ("sandbox_webhook_secret",),
    "woovi": ("woovi_webhook_secrets",),
    "efi": ("efi_webhook_secrets",),
    "brl_code": ("brl_code_webhook_secrets",),
}
"""What the API needs, which never pays."""


WITHOUT_STATEMENT = {"brl_code"}
"""Nothing to compare the ledger with."""


def failover(settings: Settings) -> Failover | None:
    """When and where new trades go while the chosen provider is down; None without a second provider."""
    if settings.pix_fallback is None:
        return None
    durations = settings.durations
    stale = STALE_CHECKS * (durations.provider_check + CHECK_SECONDS_MOST)
    return Failover(settings.pix_fallback, durations.provider_down_after, stale)


async def keep_webhook_keys(by_name: Mapping[str, PixProvider]) -> None:
    """Fetch, now and each hour, the public keys that sign Woovi's webhooks. While it fails the old ones stay."""
    woovi = by_name.get("woovi")
    while isinstance(woovi, WooviProvider):
        if not await woovi.refresh_keys():
            log.warning("webhook_keys.not_refreshed", provider=woovi.name)
        await asyncio.sleep(KEYS_AGE_SECONDS_MOST + 1)


def collectors(by_name: Mapping[str, PixProvider]) -> dict[str, PixCollector]:
    """Those that also receive."""
    return {name: provider for name, provider in by_name.items() if isinstance(provider, PixCollector)}


def disputers(by_name: Mapping[str, PixProvider]) -> dict[str, PixDisputes]:
    """Those that know of disputes."""
    return {name: provider for name, provider in by_name.items() if isinstance(provider, PixDisputes)}


def reconciled(settings: Settings) -> tuple[str, ...]:
    """The providers whose statements are compared with the ledger. A process needs no credentials to know them."""
    chosen = (settings.pix_provider, settings.pix_fallback)
    return tuple(dict.fromkeys(name for name in chosen if name is not None and name not in WITHOUT_STATEMENT))


def reconciliation(settings: Settings, engine: AsyncEngine) -> ReconciliationActivities:
    return ReconciliationActivities(
        engine,
        reconciled(settings),
        days_back=settings.reconcile_days_back,
        tolerance=timedelta(seconds=settings.reconcile_tolerance_seconds),
    )


@asynccontextmanager
async def nodes(settings: Settings, networks_in_use: Mapping[str, Network]) -> AsyncIterator[dict[str, Chain]]:
    """The node-facing half of each network, closed at the end."""
    async with AsyncExitStack() as stack:
        found: dict[str, Chain] = {}
        for network in networks_in_use.values():
            node = registry.node(network, settings.networks[network.id].rpc_urls)
            stack.push_async_callback(node.close)
            found[network.id] = node
        yield found


async def signers(settings: Settings, families: set[Family]) -> tuple[str, dict[Family, Signer]]:
    """Open the sealed wallet: its id, and a signer per family. Only the custody worker calls this.

    :raises NotFound: there is no wallet file.
    :raises SealBroken: the passphrase is wrong or the file was changed.
    """
    wallet = SealedFile(settings.wallet_file, settings.wallet_passphrase)
    seed = await asyncio.to_thread(wallet.open)
    return wallet.wallet_id, {family: registry.signer(family, seed) for family in families}


@asynccontextmanager
async def queue_parts(
    settings: Settings, queues: Sequence[str], engine: AsyncEngine
) -> AsyncIterator[dict[str, QueueParts]]:
    """Build what each of these queues serves. A process holds only what its queues need."""
    found = await catalogue(engine)
    gas_price_most = settings.max_fee_per_gas_gwei * GWEI
    async with AsyncExitStack() as stack:
        parts: dict[str, QueueParts] = {}
        if SETTLEMENT in queues:
            books = InstantTradeActivities(engine)
            ledger = LedgerActivities(engine)
            recon = reconciliation(settings, engine)
            parts[SETTLEMENT] = QueueParts(
                [
                    books.advance,
                    books.operate,
                    books.close_return,
                    PixWithdrawalActivities(engine).advance,
                    P2PDisputeActivities(engine).advance,
                    P2PTradeActivities(engine).advance,
                    ledger.seal,
                    ledger.verify,
                    recon.due,
                    recon.compare,
                ]
            )
        if CUSTODY in queues:
            families = {network.family for network in found.networks.values()}
            wallet_id, by_family = await signers(settings, families)
            custody = CustodyActivities(engine, found, by_family, wallet_id=wallet_id, gas_price_most=gas_price_most)
            await custody.fill_address_pool(settings.address_pool)
            parts[CUSTODY] = QueueParts([custody.sign], [lambda: keep_pool(custody, settings.address_pool)])
        if CHAIN in queues:
            by_network = await stack.enter_async_context(nodes(settings, found.networks))
            chain = ChainActivities(engine, found, by_network, gas_price_most=gas_price_most)
            deposits = DepositActivities(engine, found, by_network, chain, every_seconds=settings.watch_seconds)
            parts[CHAIN] = QueueParts([chain.prepare, chain.broadcast, chain.observe, deposits.watch])
        if PAYMENTS in queues:
            by_name = providers(settings)
            for provider in by_name.values():
                stack.push_async_callback(provider.close)
            await _check_none_is_left_behind(engine, by_name)
            pix = PixActivities(engine, secret_box(settings), by_name)
            patience = settings.durations.payer_patience
            charge = ChargeActivities(
                engine, secret_box(settings), collectors(by_name), payer_patience_seconds=patience
            )
            refund = PixRefundActivities(engine, collectors(by_name))
            dispute = DisputeActivities(engine, secret_box(settings), disputers(by_name))
            statements = BankStatementActivities(engine, by_name)
            attempt = webhooks(settings, engine).attempt
            every = settings.durations.provider_check
            parts[PAYMENTS] = QueueParts(
                [pix.settle, pix.check_return, charge.look, refund.settle, dispute.look, statements.read, attempt],
                [lambda: watch_providers(engine, by_name, every_seconds=every)],
            )
        yield parts


async def _check_none_is_left_behind(engine: AsyncEngine, by_name: Mapping[str, PixProvider]) -> None:
    """:raises InvalidInput: nobody could ask after payouts, charges or disputes there, as it is not configured."""
    async with engine.connect() as conn:
        open_there = await payout_queries.unended_providers(conn) | await charge_queries.watched_providers(conn)
        open_there |= await dispute_queries.open_providers(conn)
    for name in sorted(open_there - set(by_name)):
        raise InvalidInput(
            f"payouts, charges or disputes at {name} have not ended: it must stay configured until then"
            f" ({settings_of(name)})"
        )


async def keep_pool(custody: CustodyActivities, size: int, *, every_seconds: float = 2) -> None:
    """Derive new addresses as they are taken, for ever."""

    async def once() -> bool:
        await custody.fill_address_pool(size)
        return False

    await for_ever("address_pool", once, every_seconds=every_seconds)


def _json(kind: type[Any], value: object) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = TypeAdapter(kind).dump_python(value, mode="json")
    return body
