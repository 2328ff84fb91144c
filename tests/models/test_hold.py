"""Money that is set aside is given back or spent, once, whoever asks how often."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from liquida import hold_keeper
from liquida.database import engine as make_engine
from liquida.stack.postgres import Postgres
from models.errors import HoldExceeded, InsufficientFunds, NotFound, OperationKeyReused
from models.hold import queries, writes
from models.hold.types import Hold
from models.ids import new_id
from models.ledger.chart import Account, Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.user.writes import add_user
from tests.models.world import ETH, World
from tests.parts import create_database, drop_database

CLICKS = 10
KEEPERS = 5
PAST = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
async def shared(postgres_server: Postgres, template: str) -> AsyncIterator[AsyncEngine]:
    """One database for all tests here that leave it sound; every test brings its own people."""
    made = make_engine(await create_database(postgres_server.admin_url, "holds", template=template))
    yield made
    await made.dispose()
    await drop_database(postgres_server.admin_url, "holds")


@pytest.fixture
async def world(shared: AsyncEngine) -> World:
    """Ana has 10."""
    world = World(shared)
    world.user_id = await join(world)
    await pay_in(world, 10)
    return world


@pytest.fixture
async def alone(engine: AsyncEngine) -> World:
    """The same, in a database of its own."""
    world = await World(engine).begin()
    await pay_in(world, 10)
    return world


async def join(world: World) -> str:
    async with world.engine.begin() as conn:
        return (await add_user(conn, email=f"{new_id()}@example.com")).user_id


async def pay_in(world: World, units: int, *, user_id: str | None = None) -> None:
    owner = user_id or world.user_id
    async with world.engine.begin() as conn:
        coins, mine = custody("ethereum", ETH.id), available(owner, ETH.id)
        await post(conn, move(f"given/{owner}", Kind.FUNDING, "test", coins, mine, units))


async def place(world: World, units: int = 7, *, hold_id: str | None = None, **changes: object) -> Hold:
    values: dict[str, object] = {"reference": "case/1", "reason": "ticket 7", "expires_at": None, **changes}
    async with world.engine.begin() as conn:
        return await writes.place(
            conn,
            hold_id=hold_id or new_id(),
            user_id=world.user_id,
            asset_id=ETH.id,
            units=units,
            **values,  # type: ignore[arg-type]
        )


async def release(
    world: World, hold: Hold, operation: str = "r1", units: int | None = None, reason: str | None = None
) -> Hold:
    async with world.engine.begin() as conn:
        return await writes.release(conn, hold.id, operation=operation, units=units, reason=reason)


async def capture(
    world: World, hold: Hold, operation: str = "c1", units: int | None = None, to: Account | None = None
) -> Hold:
    target = to or house(Purpose.DESK, ETH.id)
    async with world.engine.begin() as conn:
        return await writes.capture(conn, hold.id, operation=operation, units=units, to=target, kind=Kind.TRANSFER)


async def expire(world: World, *, limit: int = 100) -> list[str]:
    async with world.engine.begin() as conn:
        return await writes.expire(conn, world.now, limit)


async def read(world: World, hold: Hold) -> Hold:
    async with world.engine.connect() as conn:
        return await queries.hold(conn, hold.id)


async def pockets(world: World) -> tuple[int, int]:
    return await world.available(), await world.held()


async def postings_of(world: World, hold: Hold) -> object:
    return await world.scalar("SELECT count(*) FROM ledger_transactions WHERE key LIKE :key", key=f"hold/{hold.id}%")


class TestPlace:
    async def test_sets_money_aside(self, world: World) -> None:
        hold = await place(world, 7)

        assert (3, 7) == await pockets(world)
        assert (7, None, 7) == (hold.amount_units, hold.ended_at, hold.remaining_units)
        assert {} == await world.broken_laws()

    async def test_of_more_than_is_there_leaves_no_row(self, world: World) -> None:
        with pytest.raises(InsufficientFunds):
            await place(world, 11)

        assert (10, 0) == await pockets(world)
        assert 0 == await world.scalar("SELECT count(*) FROM holds WHERE user_id = :id", id=world.user_id)

    async def test_by_many_clicks_at_once_is_one(self, world: World) -> None:
        hold_id = new_id()

        holds = await asyncio.gather(*(place(world, 4, hold_id=hold_id) for _ in range(CLICKS)))

        assert [holds[0]] * CLICKS == list(holds)
        assert (6, 4) == await pockets(world)

    @pytest.mark.parametrize(
        "change", [{"units": 3}, {"reference": "case/2"}, {"reason": "ticket 8"}, {"expires_at": PAST}], ids=str
    )
    async def test_again_with_other_content_is_refused(self, world: World, change: dict[str, object]) -> None:
        hold = await place(world, 4)

        with pytest.raises(OperationKeyReused):
            await place(world, **{"units": 4, "hold_id": hold.id, **change})  # type: ignore[arg-type]

        assert (6, 4) == await pockets(world)

    async def test_again_after_its_end_gives_it_as_it_is(self, world: World) -> None:
        hold = await place(world, 4)
        ended = await release(world, hold)

        again = await place(world, 4, hold_id=hold.id)

        assert ended == again
        assert (10, 0) == await pockets(world)

    async def test_never_holds_more_than_there_is_however_many_ask(self, world: World) -> None:
        done = await asyncio.gather(*(place(world, 3) for _ in range(8)), return_exceptions=True)

        assert 3 == sum(isinstance(one, Hold) for one in done)
        assert 5 == sum(isinstance(one, InsufficientFunds) for one in done)
        assert (1, 9) == await pockets(world)


class TestRelease:
    async def test_of_a_part_leaves_the_rest(self, world: World) -> None:
        hold = await place(world, 7)

        left = await release(world, hold, units=2)

        assert (5, 5) == await pockets(world)
        assert (5, 2, 0, None) == (left.remaining_units, left.released_units, left.captured_units, left.ended_at)
        assert {} == await world.broken_laws()

    async def test_of_all_ends_the_hold(self, world: World) -> None:
        hold = await place(world, 7)
        await release(world, hold, "r1", 2)

        ended = await release(world, hold, "r2")

        assert (10, 0) == await pockets(world)
        assert (0, 7, True) == (ended.remaining_units, ended.released_units, ended.ended_at is not None)

    @pytest.mark.parametrize("units", [0, -1, 8])
    async def test_of_what_is_not_left_is_refused_with_the_numbers(self, world: World, units: int) -> None:
        hold = await place(world, 7)

        with pytest.raises(HoldExceeded, match=f"{units} base units asked of hold {hold.id}, 7 are left"):
            await release(world, hold, units=units)

        assert (3, 7) == await pockets(world)

    async def test_of_a_hold_that_has_ended_is_refused(self, world: World) -> None:
        hold = await place(world, 7)
        await release(world, hold, "r1")

        for units in (None, 1):
            with pytest.raises(HoldExceeded):
                await release(world, hold, "r2", units)

    @pytest.mark.parametrize("units", [3, None])
    async def test_by_many_clicks_at_once_moves_once(self, world: World, units: int | None) -> None:
        hold = await place(world, 7)

        await asyncio.gather(*(release(world, hold, units=units) for _ in range(CLICKS)))

        assert (3 + (units or 7), 7 - (units or 7)) == await pockets(world)
        assert (units or 7) == (await read(world, hold)).released_units
        assert 2 == await postings_of(world, hold)

    async def test_of_all_again_after_more_was_done_changes_nothing(self, world: World) -> None:
        hold = await place(world, 7)
        await release(world, hold, "r1", 2)
        await capture(world, hold, "c1", 1)

        again = await release(world, hold, "r1")

        assert (2, 1, 4) == (again.released_units, again.captured_units, again.remaining_units)

    async def test_under_a_name_of_another_operation_is_refused(self, world: World) -> None:
        hold = await place(world, 7)
        await release(world, hold, "o", 2)

        with pytest.raises(OperationKeyReused):
            await release(world, hold, "o", 3)
        with pytest.raises(OperationKeyReused):
            await release(world, hold, "o", 2, "for another reason")
        with pytest.raises(OperationKeyReused):
            await capture(world, hold, "o", 2)

        assert (5, 5) == await pockets(world)

    async def test_of_a_hold_that_is_not_there_is_refused(self, world: World) -> None:
        with pytest.raises(NotFound):
            async with world.engine.begin() as conn:
                await writes.release(conn, new_id(), operation="r1")

    async def test_cannot_take_the_name_of_the_expiry(self, world: World) -> None:
        hold = await place(world, 7)

        with pytest.raises(ValueError, match="expiry"):
            await release(world, hold, "expiry", 1)


class TestCapture:
    async def test_of_a_part_leaves_the_rest(self, world: World) -> None:
        hold, desk = await place(world, 7), await world.house(Purpose.DESK)

        left = await capture(world, hold, units=2)

        assert (3, 5) == await pockets(world)
        assert desk + 2 == await world.house(Purpose.DESK)
        assert (5, 0, 2, None) == (left.remaining_units, left.released_units, left.captured_units, left.ended_at)
        assert {} == await world.broken_laws()

    async def test_goes_to_another_user(self, world: World) -> None:
        bob = await join(world)
        hold = await place(world, 7)

        ended = await capture(world, hold, to=available(bob, ETH.id))

        assert (3, 0) == await pockets(world)
        assert 7 == await world.balance(available(bob, ETH.id))
        assert (7, 0, True) == (ended.captured_units, ended.remaining_units, ended.ended_at is not None)
        assert {} == await world.broken_laws()

    async def test_and_release_share_what_is_there(self, world: World) -> None:
        hold = await place(world, 7)
        await release(world, hold, "r1", 3)

        with pytest.raises(HoldExceeded):
            await capture(world, hold, "c1", 5)
        ended = await capture(world, hold, "c2", 4)

        assert (3, 4, 0) == (ended.released_units, ended.captured_units, ended.remaining_units)
        assert (6, 0) == await pockets(world)

    async def test_by_many_clicks_at_once_moves_once(self, world: World) -> None:
        hold, desk = await place(world, 7), await world.house(Purpose.DESK)

        await asyncio.gather(*(capture(world, hold, units=3) for _ in range(CLICKS)))

        assert (3, 4) == await pockets(world)
        assert desk + 3 == await world.house(Purpose.DESK)

    async def test_by_many_operations_at_once_never_exceeds(self, world: World) -> None:
        hold = await place(world, 7)

        done = await asyncio.gather(
            *(capture(world, hold, f"c{number}", 2) for number in range(CLICKS)), return_exceptions=True
        )

        assert (3, 7) == (sum(isinstance(o, Hold) for o in done), sum(isinstance(o, HoldExceeded) for o in done))
        assert (3, 1) == await pockets(world)

    async def test_does_not_leave_money_held_that_nothing_holds(self, world: World) -> None:
        bob = await join(world)
        hold = await place(world, 7)

        for to in (held(bob, ETH.id), held(world.user_id, ETH.id), available(world.user_id, ETH.id)):
            with pytest.raises(ValueError, match="captured"):
                await capture(world, hold, to=to)

    async def test_by_users_of_each_other_never_waits_crosswise(self, world: World) -> None:
        bob = await join(world)
        await pay_in(world, 10, user_id=bob)
        ids = {world.user_id: new_id(), bob: new_id()}
        async with world.engine.begin() as conn:
            for owner, hold_id in ids.items():
                await writes.place(
                    conn,
                    hold_id=hold_id,
                    user_id=owner,
                    asset_id=ETH.id,
                    units=10,
                    reference="swap",
                    reason=None,
                )

        async def one(number: int) -> None:
            owner, other = (world.user_id, bob) if number % 2 else (bob, world.user_id)
            async with world.engine.begin() as conn:
                to = available(other, ETH.id)
                await writes.capture(conn, ids[owner], operation=f"c{number}", units=1, to=to, kind=Kind.TRANSFER)

        await asyncio.gather(*(one(number) for number in range(20)))

        assert (10, 0) == await pockets(world)
        assert {} == await world.broken_laws()


class TestExpiry:
    async def test_gives_back_what_is_left(self, world: World) -> None:
        hold = await place(world, 7, expires_at=world.now - timedelta(seconds=1))
        await capture(world, hold, units=2)

        ids = await expire(world)

        ended = await read(world, hold)
        assert [hold.id] == ids
        assert (8, 0) == await pockets(world)
        assert (5, 2, True) == (ended.released_units, ended.captured_units, ended.ended_at is not None)
        assert {} == await world.broken_laws()

    async def test_leaves_what_is_not_due(self, world: World) -> None:
        await place(world, 2, expires_at=world.now + timedelta(days=1))
        await place(world, 2)
        await release(world, await place(world, 2, expires_at=PAST))

        assert [] == await expire(world)
        assert (6, 4) == await pockets(world)

    async def test_takes_the_longest_overdue_first(self, world: World) -> None:
        later, first = [await place(world, 1, expires_at=PAST + timedelta(days=days)) for days in (2, 1)]

        found = []
        for _ in range(3):
            async with world.engine.begin() as conn:
                # An index would give them in this order unasked.
                for way in ("indexscan", "bitmapscan"):
                    await conn.execute(text(f"SET LOCAL enable_{way} = off"))
                found.append(await writes.expire(conn, world.now, 1))

        assert [[first.id], [later.id], []] == found

    async def test_by_many_keepers_at_once_happens_once(self, world: World) -> None:
        bob = await join(world)
        await pay_in(world, 10, user_id=bob)
        async with world.engine.begin() as conn:
            for number in range(20):
                await writes.place(
                    conn,
                    hold_id=new_id(),
                    user_id=(world.user_id, bob)[number % 2],
                    asset_id=ETH.id,
                    units=1,
                    reference="r",
                    reason=None,
                    expires_at=PAST,
                )

        found = await asyncio.gather(*(expire(world, limit=6) for _ in range(KEEPERS)))
        rest = await expire(world)

        ids = [hold_id for some in (*found, rest) for hold_id in some]
        assert 20 == len(ids) == len(set(ids))
        assert (10, 0) == await pockets(world)
        assert {} == await world.broken_laws()

    async def test_and_a_release_at_the_same_time_move_once(self, world: World) -> None:
        hold = await place(world, 7, expires_at=PAST)

        released, *_ = await asyncio.gather(
            release(world, hold), *(expire(world) for _ in range(KEEPERS)), return_exceptions=True
        )
        await expire(world)

        assert isinstance(released, Hold | HoldExceeded), released
        assert (10, 0) == await pockets(world)
        assert 2 == await postings_of(world, hold)
        assert 7 == (await read(world, hold)).released_units

    async def test_after_which_nothing_can_be_captured(self, world: World) -> None:
        hold = await place(world, 7, expires_at=PAST)
        await expire(world)

        with pytest.raises(HoldExceeded):
            await capture(world, hold, units=1)


class TestKeeper:
    async def test_ends_what_is_due_and_says_so(self, world: World) -> None:
        hold = await place(world, 7, expires_at=PAST)

        with capture_logs() as logs:
            await _keep(world, until_ended=hold)

        assert [{"event": "hold.expired", "hold": hold.id, "log_level": "info"}] == logs
        assert (10, 0) == await pockets(world)

    async def test_is_not_stopped_by_a_hold_whose_money_is_missing(self, alone: World) -> None:
        """A row written around the rules; its expiry would come first. It is named once, and stays."""
        await alone.execute(
            "INSERT INTO holds (id, user_id, asset_id, amount_units, reference, expires_at)"
            " VALUES ('broken', :user, :asset, 99, 'r', :past)",
            user=alone.user_id,
            asset=ETH.id,
            past=PAST - timedelta(days=1),
        )
        hold = await place(alone, 7, expires_at=PAST)

        with capture_logs() as logs:
            await _keep(alone, until_ended=hold)

        errors = [line for line in logs if line["log_level"] == "error"]
        assert [
            {"event": "hold.stuck", "hold": "broken", "error": "insufficient-funds", "log_level": "error"}
        ] == errors
        assert (10, 0) == await pockets(alone)


async def _keep(world: World, *, until_ended: Hold) -> None:
    """Let a keeper run until this hold has ended, and a few rounds more."""
    keeping = asyncio.create_task(hold_keeper.keep_holds(world.engine, every_seconds=0.01))
    async with asyncio.timeout(10):
        while (await read(world, until_ended)).ended_at is None:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


class TestRow:
    @pytest.mark.parametrize(
        "change",
        [
            "amount_units = 8",
            "reference = 'other'",
            "released_units = 1, captured_units = 0",
            "ended_at = now()",
            "released_units = 9",
        ],
    )
    async def test_only_shrinks(self, world: World, change: str) -> None:
        hold = await place(world, 7)
        await capture(world, hold, units=2)
        await release(world, hold, units=2)

        with pytest.raises(DBAPIError):
            await world.execute(f"UPDATE holds SET {change} WHERE id = :id", id=hold.id)

    async def test_stays(self, world: World) -> None:
        hold = await place(world, 7)

        with pytest.raises(DBAPIError):
            await world.execute("DELETE FROM holds WHERE id = :id", id=hold.id)


class TestLaw:
    """held_has_owner, after a change by hand that the program itself could make."""

    async def test_sees_a_hold_without_money(self, alone: World) -> None:
        await alone.execute(
            "INSERT INTO holds (id, user_id, asset_id, amount_units, reference) VALUES ('h', :user, :asset, 5, 'r')",
            user=alone.user_id,
            asset=ETH.id,
        )

        assert [
            f"user {alone.user_id}: 0 of ETH.ethereum held, 5 owned by trades, returns, debts and holds",
            f"hold h of user {alone.user_id}: 5 of ETH.ethereum left, 0 set aside in the ledger",
        ] == (await alone.broken_laws())["held_has_owner"]

    async def test_sees_money_without_a_hold(self, alone: World) -> None:
        async with alone.engine.begin() as conn:
            free, kept = available(alone.user_id, ETH.id), held(alone.user_id, ETH.id)
            await post(conn, move("hold/h", Kind.HOLD, "r", free, kept, 5))

        assert [
            f"user {alone.user_id}: 5 of ETH.ethereum held, 0 owned by trades, returns, debts and holds",
            f"hold h of user {alone.user_id}: 0 of ETH.ethereum left, 5 set aside in the ledger",
        ] == (await alone.broken_laws())["held_has_owner"]

    async def test_sees_two_wrong_holds_that_sum_up_right(self, alone: World) -> None:
        one, two = await place(alone, 4), await place(alone, 4)
        await release(alone, one, units=1)
        await release(alone, two, units=2)

        await alone.execute("UPDATE holds SET released_units = 2 WHERE id = :one", one=one.id)
        await alone.execute_as_owner("ALTER TABLE holds DISABLE TRIGGER USER")
        await alone.execute("UPDATE holds SET released_units = 1 WHERE id = :two", two=two.id)

        assert 2 == len((await alone.broken_laws())["held_has_owner"])
