"""The migration makes what the models say, no more and no less."""

import asyncio

from alembic import command
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida import database as migrations
from models import tables, transitions
from models.instant_trade.states import NEXT as TRADE
from models.payout.states import NEXT as PAYOUT
from models.transfer.states import NEXT as TRANSFER


class TestMigration:
    async def test_has_no_drift_from_the_tables(self, database: str) -> None:
        await asyncio.to_thread(command.check, migrations._config(database))

    async def test_reaches_the_latest_revision(self, database: str) -> None:
        assert migrations.latest_revision() == await migrations.present_revision(database)

    async def test_knows_every_transition_and_no_other(self, engine: AsyncEngine) -> None:
        async with engine.connect() as conn:
            rows = [dict(row._mapping) for row in await conn.execute(select(transitions.transitions))]

        assert sorted(map(str, transitions.rows())) == sorted(map(str, rows))

    async def test_makes_every_table(self, engine: AsyncEngine) -> None:
        async with engine.connect() as conn:
            for table in tables.metadata.sorted_tables:
                await conn.execute(select(func.count()).select_from(table))


class TestTransitions:
    def test_of_every_noun_reach_every_state_and_name_no_other(self) -> None:
        for table in (TRADE, TRANSFER, PAYOUT):
            first = next(iter(table))
            beginnings = {first, "transferring"}

            reached = {after for following in table.values() for after in following} | beginnings

            assert set(table) == reached & set(table)
            assert all(after in table for following in table.values() for after in following)
