"""The ledger's reports on the command line: trial balance, ages of holds, export. Each reads one snapshot."""

import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from liquida import database
from models.errors import Broken, InvalidInput
from models.ledger import reports
from models.ledger.export import journal
from models.ledger.reports import HOUSE, HoldAges, TrialLine, TrialTotal
from models.money import units_text
from models.network import queries as network_queries

WIDTH_WITHOUT_TERMINAL = 160
_UNITS_OF_TIME = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


async def trial_balance(url: str, *, at: datetime | None = None, as_json: bool = False) -> None:
    """Print every account's balance at an instant (None: now): what we own as debit, what we owe as credit.

    The table sums users by asset and purpose; JSON lists each of them.

    :param at: UTC if it says nothing; a transaction of that very instant counts.
    :raises Broken: an asset does not sum to zero; printed all the same.
    """
    instant = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
    async with _snapshot(url) as conn:
        lines = await reports.trial_balance(conn, instant=instant, each_user=as_json)
        decimals = await network_queries.decimals(conn)
    sums = reports.totals(lines)
    if as_json:
        _say(json.dumps(_trial_json(lines, sums, decimals, instant), indent=2))
    else:
        _print(_trial_table(lines, sums, decimals, instant))
    for total in sums:
        if total.debit != total.credit:
            off = units_text(total.credit - total.debit, decimals[total.asset])
            raise Broken(f"{total.asset} sums to {off} instead of zero; run liquida ledger verify")


async def hold_ages(url: str, *, as_json: bool = False) -> None:
    """Print what is held, because of what and for how long, and whether the ledger holds just that.

    :raises Broken: the ledger holds more or less of an asset than its parts; printed all the same.
    """
    async with _snapshot(url) as conn:
        found = await reports.hold_ages(conn)
        decimals = await network_queries.decimals(conn)
    if as_json:
        _say(json.dumps(_holds_json(found, decimals), indent=2))
    else:
        _print(_ages_table(found, decimals), _oldest_table(found, decimals), _checks_table(found, decimals))
    for check in found.checks:
        if not check.agrees:
            booked = units_text(check.ledger_units, decimals[check.asset])
            parts = units_text(check.parts_units, decimals[check.asset])
            raise Broken(f"{check.asset}: {booked} is held in the ledger, but its parts sum to {parts}")


async def export(url: str, path: Path) -> None:
    """Write the ledger as a beancount journal to ``path``: whole, or not at all.

    :raises InvalidInput: the file cannot be written.
    :raises Refused: an amount is too long for beancount.
    """
    lines = 0
    async with _snapshot(url) as conn:
        try:
            with _whole_file(path) as file:
                async for line in journal(conn):
                    file.write(f"{line}\n")
                    lines += 1
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror}") from error
    _say(f"{lines} lines written to {path}; prove them with: bean-check {path}")


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that sees the database as it is now, however long it reads, and writes nothing."""
    engine = database.engine(url, pool=1)
    try:
        async with engine.connect() as conn:
            await conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield conn
    finally:
        await engine.dispose()


@contextmanager
def _whole_file(path: Path) -> Iterator[TextIO]:
    """Beside first, then one rename: half a journal would look like a whole one."""
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")


def _print(*tables: Table) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_WITHOUT_TERMINAL)
    for table in tables:
        console.print(table)


def _table(title: str, *columns: str, right: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _trial_table(
    lines: list[TrialLine], sums: list[TrialTotal], decimals: Mapping[str, int], instant: datetime | None
) -> Table:
    when = "now" if instant is None else instant.astimezone(UTC).isoformat()
    table = _table(f"trial balance: {when}", "asset", "account", "debit", "credit", right=("debit", "credit"))
    for total in sums:
        places = decimals[total.asset]
        for line in lines:
            if line.asset == total.asset:
                debit = units_text(line.debit, places) if line.debit else ""
                credit = "" if line.debit else units_text(line.credit, places)
                table.add_row(escape(line.asset), escape(f"{line.holder}: {line.purpose}"), debit, credit)
        both = units_text(total.debit, places), units_text(total.credit, places)
        table.add_row(escape(total.asset), "total", *both, style="bold", end_section=True)
    return table


def _trial_json(
    lines: list[TrialLine], sums: list[TrialTotal], decimals: Mapping[str, int], instant: datetime | None
) -> dict[str, object]:
    return {
        "at": None if instant is None else instant.astimezone(UTC).isoformat(),
        "accounts": [
            {
                "asset": line.asset,
                "owner": None if line.holder == HOUSE else line.holder,
                "purpose": line.purpose,
                "debit": units_text(line.debit, decimals[line.asset]),
                "credit": units_text(line.credit, decimals[line.asset]),
            }
            for line in lines
        ],
        "totals": [
            {
                "asset": total.asset,
                "debit": units_text(total.debit, decimals[total.asset]),
                "credit": units_text(total.credit, decimals[total.asset]),
                "is_balanced": total.debit == total.credit,
            }
            for total in sums
        ],
    }


def _ages_table(found: HoldAges, decimals: Mapping[str, int]) -> Table:
    columns = ("asset", "because", "age", "parts", "amount")
    table = _table("held, by age", *columns, right=("parts", "amount"))
    for line in found.ages:
        amount = units_text(line.units, decimals[line.asset])
        table.add_row(escape(line.asset), line.because, line.age, str(line.parts), amount)
    return table


def _oldest_table(found: HoldAges, decimals: Mapping[str, int]) -> Table:
    columns = ("asset", "because", "reference", "age", "amount")
    table = _table("the oldest", *columns, right=("age", "amount"))
    for part in found.oldest:
        amount = units_text(part.units, decimals[part.asset])
        table.add_row(escape(part.asset), part.because, escape(part.reference), _age(part.age_seconds), amount)
    return table


def _checks_table(found: HoldAges, decimals: Mapping[str, int]) -> Table:
    columns = ("asset", "held in the ledger", "sum of parts", "")
    table = _table("check", *columns, right=columns[1:3])
    for check in found.checks:
        places = decimals[check.asset]
        sides = units_text(check.ledger_units, places), units_text(check.parts_units, places)
        table.add_row(escape(check.asset), *sides, "equal" if check.agrees else "[red]DIFFERENT[/]")
    return table


def _holds_json(found: HoldAges, decimals: Mapping[str, int]) -> dict[str, object]:
    return {
        "ages": [
            {
                "asset": line.asset,
                "because": line.because,
                "age": line.age,
                "parts": line.parts,
                "amount": units_text(line.units, decimals[line.asset]),
            }
            for line in found.ages
        ],
        "oldest": [
            {
                "asset": part.asset,
                "because": part.because,
                "reference": part.reference,
                "owner": part.owner,
                "since": part.since.astimezone(UTC).isoformat(),
                "age_seconds": part.age_seconds,
                "amount": units_text(part.units, decimals[part.asset]),
            }
            for part in found.oldest
        ],
        "checks": [
            {
                "asset": check.asset,
                "ledger": units_text(check.ledger_units, decimals[check.asset]),
                "parts": units_text(check.parts_units, decimals[check.asset]),
                "is_equal": check.agrees,
            }
            for check in found.checks
        ],
    }


def _age(seconds: int) -> str:
    """``3 d 4 h``: the two largest units."""
    words: list[str] = []
    for name, length in _UNITS_OF_TIME:
        count, seconds = divmod(seconds, length)
        if count or words:
            words.append(f"{count} {name}")
    return " ".join(words[:2]) or "0 s"
