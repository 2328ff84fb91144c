"""Events are read in one order, none twice and none never, however their transactions commit."""

import asyncio
import random
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from models.event import queries
from models.event.types import Event, EventKind, Told, notification
from models.event.writes import tell
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.money import EXACT
from models.user.writes import add_user
from tests.models.world import COIN, ETH, World

TELLERS = 8
EACH = 25


def event(user_id: str | None, name: str) -> Event:
    return Event(EventKind.P2P_MESSAGE, user_id, {"id": name})


async def names(engine: AsyncEngine, user_id: str, after: int = 0) -> list[object]:
    async with engine.connect() as conn:
        until = await queries.horizon(conn)
        return [one.payload["id"] for one in await queries.page(conn, user_id, after=after, until=until, most=1000)]


class TestTell:
    async def test_belongs_to_the_callers_transaction(self, world: World) -> None:
        async with world.engine.connect() as conn:
            await tell(conn, event("ana", "undone"))
            await conn.rollback()
        async with world.engine.begin() as conn:
            await tell(conn, event("ana", "done"))

        assert ["done"] == await names(world.engine, "ana")

    async def test_keeps_the_order_of_one_call(self, world: World) -> None:
        async with world.engine.begin() as conn:
            await tell(conn, *(event("ana", str(number)) for number in range(50)))

        assert list(map(str, range(50))) == await names(world.engine, "ana")

    async def test_can_never_be_taken_back(self, world: World) -> None:
        async with world.engine.begin() as conn:
            await tell(conn, event("ana", "one"))

        for statement in ("UPDATE events SET kind = 'x'", "DELETE FROM events", "TRUNCATE events"):
            with pytest.raises(DBAPIError, match="permission denied"):
                await world.execute(statement)
            with pytest.raises(DBAPIError):
                await world.execute_as_owner(statement)

    async def test_refuses_what_is_too_large_to_send(self, world: World) -> None:
        with pytest.raises(DBAPIError, match="payload_is_small"):
            async with world.engine.begin() as conn:
                await tell(conn, event("ana", "x" * 8_000))

    async def test_of_a_notification_says_what_it_is_about(self, world: World) -> None:
        async with world.engine.begin() as conn:
            await tell(conn, notification("ana", code="p2p_paid", about="t1", text="The buyer has paid."))
        async with world.engine.connect() as conn:
            (told,) = await queries.page(conn, "ana", after=0, until=await queries.horizon(conn), most=9)

        assert {"code": "p2p_paid", "about": "t1", "text": "The buyer has paid."} == told.payload


class TestPage:
    async def test_has_own_and_public_events_and_no_others(self, world: World) -> None:
        async with world.engine.begin() as conn:
            await tell(conn, event("ana", "own"), event("bia", "other"), event(None, "public"))

        assert ["own", "public"] == await names(world.engine, "ana")

    async def test_goes_on_where_the_one_before_ended(self, world: World) -> None:
        async with world.engine.begin() as conn:
            await tell(conn, *(event("ana" if number % 2 else None, str(number)) for number in range(9)))
        seen: list[object] = []
        after = 0

        async with world.engine.connect() as conn:
            until = await queries.horizon(conn)
            while rows := await queries.page(conn, "ana", after=after, until=until, most=4):
                after = rows[-1].id
                seen += [one.payload["id"] for one in rows]

        assert list(map(str, range(9))) == seen


class TestHorizon:
    async def test_waits_for_a_smaller_id_that_commits_later(self, world: World) -> None:
        async with world.engine.connect() as slow, world.engine.connect() as fast:
            await tell(slow, event("ana", "first"))
            await tell(fast, event("ana", "second"))
            await fast.commit()
            meanwhile = await names(world.engine, "ana")
            await slow.commit()

        assert ([], ["first", "second"]) == (meanwhile, await names(world.engine, "ana"))

    async def test_does_not_wait_for_a_transaction_that_ended_without_its_event(self, world: World) -> None:
        async with world.engine.connect() as slow, world.engine.connect() as fast:
            await tell(slow, event("ana", "first"))
            await tell(fast, event("ana", "second"))
            await fast.commit()
            await slow.rollback()

        assert ["second"] == await names(world.engine, "ana")

    async def test_does_not_wait_for_who_changes_something_else(self, world: World) -> None:
        async with world.engine.connect() as other:
            await other.execute(text("UPDATE users SET email = email"))
            async with world.engine.begin() as conn:
                await tell(conn, event("ana", "one"))

            assert ["one"] == await names(world.engine, "ana")
            await other.rollback()

    async def test_keeps_two_changes_of_one_thing_in_their_order(self, world: World) -> None:
        """The second one's transaction began, and wrote, before the first one's; a third one is still open."""
        async with world.engine.connect() as late, world.engine.connect() as third, world.engine.connect() as early:
            for conn in (late, third):
                await conn.execute(text("SELECT pg_current_xact_id()"))
            await tell(early, event("ana", "paid"))
            await early.commit()
            await tell(late, event("ana", "released"))
            await late.commit()

            assert ["paid", "released"] == await names(world.engine, "ana")
            await third.rollback()

    async def test_needs_to_see_what_is_committed_meanwhile(self, world: World) -> None:
        async with world.engine.connect() as conn:
            await conn.execution_options(isolation_level="REPEATABLE READ")

            with pytest.raises(DBAPIError, match="READ COMMITTED"):
                await queries.horizon(conn)

    async def test_lets_a_reader_miss_nothing_while_many_tell(self, world: World) -> None:
        pace = random.Random(7)
        seen: list[object] = []
        done = asyncio.Event()

        async def teller(number: int) -> None:
            for count in range(EACH):
                async with world.engine.begin() as conn:
                    await tell(conn, event("ana", f"{number}/{count}"))
                    await asyncio.sleep(pace.random() / 200)

        async def reader() -> None:
            after, last = 0, False
            while not last:
                last = done.is_set()
                async with world.engine.connect() as conn:
                    until = await queries.horizon(conn)
                    rows = await queries.page(conn, "ana", after=after, until=until, most=7)
                    while rows:
                        after = rows[-1].id
                        seen.extend(one.payload["id"] for one in rows)
                        rows = await queries.page(conn, "ana", after=after, until=until, most=7)

        reading = asyncio.create_task(reader())
        await asyncio.gather(*map(teller, range(TELLERS)))
        done.set()
        await reading

        assert sorted(f"{number}/{count}" for number in range(TELLERS) for count in range(EACH)) == sorted(seen)
        assert seen.index("3/4") < seen.index("3/5")


async def told_to(world: World, user_id: str | None = None) -> list[Told]:
    async with world.engine.connect() as conn:
        until = await queries.horizon(conn)
        return await queries.page(conn, user_id or world.user_id, after=0, until=until, most=1000)


class TestLedger:
    async def test_tells_each_users_balances_after_a_posting(self, world: World) -> None:
        free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
        async with world.engine.begin() as conn:
            await post(conn, move("d", Kind.DEPOSIT, "d", custody("ethereum", ETH.id), free, 2**200))
            await post(conn, move("h", Kind.HOLD, "h", free, kept, COIN))

        payloads = [one.payload for one in await told_to(world)]

        whole = f"{Decimal(2**200).scaleb(-18, EXACT):f}"
        assert [
            {"asset": "ETH", "network": "ethereum", "available": whole, "locked": "0.000000000000000000"},
            {
                "asset": "ETH",
                "network": "ethereum",
                "available": f"{Decimal(2**200 - COIN).scaleb(-18, EXACT):f}",
                "locked": "1.000000000000000000",
            },
        ] == payloads

    async def test_tells_nothing_of_a_posting_that_was_there(self, world: World) -> None:
        free = available(world.user_id, ETH.id)
        for _ in range(2):
            async with world.engine.begin() as conn:
                await post(conn, move("d", Kind.DEPOSIT, "d", custody("ethereum", ETH.id), free, 5))

        assert 1 == len(await told_to(world))

    async def test_tells_nobody_what_the_house_moves(self, world: World) -> None:
        async with world.engine.begin() as conn:
            desk, fees = house(Purpose.DESK, ETH.id), house(Purpose.FEES, ETH.id)
            await post(conn, move("f", Kind.FUNDING, "f", desk, fees, 5))

        assert 0 == await world.scalar("SELECT count(*) FROM events")

    async def test_tells_all_whom_one_posting_moves(self, world: World) -> None:
        async with world.engine.begin() as conn:
            other = (await add_user(conn, email="bia@example.com")).user_id
            mine, theirs = available(world.user_id, "BRL"), available(other, "BRL")
            await post(conn, move("d", Kind.FUNDING, "d", house(Purpose.DESK, "BRL"), mine, 250))
            await post(conn, move("t", Kind.TRANSFER, "t", mine, theirs, 100))

        assert [["2.50", "1.50"], ["1.00"]] == [
            [one.payload["available"] for one in await told_to(world, user)] for user in (world.user_id, other)
        ]
