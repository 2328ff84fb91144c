"""Reads of the ledger."""

from collections.abc import Iterable

from pydantic.dataclasses import dataclass
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger.chart import Account
from models.ledger.tables import ledger_accounts, ledger_postings, ledger_transactions
from models.money import Units


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


async def balance(conn: AsyncConnection, account: Account) -> int:
    """The account's balance in base units; 0 for an account never used."""
    statement = (
        select(func.coalesce(func.sum(ledger_postings.c.amount), 0))
        .join(ledger_accounts, ledger_accounts.c.id == ledger_postings.c.account_id)
        .where(
            ledger_accounts.c.asset_id == account.asset,
            ledger_accounts.c.purpose == account.purpose,
            ledger_accounts.c.owner.is_not_distinct_from(account.owner),
        )
    )
    return int((await conn.execute(statement)).scalar_one())


async def balances(conn: AsyncConnection) -> list[tuple[Account, int]]:
    """Every account with its balance by postings, in base units."""
    statement = (
        select(
            ledger_accounts.c.asset_id,
            ledger_accounts.c.purpose,
            ledger_accounts.c.owner,
            func.coalesce(func.sum(ledger_postings.c.amount), 0).label("units"),
        )
        .join(ledger_postings, ledger_accounts.c.id == ledger_postings.c.account_id, isouter=True)
        .group_by(ledger_accounts.c.id)
        .order_by(ledger_accounts.c.asset_id, ledger_accounts.c.purpose, ledger_accounts.c.owner)
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
