"""``python -m payments.sandbox``: the bank as a process of its own, one SQLite file its whole memory."""

import argparse
import base64
import os
from pathlib import Path

import uvicorn

from payments.sandbox.app import DroppableProtocol, create_app
from payments.sandbox.door import Options

SECRET_BYTES_MIN = 24


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = _parser()
    arguments = parser.parse_args()
    if not arguments.api_key:
        parser.error("give --api-key or LIQUIDA_SANDBOX_API_KEY")
    if not _is_secret(arguments.webhook_secret):
        parser.error("give --webhook-secret or LIQUIDA_SANDBOX_WEBHOOK_SECRET: whsec_ and 24 bytes in base64")
    options = Options(
        database=arguments.database,
        webhook_url=arguments.webhook_url,
        opening_centavos=arguments.opening_centavos,
        settle_seconds=arguments.settle_seconds,
        slow_seconds=arguments.slow_seconds,
        return_seconds=arguments.return_seconds,
        hang_seconds=arguments.hang_seconds,
    )
    uvicorn.run(
        create_app(options, api_key=arguments.api_key, webhook_secret=arguments.webhook_secret),
        host=arguments.host,
        port=arguments.port,
        http=DroppableProtocol,
        log_level="warning",
        access_log=False,
        # Longer than callers keep an idle connection: only its moods shall cut a call short.
        timeout_keep_alive=75,
        # A hanging answer is one of the moods; it must not hold up the shutdown.
        timeout_graceful_shutdown=1,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m payments.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, created if missing")
    parser.add_argument("--webhook-url", help="without it, webhooks wait in the file")
    parser.add_argument("--api-key", default=os.environ.get("LIQUIDA_SANDBOX_API_KEY", ""))
    parser.add_argument("--webhook-secret", default=os.environ.get("LIQUIDA_SANDBOX_WEBHOOK_SECRET", ""))
    parser.add_argument("--opening-centavos", type=int, default=1_000_000_000, help="default R$ 10,000,000.00")
    parser.add_argument("--settle-seconds", type=float, default=0.2)
    parser.add_argument("--slow-seconds", type=float, default=5.0)
    parser.add_argument("--return-seconds", type=float, default=1.0)
    parser.add_argument("--hang-seconds", type=float, default=30.0)
    return parser


def _is_secret(text: str) -> bool:
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and len(secret) >= SECRET_BYTES_MIN


if __name__ == "__main__":
    main()
