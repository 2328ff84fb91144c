"""The migration makes what the models say, no more and no less."""

import asyncio
import json

from alembic import command
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida import database as migrations
from liquida.checks import balances_add_up
from liquida.stack.postgres import Postgres, as_owner, create_database
from models import tables, transitions
from models.instant_trade.states import NEXT as TRADE
from models.ledger import queries
from models.ledger.chart import Account
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.network.writes import seed
from models.payout.states import NEXT as PAYOUT
from models.reconciliation.states import NEXT as BREAK
from models.transfer.states import NEXT as TRANSFER
from tests.models.world import ETH, NETWORKS


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


class TestLedgerRevision:
    async def test_takes_over_books_that_are_there(self, postgres_server: Postgres) -> None:
        """Posted by the function of revision 0001, and still the same transactions to the one of 0002."""
        url = await create_database(postgres_server.admin_url, "books_of_0001")
        await asyncio.to_thread(command.upgrade, migrations._config(as_owner(url)), "0001")
        old = migrations.engine(as_owner(url))
        async with old.begin() as conn:
            await conn.execute(text("INSERT INTO users (id, email) VALUES ('ana', 'ana@example.com')"))
            await seed(conn, NETWORKS, [ETH])
            for key, kind, source, target in (("d", "deposit", CUSTODY, FREE), ("h", "hold", FREE, HELD)):
                await conn.execute(
                    text("SELECT ledger_post(CAST(:batch AS jsonb))"), {"batch": batch(key, kind, source, target)}
                )
        await old.dispose()

        await migrations.migrate(as_owner(url))

        engine = migrations.engine(url)
        async with engine.begin() as conn:
            again = await post(
                conn,
                move("d", Kind.DEPOSIT, "r", Account(*CUSTODY), Account(*FREE), 7),
                move("h", Kind.HOLD, "r", Account(*FREE), Account(*HELD), 7),
            )
            balances = dict(await queries.balances(conn))
            broken = await balances_add_up.violations(conn)
        await engine.dispose()
        assert ([False, False], []) == (again, broken)
        assert {Account(*CUSTODY): -7, Account(*FREE): 0, Account(*HELD): 7} == balances


CUSTODY = ("ETH.ethereum", "custody:ethereum", None)
FREE = ("ETH.ethereum", "available", "ana")
HELD = ("ETH.ethereum", "held", "ana")


def batch(key: str, kind: str, source: tuple[str, str, str | None], target: tuple[str, str, str | None]) -> str:
    """Seven units, as the function of revision 0001 was told."""
    postings = [
        {"owner": owner, "asset": asset, "purpose": purpose, "constrained": owner is not None, "amount": amount}
        for (asset, purpose, owner), amount in ((source, "-7"), (target, "7"))
    ]
    return json.dumps([{"key": key, "kind": kind, "reference": "r", "hash": "00" * 32, "postings": postings}])


class TestTransitions:
    def test_of_every_noun_reach_every_state_and_name_no_other(self) -> None:
        for table in (TRADE, TRANSFER, PAYOUT, BREAK):
            first = next(iter(table))
            beginnings = {first, "transferring"}

            reached = {after for following in table.values() for after in following} | beginnings

            assert set(table) == reached & set(table)
            assert all(after in table for following in table.values() for after in following)
