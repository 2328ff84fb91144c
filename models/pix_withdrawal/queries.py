"""Reads of withdrawals."""

from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.pix_withdrawal.rules import WAITING
from models.pix_withdrawal.states import PixWithdrawalStatus
from models.pix_withdrawal.tables import pix_withdrawal_history, pix_withdrawals
from models.pix_withdrawal.types import PixWithdrawal, PixWithdrawalLine

_W = pix_withdrawals.c
_H = pix_withdrawal_history.c
_LINE = tuple(c for c in pix_withdrawal_history.columns if c.name in PixWithdrawalLine.__dataclass_fields__)


async def withdrawal(
    conn: AsyncConnection, withdrawal_id: str, *, user_id: str | None = None, lock: bool = False
) -> PixWithdrawal:
    """One withdrawal; with ``user_id``, only if it is that user's; with ``lock``, its row is ours.

    :raises NotFound: none, or somebody else's: the two look the same from outside.
    """
    statement = select(pix_withdrawals).where(_W.id == withdrawal_id)
    if user_id is not None:
        statement = statement.where(_W.user_id == user_id)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    if row is None:
        raise NotFound("there is no such withdrawal", field="withdrawal_id")
    return PixWithdrawal(**row._mapping)


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the withdrawals that follow; None at the end."""

    withdrawals: list[PixWithdrawal]
    next_cursor: tuple[datetime, str] | None


async def of_user(conn: AsyncConnection, user_id: str, *, limit: int, cursor: tuple[datetime, str] | None) -> Page:
    """A user's withdrawals, newest first."""
    statement = select(pix_withdrawals).where(_W.user_id == user_id).order_by(_W.created_at.desc(), _W.id.desc())
    if cursor is not None:
        statement = statement.where(tuple_(_W.created_at, _W.id) < tuple_(*cursor))
    found = [PixWithdrawal(**row._mapping) for row in await conn.execute(statement.limit(limit + 1))]
    page, more = found[:limit], len(found) > limit
    return Page(page, (page[-1].created_at, page[-1].id) if more else None)


async def history(conn: AsyncConnection, withdrawal_id: str) -> list[PixWithdrawalLine]:
    """Oldest first."""
    statement = select(*_LINE).where(_H.withdrawal_id == withdrawal_id).order_by(_H.version)
    return [PixWithdrawalLine(**row._mapping) for row in await conn.execute(statement)]


async def open_by_status(conn: AsyncConnection) -> dict[PixWithdrawalStatus, int]:
    """How many wait for the provider, and how many for an operator."""
    statement = select(_W.status, func.count()).where(_W.status.in_(sorted(WAITING))).group_by(_W.status)
    return {PixWithdrawalStatus(status): count for status, count in await conn.execute(statement)}
