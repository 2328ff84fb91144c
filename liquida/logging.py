"""Structured logs in which no person and no secret can be read."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_NAMES = re.compile(
    r"cpf|cnpj|tax_id|pix_key(?!_kind)|holder|password|passphrase|secret|seed|mnemonic|private|api_key|token|authorization|raw",
    re.IGNORECASE,
)
SECRET_SHAPES = re.compile(
    r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b"  # CPF as written
    r"|\b\d{2}\.?[0-9A-Z]{3}\.?[0-9A-Z]{3}/[0-9A-Z]{4}-\d{2}\b"  # CNPJ as written
    r"|(?<![\w.])\d{11}(?![\w.])"  # CPF or phone, bare
    r"|[\w.+-]+@[\w-]+\.[\w.]+"  # e-mail
    r"|\b(?:lq|whsec)_[\w+/=-]{16,}"  # our API keys, webhook secrets
    r"|\bhmac=[^\s&\"']+"  # Efí's webhook secret, in the query string
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+"  # JWT
    r"|\b(?:postgresql(?:\+\w+)?)://[^\s]+"  # database addresses carry passwords
)
HIDDEN = "[hidden]"

Event = MutableMapping[str, Any]


def redact(_logger: Any, _method: str, event: Event) -> Event:
    """Hide fields by name and, in every text, the shapes of personal data and secrets."""
    return {key: HIDDEN if SECRET_NAMES.search(key) else _cleaned(value) for key, value in event.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return SECRET_SHAPES.sub(HIDDEN, value)
    if isinstance(value, dict):
        return {
            key: HIDDEN if isinstance(key, str) and SECRET_NAMES.search(key) else _cleaned(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    return value


def configure(*, level: str, json: bool) -> None:
    """Send everything, libraries' logs too, through the redaction to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared[:2], *shared[3:5], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "uvicorn.access", "alembic", "web3", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
