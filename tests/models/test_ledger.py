"""The ledger moves value once, exactly, and never below zero; PostgreSQL refuses whatever goes around it."""

import asyncio
import random
from typing import ClassVar

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from models.errors import InsufficientFunds, LedgerUnbalanced, OperationKeyReused
from models.ledger import queries
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import OPERATIONS, Kind, Posting, Transaction, move
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
    "UPDATE ledger_accounts SET is_constrained = false, balance = NULL",
    "UPDATE ledger_accounts SET owner = NULL",
    "DELETE FROM ledger_accounts WHERE id NOT IN (SELECT account_id FROM ledger_postings)",
    "DELETE FROM ledger_accounts",
    "UPDATE ledger_seals SET transactions = 0",
    "DELETE FROM ledger_snapshots",
)
"""Refused to everybody: to the program by its rights, to the owner by triggers."""


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

    def test_has_one_posting_for_each_account(self) -> None:
        desk, fees = house(Purpose.DESK, ETH.id), house(Purpose.FEES, ETH.id)

        with pytest.raises(LedgerUnbalanced, match="one account"):
            Transaction("k", Kind.FUNDING, "r", (Posting(desk, 2), Posting(desk, 3), Posting(fees, -5)))

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

    @pytest.mark.parametrize("statement", EDITS)
    async def test_refuses_to_edit_or_delete(self, world: World, statement: str) -> None:
        with pytest.raises(DBAPIError, match="permission denied"):
            await world.execute(statement)
        with pytest.raises(DBAPIError, match="append-only"):
            await world.execute_as_owner(statement)

    async def test_refuses_a_users_account_without_a_floor(self, world: World) -> None:
        with pytest.raises(DBAPIError, match="users_are_constrained"):
            await world.execute_as_owner(
                "INSERT INTO ledger_accounts (owner, asset_id, purpose, is_constrained)"
                " VALUES (:user, 'BRL', 'available', false)",
                user=world.user_id,
            )

    async def test_refuses_an_overdraft_even_of_the_owner(self, world: World) -> None:
        with pytest.raises(DBAPIError, match="never_negative"):
            await world.execute_as_owner("UPDATE ledger_accounts SET balance = -1 WHERE purpose = 'available'")


class TestRights:
    """What the program's role may do, table by table: a new one must be thought of here."""

    READ = frozenset({"SELECT"})
    APPEND = READ | {"INSERT"}
    KEEP = APPEND | {"UPDATE"}
    ALL = KEEP | {"DELETE"}
    LESS: ClassVar = {
        **dict.fromkeys(
            ("ledger_accounts", "ledger_transactions", "ledger_postings", "ledger_clock", "ledger_seals"), READ
        ),
        **dict.fromkeys(("ledger_snapshots", "transitions", "alembic_version"), READ),
        **dict.fromkeys(("wallet_balances", "balance_history", "held_parts"), READ),
        **dict.fromkeys(("bank_movements", "bank_movement_sources"), READ),
        **dict.fromkeys(("instant_trade_history", "user_document_history"), APPEND),
        **dict.fromkeys(("reconciliations", "break_history", "pix_dispute_history"), APPEND),
        **dict.fromkeys(("holds", "instant_trades", "trade_outcomes", "payouts", "provider_health"), KEEP),
        **dict.fromkeys(("bank_lines", "breaks"), KEEP),
        **dict.fromkeys(("transfer_transactions", "transfer_attempts", "user_documents"), KEEP),
        **dict.fromkeys(("charges", "pix_receipts", "pix_refunds", "pix_withdrawals", "pix_disputes"), KEEP),
        **dict.fromkeys(("pix_withdrawal_history", "p2p_trade_history"), APPEND),
        **dict.fromkeys(("payment_methods", "p2p_orders", "p2p_trades"), KEEP),
        **dict.fromkeys(("p2p_messages", "p2p_files", "p2p_dispute_statements"), APPEND),
        **dict.fromkeys(("p2p_dispute_offers", "p2p_dispute_history"), APPEND),
        **dict.fromkeys(("p2p_disputes", "p2p_dispute_rulings"), KEEP),
        **dict.fromkeys(("p2p_escrows", "p2p_results"), READ),
        "p2p_reviews": KEEP,
        "p2p_blocks": APPEND | {"DELETE"},
        **dict.fromkeys(("events", "webhook_attempts"), APPEND),
        **dict.fromkeys(("webhook_endpoints", "webhook_deliveries"), KEEP),
        "webhook_cursor": READ | {"UPDATE"},
    }

    async def test_are_no_more_than_each_table_needs(self, world: World) -> None:
        statement = """
            SELECT c.relname, array_agg(p.name ORDER BY p.name) FILTER (
                WHERE has_table_privilege('liquida_runtime', c.oid, p.name)) AS names
            FROM pg_class AS c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS p(name)
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') GROUP BY c.relname"""

        async with world.engine.connect() as conn:
            found = {row.relname: frozenset(row.names or ()) for row in await conn.execute(text(statement))}

        assert {name: self.LESS.get(name, self.ALL) for name in found} == found

    async def test_own_nothing_and_make_nothing(self, world: World) -> None:
        for statement in (
            "CREATE TABLE mine (a int)",
            "ALTER TABLE ledger_postings DISABLE TRIGGER USER",
            "ALTER FUNCTION ledger_post SECURITY INVOKER",
            "SET ROLE liquida",
        ):
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                await world.execute(statement)

    async def test_to_post_are_given_to_no_other_role(self, world: World) -> None:
        statement = (
            "SELECT count(*) FROM pg_proc WHERE prosecdef AND has_function_privilege('public', oid, 'EXECUTE')"
        )

        assert 0 == await world.scalar(statement)


class TestKind:
    async def test_reads_in_the_database_as_in_the_program(self, world: World) -> None:
        async with world.engine.connect() as conn:
            for kind in Kind:
                operation = (await conn.execute(select(func.ledger_operation(str(kind))))).scalar_one()

                assert OPERATIONS[kind] == operation


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
