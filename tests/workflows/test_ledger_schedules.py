"""The ledger is sealed and proved by the calendar: real Temporal, real PostgreSQL, the worker's own settings."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client, ScheduleActionExecutionStartWorkflow, ScheduleHandle, ScheduleOverlapPolicy
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.ledger import LedgerActivities
from liquida import ledger_verify, schedules
from liquida.database import engine as make_engine
from liquida.database import migrate
from liquida.wiring import QueueParts
from liquida.worker import worker_for
from models.ledger.chart import available, custody
from models.ledger.post import post, post_alone
from models.ledger.types import Kind, move
from tests.models.world import ETH, World
from tests.parts import start_postgres, start_temporal
from workflows.options import SETTLEMENT

FORGERY = """
UPDATE ledger_postings SET amount = 6
    WHERE transaction_id = (SELECT id FROM ledger_transactions WHERE key = 'deposit/3') AND amount = 5
"""


@dataclass
class Office:
    """A settlement worker with nothing but the ledger's activities; its schedules start only what a test triggers."""

    engine: AsyncEngine
    client: Client
    world: World

    async def ran(self, schedule: str) -> None:
        """Trigger a schedule, and wait for the workflow that it starts."""
        handle = self.client.get_schedule_handle(schedule)
        before, started = await _runs(handle), set[tuple[str, str]]()

        async def has_started() -> bool:
            started.update(await _runs(handle) - before)
            return bool(started)

        await handle.trigger()
        await eventually(has_started, f"{schedule} to start a workflow")
        workflow_id, run_id = started.pop()
        await self.client.get_workflow_handle(workflow_id, run_id=run_id).result()

    async def deposit(self, key: str) -> None:
        target = available(self.world.user_id, ETH.id)
        await post_alone(self.engine, move(key, Kind.DEPOSIT, key, custody("ethereum", ETH.id), target, 5))

    async def sealed(self) -> object:
        return await self.world.scalar("SELECT coalesce(sum(transactions), 0) FROM ledger_seals")


async def _runs(handle: ScheduleHandle) -> set[tuple[str, str]]:
    """What a schedule started of late: workflow and run."""
    actions = [run.action for run in (await handle.describe()).info.recent_actions]
    return {
        (action.workflow_id, action.first_execution_run_id)
        for action in actions
        if isinstance(action, ScheduleActionExecutionStartWorkflow)
    }


async def eventually(holds: Callable[[], Awaitable[bool]], what: str, *, seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < give_up, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
async def office() -> AsyncIterator[Office]:
    with TemporaryDirectory(prefix="liquida-schedules-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        async with start_postgres(directory) as postgres, start_temporal(directory) as temporal:
            await migrate(postgres.owner_url)
            engine = make_engine(postgres.url(), pool=5)
            world = World(engine)
            await world.settle()
            await world.begin()
            client = await Client.connect(
                temporal.address, namespace="liquida", data_converter=pydantic_data_converter
            )
            ledger = LedgerActivities(engine, patience_seconds=0.3)
            async with worker_for(client, SETTLEMENT, QueueParts([ledger.seal, ledger.verify])):
                await schedules.keep_schedules(client)
                for schedule in (schedules.SEAL, schedules.VERIFY, schedules.RECONCILE):
                    await client.get_schedule_handle(schedule).pause(note="a person is looking")
                yield Office(engine, client, world)
            await engine.dispose()


class TestSchedule:
    async def test_is_made_once_and_left_as_somebody_set_it(self, office: Office) -> None:
        await schedules.keep_schedules(office.client)

        found = {entry.id async for entry in await office.client.list_schedules()}
        described = {name: (await office.client.get_schedule_handle(name).describe()).schedule for name in found}
        assert {schedules.SEAL, schedules.VERIFY, schedules.RECONCILE} == found
        assert ["a person is looking"] * 3 == [schedule.state.note for schedule in described.values()]
        assert {ScheduleOverlapPolicy.SKIP} == {schedule.policy.overlap for schedule in described.values()}
        assert all(schedule.state.paused for schedule in described.values())
        assert [timedelta(minutes=1)] == [every.every for every in described[schedules.SEAL].spec.intervals]
        assert [timedelta(days=1)] == [every.every for every in described[schedules.VERIFY].spec.intervals]
        assert [timedelta(hours=1)] == [every.every for every in described[schedules.RECONCILE].spec.intervals]


class TestLedgerSeal:
    async def test_seals_what_was_posted(self, office: Office, caplog: pytest.LogCaptureFixture) -> None:
        await office.deposit("deposit/1")

        with caplog.at_level("INFO"):
            await office.ran(schedules.SEAL)

        assert 1 == await office.sealed()
        said = next(record for record in caplog.records if record.getMessage().startswith("ledger.sealed"))
        assert await office.world.scalar("SELECT number || ':' || encode(hash, 'hex') FROM ledger_seals") == (
            f"{said.number}:{said.hash}"
        )

    async def test_leaves_to_the_next_run_what_is_still_open(
        self, office: Office, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = await office.sealed()
        target = available(office.world.user_id, ETH.id)
        async with office.engine.begin() as conn:
            await post(conn, move("deposit/2", Kind.DEPOSIT, "d", custody("ethereum", ETH.id), target, 5))
            await office.ran(schedules.SEAL)
            while_open = await office.sealed()

        await office.ran(schedules.SEAL)

        assert (before, before + 1) == (while_open, await office.sealed())  # type: ignore[operator]
        assert 1 == sum(record.getMessage().startswith("ledger.seal_waits") for record in caplog.records)


class TestLedgerVerify:
    async def test_says_that_the_books_are_right_then_that_they_are_wrong_and_where(
        self, office: Office, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await office.deposit("deposit/3")
        url = str(office.engine.url)

        with caplog.at_level("INFO"):
            await office.ran(schedules.VERIFY)
            right = await ledger_verify.verify(url)
            async with office.world.as_owner() as conn:
                await conn.execute(text("ALTER TABLE ledger_postings DISABLE TRIGGER USER"))
                await conn.execute(text(FORGERY))
            await office.ran(schedules.VERIFY)
            wrong = not await ledger_verify.verify(url)

        said = {record.getMessage().split(" ")[0]: record for record in caplog.records}
        assert "INFO" == said["ledger.verified"].levelname
        assert "ERROR" == said["ledger.verify_failed"].levelname
        assert "(key deposit/3)" in said["ledger.verify_failed"].first
        assert said["ledger.verify_failed"].count >= 3
        printed = capsys.readouterr().out
        assert (right, wrong) == (True, True)
        assert "The books are right: " in printed
        assert "The books are wrong: " in printed
        assert "(key deposit/3): " in printed

    async def test_by_hand_seals_too(self, office: Office) -> None:
        before = await office.sealed()
        await office.deposit("deposit/4")

        newest = await ledger_verify.seal(str(office.engine.url))

        assert before < await office.sealed()  # type: ignore[operator]
        assert 1 == newest["sealed"]
        assert newest["number"] == await office.world.scalar("SELECT max(number) FROM ledger_seals")
