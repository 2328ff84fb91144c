"""``liquida reconcile`` at a terminal: start the workflow, wait for it, print its classes and the day's breaks."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, date, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from liquida import database, wiring
from liquida.settings import Settings
from models.assets import BRL
from models.errors import EngineUnavailable, InvalidInput
from models.money import units_text
from models.reconciliation import queries
from models.reconciliation.queries import BreakView
from models.reconciliation.states import LIVE
from models.reconciliation.types import Class, ReconcileInput, Result, Tally, bank_day
from workflows.options import SETTLEMENT
from workflows.reconciliation import ReconcileWorkflow, reconcile_id, search_attributes

WAIT_SECONDS = 15 * 60
SHOWN_MOST = 200
WIDTH_WITHOUT_TERMINAL = 160


async def run(settings: Settings, provider: str, day: date | None) -> bool:
    """Compare the day and print it; True if the bank answered and no break but of ``timing`` is left.

    The workers do the work: this process needs no credentials.
    :raises InvalidInput: a day that has not begun, or a provider that is not compared.
    :raises EngineUnavailable: Temporal or the workers do not answer.
    """
    today = bank_day(datetime.now(UTC))
    order = ReconcileInput(provider, day or today, tries=1)
    if order.day > today:
        raise InvalidInput(f"{order.day} has not begun at the bank", field="day")
    if provider not in wiring.reconciled(settings):
        raise InvalidInput(f"compared are: {', '.join(wiring.reconciled(settings))}", field="provider")
    result = await _compare(settings, order)
    engine = database.engine(settings.database_url, pool=1)
    try:
        async with engine.connect() as conn:
            page = await queries.page(conn, limit=SHOWN_MOST, states=LIVE, provider=provider, day=order.day)
    finally:
        await engine.dispose()
    width = None if (console := Console(highlight=False)).is_terminal else WIDTH_WITHOUT_TERMINAL
    _say(Console(highlight=False, width=width) if width else console, result, page.breaks)
    return result.bank_answered and all(each.cls is Class.TIMING for each in page.breaks)


async def _compare(settings: Settings, order: ReconcileInput) -> Result:
    try:
        client: Client = await wiring.connect_temporal(settings)
        async with asyncio.timeout(WAIT_SECONDS):
            return await client.execute_workflow(
                ReconcileWorkflow.run,
                order,
                id=reconcile_id(order),
                task_queue=SETTLEMENT,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"{order.provider} {order.day.isoformat()}",
                search_attributes=search_attributes(),
            )
    except TimeoutError:
        raise EngineUnavailable(f"{reconcile_id(order)} still runs; are the workers there?") from None
    except (RPCError, RuntimeError) as error:
        raise EngineUnavailable(f"Temporal does not answer at {settings.temporal_address}") from error


def _say(console: Console, result: Result, breaks: Iterable[BreakView]) -> None:
    title = f"{result.provider}, {result.day.isoformat()}"
    if not result.bank_answered:
        console.print(f"{escape(title)}: [yellow]the bank did not answer[/]; nothing was compared")
    else:
        console.print(_classes(title, result.classes))
    if rows := list(breaks):
        console.print(_breaks(rows))
    elif result.bank_answered:
        console.print("[green]No breaks.[/]")


def _classes(title: str, classes: dict[Class, Tally]) -> Table:
    table = Table(title=escape(title), title_justify="left")
    for name in ("class", "bank lines", "ledger movements", "bank R$", "ledger R$"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for cls, tally in classes.items():
        figures = (tally.bank_centavos, tally.ledger_centavos)
        table.add_row(str(cls), str(tally.lines), str(tally.movements), *(_reais(each) for each in figures))
    totals = classes.values()
    table.add_section()
    table.add_row(
        "all",
        str(sum(tally.lines for tally in totals)),
        str(sum(tally.movements for tally in totals)),
        _reais(sum(tally.bank_centavos for tally in totals)),
        _reais(sum(tally.ledger_centavos for tally in totals)),
    )
    return table


def _breaks(rows: Iterable[BreakView]) -> Table:
    table = Table(title="breaks", title_justify="left")
    for name in ("id", "class", "age, h", "state", "bank less books, R$", "bank line", "ledger key", "hint"):
        table.add_column(name, justify="right" if "," in name else "left")
    for row in rows:
        table.add_row(
            row.id,
            str(row.cls),
            f"{row.age_hours:.1f}",
            str(row.status),
            _reais(row.amount_centavos),
            escape(row.bank.id) if row.bank else "",
            escape(row.ledger.ledger_key) if row.ledger else "",
            str(row.hint or ""),
        )
    return table


def _reais(centavos: int) -> str:
    return units_text(centavos, BRL.decimals)
