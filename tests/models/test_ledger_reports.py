"""A balance is known for every instant, at the same small cost; reports add up."""

import random
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.ledger import queries, reports
from models.ledger.chart import Account, available, custody, held
from models.ledger.post import post
from models.ledger.reports import HeldAge, HeldCheck, TrialLine, TrialTotal
from models.ledger.types import Kind, move
from tests.models.books import SEALS_EVERY, TRANSACTIONS, Books, fund, seal
from tests.models.world import COIN, ETH, World

POSTINGS = 20_000
TAIL = 1_000
PAGES_MOST = 30
MICROSECOND = timedelta(microseconds=1)


class TestBalanceAtAnInstant:
    async def test_is_the_sum_of_postings_until_then(self, world: World) -> None:
        books = Books(world, random.Random(1))
        await books.fill()
        times = await books.times()
        seals = await world.scalar("SELECT count(*) FROM ledger_seals")
        halfway = [first + (second - first) / 2 for first, second in pairwise(times)]
        around_seals = await self._sealed_until(world)
        instants = {*times, *halfway, times[0] - MICROSECOND, times[-1] + timedelta(days=400), *around_seals}

        wrong = []
        async with world.engine.connect() as conn:
            for instant in sorted(instants):
                expected = books.sums(bisect_right(times, instant))
                actual = dict(await queries.balances(conn, instant=instant))
                wrong += [instant] * (actual != {account: expected.get(account, 0) for account in books.balances})

        assert [] == wrong
        assert sorted(times) == times
        assert isinstance(seals, int)
        assert seals > TRANSACTIONS // SEALS_EVERY

    @staticmethod
    async def _sealed_until(world: World) -> set[datetime]:
        async with world.engine.connect() as conn:
            found = (await conn.execute(text("SELECT sealed_until FROM ledger_seals"))).scalars().all()
        return {one + around for one in found for around in (-MICROSECOND, timedelta(), MICROSECOND)}

    async def test_of_one_account_is_the_same_as_in_the_list(self, world: World) -> None:
        books = Books(world, random.Random(3))
        await books.fill()
        times = await books.times()

        async with world.engine.connect() as conn:
            for instant in (None, times[0] - MICROSECOND, *times[:: TRANSACTIONS // 6]):
                listed = await queries.balances(conn, instant=instant)
                assert listed == [(one, await queries.balance(conn, one, instant=instant)) for one, _ in listed]

    async def test_before_the_first_seal_is_there_too(self, world: World) -> None:
        await fund(world, 10)

        async with world.engine.connect() as conn:
            now = await queries.balance(conn, custody("ethereum", ETH.id))
            before = await queries.balance(
                conn, custody("ethereum", ETH.id), instant=datetime(2020, 1, 1, tzinfo=UTC)
            )

        assert (-10, 0) == (now, before)


class TestCostOfABalance:
    """In pages of PostgreSQL, 8 kB each, of an account with 20,000 postings."""

    @pytest.fixture
    async def ages(self, world: World) -> dict[int, datetime]:
        """One posting a second, written by the owner, for the program cannot set the time; then real seals.

        The instant after so many postings.
        """
        await fund(world, 1)
        await world.execute_as_owner(
            "INSERT INTO ledger_transactions (key, kind, reference, content_hash, recorded_at)"
            " SELECT 'x/' || n, 'adjustment', 'x', sha256(''), timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second'"
            f" FROM generate_series(1, {POSTINGS}) AS n"
        )
        await world.execute_as_owner(
            "INSERT INTO ledger_postings (transaction_id, account_id, amount, balance_after, recorded_at)"
            " SELECT t.id, a.id, CASE WHEN a.is_constrained THEN 1 ELSE -1 END,"
            "        CASE WHEN a.is_constrained THEN row_number() OVER (PARTITION BY a.id ORDER BY t.id) END, t.recorded_at"
            " FROM ledger_transactions AS t, ledger_accounts AS a WHERE t.reference = 'x' ORDER BY t.id"
        )
        await world.execute_as_owner("ANALYZE ledger_postings, ledger_accounts")
        start = datetime(2026, 1, 1, tzinfo=UTC)
        return {count: start + timedelta(seconds=count) for count in (0, 1, 999, 7_500, POSTINGS - 1, POSTINGS)}

    async def test_of_a_user_is_a_few_pages_at_any_age(self, world: World, ages: dict[int, datetime]) -> None:
        found = await self._read(world, ages, available(world.user_id, ETH.id))

        assert {count: count for count in ages} == {count: units for count, (units, _) in found.items()}
        assert PAGES_MOST > max(pages for _, pages in found.values())

    async def test_of_the_house_is_bounded_by_the_size_of_a_seal(
        self, world: World, ages: dict[int, datetime]
    ) -> None:
        account = custody("ethereum", ETH.id)
        unsealed = await self._read(world, {POSTINGS: ages[POSTINGS]}, account)
        await seal(world, TAIL)
        await seal_pages(world)

        found = await self._read(world, ages, account)

        assert {count: -count for count in ages} == {count: units for count, (units, _) in found.items()}
        assert PAGES_MOST > max(pages for _, pages in found.values())
        assert unsealed[POSTINGS][1] > 3 * max(pages for _, pages in found.values())

    async def _read(self, world: World, ages: dict[int, datetime], account: Account) -> dict[int, tuple[int, int]]:
        """Balance, and pages read for it, by count of postings."""
        found = {}
        async with world.engine.connect() as conn:
            owner = "owner IS NULL" if account.owner is None else f"owner = '{account.owner}'"
            row = await conn.execute(
                text(f"SELECT id FROM ledger_accounts WHERE {owner} AND purpose = '{account.purpose}'")
            )
            identity = row.scalar_one()
            for count, instant in ages.items():
                units = await queries.balance(conn, account, instant=instant)
                found[count] = units, await pages_read(conn, identity, instant)
        return found


async def seal_pages(world: World) -> None:
    """As autovacuum would, after so many new rows."""
    await world.execute_as_owner("ANALYZE ledger_snapshots, ledger_postings")


async def pages_read(conn: AsyncConnection, account: int, instant: datetime) -> int:
    explain = text("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT ledger_balance_at(:account, :instant)")
    (plan,) = (await conn.execute(explain, {"account": account, "instant": instant})).scalar_one()
    return int(plan["Plan"]["Shared Hit Blocks"]) + int(plan["Plan"]["Shared Read Blocks"])


class TestTrialBalance:
    async def test_has_debits_for_what_we_own_and_sums_users(self, world: World) -> None:
        bob, _ = await world.join("bob@example.com")
        await fund(world, 7)
        await fund(world, 5, user=bob)

        async with world.engine.connect() as conn:
            lines = await reports.trial_balance(conn)

        assert [
            TrialLine(ETH.id, "house", "custody:ethereum", -12),
            TrialLine(ETH.id, "users", "available", 12),
        ] == lines
        assert [(12, 0), (0, 12)] == [(line.debit, line.credit) for line in lines]
        assert [TrialTotal(ETH.id, 12, 12)] == reports.totals(lines)

    async def test_can_list_each_user(self, world: World) -> None:
        bob, _ = await world.join("bob@example.com")
        await fund(world, 7)
        await fund(world, 5, user=bob)

        async with world.engine.connect() as conn:
            lines = await reports.trial_balance(conn, each_user=True)

        assert {world.user_id: 7, bob: 5, "house": -12} == {line.holder: line.units for line in lines}

    async def test_at_an_instant_sums_what_was_there_then(self, world: World) -> None:
        await fund(world, 7)
        then = await world.scalar("SELECT recorded_at FROM ledger_transactions")
        await fund(world, 5)
        assert isinstance(then, datetime)

        async with world.engine.connect() as conn:
            at = reports.totals(await reports.trial_balance(conn, instant=then))
            before = reports.totals(await reports.trial_balance(conn, instant=then - MICROSECOND))

        assert [TrialTotal(ETH.id, 7, 7)] == at
        assert [TrialTotal(ETH.id, 0, 0)] == before

    async def test_agrees_with_itself_on_random_books(self, world: World) -> None:
        books = Books(world, random.Random(4))
        await books.fill()

        async with world.engine.connect() as conn:
            summed = reports.totals(await reports.trial_balance(conn))
            listed = reports.totals(await reports.trial_balance(conn, each_user=True))

        assert summed == listed
        assert all(total.debit == total.credit > 0 for total in summed)


HOURS = {"< 1 h": 0.5, "< 24 h": 23, "< 7 d": 6 * 24 + 23, "< 30 d": 29 * 24 + 23, "older": 31 * 24}


async def hold(world: World, units: int, *, hours: float) -> str:
    """A hold of so many hours ago, with its posting of now."""
    identity, age = new_id(), timedelta(hours=hours)
    async with world.engine.begin() as conn:
        free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
        await post(conn, move(f"{identity}/hold", Kind.HOLD, identity, free, kept, units))
        await conn.execute(
            text(
                "INSERT INTO holds (id, user_id, asset_id, amount_units, reference, created_at)"
                " VALUES (:id, :user, :asset, :units, 'ticket-7', now() - CAST(:age AS interval))"
            ),
            {"id": identity, "user": world.user_id, "asset": ETH.id, "units": units, "age": age},
        )
    return identity


class TestHoldAges:
    async def test_sorts_what_is_held_by_age_and_cause(self, world: World) -> None:
        await fund(world, 10 * COIN)
        for number, hours in enumerate(HOURS.values()):
            await hold(world, 10**number, hours=hours)
            await hold(world, 10**number, hours=hours)

        async with world.engine.connect() as conn:
            found = await reports.hold_ages(conn)

        expected = [HeldAge(ETH.id, "hold", age, 2, 2 * 10**number) for number, age in enumerate(HOURS)]
        assert expected == list(found.ages)
        assert [HeldCheck(ETH.id, 22_222, 22_222)] == list(found.checks)
        assert all(check.agrees for check in found.checks)

    async def test_names_the_ten_oldest(self, world: World) -> None:
        await fund(world, COIN)
        made = [await hold(world, 1 + hours, hours=hours) for hours in range(12)]

        async with world.engine.connect() as conn:
            found = await reports.hold_ages(conn)

        assert made[:1:-1] == [part.reference for part in found.oldest]
        oldest = found.oldest[0]
        assert (world.user_id, ETH.id, "hold", 12) == (oldest.owner, oldest.asset, oldest.because, oldest.units)
        assert 0 <= oldest.age_seconds - 11 * 3_600 < 60

    async def test_tells_when_the_ledger_holds_something_else(self, world: World) -> None:
        await fund(world, COIN)
        await hold(world, 5, hours=0)
        async with world.engine.begin() as conn:
            free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
            await post(conn, move("stray", Kind.HOLD, "stray", free, kept, 2))

        async with world.engine.connect() as conn:
            (check,) = (await reports.hold_ages(conn)).checks

        assert (7, 5, False) == (check.ledger_units, check.parts_units, check.agrees)

    async def test_of_nothing_is_empty(self, world: World) -> None:
        async with world.engine.connect() as conn:
            found = await reports.hold_ages(conn)

        assert ([], [], []) == (list(found.ages), list(found.oldest), list(found.checks))
