"""What posting and reading a balance cost in a large ledger, against a small one beside it on the same server.

Both are there at once, so that rounds alternate. The small one is copied anew for each round: posting makes it grow.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import text

from bench import ledger_pgbench as pgbench
from bench.ledger_books import Books, Copy, Server, books, connected, seal, verify
from bench.ledger_clients import ASSET, PROCESSES, WARM_UP_CALLS, Crew, Job, user_id
from bench.ledger_report import Ratio
from models.ledger import queries
from models.ledger.chart import Account, Purpose, available, house

USERS = 2_000
SMALL, LARGE = 10_000, 1_000_000
MOST = 1.3
ROUNDS = 3
SECONDS = 2.5
READS = 2_000
BATCH = 50
FILL_CLIENTS, FILL_BATCH = 4, 500
SEALED_EVERY = 50_000
TOUCHED = 10_000

_INSTANTS = text("SELECT recorded_at FROM ledger_transactions ORDER BY random() LIMIT :most")


@dataclass
class Found:
    """Per second, and how many transactions that added."""

    per_second: float
    posted: int = 0


Measure = Callable[[Copy], Awaitable[Found]]


class Growth:
    """``per_second``: by what was measured, then by "small" and "large", one figure a round."""

    def __init__(self, server: Server, crew: Crew) -> None:
        self._server, self._crew = server, crew
        self._dice = random.Random(1)
        self._measures: dict[str, Measure] = {
            "balance of a user": partial(self._reads, self._some_user),
            "balance of the house's desk": partial(self._reads, lambda: house(Purpose.DESK, ASSET)),
            "single": partial(self._posts, batch=1),
            "batched 50": partial(self._posts, batch=BATCH),
            "raw single": self._raw,
        }
        self.per_second: dict[str, dict[str, list[float]]] = {
            name: {"small": [], "large": []} for name in self._measures
        }
        self.sizes: dict[str, int] = {}

    async def measure(self) -> None:
        begun = await self._server.settle("growth_settled", users=USERS)
        async with self._server.copy(begun, "growth_small") as small:
            await self._fill(small, SMALL)
            template = replace(begun, name="growth_small")
            async with self._server.copy(template, "growth_large") as grown:
                await self._fill(grown, LARGE)
                large = replace(grown, before=await self._books(grown))
                self.sizes = {
                    "small": (await self._books(small)).transactions,
                    "large": large.before.transactions,
                }
                posted = 0
                for _ in range(ROUNDS):
                    for name in self._measures:
                        async with self._server.copy(template, "growth_round") as copy:
                            added = await self._round(name, "small", copy)
                            await verify(copy, posted=added, among_users=True, raw=True)
                        posted += await self._round(name, "large", large)
                await verify(large, posted=posted, among_users=True, raw=True)

    def slowdown(self, name: str) -> float:
        """How much longer it takes in the large ledger; 1.0 is no longer at all."""
        found = self.per_second[name]
        return statistics.median(found["small"]) / statistics.median(found["large"])

    def ratios(self) -> list[Ratio]:
        """The worse of two each, and raw SQL's own for comparison."""
        post = max(self.slowdown("single"), self.slowdown("batched 50"))
        read = max(self.slowdown(name) for name in self.per_second if name.startswith("balance"))
        return [
            Ratio("growth_post", post, MOST, is_most=True),
            Ratio("growth_read", read, MOST, is_most=True),
            Ratio("growth_raw", self.slowdown("raw single")),
        ]

    def figures(self) -> dict[str, object]:
        rates = {
            name: {size: round(statistics.median(found)) for size, found in by_size.items()}
            for name, by_size in self.per_second.items()
        }
        return {"transactions": self.sizes, "per_second": rates}

    def show(self) -> None:
        print(
            f"\n{'per second, at transactions':34} {self.sizes['small']:>12,} {self.sizes['large']:>12,} {'ratio':>7}"
        )
        for name, found in self.per_second.items():
            rates = [round(statistics.median(found[size])) for size in ("small", "large")]
            print(f"{name:34} {rates[0]:>12} {rates[1]:>12} {self.slowdown(name):>7.2f}")

    async def _round(self, name: str, size: str, copy: Copy) -> int:
        await self._server.tidy(copy.name)
        touched = 0 if name.startswith("balance") else await self._touch(copy)
        found = await self._measures[name](copy)
        self.per_second[name][size].append(found.per_second)
        return touched + found.posted

    async def _touch(self, copy: Copy) -> int:
        """Transfers that are not timed: after a checkpoint, the first write to each page logs all of the page."""
        job = Job(copy.url, USERS, FILL_CLIENTS, batch=FILL_BATCH, calls=TOUCHED // (FILL_CLIENTS * FILL_BATCH))
        return await self._posted(job)

    async def _posted(self, job: Job) -> int:
        await asyncio.to_thread(self._crew.prepare, job, processes=min(PROCESSES, job.clients))
        return sum(tally.posted for tally in await asyncio.to_thread(self._crew.go))

    async def _fill(self, copy: Copy, target: int) -> None:
        """Half of the transfers among users, half with the desk; sealed as the schedule would."""
        present = copy.before.transactions
        while present < target:
            missing = min(target - present, SEALED_EVERY)
            clients = FILL_CLIENTS if missing >= 10 * FILL_CLIENTS * FILL_BATCH else 1
            batch = min(FILL_BATCH, max(missing // (10 * clients), 1))
            calls = max(missing // (batch * clients) - WARM_UP_CALLS, 1)
            job = Job(copy.url, USERS, clients, batch=batch, hot=0.5, calls=calls)
            present += await self._posted(job)
            await seal(copy.url)

    async def _books(self, copy: Copy) -> Books:
        async with connected(copy.url) as engine:
            return await books(engine)

    async def _posts(self, copy: Copy, *, batch: int) -> Found:
        await asyncio.to_thread(self._crew.prepare, Job(copy.url, USERS, 8, SECONDS, batch), processes=1)
        tallies = await asyncio.to_thread(self._crew.go)
        return Found(sum(tally.per_second for tally in tallies), sum(tally.posted for tally in tallies))

    async def _raw(self, copy: Copy) -> Found:
        tally = await asyncio.to_thread(
            pgbench.run, copy.owner_url, pgbench.workload("raw_single", copy.template), clients=8, seconds=SECONDS
        )
        return Found(tally.per_second, tally.posted)

    async def _reads(self, account: Callable[[], Account], copy: Copy) -> Found:
        async with connected(copy.url) as engine, engine.connect() as conn:
            instants = (await conn.execute(_INSTANTS, {"most": READS})).scalars().all()

            async def read() -> None:
                await queries.balance(conn, account(), instant=self._dice.choice(instants))

            for _ in range(READS // 4):
                await read()
            started = time.perf_counter()
            for _ in range(READS):
                await read()
            return Found(READS / (time.perf_counter() - started))

    def _some_user(self) -> Account:
        return available(user_id(self._dice.randrange(USERS)), ASSET)
