"""Open P2P trades with running timers: the worker's memory, and how late each timer comes.

A thousand trades are open at once, each with its window, in a worker of its own process. The baseline in the same run
are as many workflows that only wait for a deadline, in a worker of their own process. When its window ends, a trade
expires in one database transaction: coins back, order's amount back, history, events. The last line is
``RESULT {json}``.
"""

import argparse
import asyncio
import base64
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from pydantic import SecretStr
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from activities.p2p_trade import P2PTradeActivities
from api.engine import deliver
from bench.p2p_timer import BareTimer, late
from liquida import database, wiring
from liquida.checks import check_all
from liquida.settings import NetworkSettings, Settings
from liquida.stack.ports import free_port
from liquida.stack.postgres import Postgres
from liquida.stack.temporal import Temporal
from liquida.worker import worker_for
from models.assets import NATIVE_ASSETS
from models.ids import new_id
from models.ledger.chart import Purpose, available, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.p2p_order import queries as orders
from models.p2p_order.tables import p2p_orders
from models.p2p_order.types import P2PRules, Settlement
from models.p2p_trade import writes
from models.user import writes as users
from workflows.options import SETTLEMENT

ETH = NATIVE_ASSETS["ETH.ethereum"]
UNITS, REAIS = 10**16, 150_00
CONCURRENT = 20
MEBI = 2**20


class Market:
    """Sellers with coins, and buyers with reais: as many pairs as trades are opened at a time."""

    def __init__(self, settings: Settings, engine: AsyncEngine, client: Client, window_seconds: int) -> None:
        self._engine, self._client, self._window = engine, client, window_seconds
        self._terms, self._waits = wiring.terms(settings), wiring.waits(settings)
        self._defaults = wiring.defaults(settings)
        self._rules = P2PRules(unpaid_most=10**6)
        self._pairs: list[tuple[str, str]] = []
        """An order and who takes it."""

    async def open(self, trades: int) -> None:
        async with self._engine.begin() as conn:
            for number in range(CONCURRENT):
                seller, buyer = [
                    (await users.add_user(conn, email=f"{name}-{number}@example.com")).user_id
                    for name in ("seller", "buyer")
                ]
                for user, asset, units in ((seller, ETH.id, UNITS * trades), (buyer, "BRL", REAIS * trades)):
                    source, target = house(Purpose.DESK, asset), available(user, asset)
                    await post(conn, move(f"bench/{user}", Kind.FUNDING, "bench", source, target, units))
                order_id = new_id()
                await conn.execute(insert(p2p_orders).values(self._order(order_id, seller, trades)))
                self._pairs.append((order_id, buyer))

    def _order(self, order_id: str, seller: str, trades: int) -> dict[str, object]:
        return {
            "id": order_id,
            "user_id": seller,
            "side": "sell",
            "asset_id": ETH.id,
            "total_units": UNITS * trades,
            "available_units": UNITS * trades,
            "price_kind": "fixed",
            "price": Decimal(15_000),
            "min_centavos": 1_000,
            "max_centavos": 10_000_000,
            "settlements": [Settlement.BALANCE],
            "method_ids": [],
            "method_kinds": [],
            "window_seconds": self._window,
        }

    async def take(self, number: int) -> None:
        """As the API does: the acceptance in one transaction, then the workflow's start."""
        order_id, buyer = self._pairs[number % CONCURRENT]
        async with self._engine.begin() as conn:
            done = await writes.accept(
                conn,
                trade_id=new_id(),
                order=await orders.order(conn, order_id, lock=True),
                asset=ETH,
                wanted=writes.Take(buyer, Settlement.BALANCE, units=UNITS),
                market=None,
                rules=self._rules,
                terms=self._terms,
                waits=self._waits,
                now=datetime.now(UTC),
            )
        await deliver(self._engine, self._client, self._defaults, ids=done.messages)

    async def lags(self, trades: int) -> list[float]:
        """Wait until all have expired; how many seconds after its deadline each did."""
        statement = text(
            "SELECT extract(epoch FROM h.at - t.deadline) FROM p2p_trade_history AS h JOIN ("
            " SELECT id, created_at + make_interval(secs => window_seconds) AS deadline FROM p2p_trades) AS t"
            " ON t.id = h.trade_id WHERE h.new_status = 'expired'"
        )
        while True:
            async with self._engine.connect() as conn:
                found = [float(seconds) for seconds in (await conn.execute(statement)).scalars()]
            if len(found) == trades:
                return found
            await asyncio.sleep(0.5)


@asynccontextmanager
async def worker(arguments: Sequence[str]) -> AsyncIterator[psutil.Process]:
    """A worker in a process of its own, once it says that it serves."""
    command = [sys.executable, "-m", "bench.p2p", "--worker", *arguments]
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        await child.stdout.readline()
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        await child.wait()


async def serve(address: str, url: str) -> None:
    settings = Settings(database_url=url, temporal_address=address)
    engine = database.engine(url)
    books = P2PTradeActivities(engine)
    parts = wiring.QueueParts([books.advance, late])
    serving = worker_for(await wiring.connect_temporal(settings), SETTLEMENT, parts, more=(BareTimer,))
    async with serving:
        print("serving", flush=True)
        await asyncio.Event().wait()


async def opened(one: Callable[[int], Awaitable[None]], count: int) -> float:
    """How many a second were opened."""
    gate = asyncio.Semaphore(CONCURRENT)

    async def gated(number: int) -> None:
        async with gate:
            await one(number)

    started = time.monotonic()
    await asyncio.gather(*(gated(number) for number in range(count)))
    return count / (time.monotonic() - started)


def figures(
    process: psutil.Process, before: int, per_second: float, count: int, lags: list[float]
) -> dict[str, float]:
    at = statistics.quantiles(lags, n=100)
    grown = process.memory_info().rss - before
    return {
        "opened_per_second": round(per_second, 1),
        "worker_mib_before": round(before / MEBI, 1),
        "worker_mib_grown": round(grown / MEBI, 1),
        "worker_kib_per_open_one": round(grown / 1024 / count, 1),
        "lag_ms_p50": round(at[49] * 1000),
        "lag_ms_p95": round(at[94] * 1000),
        "lag_ms_most": round(max(lags) * 1000),
    }


async def measure(directory: Path, trades: int, window_seconds: int) -> dict[str, object]:
    postgres = Postgres(directory, port=free_port(), durable=True)
    temporal = Temporal(directory, port=free_port(), namespace="liquida", in_memory=True)
    async with AsyncExitStack() as stack:
        for part in (postgres, temporal):
            await part.start()
            stack.push_async_callback(part.stop)
        settings = Settings(
            database_url=postgres.url(),
            database_owner_url=postgres.owner_url,
            temporal_address=temporal.address,
            data_key=SecretStr(base64.b64encode(secrets.token_bytes(32)).decode()),
            networks={"ethereum": NetworkSettings(rpc_urls=["http://127.0.0.1:1"])},
        )
        await wiring.install(settings)
        engine = database.engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        client = await wiring.connect_temporal(settings)
        arguments = (temporal.address, settings.database_url)

        async with worker(arguments) as process:
            before = process.memory_info().rss
            handles = []

            async def start(_number: int) -> None:
                handles.append(
                    await client.start_workflow(
                        BareTimer.run, time.time() + window_seconds, id=f"bare/{new_id()}", task_queue=SETTLEMENT
                    )
                )

            rate = await opened(start, trades)
            lags = await asyncio.gather(*(handle.result() for handle in handles))
            baseline = figures(process, before, rate, trades, list(lags))
        show("bare timers", baseline)

        market = Market(settings, engine, client, window_seconds)
        await market.open(trades)
        async with worker(arguments) as process:
            before = process.memory_info().rss
            rate = await opened(market.take, trades)
            ours = figures(process, before, rate, trades, await market.lags(trades))
        show("P2P trades", ours)
        async with engine.connect() as conn:
            broken = await check_all(conn)
        return {
            "bench": "p2p",
            "open_at_once": trades,
            "p2p_trades": ours,
            "bare_timers": baseline,
            "lag_p95_ratio": round(ours["lag_ms_p95"] / max(1, baseline["lag_ms_p95"]), 2),
            "memory_ratio": round(ours["worker_mib_grown"] / max(0.1, baseline["worker_mib_grown"]), 2),
            "broken_laws": broken,
        }


def show(name: str, found: dict[str, float]) -> None:
    print(f"{name}: " + ", ".join(f"{what.replace('_', ' ')} {value}" for what, value in found.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.p2p", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trades: to see that it works")
    parser.add_argument("--worker", nargs=2, metavar=("TEMPORAL", "DATABASE"), help="what the bench starts itself")
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(serve(*arguments.worker))
    trades, window_seconds = (20, 4) if arguments.quick else (1_000, 90)
    with TemporaryDirectory(prefix="liquida-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        result = asyncio.run(measure(directory, trades, window_seconds))
    print("RESULT " + json.dumps(result), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
