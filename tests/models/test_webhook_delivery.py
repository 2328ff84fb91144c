"""Each event becomes one delivery for each endpoint that wants it, whoever dies on the way, however many work at it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.errors import IllegalTransition, NotFound
from models.event.types import Event, EventKind
from models.event.writes import tell
from models.webhook_delivery import queries, writes
from models.webhook_delivery.states import DeliveryStatus
from models.webhook_delivery.types import STANDARD, Attempt, WebhookDelivery
from models.webhook_endpoint import writes as endpoints
from tests.models.world import BOX, World

EVENTS = 120
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def event(user_id: str | None, kind: EventKind = EventKind.P2P_MESSAGE) -> Event:
    return Event(kind, user_id, {})


async def add(world: World, *kinds: EventKind, user_id: str | None = None) -> str:
    async with world.engine.begin() as conn:
        found, _ = await endpoints.add(
            conn, BOX, user_id=user_id or world.user_id, url="https://example.com/", kinds=kinds, description=""
        )
    return found.id


async def say(world: World, *events: Event) -> None:
    async with world.engine.begin() as conn:
        await tell(conn, *events)


async def fan_out(world: World, most: int = 1_000) -> bool:
    async with world.engine.begin() as conn:
        return await writes.fan_out(conn, STANDARD, most=most)


async def one(world: World) -> WebhookDelivery:
    await add(world, EventKind.P2P_MESSAGE)
    await say(world, event(world.user_id))
    await fan_out(world)
    async with world.engine.connect() as conn:
        return await queries.delivery(conn, str(await world.scalar("SELECT id FROM webhook_deliveries")))


async def end(world: World, delivery: WebhookDelivery, error: str | None, *, number: int = 1) -> DeliveryStatus:
    attempt = Attempt(delivery.id, delivery.round, number, NOW, 200, 5, error)
    async with world.engine.begin() as conn:
        return await writes.record(
            conn, attempt, is_last=number == 10, is_gone=error == "gone", disable_after=timedelta(days=5)
        )


class TestFanOut:
    async def test_makes_one_delivery_and_one_start_of_each_event_under_many_at_once(self, world: World) -> None:
        await add(world, EventKind.P2P_MESSAGE)
        await add(world, EventKind.P2P_MESSAGE, EventKind.BALANCE_UPDATE)
        is_told = asyncio.Event()

        async def work() -> None:
            while True:
                last = is_told.is_set()
                if not await fan_out(world, most=7):
                    if last and await world.scalar("SELECT event_id = event_horizon() FROM webhook_cursor"):
                        return
                    await asyncio.sleep(0.002)

        working = [asyncio.create_task(work()) for _ in range(4)]
        for _ in range(EVENTS):
            await say(world, event(world.user_id))
        is_told.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*working)

        counted = "SELECT count(*), count(DISTINCT (endpoint_id, event_id)) FROM webhook_deliveries"
        async with world.engine.connect() as conn:
            assert (2 * EVENTS, 2 * EVENTS) == tuple((await conn.execute(text(counted))).one())
        starts = "SELECT count(DISTINCT workflow_id) FROM outbox WHERE workflow_id LIKE 'webhook/%'"
        assert 2 * EVENTS == await world.scalar(starts)

    async def test_killed_before_its_commit_loses_nothing_and_doubles_nothing(self, world: World) -> None:
        await add(world, EventKind.P2P_MESSAGE)
        await say(world, event(world.user_id))
        async with world.engine.connect() as conn:
            await writes.fan_out(conn, STANDARD, most=9)
            pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await world.execute("SELECT pg_terminate_backend(:pid)", pid=pid)
            with pytest.raises(DBAPIError):
                await conn.execute(text("SELECT 1"))
        nothing = await world.scalar("SELECT count(*) FROM webhook_deliveries")

        for _ in range(2):
            await fan_out(world)

        assert (0, 1) == (nothing, await world.scalar("SELECT count(*) FROM webhook_deliveries"))
        assert 1 == await world.scalar("SELECT count(*) FROM outbox WHERE workflow_id LIKE 'webhook/%'")

    async def test_waits_for_an_event_that_commits_late(self, world: World) -> None:
        await add(world, EventKind.P2P_MESSAGE)
        async with world.engine.connect() as slow:
            await tell(slow, event(world.user_id))
            await say(world, event(world.user_id))
            await fan_out(world)
            early = await world.scalar("SELECT count(*) FROM webhook_deliveries")
            await slow.commit()
        await fan_out(world)

        assert (0, 2) == (early, await world.scalar("SELECT count(*) FROM webhook_deliveries"))

    async def test_sends_what_an_endpoint_wants_and_may_know(self, world: World) -> None:
        other = "b" * 32
        await world.execute("INSERT INTO users (id, email) VALUES (:id, 'b@example.com')", id=other)
        await say(world, event(world.user_id))
        mine = await add(world, EventKind.P2P_MESSAGE, EventKind.P2P_AD_CREATED)
        theirs = await add(world, EventKind.P2P_MESSAGE, user_id=other)
        off = await add(world, EventKind.P2P_MESSAGE)
        gone = await add(world, EventKind.P2P_MESSAGE)
        async with world.engine.begin() as conn:
            await endpoints.switch(conn, off, user_id=world.user_id, is_enabled=False)
            await endpoints.remove(conn, gone, user_id=world.user_id)
        await say(
            world,
            event(world.user_id),
            event(world.user_id, EventKind.BALANCE_UPDATE),
            event(other),
            event(None, EventKind.P2P_AD_CREATED),
        )

        await fan_out(world)

        statement = "SELECT endpoint_id, kind FROM webhook_deliveries ORDER BY event_id"
        async with world.engine.connect() as conn:
            assert [(mine, "p2p_message"), (theirs, "p2p_message"), (mine, "p2p_ad_created")] == [
                tuple(row) for row in await conn.execute(text(statement))
            ]

    async def test_never_turns_back(self, world: World) -> None:
        await say(world, event(None))
        await fan_out(world)

        with pytest.raises(DBAPIError):
            await world.execute("UPDATE webhook_cursor SET event_id = event_id - 1")


class TestDelivery:
    async def test_is_over_once_it_is_taken(self, world: World) -> None:
        delivery = await one(world)

        statuses = [await end(world, delivery, "status"), await end(world, delivery, None, number=2)]

        assert [DeliveryStatus.PENDING, DeliveryStatus.DELIVERED] == statuses

    async def test_fails_with_its_last_attempt(self, world: World) -> None:
        assert DeliveryStatus.FAILED is await end(world, await one(world), "timeout", number=10)

    async def test_to_an_endpoint_that_is_gone_fails_and_disables_it(self, world: World) -> None:
        assert DeliveryStatus.FAILED is await end(world, await one(world), "gone")
        assert "gone" == await world.scalar("SELECT disabled_reason FROM webhook_endpoints")

    async def test_has_one_line_for_an_attempt_that_was_recorded_twice(self, world: World) -> None:
        delivery = await one(world)
        for error in ("status", None):
            await end(world, delivery, error)

        assert ("status", 1) == (
            await world.scalar("SELECT error FROM webhook_attempts"),
            await world.scalar("SELECT count(*) FROM webhook_attempts"),
        )

    async def test_is_sent_again_by_a_workflow_of_its_own(self, world: World) -> None:
        delivery = await one(world)
        with pytest.raises(IllegalTransition):
            async with world.engine.begin() as conn:
                await writes.redeliver(conn, delivery.id, STANDARD, user_id=world.user_id)
        await end(world, delivery, None)
        async with world.engine.begin() as conn:
            again, _ = await writes.redeliver(conn, delivery.id, STANDARD, user_id=world.user_id)

        late = await end(world, delivery, None, number=2)

        assert (DeliveryStatus.PENDING, 2, DeliveryStatus.PENDING) == (again.status, again.round, late)
        assert 1 == await world.scalar(
            "SELECT count(*) FROM outbox WHERE workflow_id = :id", id=f"webhook/{delivery.id}/2"
        )

    async def test_of_somebody_else_is_not_there(self, world: World) -> None:
        delivery = await one(world)

        with pytest.raises(NotFound):
            async with world.engine.begin() as conn:
                await writes.redeliver(conn, delivery.id, STANDARD, user_id="b" * 32)


class TestStandard:
    def test_is_at_least_ten_attempts_over_at_least_seventy_five_hours(self) -> None:
        pauses = STANDARD.pause_seconds

        assert len(pauses) + 1 >= 10
        assert sum(pauses) >= 75 * 3600
        assert sorted(pauses) == list(pauses)
