"""Transfers per second of the ledger, beside raw SQL that writes the same rows and beside peers, on one PostgreSQL.

The server is the bench's own, its fsync on. Every measurement starts from a fresh copy of one settled database, so
none inherits another's bloat, and its books are checked afterwards: a bench that loses money is void. Rounds go
through all rows in turn, because machines are noisy. ``--quick`` shows in a minute, with fsync off, that all of it
works; its figures say little. The last line is ``RESULT {json}``.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.ledger_books import Server, Void
from bench.ledger_clients import PROCESSES, Crew
from bench.ledger_growth import Growth
from bench.ledger_hordak import Hordak, NotInstalled
from bench.ledger_loads import Load, Loads
from bench.ledger_report import Ratio, Row, Table, show_ratios
from liquida.stack.ports import free_port
from liquida.stack.postgres import Postgres

BATCH, LARGE_BATCH = 50, 500
REPLAYS = 0.1
SYNCS = 200
PER_S, SHARE = 20_000, 0.7
RECORDED, RECORDED_HOT = 4_700, 1_800
"""Transfers per second that pgledger's SQL function reached from pgbench with 8 clients, on a machine of 2 cores; it
is no package, so it is not measured again."""
SINGLE, SINGLE_HOT, RAW = "single", "single, hot account", "raw single"
BATCHED, BATCHED_HOT, BATCHED_LARGE = f"batched {BATCH}", f"batched {BATCH}, hot account", f"batched {LARGE_BATCH}"
RAW_BATCHED = f"raw batched {BATCH}"
REPLAYED, SEALED = "single, 10 % replays", "single, sealing meanwhile"
DOOR, DOOR_HOT = "ledger_post from pgbench", "ledger_post from pgbench, hot"
TPCB, HORDAK, HORDAK_HOT = "TPC-B at scale 1, hot row", "django-hordak", "django-hordak, hot account"


@dataclass(frozen=True)
class Plan:
    """How long a run takes. ``few`` and ``many`` are clients.

    ``trials``: short rounds that choose how many processes our clients are.
    ``is_whole``: on disk, with many clients, larger batches, growth, and the peer that is installed first.
    """

    users: int
    few: int
    many: int
    rounds: int
    seconds: float
    trials: int
    trial_seconds: float
    is_whole: bool


WHOLE = Plan(users=10_000, few=8, many=32, rounds=3, seconds=3.5, trials=2, trial_seconds=2.0, is_whole=True)
QUICK = Plan(users=200, few=2, many=0, rounds=1, seconds=0.5, trials=0, trial_seconds=0.0, is_whole=False)


def rows_of(plan: Plan, loads: Loads, *, with_peer: bool) -> list[tuple[str, int, Load]]:
    """Compared rows stand side by side, so that they meet the same weather."""
    few, many = plan.few, plan.many
    rows: list[tuple[str, int, Load]] = [
        (RAW, few, loads.raw("raw_single")),
        (DOOR, few, loads.door("post_single")),
        (SINGLE, few, loads.posting()),
        (REPLAYED, few, loads.posting(replays=REPLAYS)),
        (SEALED, few, loads.posting(is_sealing=True)),
        (SINGLE_HOT, few, loads.posting(hot=1.0)),
        (DOOR_HOT, few, loads.door("post_single_hot", hot=True)),
        (TPCB, few, loads.tpcb),
        (RAW_BATCHED, few, loads.raw("raw_batched", batch=BATCH)),
        (BATCHED, few, loads.posting(batch=BATCH)),
        (BATCHED_HOT, few, loads.posting(batch=BATCH, hot=1.0)),
    ]
    if plan.is_whole:
        rows += [
            (BATCHED_HOT, many, loads.posting(batch=BATCH, hot=1.0)),
            (BATCHED, many, loads.posting(batch=BATCH)),
            (RAW_BATCHED, many, loads.raw("raw_batched", batch=BATCH)),
            (BATCHED_LARGE, few, loads.posting(batch=LARGE_BATCH)),
            (RAW, many, loads.raw("raw_single")),
            (SINGLE, many, loads.posting()),
            (SINGLE_HOT, many, loads.posting(hot=1.0)),
            (TPCB, many, loads.tpcb),
        ]
    if with_peer:
        rows += [(HORDAK, few, loads.peer(hot=False)), (HORDAK_HOT, few, loads.peer(hot=True))]
    return rows


def ratios_of(plan: Plan, table: Table, growth: Growth | None, *, with_peer: bool) -> list[Ratio]:
    few, many = partial(table.rate, clients=plan.few), partial(table.rate, clients=plan.many)
    share = few(BATCHED) / few(RAW_BATCHED)
    most = max(few(name) for name in (BATCHED, BATCHED_LARGE) if table.has(name, plan.few))
    ratios = [
        Ratio("single_vs_raw", few(SINGLE) / few(RAW), 0.5),
        Ratio("batched_per_s", most, PER_S, is_excused=share >= SHARE, words=" or the next"),
        Ratio("batched_vs_raw_batched", share, SHARE, is_excused=most >= PER_S, words=" or the last"),
        Ratio("hot_vs_uniform_batched", few(BATCHED_HOT) / few(BATCHED), 0.9),
        Ratio("duplicates_cost", 1 - few(REPLAYED) / few(SINGLE), 0.1, is_most=True),
        Ratio("sealing_p99", table.p99(SEALED, plan.few) / table.p99(SINGLE, plan.few)),
        Ratio("vs_tpcb_hot", few(SINGLE_HOT) / few(TPCB), 1.0),
        Ratio("door_vs_raw", few(DOOR) / few(RAW)),
    ]
    if plan.is_whole:
        ratios += [
            Ratio("single32_vs_raw32", many(SINGLE) / many(RAW), 0.5),
            Ratio("hot32_vs_hot8", many(BATCHED_HOT) / few(BATCHED_HOT), 0.8),
            Ratio("hot32_vs_hot8_single", many(SINGLE_HOT) / few(SINGLE_HOT), 0.8),
            Ratio("vs_tpcb_hot32", many(SINGLE_HOT) / many(TPCB), 1.0),
            Ratio("vs_recorded", few(DOOR) / RECORDED, 2.0),
            Ratio("vs_recorded_hot", few(DOOR_HOT) / RECORDED_HOT, 5.0),
        ]
    if with_peer:
        ratios += [
            Ratio("vs_hordak", few(SINGLE) / few(HORDAK), 2.0),
            Ratio("vs_hordak_hot", few(SINGLE_HOT) / few(HORDAK_HOT), 2.0),
        ]
    return ratios + ([] if growth is None else growth.ratios())


class Bench:
    """One run: the table that fills, and how many client processes each kind of row has."""

    def __init__(self, plan: Plan, loads: Loads, *, with_peer: bool) -> None:
        self._plan, self._loads, self._with_peer = plan, loads, with_peer
        self._processes: dict[str, int] = {}
        self.trials: dict[str, dict[str, int]] = {}
        self.table = Table()

    async def measure(self) -> None:
        await self._choose_processes()
        for number in range(self._plan.rounds):
            print(f"round {number + 1} of {self._plan.rounds}", flush=True)
            for name, clients, load in rows_of(self._plan, self._loads, with_peer=self._with_peer):
                processes = self._processes.get(name.split()[0].removesuffix(","), 1)
                await load(self.table.row(name, clients, processes), self._plan.seconds)

    async def _choose_processes(self) -> None:
        """One client process or two: whichever gets more done, and the same for all rows that are compared."""
        candidates = {"single": self._loads.posting(), "batched": self._loads.posting(batch=BATCH)}
        if self._with_peer:
            candidates["django-hordak"] = self._loads.peer(hot=False)
        for kind, load in candidates.items():
            rows = [Row(kind, self._plan.few, processes) for processes in range(1, PROCESSES + 1)]
            for _ in range(self._plan.trials):
                for row in rows:
                    await load(row, self._plan.trial_seconds)
            if self._plan.trials:
                self._processes[kind] = max(rows, key=lambda row: row.per_second).processes
                self.trials[kind] = {str(row.processes): round(row.per_second) for row in rows}
                print(f"{kind} with 1 and 2 client processes: {self.trials[kind]}", flush=True)


async def measure(plan: Plan, directory: Path, crew: Crew) -> dict[str, object]:
    started = time.monotonic()
    postgres = Postgres(directory, port=free_port(), durable=plan.is_whole)
    await postgres.start()
    try:
        server = Server(postgres)
        machine = await describe(server, directory)
        print("machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
        template = await server.settle("settled", users=plan.users)
        hordak = await peer(server, directory) if plan.is_whole else None
        loads = Loads(server, template, crew, hordak)
        bench = Bench(plan, loads, with_peer=hordak is not None)
        await bench.measure()
        growth = None
        if plan.is_whole:
            growth = Growth(server, crew)
            await growth.measure()
    finally:
        await postgres.stop()
    ratios = ratios_of(plan, bench.table, growth, with_peer=hordak is not None)
    bench.table.show()
    if growth is not None:
        growth.show()
    show_ratios(ratios)
    return {
        "bench": "ledger",
        "machine": machine,
        "rows": bench.table.figures(),
        "ratios": {ratio.name: ratio.figures() for ratio in ratios},
        "client_processes": bench.trials,
        "growth": None if growth is None else growth.figures(),
        "seal_seconds": round(statistics.median(loads.seal_seconds), 2),
        "failures": bench.table.failures(),
        "seconds": round(time.monotonic() - started),
    }


async def peer(server: Server, directory: Path) -> Hordak | None:
    hordak = Hordak(directory)
    try:
        await asyncio.to_thread(hordak.install)
    except NotInstalled as reason:
        print(f"django-hordak is left out: {reason}", flush=True)
        return None
    await hordak.settle(server)
    return hordak


async def describe(server: Server, directory: Path) -> dict[str, str]:
    return {
        "cores": str(os.cpu_count()),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "PostgreSQL": await server.setting("server_version"),
        "fsync": await server.setting("fsync"),
        "a sync to disk, ms": f"{await asyncio.to_thread(sync_ms, directory):.2f}",
    }


def sync_ms(directory: Path) -> float:
    """The median of writing a page and waiting until it is on disk, as each commit must."""
    taken = []
    with (directory / "synced").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            started = time.perf_counter()
            file.write(bytes(8192))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return 1_000 * statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description="Transfers per second of the ledger")
    parser.add_argument(
        "--quick", action="store_true", help="one short round without fsync, growth and django-hordak"
    )
    plan = QUICK if parser.parse_args().quick else WHOLE
    with ExitStack() as stack:
        crew = stack.enter_context(Crew())
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="liquida-bench-")))
        directory.chmod(0o755)
        try:
            result = asyncio.run(measure(plan, directory, crew))
        except Void as reason:
            sys.exit(f"void: {reason}")
    print("RESULT " + json.dumps(result), flush=True)
    if result["failures"]:
        sys.exit("calls failed that should not have: the figures are void")


if __name__ == "__main__":
    main()
