"""The program's own role attacks the ledger with raw SQL; PostgreSQL lets nothing through that breaks a law.

Whoever holds the program's password may call ``ledger_post`` with anything and try any statement. Either it is
refused, or the books are still right: balanced, whole, never below zero, and as if a caller of ours had written it.
"""

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from liquida.database import engine as make_engine
from liquida.stack.postgres import Postgres
from models.ledger.chart import available, custody, held
from models.ledger.post import post_alone
from models.ledger.types import Kind, move
from models.quote.types import Funding
from tests.models.world import ETH, World
from tests.parts import create_database, drop_database

GIVEN, HELD = 10, 4
NUMBERS = itertools.count(1)
LEDGER = (
    "ledger_accounts",
    "ledger_transactions",
    "ledger_postings",
    "ledger_clock",
    "ledger_seals",
    "ledger_snapshots",
)
GOOD = {
    "keys": "{KEY}",
    "kinds": "{funding}",
    "refs": "{r}",
    "reasons": "{NULL}",
    "numbers": "{1,1}",
    "owners": "{ANA,NULL}",
    "assets": "{BRL,BRL}",
    "purposes": "{available,desk}",
    "amounts": "{5,-5}",
}
"""One deposit of five for Ana, whose id stands for ``ANA``, under a key of its own.

The attacks below say what they write in its place."""
KINDS = ("text[]",) * 4 + ("int[]",) + ("text[]",) * 3 + ("numeric[]",)
CALL = f"SELECT ledger_post({', '.join(f'${n}::text::{kind}' for n, kind in enumerate(KINDS, start=1))})"
TWO = {"keys": "{KEY,KEYb}", "kinds": "{funding,funding}", "refs": "{r,r}", "reasons": "{NULL,NULL}"}
FOUR = {"assets": "{BRL,BRL,BRL,BRL}"}
TWICE = TWO | FOUR | {
    "keys": "{KEY,KEY}",
    "numbers": "{1,1,2,2}",
    "owners": "{ANA,NULL,ANA,NULL}",
    "purposes": "{available,desk,available,desk}",
}  # fmt: skip
REFUSED: dict[str, Mapping[str, str]] = {
    "unbalanced": {"amounts": "{5,-4}"},
    "balanced-over-two-assets": {"assets": "{BRL,ETH.ethereum}"},
    "balanced-over-two-transactions": TWO | {"numbers": "{1,2}"},
    "overdraft": {"amounts": "{-5000,5000}"},
    "unknown-kind": {"kinds": "{gift}"},
    "no-kind": {"kinds": "{NULL}"},
    "fewer-kinds-than-keys": {"keys": "{KEY,KEYb}"},
    "no-key": {"keys": "{NULL}"},
    "no-reference": {"refs": "{NULL}"},
    "no-keys": {"keys": "{}"},
    "no-postings": {"numbers": "{}", "owners": "{}", "assets": "{}", "purposes": "{}", "amounts": "{}"},
    "more-keys-than-numbers": TWO,
    "more-numbers-than-keys": {"numbers": "{1,2}"},
    "more-numbers-than-postings": {"numbers": "{1,1,1}"},
    "more-amounts-than-numbers": {"amounts": "{5,-5,1}"},
    "null-amounts": {"amounts": "{NULL,NULL}"},
    "one-null-amount": {"amounts": "{5,NULL}"},
    "zero-amounts": {"amounts": "{0,0}"},
    "nan-amounts": {"amounts": "{NaN,NaN}"},
    "nan-amount": {"amounts": "{NaN,-5}"},
    "infinite-amounts": {"amounts": "{Infinity,-Infinity}"},
    "amount-too-big": {"amounts": f"{{1{'0' * 78},-1{'0' * 78}}}"},
    "fractions-that-round-to-more": {
        "numbers": "{1,1,1}",
        "owners": "{ANA,NULL,NULL}",
        "assets": "{BRL,BRL,BRL}",
        "purposes": "{available,desk,fees}",
        "amounts": "{1.5,-3,1.5}",
    },
    "fractions-that-drift-from-the-balance": {
        "assets": "{ETH.ethereum,ETH.ethereum}",
        "amounts": "{-0.5,0.5}",
    },
    "numbers-that-come-back": TWO
    | FOUR
    | {
        "numbers": "{1,2,2,1}",
        "owners": "{ANA,NULL,NULL,NULL}",
        "purposes": "{available,desk,fees,desk}",
        "amounts": "{5,3,-3,-5}",
    },
    "numbers-with-a-gap": TWO
    | FOUR
    | {
        "numbers": "{1,1,3,3}",
        "owners": "{ANA,NULL,ANA,NULL}",
        "purposes": "{available,desk,available,desk}",
        "amounts": "{5,-5,5,-5}",
    },
    "numbers-from-zero": {"numbers": "[0:1]={1,1}"},
    "numbers-of-two-dimensions": {"numbers": "{{1,1}}"},
    "numbers-of-no-key": {"numbers": "{7,7}"},
    "postings-without-number": FOUR
    | {
        "numbers": "{1,1,NULL,NULL}",
        "owners": "{ANA,NULL,NULL,NULL}",
        "purposes": "{available,desk,desk,fees}",
        "amounts": "{5,-5,1,-1}",
    },
    "amounts-from-zero": {"amounts": "[0:3]={-7,7,9,-9}"},
    "assets-from-zero": FOUR
    | {
        "numbers": "{1,1,1,1}",
        "owners": "{NULL,NULL,NULL,ANA}",
        "assets": "[0:4]={BRL,BRL,ETH.ethereum,ETH.ethereum,BRL}",
        "purposes": "{desk,desk,fees,available}",
        "amounts": "{5,-5,-7,7}",
    },
    "whole-amounts-written-with-places": {"amounts": "{5.0,-5.0}"},
    "postings-in-another-order": {"owners": "{NULL,ANA}", "purposes": "{desk,available}", "amounts": "{-5,5}"},
    "fewer-owners-than-postings": {"owners": "{ANA}"},
    "key-with-spaces-beyond-its-length": {"keys": f'{{"{"k" * 200} "}}'},
    "reference-with-spaces-beyond-its-length": {"refs": f'{{"{"r" * 200} "}}'},
    "reference-of-two-lines": {"refs": '{"a\nb"}'},
    "reason-of-two-lines": {"reasons": '{"a\nb"}'},
    "purpose-that-is-no-name": {"purposes": '{"x\tdesk",desk}'},
    "owner-nobody": {"owners": "{ghost,NULL}"},
    "owner-empty": {"owners": '{"",NULL}'},
    "asset-unknown": {"assets": "{GOLD,GOLD}"},
    "asset-null": {"assets": "{NULL,NULL}"},
    "purpose-null": {"purposes": "{NULL,desk}"},
    "same-account-twice": {"purposes": "{desk,desk}", "owners": "{NULL,NULL}"},
    "key-too-long": {"keys": f"{{{'k' * 201}}}"},
    "one-key-with-two-contents": TWICE | {"amounts": "{5,-5,6,-6}"},
}
DENIED = {
    "insert-a-kind-of-its-own": "CREATE OR REPLACE FUNCTION ledger_operation(kind text) RETURNS text LANGUAGE sql"
    " AS $$ SELECT 'deposit' $$",
    "replace-the-door": "CREATE OR REPLACE FUNCTION ledger_post(text[], text[], text[], text[], int[], text[], text[],"
    " text[], numeric[]) RETURNS boolean[] LANGUAGE sql AS $$ SELECT '{true}'::boolean[] $$",
    "drop-the-door": "DROP FUNCTION ledger_seal(int)",
    "alter-the-door": "ALTER FUNCTION ledger_seal(int) SET search_path = pg_temp",
    "become-the-owner": "SET ROLE liquida",
    "be-the-owner-from-the-start": "SET SESSION AUTHORIZATION liquida",
    "switch-off-all-triggers": "SET session_replication_role = replica",
    "switch-off-a-trigger": "ALTER TABLE ledger_postings DISABLE TRIGGER ALL",
    "add-a-trigger": "CREATE TRIGGER own BEFORE INSERT ON ledger_postings EXECUTE FUNCTION refuse_change()",
    "add-a-rule": "CREATE RULE own AS ON INSERT TO ledger_postings DO INSTEAD NOTHING",
    "drop-a-check": "ALTER TABLE ledger_accounts DROP CONSTRAINT ledger_accounts_never_negative",
    "drop-a-table": "DROP TABLE ledger_snapshots",
    "own-a-table": "ALTER TABLE ledger_accounts OWNER TO liquida_runtime",
    "add-a-table": "CREATE TABLE public.own (id int)",
    "add-a-schema": "CREATE SCHEMA own",
    "move-the-sequence": "SELECT setval('ledger_transactions_id_seq', 1)",
    "lock-everybody-out": "LOCK TABLE ledger_accounts IN SHARE MODE",
    "lock-rows": "SELECT FROM ledger_accounts FOR UPDATE",
    "close-all-time-to-come": "UPDATE ledger_clock SET closing_at = 'infinity'",
    "write-through-a-view": "UPDATE wallet_balances SET available = 1000",
    "allow-itself-a-step": "INSERT INTO transitions VALUES ('instant_trade', 'completed', 'awaiting_deposit')",
    "forget-the-schema": "DELETE FROM alembic_version",
}
SHADOWS = (
    "CREATE TEMP TABLE ledger_accounts (LIKE public.ledger_accounts)",
    "CREATE TEMP TABLE ledger_transactions (LIKE public.ledger_transactions)",
    "CREATE TEMP TABLE ledger_postings (LIKE public.ledger_postings)",
    "CREATE TEMP TABLE ledger_clock (LIKE public.ledger_clock)",
    "CREATE FUNCTION pg_temp.ledger_operation(kind text) RETURNS text LANGUAGE sql AS $$ SELECT 'deposit' $$",
    "CREATE FUNCTION pg_temp.never(a numeric, b numeric) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$",
    "CREATE OPERATOR pg_temp.<> (FUNCTION = pg_temp.never, LEFTARG = numeric, RIGHTARG = numeric)",
    "SET search_path = pg_temp, public",
)
EDITS = {
    "insert": "INSERT INTO {table} SELECT * FROM {table} LIMIT 1",
    "update": 'UPDATE {table} SET "{column}" = "{column}"',
    "delete": "DELETE FROM {table}",
    "truncate": "TRUNCATE {table} CASCADE",
}
FIRST_COLUMN = "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum = 1"
BALANCES = text(
    "SELECT id, owner, asset_id, purpose, balance, ledger_balance_at(id, 'infinity') FROM ledger_accounts ORDER BY id"
)
"""As kept and as summed."""


@pytest.fixture(scope="module")
async def books(postgres_server: Postgres, template: str) -> AsyncIterator[World]:
    """One database for all attacks: whatever one of them changes, it fails by that."""
    name = "books_attacked"
    made = make_engine(await create_database(postgres_server.admin_url, name, template=template))
    world = await World(made).begin()
    free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
    await post_alone(
        made,
        move("given", Kind.DEPOSIT, "given", custody("ethereum", ETH.id), free, GIVEN),
        move("kept", Kind.HOLD, "kept", free, kept, HELD),
    )
    yield world
    await made.dispose()
    await drop_database(postgres_server.admin_url, name)


async def call(world: World, changes: Mapping[str, str]) -> object:
    """``ledger_post`` with arrays as PostgreSQL writes them, for what a driver would not send."""
    async with world.engine.connect() as conn:
        return await call_in(await driver(conn), world, changes)


async def call_in(session: Any, world: World, changes: Mapping[str, str]) -> object:
    key = f"k{next(NUMBERS)}"
    parts = ((GOOD | changes)[part] for part in GOOD)
    return await session.fetchval(CALL, *(part.replace("ANA", world.user_id).replace("KEY", key) for part in parts))


async def driver(conn: AsyncConnection) -> Any:
    return (await conn.get_raw_connection()).driver_connection


async def rows(world: World) -> list[tuple[object, ...]]:
    """What every account has, and how many rows each table."""
    async with world.engine.connect() as conn:
        counts = [(await conn.execute(text(f"SELECT '{table}', count(*) FROM {table}"))).one() for table in LEDGER]
        return [tuple(row) for row in (*await conn.execute(BALANCES), *counts)]


class TestPostByHand:
    async def test_is_taken_when_it_is_right(self, books: World) -> None:
        before = await books.available("BRL")

        first, again = await call(books, {"keys": "{right}"}), await call(books, {"keys": "{right}"})

        assert ([True], [False]) == (first, again)
        assert before + 5 == await books.available("BRL")

    async def test_of_nothing_is_nothing(self, books: World) -> None:
        before = await rows(books)

        with suppress(asyncpg.PostgresError):
            await call(books, dict.fromkeys(GOOD, "{}"))

        assert before == await rows(books)

    @pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
    async def test_is_refused_and_changes_nothing(self, books: World, changes: Mapping[str, str]) -> None:
        before = await rows(books)

        with pytest.raises(asyncpg.PostgresError):
            await call(books, changes)

        assert before == await rows(books)

    async def test_of_one_key_twice_in_a_batch_moves_once(self, books: World) -> None:
        before = await books.available("BRL")

        fresh = await call(books, TWICE | {"amounts": "{5,-5,5,-5}"})

        assert [True, False] == fresh
        assert before + 5 == await books.available("BRL")


class TestTables:
    @pytest.mark.parametrize("table", LEDGER)
    @pytest.mark.parametrize("how", EDITS.values(), ids=EDITS)
    async def test_are_not_written(self, books: World, table: str, how: str) -> None:
        before = await rows(books)
        column = (await books.scalar(FIRST_COLUMN, table=table)) or ""

        with pytest.raises(DBAPIError, match="permission denied"):
            await books.execute(how.format(table=table, column=column))

        assert before == await rows(books)

    @pytest.mark.parametrize("statement", DENIED.values(), ids=DENIED)
    async def test_and_functions_stay_what_they_are(self, books: World, statement: str) -> None:
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner|cannot change|cannot update"):
            await books.execute(statement)


class TestNames:
    """What a session makes in its own temporary schema is found first by name; the ledger's door looks elsewhere."""

    async def test_of_temporary_things_do_not_reach_the_door(self, books: World) -> None:
        before = await rows(books)

        async with books.engine.connect() as conn:
            session = await driver(conn)
            for statement in SHADOWS:
                await session.execute(statement)
            with pytest.raises(asyncpg.PostgresError, match="no kind"):
                await call_in(session, books, {"kinds": "{gift}"})
            with pytest.raises(asyncpg.PostgresError, match="balance_to_zero"):
                await call_in(session, books, {"amounts": "{5,-4}"})
            with pytest.raises(asyncpg.PostgresError, match="never_negative"):
                await call_in(session, books, {"amounts": "{-5000,5000}"})
            assert before == await rows(books)
            assert [True] == await call_in(session, books, {})
            await conn.invalidate()

        after = await rows(books)
        assert [
            (name, count + grown) for (name, count), grown in zip(before[-6:], (0, 1, 2, 0, 0, 0), strict=True)
        ] == after[-6:]

    async def test_of_temporary_things_do_not_reach_the_laws_of_trades(self, books: World) -> None:
        await books.fund_house()
        trade = await books.sell(Funding.DEPOSIT)
        async with books.engine.connect() as conn:
            session = await driver(conn)
            await session.execute("CREATE TEMP TABLE transitions AS SELECT * FROM public.transitions")
            await session.execute("INSERT INTO transitions VALUES ('instant_trade', 'awaiting_deposit', 'completed')")

            with pytest.raises(asyncpg.PostgresError, match="cannot go from"):
                await session.execute("UPDATE instant_trades SET status = 'completed' WHERE id = $1", trade)
            await conn.invalidate()
