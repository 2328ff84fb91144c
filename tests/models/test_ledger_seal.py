"""Sealing closes everything that was posted before it, and nothing that comes after, however many are posting."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from activities.ledger import seal_now
from models.errors import InsufficientFunds
from models.ledger import queries, seal
from models.ledger.chart import Purpose, available, custody, house
from models.ledger.post import post, post_alone
from models.ledger.types import Kind, Transaction, move
from models.ledger.verify import Verdict, verify
from tests.models.world import COIN, ETH, World

CUSTODY, DESK, FEES = custody("ethereum", ETH.id), house(Purpose.DESK, ETH.id), house(Purpose.FEES, ETH.id)
POSTERS = 6
SECONDS = 2.5
_KEYS = itertools.count(1)


def deposit(user: str, units: int = COIN) -> Transaction:
    key = f"deposit/{next(_KEYS)}"
    return move(key, Kind.DEPOSIT, key, CUSTODY, available(user, ETH.id), units)


def fee(units: int) -> Transaction:
    """Between two accounts of the house: nothing is locked."""
    key = f"fee/{next(_KEYS)}"
    return move(key, Kind.NETWORK_FEE, key, DESK, FEES, units)


async def give(world: World, count: int = 1) -> None:
    for _ in range(count):
        await post_alone(world.engine, deposit(world.user_id))


async def prove(engine: AsyncEngine, anchor: str | None = None) -> Verdict:
    async with engine.connect() as conn:
        return await verify(conn, lambda done, total: None, anchor)


async def seals(world: World) -> list[tuple[int, int]]:
    """Each seal's number, and how many transactions it closed."""
    async with world.engine.connect() as conn:
        return [
            tuple(row) for row in await conn.execute(text("SELECT number, transactions FROM ledger_seals ORDER BY 1"))
        ]


async def unsealed(world: World) -> object:
    return await world.scalar(
        "SELECT count(*) FROM ledger_transactions"
        " WHERE recorded_at > coalesce((SELECT max(sealed_until) FROM ledger_seals), '-infinity')"
    )


async def step(world: World, name: str) -> object:
    async with world.engine.begin() as conn:
        return await {"announce": seal.announce, "mark": seal.mark_horizon, "seal": seal.seal}[name](conn)


@asynccontextmanager
async def open_post(world: World, *transactions: Transaction) -> AsyncIterator[AsyncConnection]:
    """Posted, and not committed before the block ends."""
    async with world.engine.begin() as conn:
        await post(conn, *transactions)
        yield conn


class TestSeal:
    async def test_closes_what_was_posted_before_and_nothing_after(self, world: World) -> None:
        await give(world, 3)

        done = await seal_now(world.engine)
        await give(world, 2)

        assert (1, 1, 3) == (done.sealed, done.last and done.last.number, done.last and done.last.transactions)
        assert ([(1, 3)], 2) == (await seals(world), await unsealed(world))

    async def test_is_chained_to_the_one_before(self, world: World) -> None:
        await give(world, 3)
        await seal_now(world.engine)
        await give(world, 2)

        again = await seal_now(world.engine)

        assert ([(1, 3), (2, 2)], 0) == (await seals(world), await unsealed(world))
        assert again.last is not None
        assert again.last.anchor == (await prove(world.engine)).anchor

    async def test_of_nothing_is_not_made(self, world: World) -> None:
        await give(world)
        first = await seal_now(world.engine)

        again = await seal_now(world.engine)

        assert (0, False, first.last) == (again.sealed, again.waits, again.last)

    async def test_closes_a_long_past_in_pieces(self, world: World) -> None:
        await give(world, 7)
        await step(world, "announce")
        await step(world, "mark")

        async with world.engine.begin() as conn:
            made = await seal.seal(conn, most=3)

        assert 3 == made
        assert [(1, 3), (2, 3), (3, 1)] == await seals(world)
        assert [] == (await prove(world.engine)).findings

    async def test_keeps_a_batch_whole(self, world: World) -> None:
        await post_alone(world.engine, *(deposit(world.user_id) for _ in range(5)))
        await step(world, "announce")
        await step(world, "mark")

        async with world.engine.begin() as conn:
            await seal.seal(conn, most=2)

        assert [(1, 5)] == await seals(world)

    async def test_waits_for_whoever_began_before_it(self, world: World) -> None:
        async with open_post(world, deposit(world.user_id)):
            await step(world, "announce")
            await step(world, "mark")
            while_open = await step(world, "seal")
        after = await step(world, "seal")

        assert (None, 1) == (while_open, after)
        assert ([(1, 1)], 0) == (await seals(world), await unsealed(world))

    async def test_does_not_wait_for_whoever_begins_after_the_mark(self, world: World) -> None:
        await give(world)
        await step(world, "announce")
        await step(world, "mark")

        async with open_post(world, deposit(world.user_id)):
            made = await step(world, "seal")

        assert 1 == made
        assert ([(1, 1)], 1) == (await seals(world), await unsealed(world))

    async def test_gives_up_for_this_time_when_somebody_posts_for_too_long(self, world: World) -> None:
        async with open_post(world, deposit(world.user_id)):
            first = await seal_now(world.engine, patience_seconds=0.1)
        again = await seal_now(world.engine)

        assert (0, True, None) == (first.sealed, first.waits, first.last)
        assert (1, False) == (again.sealed, again.waits)

    async def test_waits_for_whoever_began_between_two_sealers(self, world: World) -> None:
        """One whose transaction is younger than the announcement that it has not seen."""
        await give(world)
        async with AsyncExitStack() as open_ones:
            first = await open_ones.enter_async_context(world.engine.connect())
            await seal.announce(first)
            second = asyncio.create_task(step(world, "announce"))
            await asyncio.sleep(0.2)
            poster = await open_ones.enter_async_context(world.engine.connect())
            await post(poster, deposit(world.user_id))
            await first.commit()
            await second
            await step(world, "mark")
            while_open = await step(world, "seal")
            await poster.commit()
        await step(world, "seal")

        assert [] == (await prove(world.engine)).findings
        assert (None, [(1, 2)]) == (while_open, await seals(world))

    async def test_waits_for_whoever_began_while_it_waited_for_another_sealer(self, world: World) -> None:
        """One whose transaction is younger than the mark that then finds an announcement it has not seen."""
        await give(world)
        async with AsyncExitStack() as open_ones:
            first = await open_ones.enter_async_context(world.engine.connect())
            await seal.announce(first)
            second = asyncio.create_task(step(world, "announce"))
            await asyncio.sleep(0.2)
            third = asyncio.create_task(step(world, "mark"))
            await asyncio.sleep(0.2)
            poster = await open_ones.enter_async_context(world.engine.connect())
            await post(poster, deposit(world.user_id))
            await first.commit()
            await second
            await third
            while_open = await step(world, "seal")
            await poster.commit()
        await step(world, "seal")

        assert [] == (await prove(world.engine)).findings
        assert (None, [(1, 2)]) == (while_open, await seals(world))

    async def test_is_not_outrun_by_a_clock_that_is_set_back(self, world: World) -> None:
        """For whoever reads the clock afterwards, the announced time lies ahead."""
        await give(world)
        await world.execute_as_owner("UPDATE ledger_clock SET closing_at = clock_timestamp() + interval '1 second'")
        await seal_now(world.engine)
        await give(world, 2)

        while_ahead = (await seals(world), await unsealed(world), (await prove(world.engine)).findings)
        await asyncio.sleep(1.1)
        await seal_now(world.engine)

        assert ([(1, 1)], 2, []) == while_ahead
        assert ([(1, 1), (2, 2)], 0) == (await seals(world), await unsealed(world))
        assert [] == (await prove(world.engine)).findings

    async def test_of_a_busy_ledger_misses_nothing_and_closes_nothing_twice(self, world: World) -> None:
        users = [world.user_id, (await world.join("bia@example.com"))[0]]
        until = time.monotonic() + SECONDS

        async def poster(number: int) -> int:
            rng, done = random.Random(number), 0
            while time.monotonic() < until:
                one, other = rng.sample(users, 2)
                with suppress(InsufficientFunds):
                    if rng.random() < 0.4:
                        async with open_post(world, deposit(one), fee(rng.randint(1, 9))):
                            await asyncio.sleep(rng.random() * 0.03)
                        done += 2
                    else:
                        units, key = rng.randint(1, COIN), f"transfer/{number}/{next(_KEYS)}"
                        paid = move(key, Kind.TRANSFER, key, available(one, ETH.id), available(other, ETH.id), units)
                        await post_alone(world.engine, paid)
                        done += 1
            return done

        async def sealer() -> int:
            made = 0
            while time.monotonic() < until:
                made += (await seal_now(world.engine)).sealed
            return made

        *done, one, two = await asyncio.gather(*(poster(n) for n in range(POSTERS)), sealer(), sealer())
        await seal_now(world.engine)

        assert one + two > 10
        assert sum(done) == sum(count for _, count in await seals(world))
        assert [] == (await prove(world.engine)).findings


class TestSnapshot:
    async def test_gives_the_balance_that_the_postings_give(self, world: World) -> None:
        rng = random.Random(7)
        for _ in range(4):
            await give(world, rng.randint(0, 2))
            await post_alone(world.engine, *(fee(rng.randint(1, 99)) for _ in range(rng.randint(1, 3))))
            await seal_now(world.engine)
        await post_alone(world.engine, fee(5))

        instants = "SELECT recorded_at FROM ledger_transactions UNION SELECT sealed_until FROM ledger_seals"
        summed = text(
            "SELECT coalesce(sum(p.amount), 0) FROM ledger_postings AS p JOIN ledger_accounts AS a ON a.id = p.account_id"
            " WHERE a.owner IS NULL AND a.purpose = :purpose AND p.recorded_at <= :instant"
        )
        async with world.engine.connect() as conn:
            for instant in list((await conn.execute(text(instants))).scalars()):
                for account in (CUSTODY, DESK, FEES):
                    known = {"purpose": account.purpose, "instant": instant}
                    expected = int((await conn.execute(summed, known)).scalar_one())
                    assert expected == await queries.balance(conn, account, instant=instant)
        assert 4 <= (await prove(world.engine)).snapshots

    async def test_is_what_a_balance_begins_with(self, world: World) -> None:
        """A wrong one shows in the balance: it is read, and what it covers is not summed again."""
        await post_alone(world.engine, fee(5))
        await seal_now(world.engine)
        await post_alone(world.engine, fee(2))

        async with world.as_owner() as conn:
            await conn.execute(text("ALTER TABLE ledger_snapshots DISABLE TRIGGER USER"))
            await conn.execute(text("UPDATE ledger_snapshots SET balance = 1000 WHERE balance > 0"))

        assert 1002 == await world.house(Purpose.FEES)
