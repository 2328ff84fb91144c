"""Python clients of the ledger, in processes of their own, so that their CPU is theirs and can be told.

A crew of two is started once. Each measurement gives one or both of them a job; they connect, warm up, say so, and
post until the time is over, so that both begin together.
"""

import asyncio
import math
import multiprocessing
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida import database
from models.errors import LiquidaError
from models.ids import new_id
from models.ledger.chart import Account, Purpose, available, house
from models.ledger.post import post_alone
from models.ledger.types import Kind, Transaction, move

ASSET = "BRL"
PROCESSES = 2
WARM_UP_CALLS = 5
REMEMBERED = 100


def user_id(number: int) -> str:
    """``number`` from -1: who has an account before the others do."""
    return f"{number + 1:032x}"


@dataclass(frozen=True)
class Job:
    """What clients shall post, and for how long.

    ``hot``: the share of transfers between a user and the house's desk; the rest is among users.
    ``replays``: the share of calls that repeat one of the client's last. ``calls``: the most per client.
    """

    url: str
    users: int
    clients: int
    seconds: float = math.inf
    batch: int = 1
    hot: float = 0.0
    replays: float = 0.0
    calls: int | None = None


@dataclass
class Tally:
    """``done``: transfers asked for and answered in the measured time; ``posted``: first posted, with the warm-up."""

    done: int = 0
    posted: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies: list[int] = field(default_factory=list)
    """Microseconds, one per call."""
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return self.done / self.seconds if self.seconds else 0.0


class Crew:
    """The client processes. Leave the context to end them."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends: list[Connection] = []
        self._chosen: list[Connection] = []
        self._processes = []
        for number in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, number), daemon=True)
            process.start()
            theirs.close()
            self._ends.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join(timeout=10)

    def prepare(self, job: Job, *, processes: int) -> None:
        """Connect and warm up. Blocks, as :meth:`go` does: call them in a thread."""
        self._chosen = self._ends[:processes]
        for end in self._chosen:
            end.send(replace(job, clients=job.clients // processes))
        for end in self._chosen:
            end.recv()

    def go(self) -> list[Tally]:
        """Post. One tally per process."""
        for end in self._chosen:
            end.send("go")
        return [end.recv() for end in self._chosen]


def _serve(end: Connection, number: int) -> None:
    dice = random.Random(number)
    while True:
        try:
            job = end.recv()
        except EOFError:
            return
        end.send(uvloop.run(_work(job, end, dice)))


async def _work(job: Job, end: Connection, dice: random.Random) -> Tally:
    engine = database.engine(job.url, pool=job.clients)
    tally, warm_up = Tally(), Tally()
    clients = [_Client(job, dice) for _ in range(job.clients)]
    await asyncio.gather(*(client.post(engine, warm_up) for client in clients for _ in range(WARM_UP_CALLS)))
    end.send("ready")
    end.recv()
    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client.work(engine, tally, started + job.seconds) for client in clients))
    tally.seconds, tally.cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    tally.posted = sum(client.posted for client in clients)
    tally.failures += warm_up.failures
    await engine.dispose()
    return tally


class _Client:
    def __init__(self, job: Job, dice: random.Random) -> None:
        self._job, self._dice = job, dice
        self._accounts = [available(user_id(number), ASSET) for number in range(job.users)]
        self._desk = house(Purpose.DESK, ASSET)
        self._last: deque[list[Transaction]] = deque(maxlen=REMEMBERED)
        self.posted = 0

    async def work(self, engine: AsyncEngine, tally: Tally, until: float) -> None:
        calls = 0
        while calls != self._job.calls and time.perf_counter() < until:
            await self.post(engine, tally)
            calls += 1

    async def post(self, engine: AsyncEngine, tally: Tally) -> None:
        if self._last and self._dice.random() < self._job.replays:
            transactions = self._dice.choice(self._last)
        else:
            transactions = [self._transfer() for _ in range(self._job.batch)]
            if self._job.replays:
                self._last.append(transactions)
        started = time.perf_counter_ns()
        try:
            fresh = await post_alone(engine, *transactions)
        except LiquidaError as error:
            tally.failures[type(error).__name__] += 1
            return
        tally.latencies.append((time.perf_counter_ns() - started) // 1_000)
        tally.done += len(fresh)
        self.posted += sum(fresh)

    def _transfer(self) -> Transaction:
        source, target = self._pair()
        reference = new_id()
        return move(f"{reference}/bench", Kind.TRANSFER, reference, source, target, 1)

    def _pair(self) -> tuple[Account, Account]:
        roll, users = self._dice.random, len(self._accounts)
        place = int(roll() * users)
        one = self._accounts[place]
        if roll() < self._job.hot:
            return (one, self._desk) if roll() < 0.5 else (self._desk, one)
        return one, self._accounts[(place + 1 + int(roll() * (users - 1))) % users]
