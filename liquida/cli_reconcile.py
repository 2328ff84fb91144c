"""``liquida reconcile``: compare one bank day now, and show what came of it."""

from datetime import datetime
from typing import Annotated

import typer

from liquida.cli_common import finish, leave, read_settings

Day = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="In the bank's time (America/Sao_Paulo); today by default."),
]


def reconcile(
    provider: Annotated[str | None, typer.Option(help="By default the one that pays.")] = None, day: Day = None
) -> None:
    """Compare a day of the bank's statement with the ledger; fails if the bank is silent or anything is amiss."""
    from liquida.reconciliation_report import run

    settings = read_settings()
    if not finish(run(settings, provider or settings.pix_provider, day and day.date())):
        leave(1)
