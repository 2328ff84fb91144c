"""Closing the past: a hash over every range of transactions, chained, so that a later change shows.

Three steps, each committed before the next; ``activities/ledger.py`` takes them in turn. Nobody who posts ever waits
for a sealer: the sealer announces a time that nobody posts at any more, waits for those who began before, and seals.
"""

from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger.tables import ledger_seals

TRANSACTIONS_MOST = 10_000
"""Under one seal; a few more where many bear one time."""


@dataclass(frozen=True, slots=True)
class Seal:
    """``hash``: hexadecimal. Kept outside the database, ``number:hash`` proves all that is older."""

    number: int
    sealed_until: datetime
    transactions: int
    hash: str

    @property
    def anchor(self) -> str:
        return f"{self.number}:{self.hash}"


async def announce(conn: AsyncConnection) -> datetime:
    """First step: whoever begins to post after the commit does so at a time after the one returned."""
    moment: datetime = (await conn.execute(select(func.ledger_announce_seal()))).scalar_one()
    return moment


async def mark_horizon(conn: AsyncConnection) -> datetime:
    """Second step: remember who may still be posting at or before the announced time, which is returned."""
    moment: datetime = (await conn.execute(select(func.ledger_mark_horizon()))).scalar_one()
    return moment


async def seal(conn: AsyncConnection, most: int = TRANSACTIONS_MOST) -> int | None:
    """Third step: seal everything up to the marked time.

    :param most: transactions under one seal.
    :returns: how many seals were made; None while somebody marked is still posting: call again later.
    """
    made: int | None = (await conn.execute(select(func.ledger_seal(most)))).scalar_one()
    return made


async def last(conn: AsyncConnection) -> Seal | None:
    """The newest seal; None before the first."""
    c = ledger_seals.c
    newest = select(c.number, c.sealed_until, c.transactions, c.hash).order_by(c.number.desc()).limit(1)
    row = (await conn.execute(newest)).one_or_none()
    return None if row is None else Seal(row.number, row.sealed_until, row.transactions, row.hash.hex())
