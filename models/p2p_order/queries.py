"""Reads of single orders, of a user's own, and of who may take one."""

from datetime import datetime, timedelta
from typing import Any

from pydantic.dataclasses import dataclass
from sqlalchemy import Row, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.document import queries as documents
from models.errors import NotFound
from models.p2p_order.rules import DAY, cooldown_until
from models.p2p_order.states import OrderStatus
from models.p2p_order.tables import p2p_orders
from models.p2p_order.types import P2POrder, P2PRules, Settlement, Taker
from models.p2p_trade.tables import p2p_trades
from models.reputation import queries as reputations
from models.secret_box import SecretBox

_O = p2p_orders.c
_T = p2p_trades.c


def of_row(row: Row[Any]) -> P2POrder:
    return P2POrder(**row._mapping)


async def own(conn: AsyncConnection, *, order_id: str, user_id: str, lock: bool = False) -> P2POrder:
    """:param lock: its row is ours until the caller's transaction ends.
    :raises NotFound: none, or somebody else's: the two look the same from outside.
    """
    statement = select(p2p_orders).where(_O.id == order_id, _O.user_id == user_id)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    if row is None:
        raise NotFound("you have no order with this id", field="order_id")
    return of_row(row)


async def order(conn: AsyncConnection, order_id: str, *, lock: bool = False) -> P2POrder:
    """Anybody's. :raises NotFound: there is no such order."""
    statement = select(p2p_orders).where(_O.id == order_id)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    if row is None:
        raise NotFound("there is no such order", field="order_id")
    return of_row(row)


def auto_reply_place(order_id: str) -> str:
    return f"p2p_orders/{order_id}/auto_reply"


def auto_reply(box: SecretBox, order: P2POrder) -> str:
    """In clear: for its maker, and for the chats of its trades; empty: there is none.

    :raises SealBroken: it does not open with this key.
    """
    sealed = order.auto_reply_sealed
    return "" if sealed is None else box.open(sealed, place=auto_reply_place(order.id))


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the orders that follow; None at the end."""

    orders: list[P2POrder]
    next_cursor: tuple[datetime, str] | None


async def of_user(
    conn: AsyncConnection,
    user_id: str,
    *,
    status: OrderStatus | None,
    limit: int,
    cursor: tuple[datetime, str] | None,
) -> Page:
    """A user's orders, newest first."""
    statement = select(p2p_orders).where(_O.user_id == user_id).order_by(_O.created_at.desc(), _O.id.desc())
    if status is not None:
        statement = statement.where(_O.status == status)
    if cursor is not None:
        statement = statement.where(tuple_(_O.created_at, _O.id) < tuple_(*cursor))
    found = [of_row(row) for row in await conn.execute(statement.limit(limit + 1))]
    page, more = found[:limit], len(found) > limit
    return Page(page, (page[-1].created_at, page[-1].id) if more else None)


async def taker(conn: AsyncConnection, user_id: str, rules: P2PRules, now: datetime) -> Taker:
    """What decides what this user may take. Lock the user's row first, or two takings at once see the same."""
    reputation = (await reputations.of_users(conn, [user_id]))[user_id]
    since = now - DAY - timedelta(seconds=rules.cooldown_seconds)
    live = select(func.count()).where(
        _T.buyer_id == user_id,
        _T.maker_id != user_id,
        _T.ended_at.is_(None),
        _T.settlement != Settlement.BALANCE,
    )
    return Taker(
        user_id=user_id,
        is_verified=await documents.fingerprint_of(conn, user_id) is not None,
        trades=reputation.trades,
        completion_bps=reputation.completion_bps,
        unpaid_live=(await conn.execute(live)).scalar_one(),
        cooldown_until=cooldown_until(await reputations.unpaid_ends(conn, user_id, since=since), rules),
        unpaid_most=rules.unpaid_most,
    )
