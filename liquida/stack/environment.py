"""The environment of the embedded stack's programs: addresses from the ports, secrets made once and kept."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from liquida.settings import Settings
from liquida.settings import settings as process_settings
from liquida.stack.evm_node import CHAIN_ID
from liquida.stack.ports import LOOPBACK
from liquida.stack.postgres import DATABASE, OWNER_ROLE, RUNTIME_ROLE
from models.errors import StackUnavailable

SECRETS_FILE = "secrets.env"
CONFIRMATIONS = 3


def environment(settings: Settings) -> dict[str, str]:
    """Every ``LIQUIDA_*`` variable that a program beside the embedded stack needs.

    Addresses always follow the stack's ports. What was set on purpose (environment, ``.env``, arguments)
    is passed on; secrets and the development network fill what was not. Makes ``secrets.env`` if missing.

    :raises StackUnavailable: the installation is a production one.
    """
    if settings.environment == "production":
        raise StackUnavailable("the embedded stack is for development: LIQUIDA_ENVIRONMENT is production")
    state_dir = settings.state_dir.absolute()
    chosen = {_variable(name): _text(getattr(settings, name)) for name in settings.model_fields_set}
    fallback = {
        "LIQUIDA_WALLET_FILE": str(state_dir / "wallet.sealed"),
        "LIQUIDA_NETWORKS": json.dumps({"ethereum": development_network(settings.evm_port)}),
        "LIQUIDA_API_HOST": settings.api_host,
        "LIQUIDA_PUBLIC_URL": f"http://{LOOPBACK}:{settings.api_port}",
    }
    addresses = {
        "LIQUIDA_ENVIRONMENT": settings.environment,
        "LIQUIDA_STATE_DIR": str(state_dir),
        "LIQUIDA_DATABASE_URL": _database_url(RUNTIME_ROLE, settings),
        "LIQUIDA_DATABASE_OWNER_URL": _database_url(OWNER_ROLE, settings),
        "LIQUIDA_TEMPORAL_ADDRESS": f"{LOOPBACK}:{settings.temporal_port}",
        "LIQUIDA_TEMPORAL_NAMESPACE": settings.temporal_namespace,
        "LIQUIDA_TEMPORAL_UI_URL": f"http://{LOOPBACK}:{settings.temporal_ui_port}",
        "LIQUIDA_SANDBOX_URL": f"http://{LOOPBACK}:{settings.sandbox_port}",
        "LIQUIDA_API_PORT": str(settings.api_port),
    }
    given = {name: value for name, value in chosen.items() if value}
    return fallback | development_secrets(state_dir) | given | addresses


def adopt(settings: Settings) -> Settings:
    """The settings with which a command reaches the embedded stack of its state directory.

    What was set on purpose wins; the rest of :func:`environment` is put into this process's own environment,
    so that children and ``Durations`` agree. Without a stack there, or in production, nothing changes.
    """
    if settings.environment == "production" or not (settings.state_dir / SECRETS_FILE).exists():
        return settings
    chosen = {_variable(name) for name in settings.model_fields_set}
    os.environ.update({name: value for name, value in environment(settings).items() if name not in chosen and value})
    process_settings.cache_clear()
    return process_settings()


def _database_url(role: str, settings: Settings) -> str:
    return f"postgresql+asyncpg://{role}@{LOOPBACK}:{settings.postgres_port}/{DATABASE}"


def development_network(evm_port: int) -> dict[str, object]:
    return {
        "rpc_urls": [f"http://{LOOPBACK}:{evm_port}"],
        "chain_id": CHAIN_ID,
        "confirmations": CONFIRMATIONS,
    }


def development_secrets(state_dir: Path) -> dict[str, str]:
    """The secrets of this state directory: read from ``secrets.env`` (mode 0600), made when missing.

    They are never replaced: losing the data key loses what it sealed.
    """
    file = state_dir / SECRETS_FILE
    kept = read_secrets(file)
    missing = {name: value for name, value in _fresh().items() if name not in kept}
    if missing:
        _write(file, kept | missing)
    return kept | missing


def _fresh() -> dict[str, str]:
    return {
        "LIQUIDA_DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "LIQUIDA_JWT_SECRET": secrets.token_urlsafe(48),
        "LIQUIDA_EVIDENCE_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "LIQUIDA_WALLET_PASSPHRASE": secrets.token_urlsafe(32),
        "LIQUIDA_SANDBOX_API_KEY": secrets.token_urlsafe(32),
        "LIQUIDA_SANDBOX_WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def read_secrets(file: Path) -> dict[str, str]:
    """Name and value of each line; empty when there is no file."""
    if not file.exists():
        return {}
    pairs = (line.partition("=") for line in file.read_text().splitlines() if line and line[0] != "#")
    return {name: value for name, _, value in pairs}


def _write(file: Path, values: Mapping[str, str]) -> None:
    """Beside first, then one rename: a crash leaves the old file or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# Secrets of this development installation, made by liquida up. Keep them with the database."]
    lines += [f"{name}={value}" for name, value in values.items()]
    beside = file.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write("\n".join(lines) + "\n")
        output.flush()
        os.fsync(output.fileno())
    beside.replace(file)


def _variable(field: str) -> str:
    return f"LIQUIDA_{field.upper()}"


def _text(value: object) -> str:
    """A setting as pydantic-settings reads it back from the environment."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(
            {key: item.model_dump() if hasattr(item, "model_dump") else str(item) for key, item in value.items()}
        )
    return str(value)
