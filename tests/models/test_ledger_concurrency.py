"""Many writers, few accounts: nobody is refused for the crowd's sake, and no unit is lost or made in it."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liquida.database import engine as make_engine
from models.errors import InsufficientFunds
from models.ledger import queries
from models.ledger.chart import Account, Purpose, available, custody, held, house
from models.ledger.post import post, post_alone
from models.ledger.types import Kind, Transaction, move
from models.ledger.verify import verify
from tests.models.world import ETH, World

WRITERS, USERS, EACH = 32, 5, 20
PLENTY = 10**12
AGAIN = 10
"""One transaction in so many was written before, perhaps by somebody who is still at it."""
SEALED = """
SELECT count(*) FROM ledger_transactions WHERE recorded_at <= (SELECT max(sealed_until) FROM ledger_seals)
"""
WRONG_SNAPSHOTS = """
SELECT count(*) FROM ledger_snapshots AS s WHERE s.balance <> (
    SELECT sum(p.amount) FROM ledger_postings AS p
    WHERE p.account_id = s.account_id AND p.recorded_at <= s.taken_at)
"""
DEADLOCK = "40P01"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
async def doors(database: str) -> AsyncIterator[AsyncEngine]:
    """A connection for each writer."""
    made = make_engine(database, pool=WRITERS)
    yield made
    await made.dispose()


@pytest.fixture
async def crowd(world: World, doors: AsyncEngine) -> list[str]:
    """Five users, whose ten accounts are full."""
    users = [world.user_id] + [(await world.join(f"user{number}@example.com"))[0] for number in range(1, USERS)]
    for user in users:
        await post_alone(doors, fund(available(user, ETH.id), PLENTY), fund(held(user, ETH.id), PLENTY))
    return users


def fund(account: Account, units: int) -> Transaction:
    key = f"fund/{account.owner}/{account.purpose}/{account.asset}"
    return move(key, Kind.FUNDING, "fund", custody("ethereum", account.asset), account, units)


async def in_steps(engine: AsyncEngine, transactions: Sequence[Transaction]) -> list[bool]:
    """One after the other, in one database transaction of the caller's."""
    async with engine.begin() as conn:
        return [fresh for one in transactions for fresh in await post(conn, one)]


async def at_once(engine: AsyncEngine, transactions: Sequence[Transaction]) -> list[bool]:
    return await post_alone(engine, *transactions)


async def books(engine: AsyncEngine) -> Counter[Account]:
    async with engine.connect() as conn:
        return Counter({account: units for account, units in await queries.balances(conn) if units})


async def ledger_laws(world: World) -> set[str]:
    return {"balances_add_up", "no_negative"} & set(await world.broken_laws())


class Crowd:
    """Writers who choose by their seed, and a record of what each was told."""

    def __init__(self, users: list[str]) -> None:
        self.users = users
        self.written: dict[frozenset[str], list[Transaction]] = defaultdict(list)
        self.fresh: Counter[str] = Counter()
        self.posted: dict[str, Transaction] = {}

    async def write(self, engine: AsyncEngine, seed: int) -> None:
        pick = random.Random(seed)
        for number in range(EACH):
            pair = self.pair(pick, f"{seed}/{number}")
            for transaction, fresh in zip(pair, await (at_once, in_steps)[seed % 2](engine, pair), strict=True):
                self.fresh[transaction.key] += fresh
                self.posted[transaction.key] = transaction

    def pair(self, pick: random.Random, name: str) -> list[Transaction]:
        """Two transactions between the same two users, of their accounts in any order."""
        two = pick.sample(self.users, 2)
        earlier = self.written[frozenset(two)]
        pair = []
        for half in "ab":
            if earlier and pick.randrange(AGAIN) == 0:
                pair.append(pick.choice(earlier))
                continue
            ends = [pick.choice((available, held))(user, ETH.id) for user in two]
            pick.shuffle(ends)
            pair.append(move(f"{name}/{half}", Kind.TRANSFER, "crowd", *ends, 1 + pick.randrange(99)))
        earlier.extend(pair)
        return pair

    def moved(self) -> Counter[Account]:
        totals: Counter[Account] = Counter()
        for transaction in self.posted.values():
            for posting in transaction.postings:
                totals[posting.account] += posting.units
        return totals


class TestCrowd:
    async def test_on_ten_accounts_ends_with_exact_totals(
        self, world: World, crowd: list[str], doors: AsyncEngine
    ) -> None:
        """Half of it posts by itself, half twice in a transaction of its own, in crossing orders of accounts."""
        before, writers = await books(doors), Crowd(crowd)

        await asyncio.gather(*(writers.write(doors, seed) for seed in range(WRITERS)))

        before.update(writers.moved())
        assert {1} == set(writers.fresh.values())
        assert len(writers.fresh) < WRITERS * EACH * 2
        assert before == await books(doors)
        assert 2 * USERS + len(writers.fresh) == await world.scalar("SELECT count(*) FROM ledger_transactions")
        assert set() == await ledger_laws(world)

    async def test_is_refused_exactly_what_is_not_there(
        self, world: World, crowd: list[str], doors: AsyncEngine
    ) -> None:
        poor, rich = available(crowd[0], "BRL"), available(crowd[1], "BRL")
        await post_alone(doors, fund(poor, 100))

        async def take(number: int) -> bool:
            taken = move(f"take/{number}", Kind.TRANSFER, "crowd", poor, rich, 7)
            try:
                return [True] == await (at_once, in_steps)[number % 2](doors, [taken])
            except InsufficientFunds:
                return False

        taken = await asyncio.gather(*(take(number) for number in range(2 * WRITERS)))

        assert 100 // 7 == sum(taken)
        assert (100 % 7, 14 * 7) == (await world.balance(poor), await world.balance(rich))
        assert set() == await ledger_laws(world)

    async def test_on_one_account_of_the_house_ends_with_exact_totals(self, world: World, doors: AsyncEngine) -> None:
        desk, others = house(Purpose.DESK, "BRL"), [house(p, "BRL") for p in (Purpose.FEES, Purpose.SUSPENSE)]

        async def write(seed: int) -> None:
            way = (at_once, in_steps)[seed % 2]
            for number in range(EACH):
                key = f"{seed}/{number}"
                pair = [move(f"{key}/{n}", Kind.FUNDING, "hot", desk, other, 3 + n) for n, other in enumerate(others)]
                assert [True, True] == await way(doors, pair)

        await asyncio.gather(*(write(seed) for seed in range(WRITERS)))

        times = WRITERS * EACH
        assert {desk: -7 * times, others[0]: 3 * times, others[1]: 4 * times} == dict(await books(doors))
        assert set() == await ledger_laws(world)

    async def test_does_not_queue_for_an_account_of_the_house(self, world: World, doors: AsyncEngine) -> None:
        desk, fees = house(Purpose.DESK, "BRL"), house(Purpose.FEES, "BRL")
        await post_alone(doors, move("first", Kind.FUNDING, "hot", desk, fees, 1))

        async with doors.begin() as slow:
            await post(slow, move("slow", Kind.FUNDING, "hot", desk, fees, 2))
            async with asyncio.timeout(5):
                await post_alone(doors, move("quick", Kind.FUNDING, "hot", desk, fees, 4))
            assert 5 == await world.house(Purpose.FEES, "BRL")

        assert 7 == await world.house(Purpose.FEES, "BRL")

    async def test_that_crosses_keys_is_told_nothing_of_it(self, world: World, doors: AsyncEngine) -> None:
        """Nothing orders keys of the house's own transactions, so PostgreSQL ends one of two that wait crosswise."""
        desk, fees = house(Purpose.DESK, "BRL"), house(Purpose.FEES, "BRL")
        batch = [move(f"k{number}", Kind.FUNDING, "hot", desk, fees, 1) for number in range(400)]

        told = await asyncio.gather(at_once(doors, batch), at_once(doors, batch[::-1]))

        assert len(batch) == sum(map(sum, told))
        assert len(batch) == await world.house(Purpose.FEES, "BRL")


class TestTwoSteps:
    async def test_for_other_users_crosswise_fail_as_a_whole_and_can_be_done_again(
        self, world: World, crowd: list[str], doors: AsyncEngine
    ) -> None:
        """One transaction must name all its users in its first post, or PostgreSQL may end it. Never as a money error."""
        one, two = (available(user, ETH.id) for user in crowd[:2])
        desk = house(Purpose.DESK, ETH.id)
        await post_alone(doors, move("made", Kind.FUNDING, "r", desk, house(Purpose.FEES, ETH.id), 1))
        met = asyncio.Barrier(2)

        async def story(name: str, *accounts: Account) -> int:
            for attempt in range(3):
                try:
                    async with doors.begin() as conn:
                        for number, account in enumerate(accounts):
                            await post(conn, move(f"{name}/{number}", Kind.FUNDING, "r", account, desk, 5))
                            if attempt == number == 0:
                                await met.wait()
                except DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) != DEADLOCK:
                        raise
                else:
                    return attempt
            raise AssertionError("never through")

        attempts = await asyncio.gather(story("a", one, two), story("b", two, one))

        assert [0, 1] == sorted(attempts)
        assert 20 - 1 == await world.house(Purpose.DESK, ETH.id)


class TestSealing:
    async def test_goes_on_beside_the_writers(self, world: World, crowd: list[str], doors: AsyncEngine) -> None:
        writers = Crowd(crowd)
        is_busy = True

        async def sealer() -> int:
            made = 0
            while is_busy:
                async with doors.begin() as conn:
                    await sql(conn, "ledger_announce_seal()")
                async with doors.begin() as conn:
                    await sql(conn, "ledger_mark_horizon()")
                sealed = None
                while sealed is None:
                    async with doors.begin() as conn:
                        sealed = await sql(conn, "ledger_seal(50)")
                made += int(str(sealed))
            return made

        sealing = asyncio.create_task(sealer())
        await asyncio.gather(*(writers.write(doors, seed) for seed in range(WRITERS - 1)))
        is_busy = False
        made = await sealing

        assert made > 2
        assert 2 * USERS < int(str(await world.scalar(SEALED)))
        assert await world.scalar(SEALED) == await world.scalar("SELECT sum(transactions) FROM ledger_seals")
        assert 0 == await world.scalar(WRONG_SNAPSHOTS)
        async with doors.connect() as conn:
            assert [] == (await verify(conn, lambda _done, _total: None)).findings

    async def test_waits_for_a_writer_who_began_while_two_sealers_announced(
        self, world: World, doors: AsyncEngine
    ) -> None:
        desk, fees = house(Purpose.DESK, "BRL"), house(Purpose.FEES, "BRL")
        await post_alone(doors, move("early", Kind.FUNDING, "r", desk, fees, 1))

        async with doors.connect() as first, doors.connect() as second, doors.connect() as writer:
            await sql(first, "ledger_announce_seal()")
            announcing = asyncio.create_task(sql(second, "ledger_announce_seal()"))
            while not await world.scalar(WAITING):
                await asyncio.sleep(0.01)
            await post(writer, move("slow", Kind.FUNDING, "r", desk, fees, 2))
            await first.commit()
            await announcing
            await second.commit()
            async with doors.begin() as conn:
                await sql(conn, "ledger_mark_horizon()")
            async with doors.begin() as conn:
                sealed = await sql(conn, "ledger_seal(50)")
            await writer.commit()

        assert sealed is None
        assert await world.scalar(SEALED) in {None, 0}

    async def test_refuses_a_horizon_of_a_transaction_that_began_before(
        self, world: World, doors: AsyncEngine
    ) -> None:
        desk, fees = house(Purpose.DESK, "BRL"), house(Purpose.FEES, "BRL")
        await post_alone(doors, move("early", Kind.FUNDING, "r", desk, fees, 1))

        async with doors.connect() as old, doors.connect() as writer:
            await post(old, move("old", Kind.FUNDING, "r", desk, fees, 2))
            await post(writer, move("slow", Kind.FUNDING, "r", desk, fees, 4))
            async with doors.begin() as conn:
                await sql(conn, "ledger_announce_seal()")
            with suppress(DBAPIError):
                await sql(old, "ledger_mark_horizon()")
                await old.commit()
            async with doors.begin() as conn:
                sealed = await sql(conn, "ledger_seal(50)")
            await writer.commit()

        assert sealed is None


async def sql(conn: AsyncConnection, call: str) -> object:
    return (await conn.execute(text(f"SELECT {call}"))).scalar_one()
