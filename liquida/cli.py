"""The command line. Each command imports what it runs, so that ``--help`` is instant."""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from models.errors import LiquidaError

app = typer.Typer(
    name="liquida", no_args_is_help=True, add_completion=False, help="Settlement between crypto and reais."
)
users = typer.Typer(no_args_is_help=True, help="Users and their API keys.")
wallet = typer.Typer(no_args_is_help=True, help="The system wallet.")
app.add_typer(users, name="user")
app.add_typer(wallet, name="wallet")


class Queue(StrEnum):
    SETTLEMENT = "settlement"
    CUSTODY = "custody"
    CHAIN = "chain"
    PAYMENTS = "payments"


@app.command()
def up() -> None:
    """Start the whole system on this machine; Ctrl-C stops it, the next start goes on from there."""
    from liquida.stack.up import up as run

    _run(run(_settings(adopted=False)))


@app.command()
def demo() -> None:
    """Start the system, run trades, print what happened, stop. Fails if any trade ended otherwise than told."""
    from liquida.demo import run

    _run(run())


@app.command()
def api() -> None:
    """Serve the HTTP API."""
    from liquida.serve import run

    _run(run(_settings()))


@app.command()
def worker(
    queue: Annotated[list[Queue] | None, typer.Option(help="Serve only this queue; may be repeated.")] = None,
) -> None:
    """Serve task queues: all of them, or those named."""
    from liquida.worker import QUEUES, run

    _run(run(_settings(), tuple(map(str, queue)) if queue else QUEUES))


@app.command()
def migrate() -> None:
    """Bring the database to the latest schema and to the networks that settings name."""
    from liquida.wiring import install

    revision = _run(install(_settings()))
    print(f"database is at revision {revision}")


@app.command()
def doctor() -> None:
    """Check every part and say what is wrong and what to do."""
    from liquida.doctor import doctor as examine
    from liquida.doctor import render

    findings = _run(examine(_settings()))
    render(findings)
    if any(finding.failed for finding in findings):
        _exit(1)


@app.command()
def check() -> None:
    """Check the laws of the books on the live database; fails, naming rows, if one is broken."""
    from liquida.accounts import broken_laws

    broken = _run(broken_laws(_settings().database_url))
    print(json.dumps(broken, indent=2) if broken else "every law of the books holds")
    if broken:
        _exit(1)


@app.command()
def openapi() -> None:
    """Print the API's OpenAPI document."""
    from api.app import document

    print(json.dumps(document(), indent=2))


@app.command("map")
def draw_map() -> None:
    """Write docs/map.md: which files speak of which noun."""
    from liquida.map import write

    print(write())


@users.command("add")
def add_user(email: str, role: str = "user") -> None:
    """Add a user and print an API key, this once. A password, if wanted, is read from LIQUIDA_PASSWORD."""
    from liquida.accounts import add

    user_id, key = _run(
        add(_settings().database_url, email=email, role=role, password=os.environ.get("LIQUIDA_PASSWORD"))
    )
    print(json.dumps({"user_id": user_id, "api_key": key}))


@wallet.command("init")
def init_wallet() -> None:
    """Make a new seed, sealed in the wallet file. Its 24 words are shown this once: write them down."""
    from chains.keys.sealed_file import SealedFile

    settings = _settings()
    words = SealedFile(settings.wallet_file, settings.wallet_passphrase).create()
    print(words.get_secret_value())


@wallet.command("restore")
def restore_wallet() -> None:
    """Seal the wallet of 24 words that you have: the same words give the same addresses."""
    from pydantic import SecretStr

    from chains.keys.sealed_file import SealedFile

    settings = _settings()
    words = SecretStr(typer.prompt("the 24 words", hide_input=True))
    file = SealedFile(settings.wallet_file, settings.wallet_passphrase)
    file.import_words(words)
    print(f"sealed in {settings.wallet_file}; wallet id {file.wallet_id}")


@wallet.command("house")
def house_addresses() -> None:
    """Print the house's own address on each network: fund these, they pay for gas and refunds."""
    from liquida.accounts import house_addresses as find

    print(json.dumps(_run(find(_settings().database_url)), indent=2))


def main() -> None:
    """The program's entry: every foreseen fault is one sentence and exit code 1."""
    try:
        app(standalone_mode=False)
    except typer.Exit as leaving:
        _exit(leaving.exit_code)
    except typer.Abort:
        _exit(130)
    except LiquidaError as error:
        _fail(f"{error.title}: {error.detail}")
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(["LIQUIDA", *map(str, fault["loc"])]).upper()
            print(f"{name}: {fault['msg']}", file=sys.stderr)
        _fail("settings are not usable; .env.example explains each")
    except typer._click.ClickException as error:  # noqa: SLF001 typer's own name for it
        error.show()
        _exit(error.exit_code)


def _settings(*, adopted: bool = True) -> Any:
    from liquida.logging import configure
    from liquida.settings import settings
    from liquida.stack.environment import adopt

    found = adopt(settings()) if adopted else settings()
    configure(level=found.log_level, json=found.log_json)
    return found


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def _fail(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    _exit(1)


def _exit(code: int) -> None:
    """Leave at once: the Temporal SDK's threads may otherwise change the exit code on the way out."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
