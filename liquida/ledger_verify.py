"""``liquida ledger verify`` and ``liquida ledger seal``, for a person at a terminal."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from activities.ledger import seal_now
from liquida import database
from models.ledger.verify import Verdict
from models.ledger.verify import verify as examine

FINDINGS_SHOWN = 20


async def verify(database_url: str, anchor: str | None = None) -> bool:
    """Prove the books and say how it went; True if every row is what it was.

    :raises InvalidInput: the anchor is not ``NUMBER:HASH``.
    """
    console = Console(highlight=False, soft_wrap=True)
    engine = database.engine(database_url, pool=1)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("transactions", total=None)
            async with engine.connect() as conn:
                verdict = await examine(
                    conn, lambda done, total: progress.update(task, completed=done, total=total), anchor
                )
    finally:
        await engine.dispose()
    _say(console, verdict)
    return verdict.is_clean


async def seal(database_url: str) -> dict[str, Any]:
    """Seal what was posted until now; the newest seal. ``waits``: somebody has been posting for too long."""
    engine = database.engine(database_url, pool=1)
    try:
        done = await seal_now(engine)
    finally:
        await engine.dispose()
    last = done.last
    return {
        "sealed": done.sealed,
        "waits": done.waits,
        "number": last and last.number,
        "sealed_until": last and last.sealed_until.isoformat(),
        "hash": last and last.hash,
    }


def _say(console: Console, verdict: Verdict) -> None:
    examined = ", ".join(
        f"{count:,} {noun}{'' if count == 1 else 's'}"
        for noun, count in (
            ("transaction", verdict.transactions),
            ("posting", verdict.postings),
            ("seal", verdict.seals),
            ("snapshot", verdict.snapshots),
        )
    )
    if verdict.is_clean:
        console.print(f"[green]The books are right:[/] {examined}.")
        if verdict.anchor is not None:
            console.print(f"Keep this elsewhere, and give it to --anchor later: {verdict.anchor}")
        return
    console.print(f"[red]The books are wrong:[/] {examined}. What was found ({verdict.bad:,}), the first first:")
    for sentence in verdict.findings[:FINDINGS_SHOWN]:
        console.print(f"  {escape(sentence)}")
    if verdict.bad > FINDINGS_SHOWN:
        console.print(f"  and {verdict.bad - FINDINGS_SHOWN:,} more")
