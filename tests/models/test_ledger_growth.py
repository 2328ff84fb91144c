"""What a read and a posting cost does not grow with the books. Counted in pages, which no busy machine changes.

``make bench-ledger`` shows the same by the clock, with a million transactions.
"""

from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy import text

from liquida.database import engine as make_engine
from liquida.stack.postgres import as_owner
from models.ledger.chart import Purpose, available, house
from models.ledger.post import post_alone
from models.ledger.types import Kind, Transaction, move
from tests.models.world import World

SMALL, LARGE, BATCH, USERS = 1_000, 40_000, 500, 8
RATIO, LEVELS = 1.3, 2
"""A tree of forty times as many rows may be one level higher, and a read goes down two of them."""
TIMES = 5
"""The first call of a session also reads PostgreSQL's own tables."""
BALANCE = """
SELECT ledger_balance_at(id, '{instant}') FROM ledger_accounts
    WHERE owner IS NOT DISTINCT FROM :owner AND asset_id = 'BRL' AND purpose = :purpose
"""
POST = """
SELECT ledger_post(ARRAY['{key}'], ARRAY['transfer'], ARRAY['r'], CAST(ARRAY[NULL] AS text[]), ARRAY[1, 1, 1],
    ARRAY[least(:one, :two), greatest(:one, :two), NULL], ARRAY['BRL', 'BRL', 'BRL'], ARRAY['available', 'available', 'desk'],
    CAST(ARRAY[-2, 1, 1] AS numeric[]))
"""


class Books:
    """A few users who are paid all the time, always by the house's one desk, and sealed as in production."""

    def __init__(self, world: World, users: Sequence[str]) -> None:
        self.world, self.users, self.size, self.posts = world, users, 0, 0

    async def grow(self, size: int) -> None:
        while self.size < size:
            await post_alone(self.world.engine, *(self.payment() for _ in range(BATCH)))
            for step in ("ledger_announce_seal()", "ledger_mark_horizon()", "ledger_seal(10000)"):
                await self.world.execute(f"SELECT {step}")
        await self.tidy()

    def payment(self) -> Transaction:
        self.size += 1
        user = available(self.users[self.size % USERS], "BRL")
        return move(f"k{self.size}", Kind.FUNDING, "r", house(Purpose.DESK, "BRL"), user, 10)

    async def tidy(self) -> None:
        """What autovacuum does every minute. So many postings take seconds here."""
        owner = make_engine(as_owner(str(self.world.engine.url)), pool=1).execution_options(
            isolation_level="AUTOCOMMIT"
        )
        async with owner.connect() as conn:
            await conn.execute(text("VACUUM ANALYZE"))
        await owner.dispose()

    async def costs(self) -> dict[str, int]:
        """Pages touched by each thing that is done all day."""
        first, second = self.users[:2]
        past = await self.world.scalar("SELECT recorded_at FROM ledger_transactions WHERE key = 'k300'")
        user, desk = {"owner": first, "purpose": "available"}, {"owner": None, "purpose": "desk"}
        now, then = BALANCE.format(instant="infinity"), BALANCE.format(instant=past)
        return {
            "a user's balance": await self.pages(now, user),
            "a user's balance then": await self.pages(then, user),
            "the desk's balance": await self.pages(now, desk),
            "the desk's balance then": await self.pages(then, desk),
            "a posting": await self.pages(POST, {"one": first, "two": second}),
        }

    async def pages(self, statement: str, values: Mapping[str, object]) -> int:
        found = []
        async with self.world.engine.connect() as conn:
            for _ in range(TIMES):
                self.posts += 1
                explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement.replace("{key}", f"p{self.posts}")
                plan = (await conn.execute(text(explain), values)).scalar_one()[0]["Plan"]
                found.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
            await conn.commit()
        return min(found)


@pytest.fixture
async def grown(world: World) -> Books:
    more = [(await world.join(f"user{number}@example.com"))[0] for number in range(1, USERS)]
    return Books(world, [world.user_id, *more])


class TestBooks:
    async def test_cost_the_same_when_they_are_forty_times_as_large(self, grown: Books) -> None:
        await grown.grow(SMALL)
        small = await grown.costs()

        await grown.grow(LARGE)
        large = await grown.costs()

        assert LARGE <= int(str(await grown.world.scalar("SELECT count(*) FROM ledger_transactions")))
        most = {what: max(RATIO * pages, pages + LEVELS) for what, pages in small.items()}
        assert {} == {what: (small[what], pages) for what, pages in large.items() if pages > most[what]}
