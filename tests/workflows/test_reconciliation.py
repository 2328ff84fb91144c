"""The bank is compared by the calendar and by hand: real Temporal, real PostgreSQL, the sandbox bank over HTTP."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from activities.reconciliation import BankStatementActivities, ReconciliationActivities
from liquida import reconciliation_report, schedules
from liquida.database import engine as make_engine
from liquida.database import migrate
from liquida.settings import Settings
from liquida.watchman import watch_breaks
from liquida.wiring import QueueParts
from liquida.worker import RUNNER, worker_for
from models.errors import EngineUnavailable, InvalidInput
from models.payout import queries as payout_queries
from models.payout import writes as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Report
from models.quote.types import Funding
from models.reconciliation import queries
from models.reconciliation.queries import BreakView, DayView
from models.reconciliation.states import LIVE, BreakStatus
from models.reconciliation.types import Class, ReconcileInput, Result, bank_day
from payments.protocol import PayoutOrder, PayoutReport, PayoutState, PixKeyKind
from payments.sandbox_provider import SandboxProvider
from tests.models.world import COIN, World
from tests.parts import start_postgres, start_temporal
from tests.sandbox_process import SandboxProcess
from tests.workflows.test_ledger_schedules import eventually
from workflows.options import PAYMENTS, SETTLEMENT
from workflows.reconciliation import ReconcileWorkflow, reconcile_id

BANK = "sandbox"
UNKNOWN = "0" * 31 + "1"


@dataclass
class Office:
    """A desk whose payouts the sandbox bank carries out, and workers for reconciliation alone. Nothing is tolerated."""

    engine: AsyncEngine
    client: Client
    world: World
    bank: SandboxProcess
    provider: SandboxProvider
    temporal: str
    directory: Path

    @property
    def settings(self) -> Settings:
        return Settings(database_url=str(self.engine.url), temporal_address=self.temporal)

    async def pay(self, *, booked: bool = True) -> str:
        """A sale that the bank pays; with ``booked``, we learn of it. Its key."""
        trade = await self.world.sell(Funding.DEPOSIT)
        await self.world.make_final(await self.world.deposit(trade, COIN))
        await self.world.advance(trade)
        total = (await self.world.trade(trade)).total_centavos
        report = await self.send(trade, total)
        if booked:
            await self.world.submit(trade)
            await self.learn(trade, report)
        return trade

    async def send(self, key: str, centavos: int) -> PayoutReport:
        order = PayoutOrder(key, centavos, "ana@example.com", PixKeyKind.EMAIL, "Ana", "11144477735", "Liquida")
        await self.provider.payout(order)

        async def is_paid() -> bool:
            return (await self.provider.find_payout(key)).state is PayoutState.PAID

        await eventually(is_paid, "the bank to pay")
        return await self.provider.find_payout(key)

    async def learn(self, trade: str, report: PayoutReport) -> None:
        async with self.engine.begin() as conn:
            payout = await payout_queries.payout(conn, trade, lock=True)
            assert payout is not None
            news = Report(PayoutStatus.PAID, report.provider_id, report.end_to_end_id)
            await payouts.record(conn, payout, news)
        await self.world.advance(trade)

    async def reconcile(self, *, tries: int = 1) -> Result:
        """Today, as a person would."""
        order = ReconcileInput(BANK, bank_day(datetime.now(UTC)), tries, 0.2)
        return await self.client.execute_workflow(
            ReconcileWorkflow.run, order, id=reconcile_id(order), task_queue=SETTLEMENT
        )

    async def breaks(self) -> dict[str, BreakView]:
        """Those that live, by the bank's key or the ledger's."""
        async with self.engine.connect() as conn:
            page = await queries.page(conn, limit=100, states=LIVE)
        sides = ((found, found.bank or found.ledger) for found in page.breaks)
        return {side.key or "": found for found, side in sides if side is not None}

    async def days(self) -> list[DayView]:
        today = bank_day(datetime.now(UTC))
        async with self.engine.connect() as conn:
            return await queries.days(conn, since=today - timedelta(days=9), until=today + timedelta(days=1))

    async def cli(self, *arguments: str) -> tuple[int, str]:
        """``liquida reconcile`` in a process of its own, without any credentials."""
        environment = {
            "LIQUIDA_DATABASE_URL": str(self.engine.url),
            "LIQUIDA_TEMPORAL_ADDRESS": self.temporal,
            "LIQUIDA_STATE_DIR": str(self.directory / "none"),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "liquida", "reconcile", *arguments),
            cwd=self.directory,
            env=os.environ | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


@pytest.fixture(scope="module")
async def office() -> AsyncIterator[Office]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="liquida-reconcile-")))
        directory.chmod(0o755)
        postgres = await stack.enter_async_context(start_postgres(directory))
        temporal = await stack.enter_async_context(start_temporal(directory))
        bank = stack.enter_context(SandboxProcess(directory / "bank.sqlite", settle_seconds=0.05))
        await migrate(postgres.owner_url)
        engine = make_engine(postgres.url(), pool=5)
        stack.push_async_callback(engine.dispose)
        world = World(engine)
        await world.settle()
        await world.begin()
        client = await Client.connect(temporal.address, namespace="liquida", data_converter=pydantic_data_converter)
        provider = bank.provider()
        stack.push_async_callback(provider.close)
        statements = BankStatementActivities(engine, {BANK: provider})
        compare = ReconciliationActivities(engine, [BANK], days_back=1, tolerance=timedelta(0))
        settlement, payments = QueueParts([compare.due, compare.compare]), QueueParts([statements.read])
        await stack.enter_async_context(worker_for(client, SETTLEMENT, settlement))
        await stack.enter_async_context(worker_for(client, PAYMENTS, payments))
        await schedules.keep_schedules(client)
        for schedule in (schedules.SEAL, schedules.VERIFY, schedules.RECONCILE):
            await client.get_schedule_handle(schedule).pause()
        yield Office(engine, client, world, bank, provider, temporal.address, directory)


class TestReconcile:
    async def test_finds_nothing_where_bank_and_ledger_agree(self, office: Office) -> None:
        await office.pay()

        result = await office.reconcile()

        assert (True, [Class.MATCHED]) == (result.bank_answered, list(result.classes))
        assert {} == await office.breaks()
        (day,) = await office.days()
        assert office.bank.balance_centavos() == day.closing_centavos
        assert day.lines_centavos is not None
        assert day.opening_centavos == office.bank.balance_centavos() - day.lines_centavos

    async def test_finds_what_we_do_not_know_and_clears_it_once_we_do(self, office: Office) -> None:
        trade = await office.pay(booked=False)

        await office.reconcile()
        before = await office.breaks()
        await office.world.submit(trade)
        await office.learn(trade, await office.provider.find_payout(trade))
        result = await office.reconcile()

        assert Class.MISSING_IN_LEDGER == before[trade].cls
        assert (1, {}) == (result.cleared, await office.breaks())

    async def test_says_that_the_bank_did_not_answer_and_reports_nothing_as_missing(self, office: Office) -> None:
        await office.pay()
        office.bank.stop()
        try:
            result = await office.reconcile(tries=2)
            breaks = await office.breaks()
            (day,) = await office.days()
        finally:
            office.bank.start()

        assert (False, {}, {}) == (result.bank_answered, result.classes, breaks)
        assert (False, True) == (day.bank_answered, day.compared_at is not None)

    async def test_asks_again_until_the_bank_answers(self, office: Office) -> None:
        office.bank.stop()

        running = asyncio.create_task(office.reconcile(tries=1_000))
        await asyncio.sleep(1)
        office.bank.start()

        assert (await running).bank_answered

    async def test_keeps_lines_out_of_the_history_which_replays(self, office: Office) -> None:
        trade = await office.pay()
        await office.reconcile()

        order = ReconcileInput(BANK, bank_day(datetime.now(UTC)))
        history = await office.client.get_workflow_handle(reconcile_id(order)).fetch_history()

        replayer = Replayer(
            workflows=[ReconcileWorkflow], workflow_runner=RUNNER, data_converter=pydantic_data_converter
        )
        await replayer.replay_workflow(history)
        assert trade not in history.to_json()
        assert len(history.events) < 30
        assert len(json.dumps(history.to_json_dict())) < 20_000


class TestBankReconcile:
    async def test_compares_each_of_the_last_days(self, office: Office) -> None:
        handle = office.client.get_schedule_handle(schedules.RECONCILE)

        await handle.trigger()

        today = bank_day(datetime.now(UTC))
        ids = [reconcile_id(ReconcileInput(BANK, today - timedelta(days=back))) for back in (1, 0)]

        async def have_run() -> bool:
            query = 'WorkflowType = "bank-reconcile"'
            found = [run async for run in office.client.list_workflows(query)]
            return any(run.status is WorkflowExecutionStatus.COMPLETED for run in found)

        await eventually(have_run, "the round to end")
        assert {WorkflowExecutionStatus.COMPLETED} == {
            (await office.client.get_workflow_handle(name).describe()).status for name in ids
        }
        assert [today, today - timedelta(days=1)] == [day.day for day in await office.days()]


class TestWatch:
    async def test_tells_once_of_a_break_that_nobody_takes_up(self, office: Office) -> None:
        await office.send(UNKNOWN, 4_711)
        await office.reconcile()

        with capture_logs() as logs:
            watching = asyncio.create_task(watch_breaks(office.engine, 1e-6, every_seconds=0.01))
            await asyncio.sleep(0.5)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

        (said,) = (line for line in logs if line["event"] == "reconciliation.break")
        assert ("error", "missing_in_ledger", -4_711, BANK) == tuple(
            said[name] for name in ("log_level", "class", "amount_centavos", "provider")
        )


class TestCommand:
    async def test_prints_classes_and_breaks_and_fails_while_there_are_some(self, office: Office) -> None:
        code, said = await office.cli()

        (found,) = (await office.breaks()).values()
        assert (1, BreakStatus.OPEN) == (code, found.status)
        assert "matched" in said
        assert "missing_in_ledger" in said
        assert found.id in said
        assert "-47.11" in said

    async def test_says_when_the_bank_is_silent(self, office: Office, capsys: pytest.CaptureFixture[str]) -> None:
        office.bank.stop()
        try:
            is_well = await reconciliation_report.run(office.settings, BANK, None)
        finally:
            office.bank.start()

        assert not is_well
        assert "the bank did not answer" in capsys.readouterr().out

    async def test_is_content_with_a_day_on_which_nothing_happened(
        self, office: Office, capsys: pytest.CaptureFixture[str]
    ) -> None:
        is_well = await reconciliation_report.run(office.settings, BANK, date(2026, 1, 5))

        assert is_well
        assert "No breaks." in capsys.readouterr().out

    async def test_refuses_what_it_cannot_compare(self, office: Office) -> None:
        with pytest.raises(InvalidInput, match="has not begun"):
            await reconciliation_report.run(office.settings, BANK, date(2999, 1, 1))
        with pytest.raises(InvalidInput, match="compared are: sandbox"):
            await reconciliation_report.run(office.settings, "other", None)

    async def test_says_when_temporal_is_away(self, office: Office) -> None:
        away = office.settings.model_copy(update={"temporal_address": "127.0.0.1:9"})

        with pytest.raises(EngineUnavailable, match="Temporal does not answer"):
            await reconciliation_report.run(away, BANK, None)
