"""``liquida ledger ...``: reading and proving the books."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from liquida.cli_common import At, finish, leave, read_settings

app = typer.Typer(no_args_is_help=True, help="The ledger: prove it, read it, export it.")


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.command()
def verify(
    anchor: Annotated[str | None, typer.Option(help="NUMBER:HASH of a seal you kept elsewhere.")] = None,
) -> None:
    """Recompute everything; name the first bad row, and fail, if the books are not what they were."""
    from liquida.ledger_verify import verify as examine

    if not finish(examine(read_settings().database_url, anchor=anchor)):
        leave(1)


@app.command()
def seal() -> None:
    """Seal what was posted until now; the schedule does so every minute."""
    from liquida.ledger_verify import seal as close

    print(json.dumps(finish(close(read_settings().database_url))))


@app.command("trial-balance")
def trial_balance(at: At = None, form: Annotated[Format, typer.Option("--format")] = Format.TABLE) -> None:
    """Every account's balance at an instant; each asset sums to zero."""
    from liquida.ledger_reports import trial_balance as report

    finish(report(read_settings().database_url, at=at, as_json=form is Format.JSON))


@app.command()
def holds(form: Annotated[Format, typer.Option("--format")] = Format.TABLE) -> None:
    """What is held, because of what, and for how long."""
    from liquida.ledger_reports import hold_ages

    finish(hold_ages(read_settings().database_url, as_json=form is Format.JSON))


@app.command()
def export(to: Path) -> None:
    """Write the whole ledger as a beancount journal, which bean-check proves without us."""
    from liquida.ledger_reports import export as write

    finish(write(read_settings().database_url, to))
