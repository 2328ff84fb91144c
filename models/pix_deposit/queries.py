"""Reads of deposits: charges that belong to no trade."""

from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge.tables import charges
from models.charge.types import Charge
from models.errors import NotFound

_C = charges.c
_IS_DEPOSIT = (_C.trade_id.is_(None), _C.p2p_trade_id.is_(None))
_COLUMNS = tuple(column for column in charges.columns if column.name in Charge.__dataclass_fields__)


async def deposit(conn: AsyncConnection, key: str, *, user_id: str | None = None) -> Charge:
    """One deposit; with ``user_id``, only if it is that user's.

    :raises NotFound: none, or somebody else's: the two look the same from outside.
    """
    statement = select(*_COLUMNS).where(_C.key == key, *_IS_DEPOSIT)
    if user_id is not None:
        statement = statement.where(_C.user_id == user_id)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("there is no such deposit", field="deposit_id")
    return Charge(**row._mapping)


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the deposits that follow; None at the end."""

    deposits: list[Charge]
    next_cursor: tuple[datetime, str] | None


async def of_user(conn: AsyncConnection, user_id: str, *, limit: int, cursor: tuple[datetime, str] | None) -> Page:
    """A user's deposits, newest first."""
    statement = select(*_COLUMNS).where(_C.user_id == user_id, *_IS_DEPOSIT)
    statement = statement.order_by(_C.created_at.desc(), _C.key.desc())
    if cursor is not None:
        statement = statement.where(tuple_(_C.created_at, _C.key) < tuple_(*cursor))
    rows = (await conn.execute(statement.limit(limit + 1))).all()
    page = [Charge(**row._mapping) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(page, None if last is None else (last.created_at, last.key))
