"""``liquida doctor``: looks at every part and says what is wrong and what to do, never only that it failed."""

import asyncio
import base64
import stat
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from shutil import disk_usage

import httpx
from cryptography import x509
from pydantic import SecretStr
from pydantic.dataclasses import dataclass
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from temporalio.service import RPCError, RPCStatusCode

from chains.keys.sealed_file import SealedFile
from liquida import wiring
from liquida.database import latest_revision, may_write_the_ledger, present_revision
from liquida.provider_watch import look
from liquida.settings import NetworkSettings, Settings
from liquida.stack import evm_node, ports, postgres, temporal
from liquida.stack.environment import SECRETS_FILE, read_secrets
from liquida.stack.process import is_ours
from models.assets import NETWORKS
from models.errors import LiquidaError
from payments.protocol import PixProvider

PATIENCE_SECONDS = 10
GIGABYTE = 1_000_000_000
CERTIFICATE_NOTICE = timedelta(days=30)
CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
UP = "start it with: liquida up"


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: ``found`` is what is there or what is wrong, ``remedy`` what a person should do."""

    name: str
    level: Level
    found: str
    remedy: str = ""

    @property
    def failed(self) -> bool:
        return self.level is Level.FAIL


Check = Callable[[Settings], Awaitable[list[Finding]]]


async def doctor(settings: Settings) -> list[Finding]:
    """Every finding, in a fixed order, in about as long as the slowest part takes to answer."""
    findings = await asyncio.gather(*(_bounded(check, settings) for check in CHECKS))
    return [finding for some in findings for finding in some]


def render(findings: list[Finding], *, console: Console | None = None) -> None:
    """Print a table."""
    colours = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
    table = Table(title="liquida doctor", title_justify="left")
    for column in ("", "part", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        mark = f"[{colours[finding.level]}]{finding.level.value}[/]"
        table.add_row(mark, escape(finding.name), escape(finding.found), escape(finding.remedy))
    (console or Console()).print(table)


async def _bounded(check: Check, settings: Settings) -> list[Finding]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await check(settings)
    except TimeoutError:
        name = check.__name__.removeprefix("_").replace("_", " ")
        return [Finding(name, Level.FAIL, f"no answer in {PATIENCE_SECONDS} s", "see whether it is overloaded")]


async def _python(settings: Settings) -> list[Finding]:  # noqa: ARG001 a check like the others
    version = ".".join(str(part) for part in sys.version_info[:3])
    findings = [Finding("Python", Level.OK, version)]
    if not CONSTRAINTS.exists():
        return findings
    drifted = []
    for line in CONSTRAINTS.read_text().splitlines():
        name, _, wanted = line.strip().partition("==")
        try:
            present = metadata.version(name) if wanted else wanted
        except metadata.PackageNotFoundError:
            continue
        if present != wanted:
            drifted.append(f"{name} {present} (tested: {wanted})")
    if drifted:
        remedy = "pip install -c constraints.txt -e ."
        return [*findings, Finding("Packages", Level.WARN, ", ".join(drifted), remedy)]
    return [*findings, Finding("Packages", Level.OK, "as tested")]


async def _programs(settings: Settings) -> list[Finding]:
    if settings.environment == "production":
        return []
    findings = []
    for name, locate in (("PostgreSQL program", postgres.programs), ("Temporal program", temporal.program)):
        try:
            findings.append(Finding(name, Level.OK, str(locate())))
        except LiquidaError as error:
            findings.append(Finding(name, Level.FAIL, error.detail, "pip install -c constraints.txt -e ."))
    try:
        anvil = evm_node.find(settings.state_dir, configured=settings.anvil)
    except LiquidaError as error:
        return [*findings, Finding("EVM node program", Level.FAIL, error.detail, "correct LIQUIDA_ANVIL")]
    if anvil is None:
        remedy = "liquida up installs it with npm; or set LIQUIDA_ANVIL"
        return [*findings, Finding("EVM node program", Level.WARN, "no anvil on this machine", remedy)]
    return [*findings, Finding("EVM node program", Level.OK, str(anvil))]


async def _database(settings: Settings) -> list[Finding]:
    where = _without_password(settings.database_url)
    try:
        present = await present_revision(settings.database_url)
    except (OSError, SQLAlchemyError) as error:
        found = f"{where} cannot be reached ({type(error).__name__})"
        return [Finding("Database", Level.FAIL, found, f"{UP}; or correct LIQUIDA_DATABASE_URL")]
    latest = latest_revision()
    if present != latest:
        found = f"{where} is at revision {present or 'none'}, the program needs {latest}"
        return [Finding("Database", Level.FAIL, found, "liquida migrate")]
    role = await _role(settings)
    return [Finding("Database", Level.OK, f"{where}, revision {present}"), role, await _clock(settings)]


async def _role(settings: Settings) -> Finding:
    """What the database refuses to the program, no fault in the program can do."""
    if await may_write_the_ledger(settings.database_url):
        found = "LIQUIDA_DATABASE_URL names a role that can write the ledger's tables"
        remedy = "name liquida_runtime there, and the owner in LIQUIDA_DATABASE_OWNER_URL, for liquida migrate alone"
        return Finding("Database role", Level.FAIL, found, remedy)
    return Finding("Database role", Level.OK, "reads the ledger, posts through its function, and no more")


async def _clock(settings: Settings) -> Finding:
    """Webhooks older than five minutes are refused and tokens expire by the clock: ours must be right."""
    engine = create_async_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            before = datetime.now(UTC)
            theirs = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
            middle = before + (datetime.now(UTC) - before) / 2
    finally:
        await engine.dispose()
    apart = abs((theirs - middle).total_seconds())
    found = f"{apart:.2f} s from the database's"
    remedy = "synchronise both machines' clocks (NTP)"
    if apart > 5:
        return Finding("Clock", Level.FAIL, found, remedy)
    return Finding("Clock", Level.WARN, found, remedy) if apart > 1 else Finding("Clock", Level.OK, found)


async def _temporal(settings: Settings) -> list[Finding]:
    address, namespace = settings.temporal_address, settings.temporal_namespace
    try:
        missing = await temporal.missing_search_attributes(address, namespace)
        kept = await temporal.retention(address, namespace)
    except RuntimeError:
        found = f"nobody answers at {address}"
        return [Finding("Temporal", Level.FAIL, found, f"{UP}; or correct LIQUIDA_TEMPORAL_ADDRESS")]
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            remedy = f"temporal operator namespace create --namespace {namespace} --retention 30d"
            return [Finding("Temporal", Level.FAIL, f"{address} has no namespace {namespace}", remedy)]
        return [Finding("Temporal", Level.FAIL, f"{address} answers {error.status.name}", "read its log")]
    if missing:
        create = " ".join(f"--name {name} --type {kind}" for name, kind in (m.split("=") for m in missing))
        remedy = f"temporal operator search-attribute create --namespace {namespace} {create}"
        found = f"namespace {namespace} lacks search attributes {', '.join(missing)}: no workflow can start"
        return [Finding("Temporal", Level.FAIL, found, remedy)]
    level = Level.OK if kept >= temporal.RETENTION else Level.WARN
    remedy = (
        "" if level is Level.OK else f"temporal operator namespace update --namespace {namespace} --retention 30d"
    )
    return [Finding("Temporal", level, f"{address}, namespace {namespace} keeps {kept.days} days", remedy)]


async def _networks(settings: Settings) -> list[Finding]:
    if not settings.networks:
        return [Finding("Networks", Level.WARN, "none is configured", "set LIQUIDA_NETWORKS")]
    findings = await asyncio.gather(*(_network(name, one) for name, one in settings.networks.items()))
    return [finding for some in findings for finding in some]


async def _network(name: str, network: NetworkSettings) -> list[Finding]:
    known = NETWORKS.get(name)
    if known is None:
        remedy = f"use one of {', '.join(sorted(NETWORKS))} in LIQUIDA_NETWORKS"
        return [Finding(f"Network {name}", Level.FAIL, "unknown to the program", remedy)]
    expected = known.chain_id if network.chain_id is None else network.chain_id
    return [await _node(name, number, url, expected) for number, url in enumerate(network.rpc_urls, 1)]


async def _node(network: str, number: int, url: str, expected: int) -> Finding:
    """The address itself is not shown: providers put their keys into it."""
    name = f"Network {network}, node {number}"
    where = httpx.URL(url).host
    try:
        chain_id = int(await evm_node.ask(url, "eth_chainId"), 16)
        block = int(await evm_node.ask(url, "eth_blockNumber"), 16)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError) as error:
        found = f"{where} does not answer as a node ({type(error).__name__})"
        return Finding(name, Level.FAIL, found, "correct rpc_urls in LIQUIDA_NETWORKS, or start the node")
    if chain_id != expected:
        found = f"{where} is on chain id {chain_id}, configured is {expected}"
        return Finding(name, Level.FAIL, found, "correct rpc_urls or chain_id in LIQUIDA_NETWORKS")
    return Finding(name, Level.OK, f"{where}, chain id {chain_id}, block {block}")


async def _pix(settings: Settings) -> list[Finding]:
    """The chosen provider, and each other that is configured: its payouts may not have ended."""
    try:
        by_name = wiring.providers(settings)
    except LiquidaError as error:
        return [Finding("PIX provider", Level.FAIL, error.detail, ".env.example explains each")]
    findings = await asyncio.gather(*(_pix_provider(settings, provider) for provider in by_name.values()))
    return [*findings, *_efi_certificate(settings)]


async def _pix_provider(settings: Settings, provider: PixProvider) -> Finding:
    is_chosen = provider.name == settings.pix_provider
    name = "PIX provider" if is_chosen else f"PIX provider {provider.name}"
    try:
        centavos = await look(provider)
    except LiquidaError as error:
        remedy = f"correct {wiring.settings_of(provider.name)}"
        if provider.name == "sandbox":
            remedy = f"{UP}; or {remedy}"
        return Finding(name, Level.FAIL, f"{provider.name}: {error.detail}", remedy)
    finally:
        await provider.close()
    takes_trades = provider.name in {settings.pix_provider, settings.pix_fallback}
    if settings.environment == "production" and takes_trades and provider.name == "sandbox":
        return Finding(name, Level.FAIL, "the sandbox pays nobody", "choose a real provider")
    if centavos is None:
        return Finding(name, Level.OK, f"{provider.name} answers, and tells no balance")
    found = f"{provider.name}, balance R$ {centavos // 100:,}.{centavos % 100:02}"
    if centavos <= 0:
        return Finding(name, Level.WARN, found, "top up the account: payouts wait meanwhile")
    return Finding(name, Level.OK, found)


def _efi_certificate(settings: Settings) -> list[Finding]:
    """Efí takes no call without it, and nothing else says when it ends."""
    if settings.efi_certificate is None:
        return []
    ends = x509.load_pem_x509_certificate(settings.efi_certificate.read_bytes()).not_valid_after_utc
    left = ends - datetime.now(UTC)
    found = f"valid until {ends:%Y-%m-%d}"
    remedy = "make a new one in Efí's app and name it in LIQUIDA_EFI_CERTIFICATE"
    if left <= timedelta():
        return [Finding("Efí certificate", Level.FAIL, found, remedy)]
    level = Level.WARN if left < CERTIFICATE_NOTICE else Level.OK
    return [Finding("Efí certificate", level, found, remedy if level is Level.WARN else "")]


async def _wallet(settings: Settings) -> list[Finding]:
    """Presence, mode and header only: opening it would bring the seed into this process."""
    file = settings.wallet_file
    if not file.exists():
        return [
            Finding(
                "Wallet",
                Level.FAIL,
                f"{file} is missing",
                "liquida wallet init; liquida up makes one for development",
            )
        ]
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        found = f"{file} has mode {mode:04o}: others may read it"
        return [Finding("Wallet", Level.FAIL, found, f"chmod 600 {file}")]
    try:
        wallet_id = SealedFile(file, settings.wallet_passphrase or SecretStr("unused")).wallet_id
    except LiquidaError as error:
        return [Finding("Wallet", Level.FAIL, error.detail, "restore the file, or import the words again")]
    return [Finding("Wallet", Level.OK, f"{file}, id {wallet_id}")]


async def _secrets(settings: Settings) -> list[Finding]:
    values = {
        "LIQUIDA_DATA_KEY": settings.data_key,
        "LIQUIDA_JWT_SECRET": settings.jwt_secret,
        "LIQUIDA_WALLET_PASSPHRASE": settings.wallet_passphrase,
        "LIQUIDA_EVIDENCE_KEY": settings.evidence_key,
    }
    if "sandbox" in {settings.pix_provider, settings.pix_fallback}:
        values |= {
            "LIQUIDA_SANDBOX_API_KEY": settings.sandbox_api_key,
            "LIQUIDA_SANDBOX_WEBHOOK_SECRET": settings.sandbox_webhook_secret,
        }
    remedy = "liquida up makes them for development; in production set them in the environment"
    unset = [name for name, value in values.items() if not value.get_secret_value()]
    findings = [Finding("Secrets", Level.FAIL, f"{', '.join(unset)} not set", remedy)] if unset else []
    if values["LIQUIDA_DATA_KEY"].get_secret_value() and not _is_data_key(settings.data_key):
        findings += [Finding("Secrets", Level.FAIL, "LIQUIDA_DATA_KEY is not 32 bytes in base64", remedy)]
    if 0 < len(settings.jwt_secret.get_secret_value()) < 32:
        findings += [Finding("Secrets", Level.FAIL, "LIQUIDA_JWT_SECRET is shorter than 32 characters", remedy)]
    try:
        wiring.evidence_signer(settings)
    except LiquidaError as error:
        findings += [Finding("Secrets", Level.FAIL, error.detail, remedy)]
    findings += await _webhook_secrets(settings)
    development = read_secrets(settings.state_dir / SECRETS_FILE)
    shared = [name for name, value in values.items() if value.get_secret_value() == development.get(name)]
    if settings.environment == "production" and shared:
        found = f"{', '.join(shared)} are the development ones"
        findings += [Finding("Secrets", Level.FAIL, found, "make new ones for production")]
    return findings or [Finding("Secrets", Level.OK, "all set")]


async def _webhook_secrets(settings: Settings) -> list[Finding]:
    """Without them the API does not start; the payments worker does without."""
    try:
        for verifier in wiring.webhook_verifiers(settings).values():
            await verifier.close()
    except LiquidaError as error:
        return [Finding("Secrets", Level.FAIL, error.detail, ".env.example explains each")]
    return []


async def _production(settings: Settings) -> list[Finding]:
    if settings.environment != "production":
        return []
    findings = []
    if settings.price_feed == "fixed":
        found = "prices are fixed in the settings"
        findings.append(Finding("Prices", Level.FAIL, found, "set LIQUIDA_PRICE_FEED=ccxt"))
    if not settings.public_url.startswith("https://"):
        found = f"LIQUIDA_PUBLIC_URL is {settings.public_url}"
        findings.append(Finding("Public address", Level.WARN, found, "serve the API through HTTPS"))
    return findings


async def _ports(settings: Settings) -> list[Finding]:
    if settings.environment == "production":
        return []
    wanted = (
        ("postgres", settings.postgres_port, "LIQUIDA_POSTGRES_PORT"),
        ("temporal", settings.temporal_port, "LIQUIDA_TEMPORAL_PORT"),
        ("temporal", settings.temporal_ui_port, "LIQUIDA_TEMPORAL_UI_PORT"),
        ("evm-node", settings.evm_port, "LIQUIDA_EVM_PORT"),
        ("sandbox", settings.sandbox_port, "LIQUIDA_SANDBOX_PORT"),
        ("api", settings.api_port, "LIQUIDA_API_PORT"),
    )
    findings = []
    for process, port, setting in wanted:
        if not is_ours(settings.state_dir.absolute(), process) and not ports.is_free(port):
            found = f"{port} is used by {ports.user_of(port) or 'another program'}"
            remedy = f"liquida up will need it: stop that, or set {setting}"
            findings.append(Finding(f"Port of {process}", Level.WARN, found, remedy))
    return findings or [Finding("Ports", Level.OK, "free, or used by our own stack")]


async def _disk(settings: Settings) -> list[Finding]:
    place = settings.state_dir if settings.state_dir.exists() else Path()
    free = disk_usage(place).free
    found = f"{free / GIGABYTE:.1f} GB free at {place.absolute()}"
    if free < GIGABYTE:
        return [Finding("Disk", Level.FAIL, found, "make room: the database stops when the disk is full")]
    if free < 5 * GIGABYTE:
        return [Finding("Disk", Level.WARN, found, "make room soon")]
    return [Finding("Disk", Level.OK, found)]


def _is_data_key(value: SecretStr) -> bool:
    try:
        return len(base64.b64decode(value.get_secret_value(), validate=True)) == 32
    except ValueError:
        return False


def _without_password(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    account, at, place = rest.rpartition("@")
    return f"{scheme.partition('+')[0]}://{account.partition(':')[0]}{at}{place.partition('?')[0]}"


CHECKS: tuple[Check, ...] = (
    _python,
    _programs,
    _secrets,
    _wallet,
    _database,
    _temporal,
    _networks,
    _pix,
    _production,
    _ports,
    _disk,
)
