"""Where protocols meet adapters: the only file that knows both the rooms and what fills them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import JsonValue, TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.chain import ChainActivities
from activities.custody import CustodyActivities
from activities.deposit import DepositActivities
from activities.instant_trade import InstantTradeActivities
from activities.ledger import LedgerActivities
from activities.pix import PixActivities
from activities.reconciliation import BankStatementActivities, ReconciliationActivities
from api.engine import Defaults
from chains import registry
from chains.keys.sealed_file import SealedFile
from chains.protocol import Chain, Signer
from liquida import database
from liquida.loops import for_ever
from liquida.settings import Settings
from models.assets import NATIVE_ASSETS, NETWORKS, Asset, Family, Network
from models.errors import UnknownNetwork
from models.instant_trade.types import Terms, Waits
from models.network import queries as network_queries
from models.network import writes as network_writes
from models.network.queries import Catalogue
from models.secret_box import SecretBox
from payments.protocol import PixProvider
from payments.sandbox_provider import SandboxProvider
from workflows.options import CHAIN, CUSTODY, PAYMENTS, SETTLEMENT

GWEI = 10**9

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
    return Terms(durations.deposit_window, durations.chain_timeout, durations.payout_deadline, settings.pix_provider)


def waits(settings: Settings) -> Waits:
    durations = settings.durations
    return Waits(
        recheck_first_seconds=durations.recheck_first,
        recheck_most_seconds=durations.recheck_most,
        bump_after_seconds=durations.bump_after,
        payout_poll_first_seconds=durations.payout_poll_first,
        payout_poll_most_seconds=durations.payout_poll_most,
        payout_resend_after_seconds=durations.payout_resend_after,
    )


def defaults(settings: Settings) -> Defaults:
    return Defaults(_json(Terms, terms(settings)), _json(Waits, waits(settings)))


def secret_box(settings: Settings) -> SecretBox:
    """:raises SealBroken: LIQUIDA_DATA_KEY is missing or not 32 bytes."""
    return SecretBox(settings.data_key.get_secret_value())


def providers(settings: Settings) -> dict[str, PixProvider]:
    """The payment providers by name. With the API's settings they can verify webhooks and no more."""
    secret = settings.sandbox_webhook_secret.get_secret_value()
    sandbox = SandboxProvider(
        settings.sandbox_url,
        api_key=settings.sandbox_api_key.get_secret_value(),
        webhook_secrets=(secret,) if secret else (),
    )
    return {sandbox.name: sandbox}


def reconciled(settings: Settings) -> tuple[str, ...]:
    """The providers whose statements are compared with the ledger. A process needs no credentials to know them."""
    return (settings.pix_provider,)


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
            pix = PixActivities(engine, secret_box(settings), by_name)
            statements = BankStatementActivities(engine, by_name)
            parts[PAYMENTS] = QueueParts([pix.settle, pix.check_return, statements.read])
        yield parts


async def keep_pool(custody: CustodyActivities, size: int, *, every_seconds: float = 2) -> None:
    """Derive new addresses as they are taken, for ever."""

    async def once() -> bool:
        await custody.fill_address_pool(size)
        return False

    await for_ever("address_pool", once, every_seconds=every_seconds)


def _json(kind: type[Any], value: object) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = TypeAdapter(kind).dump_python(value, mode="json")
    return body
