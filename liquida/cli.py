"""The command line. Each command imports what it runs, so that ``--help`` is instant."""

import json
import os
import sys
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from liquida import cli_evidence, cli_ledger, cli_reconcile, cli_webhooks
from liquida.cli_common import fail, finish, leave, read_settings
from models.errors import LiquidaError

app = typer.Typer(
    name="liquida", no_args_is_help=True, add_completion=False, help="Settlement between crypto and reais."
)
users = typer.Typer(no_args_is_help=True, help="Users and their API keys.")
wallet = typer.Typer(no_args_is_help=True, help="The system wallet.")
app.add_typer(users, name="user")
app.add_typer(wallet, name="wallet")
app.add_typer(cli_ledger.app, name="ledger")
app.add_typer(cli_webhooks.app, name="webhooks")
app.add_typer(cli_evidence.app, name="evidence")
app.command()(cli_reconcile.reconcile)


class Queue(StrEnum):
    SETTLEMENT = "settlement"
    CUSTODY = "custody"
    CHAIN = "chain"
    PAYMENTS = "payments"


@app.command()
def up() -> None:
    """Start the whole system on this machine; Ctrl-C stops it, the next start goes on from there."""
    from liquida.stack.up import up as run

    finish(run(read_settings(adopted=False)))


@app.command()
def demo() -> None:
    """Start the system, run trades, print what happened, stop. Fails if any trade ended otherwise than told."""
    from liquida.demo import run

    finish(run())


@app.command()
def api() -> None:
    """Serve the HTTP API."""
    from liquida.serve import run

    finish(run(read_settings()))


@app.command()
def worker(
    queue: Annotated[list[Queue] | None, typer.Option(help="Serve only this queue; may be repeated.")] = None,
) -> None:
    """Serve task queues: all of them, or those named."""
    from liquida.worker import QUEUES, run

    finish(run(read_settings(), tuple(map(str, queue)) if queue else QUEUES))


@app.command()
def migrate() -> None:
    """Bring the database to the latest schema and to the networks that settings name."""
    from liquida.wiring import install

    revision = finish(install(read_settings()))
    print(f"database is at revision {revision}")


@app.command()
def doctor() -> None:
    """Check every part and say what is wrong and what to do."""
    from liquida.doctor import doctor as examine
    from liquida.doctor import render

    findings = finish(examine(read_settings()))
    render(findings)
    if any(finding.failed for finding in findings):
        leave(1)


@app.command()
def check() -> None:
    """Check the laws of the books on the live database; fails, naming rows, if one is broken."""
    from liquida.accounts import broken_laws

    broken = finish(broken_laws(read_settings().database_url))
    print(json.dumps(broken, indent=2) if broken else "every law of the books holds")
    if broken:
        leave(1)


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

    user_id, key = finish(
        add(read_settings().database_url, email=email, role=role, password=os.environ.get("LIQUIDA_PASSWORD"))
    )
    print(json.dumps({"user_id": user_id, "api_key": key}))


@users.command("role")
def set_role(email: str, role: str) -> None:
    """Give a user another role: user, operator, arbiter, arbiter_read or admin. It counts from the next request."""
    from liquida.accounts import set_role as give

    print(json.dumps({"user_id": finish(give(read_settings().database_url, email=email, role=role)), "role": role}))


@wallet.command("init")
def init_wallet() -> None:
    """Make a new seed, sealed in the wallet file. Its 24 words are shown this once: write them down."""
    from chains.keys.sealed_file import SealedFile

    settings = read_settings()
    words = SealedFile(settings.wallet_file, settings.wallet_passphrase).create()
    print(words.get_secret_value())


@wallet.command("restore")
def restore_wallet() -> None:
    """Seal the wallet of 24 words that you have: the same words give the same addresses."""
    from pydantic import SecretStr

    from chains.keys.sealed_file import SealedFile

    settings = read_settings()
    words = SecretStr(typer.prompt("the 24 words", hide_input=True))
    file = SealedFile(settings.wallet_file, settings.wallet_passphrase)
    file.import_words(words)
    print(f"sealed in {settings.wallet_file}; wallet id {file.wallet_id}")


@wallet.command("house")
def house_addresses() -> None:
    """Print the house's own address on each network: fund these, they pay for gas and refunds."""
    from liquida.accounts import house_addresses as find

    print(json.dumps(finish(find(read_settings().database_url)), indent=2))


def main() -> None:
    """The program's entry: every foreseen fault is one sentence and exit code 1."""
    try:
        app(standalone_mode=False)
    except typer.Exit as leaving:
        leave(leaving.exit_code)
    except typer.Abort:
        leave(130)
    except LiquidaError as error:
        fail(f"{error.title}: {error.detail}")
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(["LIQUIDA", *map(str, fault["loc"])]).upper()
            print(f"{name}: {fault['msg']}", file=sys.stderr)
        fail("settings are not usable; .env.example explains each")
    except SettingsError as error:
        fail(f"{error}; lists are JSON, and .env.example explains each")
    except typer._click.ClickException as error:  # noqa: SLF001 typer's own name for it
        error.show()
        leave(error.exit_code)
