"""Python clients of the ledger, in processes of their own, so that their CPU is theirs and can be told.

A crew of two is started once. Each measurement gives one or both of them a job; they connect, warm up, say so, and
post until the time is over, so that both begin together.
"""

import asyncio
import multiprocessing
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import uvloop

from liquida import database
from models.errors import LiquidaError
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
    """``replays``: the share of calls that repeat one of the last. ``calls``: end after so many, 0: when time is over."""

    url: str
    users: int
    clients: int
    seconds: float
    batch: int = 1
    is_hot: bool = False
    replays: float = 0.0
    calls: int = 0
    half_hot: bool = False


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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join(timeout=10)

    def run(self, job: Job, *, processes: int = 1) -> list[Tally]:
        """Blocks: call it in a thread. One tally per process."""
        ends = self._ends[:processes]
        for end in ends:
            end.send(replace(job, clients=job.clients // processes, calls=job.calls // processes))
        for end in ends:
            end.recv()
        for end in ends:
            end.send("go")
        return [end.recv() for end in ends]


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
    tally = Tally()
    clients = [_Client(job, dice) for _ in range(job.clients)]
    await asyncio.gather(*(client.post(engine, Tally()) for client in clients for _ in range(WARM_UP_CALLS)))
    end.send("ready")
    end.recv()
    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client.work(engine, tally, started + job.seconds) for client in clients))
    tally.seconds, tally.cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    tally.posted = sum(client.posted for client in clients)
    await engine.dispose()
    return tally


class _Client:
    def __init__(self, job: Job, dice: random.Random) -> None:
        self._job, self._dice = job, dice
        self._calls = job.calls // job.clients
        self._accounts = [available(user_id(number), ASSET) for number in range(job.users)]
        self._desk = house(Purpose.DESK, ASSET)
        self._last: deque[list[Transaction]] = deque(maxlen=REMEMBERED)
        self.posted = 0

    async def work(self, engine: database.AsyncEngine, tally: Tally, until: float) -> None:
        while (self._calls and (left := self._calls)) or time.perf_counter() < until:
            await self.post(engine, tally)
            if self._calls:
                self._calls = left - 1
                if not self._calls:
                    return

    async def post(self, engine: database.AsyncEngine, tally: Tally) -> None:
        if self._last and self._job.replays and self._dice.random() < self._job.replays:
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
        reference = f"{self._dice.getrandbits(128):032x}"
        return move(f"{reference}/bench", Kind.TRANSFER, reference, source, target, 1)

    def _pair(self) -> tuple[Account, Account]:
        pick = int(self._dice.random() * len(self._accounts))
        one = self._accounts[pick]
        if self._job.is_hot or (self._job.half_hot and self._dice.random() < 0.5):
            return (one, self._desk) if self._dice.random() < 0.5 else (self._desk, one)
        step = 1 + int(self._dice.random() * (len(self._accounts) - 1))
        return one, self._accounts[(pick + step) % len(self._accounts)]
