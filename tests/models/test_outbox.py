"""What is committed is delivered: by one relay at a time, again after a failure, in order where it can."""

from datetime import timedelta

import pytest

from models import outbox
from models.outbox import Message, MessageKind, look
from tests.models.world import World


async def put(world: World, *ids: str) -> list[int]:
    async with world.engine.begin() as conn:
        return await outbox.put(conn, *(look(name) for name in ids))


async def due(world: World) -> list[str]:
    async with world.engine.begin() as conn:
        return [message.workflow_id for message in await outbox.take(conn, most=10)]


class TestOutbox:
    async def test_gives_back_the_whole_message(self, world: World) -> None:
        message = Message(
            MessageKind.START, "w/1", "otc-sell", {"a": ["1", None]}, "sum", {"Kind": "x", "AmountCents": 5}
        )
        async with world.engine.begin() as conn:
            (number,) = await outbox.put(conn, message)

            (taken,) = await outbox.take(conn, most=1)

        assert (message.workflow, message.input, message.attributes, number) == (
            taken.workflow,
            taken.input,
            taken.attributes,
            taken.id,
        )

    async def test_is_empty_for_nothing(self, world: World) -> None:
        async with world.engine.begin() as conn:
            assert [] == await outbox.put(conn)
            assert [] == await outbox.take(conn, most=10)
            await outbox.mark_sent(conn, [])
            await outbox.postpone(conn, [])

    async def test_skips_what_another_relay_is_delivering(self, world: World) -> None:
        await put(world, "a", "b", "c")

        async with world.engine.begin() as first, world.engine.begin() as second:
            mine = [message.workflow_id for message in await outbox.take(first, most=2)]
            theirs = [message.workflow_id for message in await outbox.take(second, most=2)]

        assert (["a", "b"], ["c"]) == (mine, theirs)

    async def test_takes_only_the_ids_it_is_asked_for(self, world: World) -> None:
        first, _, third = await put(world, "a", "b", "c")

        async with world.engine.begin() as conn:
            taken = await outbox.take(conn, most=10, ids=[third, first])

        assert ["a", "c"] == [message.workflow_id for message in taken]

    async def test_delivers_once(self, world: World) -> None:
        async with world.engine.begin() as conn:
            await outbox.mark_sent(conn, await outbox.put(conn, look("a")))

        assert [] == await due(world)

    async def test_loses_nothing_when_the_relay_dies(self, world: World) -> None:
        await put(world, "a")
        async with world.engine.connect() as conn:
            await outbox.take(conn, most=1)
            await conn.rollback()

        assert ["a"] == await due(world)

    @pytest.mark.parametrize(("attempts", "seconds"), [(0, 1), (1, 2), (5, 32), (6, 60), (100, 60), (2_000, 60)])
    async def test_waits_longer_after_each_failure_and_never_over_a_minute(
        self, world: World, attempts: int, seconds: int
    ) -> None:
        """However long Temporal was away: it must not be the counter that breaks."""
        ids = await put(world, "a")
        await world.execute("UPDATE outbox SET attempts = :n", n=attempts)

        async with world.engine.begin() as conn:
            await outbox.postpone(conn, ids)

        assert [] == await due(world)
        wait = await world.scalar("SELECT extract(epoch FROM due_at - now())::float FROM outbox")
        assert seconds == pytest.approx(wait, abs=0.5)
        assert attempts + 1 == await world.scalar("SELECT attempts FROM outbox")

    async def test_forgets_what_was_delivered_long_ago(self, world: World) -> None:
        sent, fresh, _ = await put(world, "old", "fresh", "waiting")
        async with world.engine.begin() as conn:
            await outbox.mark_sent(conn, [sent, fresh])
        await world.execute("UPDATE outbox SET sent_at = now() - interval '8 days' WHERE id = :id", id=sent)

        async with world.engine.begin() as conn:
            forgotten = await outbox.forget(conn, older_than=timedelta(days=7))

        assert (1, 2) == (forgotten, await world.scalar("SELECT count(*) FROM outbox"))
