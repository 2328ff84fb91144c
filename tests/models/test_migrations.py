"""The migration makes what the models say, no more and no less."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liquida import database as migrations
from liquida.checks import balances_add_up
from liquida.stack.postgres import Postgres, as_owner, create_database
from models import tables, transitions
from models.bank_data import writes as bank_data
from models.charge.states import NEXT as CHARGE
from models.dispute.states import NEXT as DISPUTE
from models.document import writes as documents
from models.document.types import Holder
from models.errors import NotTheHolder
from models.instant_trade.states import NEXT as TRADE
from models.ledger import queries
from models.ledger.chart import Account
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.network.writes import seed
from models.payout.states import NEXT as PAYOUT
from models.pix_refund.states import NEXT as REFUND
from models.receipt.states import NEXT as RECEIPT
from models.reconciliation.states import NEXT as BREAK
from models.transfer.states import NEXT as TRANSFER
from models.user.writes import add_user
from tests.models.world import BOX, ETH, NETWORKS, NO_RULE
from tests.people import cpf


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


class TestDocumentRevision:
    async def test_takes_over_bank_data_that_has_no_fingerprint(self, postgres_server: Postgres) -> None:
        """Kept by the program of revision 0002: the first one is the primary, and its holder is found out when needed."""
        url = await create_database(postgres_server.admin_url, "people_of_0002")
        await asyncio.to_thread(command.upgrade, migrations._config(as_owner(url)), "0002")
        engine = migrations.engine(url)
        async with engine.begin() as conn:
            ana = (await add_user(conn, email="ana@example.com")).user_id
            for row_id, age, tax_id in (("removed", 3, OWN), ("first", 2, OWN), ("mothers", 1, OTHER)):
                await keep_as_before(conn, row_id, ana, tax_id, days=age)

        await migrations.migrate(as_owner(url))

        async with engine.begin() as conn:
            before = await bank_data.of_user(conn, ana)
            holder = Holder(OWN, "Ana")
            await documents.verify(conn, BOX, user_id=ana, holder=holder, masked="***", evidence="t", by=ana)
            await keep_as_before(conn, "late", ana, OWN, days=0)
            after = await bank_data.of_user(conn, ana)
            used = [await require(conn, ana, one) for one in (None, "late")]
            at_last = await bank_data.of_user(conn, ana)
            with pytest.raises(NotTheHolder):
                await require(conn, ana, "mothers")
        await engine.dispose()
        assert [("first", True, None), ("mothers", False, None)] == [
            (one.id, one.is_primary, one.verified_at) for one in before
        ]
        assert {"first": True, "mothers": False, "late": False} == {
            one.id: one.verified_at is not None for one in after
        }
        assert {"first": True, "mothers": False, "late": True} == {
            one.id: one.verified_at is not None for one in at_last
        }
        assert ["first", "late"] == used


OWN, OTHER = cpf(1), cpf(2)


async def keep_as_before(conn: AsyncConnection, row_id: str, user: str, tax_id: str, *, days: int) -> None:
    """A row as the program of revision 0002 writes it, also while it still runs beside a newer one."""
    statement = text(
        "INSERT INTO user_bank_data (id, user_id, pix_key_kind, pix_key_sealed, pix_key_fingerprint, pix_key_masked,"
        " holder_name_sealed, tax_id_sealed, created_at, removed_at) VALUES (:id, :user, 'email', '', :hash, '***', '',"
        " :tax_id, now() - make_interval(days => :days), CASE WHEN :gone THEN now() END)"
    )
    tax_id_sealed = BOX.seal(tax_id, place=f"user_bank_data/{row_id}/tax_id")
    values = {"id": row_id, "user": user, "hash": BOX.fingerprint(row_id), "tax_id": tax_id_sealed, "days": days}
    await conn.execute(statement, values | {"gone": row_id == "removed"})


async def require(conn: AsyncConnection, user: str, bank_data_id: str | None) -> str:
    now = datetime.now(UTC)
    return await bank_data.require(
        conn, BOX, user_id=user, bank_data_id=bank_data_id, amount_centavos=1, rule=NO_RULE, now=now
    )


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
        for table in (TRADE, TRANSFER, PAYOUT, CHARGE, RECEIPT, REFUND, BREAK, DISPUTE):
            first = next(iter(table))
            beginnings = {first, "transferring", "awaiting_payment", "received"}

            reached = {after for following in table.values() for after in following} | beginnings

            assert set(table) == reached & set(table)
            assert all(after in table for following in table.values() for after in following)
