"""Random books: posted for real, and kept beside the database to compare with."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from models.ids import new_id
from models.ledger.chart import Account, Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, Transaction, move
from tests.models.world import ETH, USDT, World

TRANSACTIONS = 300
SEALS_EVERY = 37
SEAL_SIZE = 10


async def fund(world: World, units: int, *, asset: str = ETH.id, user: str | None = None) -> None:
    key = new_id()
    async with world.engine.begin() as conn:
        target = available(user or world.user_id, asset)
        await post(conn, move(key, Kind.DEPOSIT, key, custody("ethereum", asset), target, units))


async def seal(world: World, most: int = SEAL_SIZE) -> None:
    """The three steps, each committed before the next; the last waits for whoever runs a transaction meanwhile."""
    await world.execute("SELECT ledger_announce_seal()")
    await world.execute("SELECT ledger_mark_horizon()")
    for _ in range(200):
        async with world.engine.begin() as conn:
            made = (await conn.execute(text("SELECT ledger_seal(:most)"), {"most": most})).scalar_one()
        if made is not None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("somebody is still posting")


@dataclass
class Books:
    """What was posted, kept beside the database: key and postings, in order."""

    world: World
    pick: random.Random
    posted: list[Transaction] = field(default_factory=list)
    balances: dict[Account, int] = field(default_factory=dict)

    async def fill(self) -> None:
        users = [self.world.user_id, *[(await self.world.join(f"u{number}@example.com"))[0] for number in range(4)]]
        for number in range(TRANSACTIONS):
            batch = [self._next(users, f"r/{number}/{part}") for part in range(self.pick.choice((1, 1, 1, 3)))]
            async with self.world.engine.begin() as conn:
                await post(conn, *batch)
            self.posted += batch
            if number % SEALS_EVERY == SEALS_EVERY - 1:
                await seal(self.world)

    def _next(self, users: list[str], key: str) -> Transaction:
        asset, user = self.pick.choice((ETH.id, USDT.id, "BRL")), self.pick.choice(users)
        house_account = self.pick.choice(
            (custody("ethereum", asset), house(Purpose.DESK, asset), house(Purpose.FEES, asset))
        )
        source, target = self.pick.choice(
            (
                (available(user, asset), held(user, asset)),
                (available(user, asset), available(self.pick.choice(users), asset)),
                (held(user, asset), house_account),
                (house(Purpose.DESK, asset), house(Purpose.FEES, asset)),
                (house_account, available(user, asset)),
            )
        )
        units = self.pick.randrange(1, 1_000)
        if source == target or (source.is_constrained and self.balances.get(source, 0) < units):
            source, target = house_account, available(user, asset)
        self.balances[source] = self.balances.get(source, 0) - units
        self.balances[target] = self.balances.get(target, 0) + units
        return move(key, Kind.ADJUSTMENT, key, source, target, units)

    async def times(self) -> list[datetime]:
        """Each transaction's recorded time, in the order of posting."""
        async with self.world.engine.connect() as conn:
            rows = await conn.execute(text("SELECT key, recorded_at FROM ledger_transactions"))
            found = {row.key: row.recorded_at for row in rows}
        return [found[one.key] for one in self.posted]

    def sums(self, count: int) -> dict[Account, int]:
        """After the first ``count`` transactions, by addition alone."""
        sums: dict[Account, int] = {}
        for transaction in self.posted[:count]:
            for posting in transaction.postings:
                sums[posting.account] = sums.get(posting.account, 0) + posting.units
        return sums
