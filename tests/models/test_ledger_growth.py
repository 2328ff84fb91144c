"""What a read and a posting cost does not grow with the books. Counted in pages, which no busy machine changes."""

import itertools
import time
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger.chart import Account, Purpose, available, house
from models.ledger.post import post_alone
from models.ledger.types import Kind, Posting, Transaction
from tests.models.world import World

SMALL, LARGE, BATCH, USERS = 1_000, 40_000, 400, 20
BALANCE = "SELECT ledger_balance_at(a.id, CAST(:instant AS timestamptz)) FROM ledger_accounts AS a WHERE a.id = :id"
POST = """
SELECT ledger_post(ARRAY[:key], ARRAY['transfer'], ARRAY['r'], ARRAY[NULL], ARRAY[1, 1, 1], ARRAY[:one, :two, NULL],
    ARRAY['BRL', 'BRL', 'BRL'], ARRAY['available', 'available', 'desk'], ARRAY[-2, 1, 1])
"""
NUMBERS = itertools.count(1)


class Books:
    def __init__(self, world: World, users: list[str]) -> None:
        self.world, self.users = world, users

    async def grow(self, transactions: int) -> None:
        """Sealed as they grow, as they are in production."""
        while next(NUMBERS) * BATCH <= transactions:
            await post_alone(self.world.engine, *(self.transaction() for _ in range(BATCH)))
            await self.seal()
