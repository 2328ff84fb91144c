"""``kill -9`` of PostgreSQL while many post: what was acknowledged is there, and nothing is half there.

The server writes to disk before it answers, as in production. It is killed again and again over the same books; the
writers know no better than to go on.
"""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida import checks
from liquida.database import engine as make_engine
from liquida.database import migrate
from liquida.stack.postgres import Postgres
from liquida.stack.process import Process
from models.errors import DatabaseUnavailable
from models.ledger import queries
from models.ledger.chart import Account, Purpose, house
from models.ledger.post import post_alone
from models.ledger.types import Kind, Transaction, move
from models.ledger.verify import verify
from models.network.writes import seed
from models.user.writes import add_user
from tests.chaos.ledger_writer import ASSET, PURPOSES, Journal
from tests.models.world import ETH, NETWORKS, POL, USDT
from tests.parts import start_postgres

KILLS, USERS, CALLS = 3, 4, 150
IDLE = 12
"""Connections, most of which nobody uses while the server dies: they too are dead when it is back."""
PLENTY = 10**9
SECONDS = 60
LINES = text("""
SELECT t.key, a.asset_id, a.purpose, a.owner, p.amount
    FROM ledger_transactions AS t
    LEFT JOIN ledger_postings AS p ON p.transaction_id = t.id LEFT JOIN ledger_accounts AS a ON a.id = p.account_id
    WHERE t.reference = 'chaos'
""")

Postings = dict[Account | None, int | None]


@pytest.fixture(scope="module")
async def postgres() -> AsyncIterator[Postgres]:
    with TemporaryDirectory(prefix="liquida-ledger-kill-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        async with start_postgres(directory, durable=True) as server:
            await migrate(server.owner_url)
            async with opened(server) as books, books.begin() as conn:
                await seed(conn, NETWORKS, (ETH, USDT, POL))
            yield server


@asynccontextmanager
async def opened(postgres: Postgres) -> AsyncIterator[AsyncEngine]:
    books = make_engine(postgres.url())
    try:
        yield books
    finally:
        await books.dispose()


async def users_with_money(books: AsyncEngine) -> list[str]:
    async with books.begin() as conn:
        users = [(await add_user(conn, email=f"user{number}@example.com")).user_id for number in range(USERS)]
    for user in users:
        for purpose in PURPOSES:
            account = Account(ASSET, purpose, user)
            key = f"{user}/{account.purpose}"
            await post_alone(
                books, move(key, Kind.FUNDING, "gift", house(Purpose.PIX_CLEARING, ASSET), account, PLENTY)
            )
    return users


@asynccontextmanager
async def writers(postgres: Postgres, users: list[str], directory: Path) -> AsyncIterator[Path]:
    path = directory / "journal"
    process = Process(
        "writers",
        [sys.executable, "-m", "tests.chaos.ledger_writer"],
        state_dir=directory,
        environment=os.environ
        | {
            "BOOKS": postgres.url(),
            "USERS": " ".join(users),
            "JOURNAL": str(path),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )
    process.spawn()
    try:
        yield path
        path.with_suffix(".stop").touch()
        assert await asyncio.wait_for(process.ended(), SECONDS) == 0, process.last_words()
    finally:
        await process.stop()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not done():
            await asyncio.sleep(0.02)


async def posted(books: AsyncEngine) -> dict[str, Postings]:
    """What the database has of each transaction: posting by posting, as one statement sees it."""
    found: dict[str, Postings] = defaultdict(dict)
    async with books.connect() as conn:
        for row in await conn.execute(LINES):
            account = None if row.purpose is None else Account(row.asset_id, row.purpose, row.owner)
            found[row.key][account] = row.amount
    return found


def whole(transaction: Transaction) -> Postings:
    return {posting.account: posting.units for posting in transaction.postings}


def compare(earlier: Journal, found: dict[str, Postings], later: Journal) -> None:
    """The books were read between the two readings of the journal."""
    for call in earlier.told:
        assert all(transaction.key in found for transaction in earlier.tried[call]), call
    for call, transactions in later.tried.items():
        there = [found.pop(transaction.key) for transaction in transactions if transaction.key in found]
        assert there in ([], [whole(transaction) for transaction in transactions]), call
    assert {} == found


def failures(path: Path) -> int:
    return len(Journal.read(path).failed)


async def again(books: AsyncEngine, journal: Journal) -> set[str]:
    """Everything that was ever tried, with the same keys; those that were new."""
    fresh = set()
    for transactions in journal.tried.values():
        told = await post_alone(books, *transactions)
        fresh |= {transaction.key for transaction, is_new in zip(transactions, told, strict=True) if is_new}
    return fresh


async def balances(books: AsyncEngine) -> dict[Account, int]:
    async with books.connect() as conn:
        return dict(await queries.balances(conn))


@pytest.mark.chaos
async def test_what_was_acknowledged_survives_and_nothing_is_half_there(postgres: Postgres, tmp_path: Path) -> None:
    async with opened(postgres) as books:
        users = await users_with_money(books)
        expected = await balances(books)

    async with writers(postgres, users, tmp_path) as path:
        for _ in range(KILLS):
            told = len(Journal.read(path).told)
            await until(lambda told=told: len(Journal.read(path).told) > told + CALLS)
            failed = failures(path)
            postgres.process.kill()
            await until(lambda failed=failed: failures(path) > failed)
            await postgres.start()
            async with opened(postgres) as books:
                earlier = Journal.read(path)
                found = await posted(books)
                compare(earlier, found, Journal.read(path))

    journal = Journal.read(path)
    async with opened(postgres) as books:
        there = await posted(books)
        missing = [t for call in journal.tried.values() for t in call if t.key not in there]
        compare(journal, there, journal)
        fresh = await again(books, journal)
        assert {t.key for t in missing} == fresh
        assert set() == await again(books, journal)
        for transactions in journal.tried.values():
            for transaction in transactions:
                for posting in transaction.postings:
                    expected[posting.account] = expected.get(posting.account, 0) + posting.units
        assert expected == await balances(books)
        async with books.connect() as conn:
            laws = await checks.check_all(conn)
        async with books.connect() as conn:
            verdict = await verify(conn, lambda _done, _total: None)
    assert ({}, []) == (laws, verdict.findings)
    assert KILLS * CALLS < len(journal.told)


@pytest.mark.chaos
async def test_who_posts_alone_is_told_that_it_is_not_known_and_goes_on_with_the_same_engine(
    postgres: Postgres,
) -> None:
    desk, fees = house(Purpose.DESK, ASSET), house(Purpose.FEES, ASSET)
    failed: list[Exception] = []
    tried: list[Transaction] = []
    openings = [move(f"opens/{number}", Kind.FUNDING, "alone", desk, fees, 1) for number in range(IDLE)]

    async def write(books: AsyncEngine, name: int) -> None:
        while not failed:
            tried.append(move(f"alone/{name}/{len(tried)}", Kind.FUNDING, "alone", desk, fees, 1))
            try:
                await post_alone(books, tried[-1])
            except Exception as error:
                failed.append(error)

    async with opened(postgres) as books:
        await asyncio.gather(*(post_alone(books, opening) for opening in openings))
        writing = [asyncio.create_task(write(books, name)) for name in range(3)]
        await until(lambda: len(tried) > CALLS)
        postgres.process.kill()
        await asyncio.gather(*writing)
        await postgres.start()

        assert {DatabaseUnavailable} == {type(error) for error in failed}
        for transaction in tried:
            await post_alone(books, transaction)
        assert IDLE + len(tried) == (await balances(books))[fees]
