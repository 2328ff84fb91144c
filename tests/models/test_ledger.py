"""The ledger moves value once, exactly, and never below zero; PostgreSQL refuses whatever goes around it."""

import asyncio
import random

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.errors import InsufficientFunds, LedgerUnbalanced, OperationKeyReused
from models.ledger import queries
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, Posting, Transaction, move
from tests.models.world import COIN, ETH, World

POSTERS = 16
EACH = 25
EDITS = (
    "UPDATE ledger_postings SET amount = 11 WHERE amount = 10",
    "DELETE FROM ledger_postings",
    "TRUNCATE ledger_postings",
    "UPDATE ledger_transactions SET kind = 'credit'",
    "DELETE FROM ledger_transactions",
    "TRUNCATE ledger_transactions CASCADE",
    "TRUNCATE ledger_accounts CASCADE",
    "UPDATE ledger_accounts SET balance = balance + 1 WHERE is_constrained",
    "UPDATE ledger_accounts SET is_constrained = false, balance = NULL",
    "DELETE FROM ledger_accounts WHERE id NOT IN (SELECT account_id FROM ledger_postings)",
    "DELETE FROM ledger_accounts",
)


async def give(world: World, units: int, *, user: str | None = None, key: str = "deposit/1") -> list[bool]:
    target = available(user or world.user_id, ETH.id)
    async with world.engine.begin() as conn:
        return await post(conn, move(key, Kind.DEPOSIT, key, custody("ethereum", ETH.id), target, units))


async def hold(world: World, units: int, *, key: str = "t/hold") -> list[bool]:
    free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
    async with world.engine.begin() as conn:
        return await post(conn, move(key, Kind.HOLD, "t", free, kept, units))


async def postings(world: World) -> object:
    return await world.scalar("SELECT count(*) FROM ledger_postings")


class TestTransaction:
    @pytest.mark.parametrize(
        "units",
        [(), (5,), (5, -4), (0, 0)],
    )
    def test_must_balance_and_move_something(self, units: tuple[int, ...]) -> None:
        accounts = [house(Purpose.DESK, ETH.id), house(Purpose.FEES, ETH.id)]
        rows = tuple(Posting(account, one) for account, one in zip(accounts, units, strict=False))

        with pytest.raises(LedgerUnbalanced):
            Transaction("k", Kind.FUNDING, "r", rows)

    def test_must_balance_in_each_asset(self) -> None:
        rows = (Posting(house(Purpose.DESK, ETH.id), 5), Posting(house(Purpose.DESK, "BRL"), -5))

        with pytest.raises(LedgerUnbalanced):
            Transaction("k", Kind.FUNDING, "r", rows)


class TestPost:
    async def test_moves_value_and_keeps_the_balance(self, world: World) -> None:
        await give(world, 10)

        await hold(world, 3)

        assert (7, 3, -10) == (await world.available(), await world.held(), await world.custody())
        assert {} == {law: found for law, found in (await world.broken_laws()).items() if law == "balances_add_up"}

    async def test_moves_amounts_of_any_size(self, world: World) -> None:
        huge = 2**255 + 1

        await give(world, huge)

        assert huge == await world.available()

    async def test_with_the_same_key_and_content_moves_once(self, world: World) -> None:
        first, again = await give(world, 10), await give(world, 10)

        assert ([True], [False]) == (first, again)
        assert 10 == await world.available()

    @pytest.mark.parametrize("units", [9, 11])
    async def test_refuses_a_key_with_other_content(self, world: World, units: int) -> None:
        await give(world, 10)

        with pytest.raises(OperationKeyReused):
            await give(world, units)

        assert 10 == await world.available()

    async def test_refuses_a_key_with_another_reference(self, world: World) -> None:
        await give(world, 10)
        target = available(world.user_id, ETH.id)

        with pytest.raises(OperationKeyReused):
            async with world.engine.begin() as conn:
                await post(conn, move("deposit/1", Kind.DEPOSIT, "other", custody("ethereum", ETH.id), target, 10))

    async def test_does_not_care_for_the_order_in_which_postings_are_written(self, world: World) -> None:
        one, two = Posting(house(Purpose.DESK, ETH.id), 5), Posting(house(Purpose.FEES, ETH.id), -5)

        async with world.engine.begin() as conn:
            first = await post(conn, Transaction("k", Kind.FUNDING, "r", (one, two)))
            again = await post(conn, Transaction("k", Kind.FUNDING, "r", (two, one)))

        assert ([True], [False]) == (first, again)

    async def test_refuses_what_is_not_there_and_moves_nothing(self, world: World) -> None:
        await give(world, 10)
        before = await postings(world)

        with pytest.raises(InsufficientFunds):
            await hold(world, 11)

        assert (10, before) == (await world.available(), await postings(world))

    async def test_can_be_refused_inside_a_savepoint(self, world: World) -> None:
        await give(world, 10)
        free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)

        async with world.engine.begin() as conn:
            with pytest.raises(InsufficientFunds):
                async with conn.begin_nested():
                    await post(conn, move("t/hold", Kind.HOLD, "t", free, kept, 11))
            await post(conn, move("t/hold", Kind.HOLD, "t", free, kept, 10))

        assert 10 == await world.held()

    async def test_of_a_batch_is_all_or_nothing(self, world: World) -> None:
        await give(world, 10)
        free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)

        with pytest.raises(InsufficientFunds):
            async with world.engine.begin() as conn:
                await post(
                    conn,
                    move("a/hold", Kind.HOLD, "a", free, kept, 6),
                    move("b/hold", Kind.HOLD, "b", free, kept, 6),
                )

        assert (10, 0) == (await world.available(), await world.held())

    async def test_by_many_at_once_neither_blocks_for_ever_nor_loses_a_unit(self, world: World) -> None:
        users = [(await world.join(f"user{number}@example.com"))[0] for number in range(4)]
        for number, user in enumerate(users):
            await give(world, 1_000_000, user=user, key=f"deposit/{number}")

        async def poster(seed: int) -> int:
            pick, sent = random.Random(seed), 0
            for number in range(EACH):
                source, target = pick.sample(users, 2)
                parts = [available(source, ETH.id), available(target, ETH.id)]
                pick.shuffle(parts)
                async with world.engine.begin() as conn:
                    await post(conn, move(f"p/{seed}/{number}", Kind.RELEASE, "p", *parts, 1 + pick.randrange(50)))
                sent += 1
            return sent

        sent = await asyncio.gather(*(poster(seed) for seed in range(POSTERS)))

        assert POSTERS * EACH == sum(sent)
        balances = [await world.balance(available(user, ETH.id)) for user in users]
        assert 4_000_000 == sum(balances)
        assert "balances_add_up" not in await world.broken_laws()

    async def test_of_one_key_by_many_at_once_moves_once(self, world: World) -> None:
        fresh = await asyncio.gather(*(give(world, 10) for _ in range(POSTERS)))

        assert 1 == sum(first for (first,) in fresh)
        assert 10 == await world.available()

    async def test_never_overdraws_however_many_spend(self, world: World) -> None:
        await give(world, 10)

        done = await asyncio.gather(
            *(hold(world, 3, key=f"t/{number}") for number in range(8)), return_exceptions=True
        )

        assert 3 == sum(one == [True] for one in done)
        assert (1, 9) == (await world.available(), await world.held())

    async def test_in_two_steps_never_waits_crosswise_for_one_user(self, world: World) -> None:
        """A dust deposit is booked in two postings; meanwhile its user sells: both go through."""
        await give(world, 10)
        await hold(world, 1, key="before/hold")
        free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)

        async with world.engine.begin() as conn:
            await post(conn, move("deposit/2", Kind.DEPOSIT, "r", custody("ethereum", ETH.id), kept, 5))
            selling = asyncio.create_task(hold(world, 2, key="sale/hold"))
            await asyncio.sleep(0.2)
            await post(conn, move("return/1", Kind.CREDIT, "r", kept, free, 5))
        await selling

        assert (12, 3) == (await world.available(), await world.held())


class TestDatabase:
    """Statements by hand, around every line of Python."""

    @pytest.fixture(autouse=True)
    async def balances(self, world: World) -> None:
        await give(world, 10)
        await hold(world, 4)

    async def test_refuses_to_edit_or_delete(self, world: World) -> None:
        await world.execute(
            "INSERT INTO ledger_accounts (asset_id, purpose, is_constrained) VALUES ('BRL', 'unused', false)"
        )

        for statement in EDITS:
            with pytest.raises(DBAPIError):
                await world.execute(statement)

        assert (6, 4, -10) == (await world.available(), await world.held(), await world.custody())

    async def test_refuses_an_account_that_begins_with_money(self, world: World) -> None:
        with pytest.raises(DBAPIError):
            await world.execute(
                "INSERT INTO ledger_accounts (owner, asset_id, purpose, is_constrained, balance)"
                " VALUES (:user, 'BRL', 'available', true, 1000000)",
                user=world.user_id,
            )

    async def test_refuses_a_users_account_without_a_floor(self, world: World) -> None:
        with pytest.raises(DBAPIError):
            await world.execute(
                "INSERT INTO ledger_accounts (owner, asset_id, purpose, is_constrained)"
                " VALUES (:user, 'BRL', 'available', false)",
                user=world.user_id,
            )

    async def _insert(self, world: World, amounts: dict[str, int], *, into: str | None = None) -> None:
        """Postings on Ana's ETH accounts by purpose, in a new transaction or ``into`` an old one."""
        async with world.engine.begin() as conn:
            if into is None:
                into = "raw"
                await conn.execute(
                    text(
                        "INSERT INTO ledger_transactions (key, kind, reference, content_hash)"
                        " VALUES ('raw', 'release', 'raw', '\\x00')"
                    )
                )
            values = ", ".join(f"('{purpose}', {amount})" for purpose, amount in amounts.items())
            await conn.execute(
                text(
                    "INSERT INTO ledger_postings (transaction_id, account_id, amount, balance_after)"
                    " SELECT t.id, a.id, v.amount, 999 FROM ledger_transactions AS t, ledger_accounts AS a"
                    f" JOIN (VALUES {values}) AS v(purpose, amount) ON v.purpose = a.purpose"
                    f" WHERE t.key = '{into}' ORDER BY a.id"
                )
            )

    async def test_carries_the_balance_itself(self, world: World) -> None:
        await self._insert(world, {"available": 1, "held": -1})

        assert "balances_add_up" not in await world.broken_laws()
        assert 7 == await world.scalar("SELECT balance FROM ledger_accounts WHERE purpose = 'available'")

    async def test_refuses_a_transaction_that_does_not_balance(self, world: World) -> None:
        with pytest.raises(DBAPIError, match="balance_to_zero"):
            await self._insert(world, {"available": 1})

    async def test_refuses_an_overdraft(self, world: World) -> None:
        with pytest.raises(DBAPIError, match="never_negative"):
            await self._insert(world, {"available": -7, "held": 7})

    async def test_refuses_postings_added_to_an_old_transaction(self, world: World) -> None:
        """Even balanced ones: what happened, happened."""
        async with world.engine.begin() as conn:
            fees, desk = house(Purpose.FEES, ETH.id), house(Purpose.DESK, ETH.id)
            await post(conn, move("f", Kind.FUNDING, "f", fees, desk, 1))

        with pytest.raises(DBAPIError, match="append-only"):
            await self._insert(world, {"fees": 1, "desk": -1}, into="deposit/1")


class TestQueries:
    async def test_list_every_account_and_what_belongs_to_a_reference(self, world: World) -> None:
        await give(world, COIN)
        await hold(world, 4)

        async with world.engine.connect() as conn:
            balances = dict(await queries.balances(conn))
            own = await queries.of_owner(conn, world.user_id)
            lines = await queries.postings_of(conn, ["t"])

        assert 0 == sum(balances.values())
        assert {available(world.user_id, ETH.id): COIN - 4, held(world.user_id, ETH.id): 4} == own
        assert [("available", -4), ("held", 4)] == sorted((line.purpose, line.amount_units) for line in lines)

    async def test_an_account_never_used_is_zero(self, world: World) -> None:
        assert 0 == await world.balance(house(Purpose.SUSPENSE, ETH.id))
