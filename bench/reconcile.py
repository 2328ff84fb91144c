"""How often reconciliation is right, and how fast, beside a plain SQL full outer join of the same rows.

The books are those of the tests (``tests/models/reconciliation_books.py``): real providers' habits and planted
faults, whose truth is known. *match* is the pure function, in this process. *the join* is what one would write
without it: our key and the direction, in PostgreSQL, where its rows are. *whole run* stores each day's statement,
reads what is compared, matches it and writes breaks and figures, as the activities do. Rounds of all three alternate;
rates are medians. The last line is ``RESULT {json}``.
"""

import argparse
import asyncio
import gc
import hashlib
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida import database
from liquida.stack.ports import free_port
from liquida.stack.postgres import Postgres
from models.network.writes import seed
from models.reconciliation import bank_lines
from models.reconciliation.match import match
from models.reconciliation.reconcile import reconcile
from models.reconciliation.types import Class, Line, Question, Reading, bank_day
from tests.models.reconciliation_books import PROVIDER, TOLERANCE, Author, Books, Score, classes, score

LEAST = 0.99
MATCH, JOIN, RUN = "match", "the join", "whole run"

_SOURCES = """
CREATE TABLE bench_sources (
    reference text PRIMARY KEY, ledger_key text, provider text, key text, end_to_end_id text
);
CREATE INDEX ON bench_sources (key);
CREATE INDEX ON bench_sources (end_to_end_id);
CREATE OR REPLACE VIEW bank_movement_sources AS
    SELECT reference, ledger_key, provider, key, end_to_end_id FROM bench_sources;
GRANT SELECT ON bench_sources TO liquida_runtime;
"""
"""One more source, put where every source goes: in the one view."""

_ACCOUNT = """
INSERT INTO ledger_accounts (asset_id, purpose, is_constrained) VALUES ('BRL', 'pix_clearing', false) RETURNING id
"""
_JOIN = """
WITH bank AS (
    SELECT line_id, key, amount_centavos, (time AT TIME ZONE 'America/Sao_Paulo')::date AS day FROM bank_lines
        WHERE provider = 'sandbox' AND gone_at IS NULL
), ours AS (
    SELECT ledger_key, key, amount_centavos, (recorded_at AT TIME ZONE 'America/Sao_Paulo')::date AS day
        FROM bank_movements
), joined AS (
    SELECT b.line_id, o.ledger_key,
           CASE WHEN o.ledger_key IS NULL THEN 'missing_in_ledger' WHEN b.line_id IS NULL THEN 'missing_at_bank'
                WHEN b.amount_centavos <> o.amount_centavos THEN 'amount' WHEN b.day <> o.day THEN 'timing'
                ELSE 'matched' END AS class
        FROM bank AS b FULL JOIN ours AS o ON o.key = b.key AND sign(o.amount_centavos) = sign(b.amount_centavos)
)
"""
_COUNT = f"{_JOIN} SELECT class, count(*) FROM joined GROUP BY class"
_ROWS = f"{_JOIN} SELECT line_id, ledger_key, class FROM joined"


@dataclass(frozen=True)
class Plan:
    days: int
    per_day: int
    rounds: int
    seeds: Sequence[int]


WHOLE = Plan(days=5, per_day=10_000, rounds=5, seeds=range(1, 21))
QUICK = Plan(days=2, per_day=400, rounds=1, seeds=range(1, 3))


class Void(Exception):
    """What was measured did not do its work."""


class Bench:
    def __init__(self, plan: Plan, engine: AsyncEngine) -> None:
        self._plan, self._engine = plan, engine
        self.books = Author(7, days=plan.days, per_day=plan.per_day).write()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._by_day: dict[date, list[Line]] = defaultdict(list)
        for line in self.books.lines:
            self._by_day[bank_day(line.time)].append(line)

    async def measure(self) -> None:
        await self._whole_run("settle")
        await self._tidy()
        for number in range(self._plan.rounds):
            print(f"round {number + 1} of {self._plan.rounds}", flush=True)
            lines, movements = self.books.lines, self.books.movements
            started = time.perf_counter()
            found = match(lines, movements, self.books.window)
            self.seconds[MATCH].append(time.perf_counter() - started)
            if len(classes(found)) != len(lines) + len(movements):
                raise Void("some rows have no class")
            started = time.perf_counter()
            async with self._engine.connect() as conn:
                (await conn.execute(text(_COUNT))).all()
            self.seconds[JOIN].append(time.perf_counter() - started)
            started = time.perf_counter()
            await self._whole_run(f"round-{number}")
            self.seconds[RUN].append(time.perf_counter() - started)

    async def _whole_run(self, run: str) -> None:
        """Every day as the workflow does it, with the breaks of the run before there already."""
        read_at, lines, movements = self.books.window.until, 0, 0
        for day, shown in sorted(self._by_day.items()):
            async with self._engine.begin() as conn:
                await bank_lines.store(conn, provider=PROVIDER, day=day, lines=shown)
            question = Question(PROVIDER, day, Reading(read_at), run, datetime.now(UTC))
            async with self._engine.begin() as conn:
                result = await reconcile(conn, question, tolerance=TOLERANCE)
            lines += sum(tally.lines for tally in result.classes.values())
            movements += sum(tally.movements for tally in result.classes.values())
        if (lines, movements) != (len(self.books.lines), len(self.books.movements)):
            raise Void(f"{lines} lines and {movements} movements were accounted for")

    async def joined(self) -> dict[str, Class]:
        """What the join says of each row; of one that it joins several times, what it says last."""
        found: dict[str, Class] = {}
        async with self._engine.connect() as conn:
            for row in await conn.execute(text(_ROWS)):
                named = (name for name in (row.line_id, row.ledger_key) if name is not None)
                found |= dict.fromkeys(named, Class(row._mapping["class"]))
        return found

    async def _tidy(self) -> None:
        owner = database.engine(str(self._engine.url).replace("liquida_runtime", "postgres"), pool=1)
        async with owner.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
            await conn.execute(text("VACUUM (ANALYZE)"))
        await owner.dispose()

    def rate(self, name: str) -> float:
        return len(self.books.lines) / statistics.median(self.seconds[name])


async def furnish(postgres: Postgres, books: Books) -> None:
    """The movements as a ledger has them, by COPY: a bench of reconciliation need not wait for posting."""
    await database.migrate(postgres.owner_url)
    owner = database.engine(postgres.owner_url, pool=1)
    async with owner.begin() as conn:
        await seed(conn, (), ())
    await owner.dispose()
    raw = await asyncpg.connect(postgres.owner_url.replace("+asyncpg", ""))
    await raw.execute(_SOURCES)
    account = await raw.fetchval(_ACCOUNT)
    movements = sorted(books.movements, key=lambda each: (each.time, each.id))
    hashed = hashlib.sha256(b"bench").digest()
    transactions = [
        (number, each.id, "payout", each.id, hashed, each.time) for number, each in enumerate(movements, start=1)
    ]
    columns = ["id", "key", "kind", "reference", "content_hash", "recorded_at"]
    await raw.copy_records_to_table("ledger_transactions", records=transactions, columns=columns)
    postings = [(number, account, -each.amount_centavos, each.time) for number, each in enumerate(movements, start=1)]
    columns = ["transaction_id", "account_id", "amount", "recorded_at"]
    await raw.copy_records_to_table("ledger_postings", records=postings, columns=columns)
    sources = [
        (each.id, each.id, each.provider, each.key, each.end_to_end_id)
        for each in movements
        if each.provider is not None
    ]
    await raw.copy_records_to_table("bench_sources", records=sources)
    await raw.close()


def measured(plan: Plan) -> tuple[dict[Class, Score], dict[Class, Score]]:
    """Over books of other seeds, summed: of rows that have an identity, and of all as it really was."""
    known = {cls: Score() for cls in Class}
    really = {cls: Score() for cls in Class}
    for number in plan.seeds:
        books = Author(number, per_day=min(plan.per_day, 1_500)).write()
        by_id = classes(match(books.lines, books.movements, books.window))
        summed = (
            (known, score(books.where(ambiguous=False), by_id)),
            (really, score(books.events, by_id, omniscient=True)),
        )
        for total, one in summed:
            for cls in Class:
                total[cls].right += one[cls].right
                total[cls].too_many += one[cls].too_many
                total[cls].too_few += one[cls].too_few
    return known, really


def show(known: dict[Class, Score], really: dict[Class, Score], joined: dict[Class, Score]) -> None:
    print(f"\n{'':28} {'with an identity':>18} {'all, as it was':>18} {'the join':>18}")
    pair = f"{'precision':>10} {'recall':>7}"
    print(f"{'class':20} {'rows':>7} {pair} {pair} {pair}")
    for cls in Class:
        each = " ".join(_pair(one[cls]) for one in (known, really, joined))
        print(f"{cls:20} {known[cls].right + known[cls].too_few:>7} {each}")


def _pair(one: Score) -> str:
    """Of a class that is never said, nothing can be said about its precision."""
    precision = f"{one.precision:>10.4f}" if one.right + one.too_many else f"{'never said':>10}"
    return f"{precision} {one.recall:>7.4f}"


def figures(scores: dict[Class, Score]) -> dict[str, dict[str, float]]:
    return {
        str(cls): {
            "rows": one.right + one.too_few,
            "precision": round(one.precision, 4),
            "recall": round(one.recall, 4),
        }
        for cls, one in scores.items()
    }


async def measure(plan: Plan, directory: Path) -> dict[str, object]:
    started = time.monotonic()
    postgres = Postgres(directory, port=free_port(), durable=False)
    await postgres.start()
    try:
        engine = database.engine(postgres.url(), pool=2)
        bench = Bench(plan, engine)
        await furnish(postgres, bench.books)
        # A worker holds no such books: looking through them for garbage is no part of what is measured.
        gc.collect()
        gc.freeze()
        await bench.measure()
        joined = score(bench.books.where(ambiguous=False), await bench.joined())
        await engine.dispose()
    finally:
        await postgres.stop()
    known, really = measured(plan)
    show(known, really, joined)
    rates = {name: round(bench.rate(name)) for name in (MATCH, JOIN, RUN)}
    print(f"\n{len(bench.books.lines):,} lines, {len(bench.books.movements):,} movements, {plan.days} days")
    for name, rate in rates.items():
        print(f"{name:20} {rate:>10,} lines/s {rate / rates[JOIN]:>8.2f} of the join")
    worst = min(min(one.precision, one.recall) for one in known.values())
    print(
        f"lowest precision or recall of any class: {worst:.4f}, aim {LEAST}: {'met' if worst >= LEAST else 'missed'}"
    )
    return {
        "bench": "reconcile",
        "cores": os.cpu_count(),
        "lines": len(bench.books.lines),
        "movements": len(bench.books.movements),
        "lines_per_s": rates,
        "ratios": {f"{name} vs the join": round(rates[name] / rates[JOIN], 3) for name in (MATCH, RUN)},
        "with_an_identity": figures(known),
        "all_as_it_was": figures(really),
        "the_join": figures(joined),
        "worst": round(worst, 4),
        "is_met": worst >= LEAST,
        "seconds": round(time.monotonic() - started),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Precision, recall and speed of reconciliation")
    parser.add_argument("--quick", action="store_true", help="small books, one round: shows that it works")
    plan = QUICK if parser.parse_args().quick else WHOLE
    with TemporaryDirectory(prefix="liquida-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        try:
            result = asyncio.run(measure(plan, directory))
        except Void as reason:
            sys.exit(f"void: {reason}")
    print("RESULT " + json.dumps(result), flush=True)
    if not result["is_met"]:
        sys.exit("a class is found too seldom, or said too often")


if __name__ == "__main__":
    main()
