"""Reads of the ledger."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from pydantic.dataclasses import dataclass
from sqlalchemy import ColumnElement, DateTime, cast, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger.chart import Account
from models.ledger.tables import ledger_accounts, ledger_postings, ledger_transactions
from models.money import Units

_NOW: ColumnElement[datetime] = literal_column("timestamptz 'infinity'", DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class PostingView:
    """One posting as users and operators read it; ``amount_units`` signed."""

    key: str
    kind: str
    reference: str
    asset: str
    purpose: str
    owner: str | None
    amount_units: Units


async def balance(conn: AsyncConnection, account: Account, *, instant: datetime | None = None) -> int:
    """The account's balance at ``instant`` (None: now), in base units; 0 for an account never used.

    A few index reads, whatever the account's age: see ``ledger_balance_at`` in the migration.
    """
    a = ledger_accounts.c
    owned = a.owner.is_(None) if account.owner is None else a.owner == account.owner
    statement = select(_balance_at(instant)).where(owned, a.asset_id == account.asset, a.purpose == account.purpose)
    return int((await conn.execute(statement)).scalar_one_or_none() or 0)


async def balances(conn: AsyncConnection, *, instant: datetime | None = None) -> list[tuple[Account, int]]:
    """Every account with its balance at ``instant`` (None: now), in base units."""
    a = ledger_accounts.c
    statement = select(a.asset_id, a.purpose, a.owner, _balance_at(instant).label("units")).order_by(
        a.asset_id, a.purpose, a.owner
    )
    rows = (await conn.execute(statement)).all()
    return [(Account(row.asset_id, row.purpose, row.owner), int(row.units)) for row in rows]


async def of_owner(conn: AsyncConnection, user_id: str) -> dict[Account, int]:
    """A user's accounts with their balances, which the database keeps beside the postings."""
    c = ledger_accounts.c
    statement = select(c.asset_id, c.purpose, c.balance).where(c.owner == user_id)
    return {Account(row.asset_id, row.purpose, user_id): row.balance for row in await conn.execute(statement)}


async def postings_of(conn: AsyncConnection, references: Iterable[str]) -> list[PostingView]:
    """All postings that belong to the given references, oldest first."""
    statement = (
        select(
            ledger_transactions.c.key,
            ledger_transactions.c.kind,
            ledger_transactions.c.reference,
            ledger_accounts.c.asset_id,
            ledger_accounts.c.purpose,
            ledger_accounts.c.owner,
            ledger_postings.c.amount,
        )
        .join(ledger_postings, ledger_postings.c.transaction_id == ledger_transactions.c.id)
        .join(ledger_accounts, ledger_accounts.c.id == ledger_postings.c.account_id)
        .where(ledger_transactions.c.reference.in_(list(references)))
        .order_by(ledger_transactions.c.id, ledger_postings.c.account_id)
    )
    return [PostingView(*row) for row in (await conn.execute(statement)).all()]


def _balance_at(instant: datetime | None) -> ColumnElement[Decimal]:
    moment = _NOW if instant is None else cast(instant, DateTime(timezone=True))
    return func.ledger_balance_at(ledger_accounts.c.id, moment)
