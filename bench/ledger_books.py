"""The databases a bench works in: a settled template, a fresh copy per measurement, and what must hold after."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.ledger_clients import ASSET, user_id
from liquida import database
from liquida.stack.postgres import Postgres, as_owner, create_database, drop_database
from models.ledger.chart import Purpose, available, house
from models.ledger.post import post_alone
from models.ledger.types import Kind, Transaction, move
from models.network.writes import seed

FUNDS = 10**12
FUNDED_AT_ONCE = 500
SEAL_TRANSACTIONS = 1_000

_ADD_USERS = text("INSERT INTO users (id, email, role) SELECT u, u, 'user' FROM unnest(CAST(:ids AS text[])) AS u")
_IDS = text("SELECT min(id), max(id) FROM ledger_accounts WHERE owner <> :spare")
_COUNTS = text("""
    SELECT (SELECT count(*) FROM ledger_transactions) AS transactions,
           (SELECT coalesce(sum(balance), 0) FROM ledger_accounts) AS users_units,
           (SELECT coalesce(sum(amount), 0) FROM ledger_postings) AS all_units,
           (SELECT count(*) FROM (
                SELECT FROM ledger_postings GROUP BY transaction_id HAVING sum(amount) <> 0 OR count(*) <> 2
            ) AS g) AS crooked,
           (SELECT count(*) FROM ledger_postings) AS postings,
           (SELECT count(*) FROM ledger_accounts AS a
                JOIN (SELECT account_id, sum(amount) AS units FROM ledger_postings GROUP BY account_id) AS p
                  ON p.account_id = a.id WHERE a.balance <> p.units) AS drifted
""")
_LAST = text("""
    SELECT count(*) FROM ledger_accounts AS a
        WHERE a.is_constrained AND a.balance <> ledger_balance_at(a.id, 'infinity')
""")


class Void(Exception):
    """The books do not hold after a measurement: its figures mean nothing."""


@dataclass(frozen=True)
class Books:
    """``users_units``: what all users have together; the house has as much below zero."""

    transactions: int
    users_units: int


@dataclass(frozen=True)
class Template:
    """``first``: the smallest account id of the users; there are no gaps up to the largest."""

    name: str
    users: int
    first: int


@dataclass(frozen=True)
class Copy:
    """One database to write into."""

    name: str
    url: str
    owner_url: str
    template: Template
    before: Books


class Server:
    """The bench's own PostgreSQL: databases, housekeeping, and its processes' CPU seconds."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self._process = psutil.Process(postgres.process.pid)

    async def settle(self, name: str, *, users: int) -> Template:
        """A migrated ledger whose users have funds from the house's desk, one transaction for each."""
        url = await create_database(self.postgres.admin_url, name)
        await database.migrate(as_owner(url))
        async with connected(as_owner(url)) as engine, engine.begin() as conn:
            await seed(conn, (), ())
            await conn.execute(_ADD_USERS, {"ids": [user_id(number) for number in range(-1, users)]})
        async with connected(url) as engine:
            await post_alone(engine, _funding(-1))
            for start in range(0, users, FUNDED_AT_ONCE):
                await post_alone(engine, *map(_funding, range(start, min(start + FUNDED_AT_ONCE, users))))
            async with engine.connect() as conn:
                first, last = (await conn.execute(_IDS, {"spare": user_id(-1)})).one()
        if last - first + 1 != users:
            raise Void("the users' account ids have gaps, and the raw scripts count on none")
        await self.tidy(name)
        return Template(name, users, first)

    @asynccontextmanager
    async def database(self, name: str, *, template: str = "template1") -> AsyncIterator[str]:
        """A new one, by the address of its owner; dropped at the end."""
        url = await create_database(self.postgres.admin_url, name, template=template)
        try:
            yield as_owner(url)
        finally:
            await drop_database(self.postgres.admin_url, name)

    @asynccontextmanager
    async def copy(self, template: Template, name: str) -> AsyncIterator[Copy]:
        """A fresh copy of a settled ledger, read once so that it is in memory."""
        async with self.database(name, template=template.name) as owner_url:
            url = self.postgres.url(name)
            async with connected(url) as engine:
                before = await books(engine)
            yield Copy(name, url, owner_url, template, before)

    async def tidy(self, name: str) -> None:
        """What autovacuum and the checkpointer would do at a moment of their own."""
        async with (
            connected(self.postgres.url(name, user="postgres"), alone=True) as engine,
            engine.connect() as conn,
        ):
            await conn.execute(text("VACUUM (ANALYZE)"))
            await conn.execute(text("CHECKPOINT"))

    async def setting(self, name: str) -> str:
        async with connected(self.postgres.admin_url) as engine, engine.connect() as conn:
            return str((await conn.execute(text(f"SHOW {name}"))).scalar_one())

    def cpu_seconds(self) -> float:
        """Of the server and all its backends, also those that have ended."""
        while True:
            with suppress(psutil.NoSuchProcess):
                backends = [child.cpu_times() for child in self._process.children()]
                own = self._process.cpu_times()
                ended = own.children_user + own.children_system
                return float(own.user + own.system + ended + sum(each.user + each.system for each in backends))


def _funding(number: int) -> Transaction:
    desk, user = house(Purpose.DESK, ASSET), available(user_id(number), ASSET)
    return move(f"fund/{number}", Kind.FUNDING, "bench", desk, user, FUNDS)


@asynccontextmanager
async def connected(url: str, *, alone: bool = False) -> AsyncIterator[AsyncEngine]:
    """:param alone: each statement by itself, for those that refuse a transaction."""
    engine = database.engine(url, pool=2)
    try:
        yield engine.execution_options(isolation_level="AUTOCOMMIT") if alone else engine
    finally:
        await engine.dispose()


async def books(engine: AsyncEngine) -> Books:
    """:raises Void: postings that do not sum to zero, are missing, or differ from a balance."""
    async with engine.connect() as conn:
        row = (await conn.execute(_COUNTS)).one()
    if row.all_units or row.crooked or row.drifted or row.postings != 2 * row.transactions:
        raise Void(
            f"all postings sum to {row.all_units}; {row.crooked} crooked transactions, {row.drifted} wrong balances"
        )
    return Books(row.transactions, int(row.users_units))


async def verify(copy: Copy, *, posted: int, among_users: bool, raw: bool = False) -> None:
    """:param raw: written beside ``ledger_post``, so in no order that the last posting could be told by.
    :raises Void: not exactly the acknowledged transactions are there, or money came or went.
    """
    async with connected(copy.url) as engine:
        now = await books(engine)
        if now.transactions != copy.before.transactions + posted:
            raise Void(f"{posted} were acknowledged, {now.transactions - copy.before.transactions} are there")
        if among_users and now.users_units != copy.before.users_units:
            raise Void(f"users had {copy.before.users_units} together and have {now.users_units}")
        if not raw:
            async with engine.connect() as conn:
                if wrong := (await conn.execute(_LAST)).scalar_one():
                    raise Void(f"{wrong} accounts differ from what their last posting left")


async def seal(url: str) -> float:
    """All three steps, each in a transaction of its own; the seconds they took."""
    started = time.perf_counter()
    async with connected(url) as engine:
        for step in ("ledger_announce_seal()", "ledger_mark_horizon()", f"ledger_seal({SEAL_TRANSACTIONS})"):
            while True:
                async with engine.begin() as conn:
                    if (await conn.execute(text(f"SELECT {step}"))).scalar_one() is not None:
                        break
                await asyncio.sleep(0.01)
    return time.perf_counter() - started
