"""Completed OTC sells per second, against no-op workflows of the same shape on the same server in the same run.

Same shape: a parent with two activities and two children, of three activities and of one; no activity does
anything. Chain and bank are doubles that take no time, so the ratio says what our own code and PostgreSQL cost on
top of Temporal. Rounds of both alternate, because machines are noisy. The last line is ``RESULT {json}``.
"""

import asyncio
import base64
import json
import os
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.worker import Worker

from activities.chain import ChainActivities
from activities.custody import CustodyActivities
from activities.instant_trade import InstantTradeActivities
from activities.pix import PixActivities
from api.engine import Defaults, deliver
from bench.doubles import RICH, InstantBank, InstantChain, InstantSigner
from bench.noop import NoopPayout, NoopTrade, NoopTransfer, noop
from liquida import database, wiring
from liquida.settings import NetworkSettings, Settings
from liquida.stack.ports import free_port
from liquida.stack.postgres import Postgres
from liquida.stack.temporal import Temporal
from liquida.worker import worker_for
from models.assets import NATIVE_ASSETS, Family
from models.bank_data import writes as bank_data
from models.bank_data.types import NewKeyRule, Payee
from models.document import writes as documents
from models.document.types import Holder
from models.ids import new_id
from models.instant_trade import writes as trades
from models.ledger.chart import Purpose, available, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.quote import rules
from models.quote import writes as quotes
from models.quote.types import Funding, LockedSide, Quote, Rates
from models.user import writes as users
from models.wallet import allocate
from workflows.options import CHAIN, CUSTODY, PAYMENTS, SETTLEMENT

TRADES = int(os.environ.get("BENCH_TRADES", "60"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
CONCURRENT = 20
ETH = NATIVE_ASSETS["ETH.ethereum"]
PRICE = Decimal("15000.00")
TAX_ID = "52998224725"
NEW_KEY = NewKeyRule(0, 0)


class Desk:
    """One user with coins, ready to sell."""

    def __init__(self, settings: Settings, engine: AsyncEngine, client: Client) -> None:
        self._settings, self._engine, self._client = settings, engine, client
        self._defaults: Defaults = wiring.defaults(settings)
        self._box = wiring.secret_box(settings)

    async def open(self) -> None:
        async with self._engine.begin() as conn:
            self._user = (await users.add_user(conn, email="bench@example.com")).user_id
            payee = Payee("bench@example.com", "email", "Bench", TAX_ID)
            await documents.verify(
                conn,
                self._box,
                user_id=self._user,
                holder=Holder(TAX_ID, "Bench"),
                masked="***",
                evidence="bench",
                by=self._user,
            )
            kept = await bank_data.add(conn, self._box, user_id=self._user, payee=payee, masked="b***")
            self._bank_data = kept.id
            await allocate.take(conn, network_id="ethereum", role=allocate.AddressRole.USER, user_id=self._user)
            coins, desk = available(self._user, ETH.id), house(Purpose.DESK, ETH.id)
            await post(conn, move("bench", Kind.FUNDING, "bench", desk, coins, RICH))

    async def sell(self) -> None:
        """Accept a trade as the API does, and wait for its workflow's end."""
        now, trade_id = datetime.now(UTC), new_id()
        parts = rules.sell_amount(10**16, PRICE, ETH, Rates(300, 25, 1_000, 10**9, 500))
        quote = Quote(
            id=new_id(),
            user_id=self._user,
            operation="sell",
            asset_id=ETH.id,
            network_id="ethereum",
            funding=Funding.CUSTODY,
            locked_side=LockedSide.AMOUNT,
            amount_units=parts.amount_units,
            price=PRICE,
            gross_centavos=parts.gross_centavos,
            spread_centavos=parts.spread_centavos,
            network_fee_centavos=parts.network_fee_centavos,
            total_centavos=parts.total_centavos,
            return_min_centavos=500,
            refund_address=None,
            created_at=now,
            expires_at=now + timedelta(seconds=30),
        )
        async with self._engine.begin() as conn:
            await quotes.add(conn, quote)
            used = await quotes.use(conn, quote_id=quote.id, user_id=self._user, now=now)
            ids = await trades.accept(
                conn,
                used,
                box=self._box,
                trade_id=trade_id,
                bank_data_id=self._bank_data,
                new_key=NEW_KEY,
                terms=wiring.terms(self._settings),
                waits=wiring.waits(self._settings),
                now=now,
            )
        await deliver(self._engine, self._client, self._defaults, ids=ids)
        ended = await self._client.get_workflow_handle(trades.workflow_id(trade_id)).result()
        if ended != "completed":
            raise SystemExit(f"a trade ended as {ended}")


class Spent(dict[str, float]):
    """CPU seconds by part, over all rounds of one kind."""

    def per_trade(self) -> dict[str, int]:
        return {part: round(1000 * seconds / (TRADES * ROUNDS)) for part, seconds in self.items()}


class Meter:
    """Where the CPU goes: this process (client, worker, our code), Temporal, PostgreSQL with its backends."""

    def __init__(self, postgres_pid: int, temporal_pid: int) -> None:
        self._parts = {
            "python": psutil.Process(),
            "temporal": psutil.Process(temporal_pid),
            "postgres": psutil.Process(postgres_pid),
        }

    async def during(self, work: Awaitable[float], spent: Spent) -> float:
        before = self._seconds()
        result = await work
        for part, seconds in self._seconds().items():
            spent[part] = spent.get(part, 0) + seconds - before[part]
        return result

    def _seconds(self) -> dict[str, float]:
        family = {
            part: [process, *(process.children() if part == "postgres" else ())]
            for part, process in self._parts.items()
        }
        return {
            part: sum(times.user + times.system for times in (one.cpu_times() for one in members))
            for part, members in family.items()
        }


async def per_second(one: Callable[[], Awaitable[None]]) -> float:
    gate = asyncio.Semaphore(CONCURRENT)

    async def gated() -> None:
        async with gate:
            await one()

    started = time.monotonic()
    await asyncio.gather(*(gated() for _ in range(TRADES)))
    return TRADES / (time.monotonic() - started)


async def measure(directory: Path) -> dict[str, object]:
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
        for worker in await workers(client, engine, settings):
            await stack.enter_async_context(worker)
        desk = Desk(settings, engine, client)
        await desk.open()

        async def idle() -> None:
            name = new_id()
            await client.execute_workflow(NoopTrade.run, name, id=f"noop/{name}", task_queue=SETTLEMENT)

        for warm_up in (idle, desk.sell):
            await asyncio.gather(*(warm_up() for _ in range(5)))
        ours, baseline = [], []
        spent = {"no-op": Spent(), "OTC sell": Spent()}
        meter = Meter(postgres.process.pid, temporal.process.pid)
        for _ in range(ROUNDS):
            baseline.append(await meter.during(per_second(idle), spent["no-op"]))
            ours.append(await meter.during(per_second(desk.sell), spent["OTC sell"]))
            print(f"no-op {baseline[-1]:6.1f}/s   OTC sell {ours[-1]:6.1f}/s   ratio {ours[-1] / baseline[-1]:.2f}")
        async with engine.connect() as conn:
            statement = text("SELECT count(*) FROM instant_trades WHERE status = 'completed'")
            completed = (await conn.execute(statement)).scalar_one()
        for name, seconds in spent.items():
            print(f"CPU ms per {name:8}: " + ", ".join(f"{part} {ms}" for part, ms in seconds.per_trade().items()))
        ratios = [mine / base for mine, base in zip(ours, baseline, strict=True)]
        return {
            "bench": "otc_sell",
            "otc_sells_per_second": round(statistics.median(ours), 1),
            "noop_per_second": round(statistics.median(baseline), 1),
            "ratio": round(statistics.median(ratios), 2),
            "completed": completed,
            "concurrent": CONCURRENT,
            "cpu_ms_per_trade": {name: seconds.per_trade() for name, seconds in spent.items()},
        }


async def workers(client: Client, engine: AsyncEngine, settings: Settings) -> list[Worker]:
    found = await wiring.catalogue(engine)
    chain = ChainActivities(engine, found, {"ethereum": InstantChain()}, gas_price_most=500 * 10**9)
    custody = CustodyActivities(
        engine, found, {Family.EVM: InstantSigner()}, wallet_id="bench", gas_price_most=500 * 10**9
    )
    await custody.fill_address_pool(5)
    books = InstantTradeActivities(engine)
    pix = PixActivities(engine, wiring.secret_box(settings), {"sandbox": InstantBank()})
    parts = {
        SETTLEMENT: [books.advance, books.operate, noop],
        CUSTODY: [custody.sign, noop],
        CHAIN: [chain.prepare, chain.broadcast, chain.observe, noop],
        PAYMENTS: [pix.settle, noop],
    }
    return [
        worker_for(client, queue, wiring.QueueParts(served), more=(NoopTrade, NoopTransfer, NoopPayout))
        for queue, served in parts.items()
    ]


def main() -> None:
    with TemporaryDirectory(prefix="liquida-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        result = asyncio.run(measure(directory))
    print("RESULT " + json.dumps(result), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
