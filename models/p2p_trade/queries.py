"""Reads of P2P trades."""

from collections.abc import Collection
from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import ColumnElement, and_, column, exists, false, func, or_, select, table, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.base import BaseUnits
from models.charge.tables import charges
from models.errors import NotFound
from models.money import Units
from models.p2p_trade.states import ENDED, P2PTradeStatus
from models.p2p_trade.tables import p2p_trade_history, p2p_trades
from models.p2p_trade.types import ChargeFacts, P2PTrade, P2PTradeLine, Party
from models.receipt.tables import pix_receipts

S = P2PTradeStatus
_T = p2p_trades.c
_H = p2p_trade_history.c
_LINE = tuple(c for c in p2p_trade_history.columns if c.name in P2PTradeLine.__dataclass_fields__)
_ESCROWS = table(
    "p2p_escrows",
    *map(column, ("trade_id", "owner", "asset_id", "status")),
    column("units", BaseUnits),
)


async def trade(conn: AsyncConnection, trade_id: str, *, user_id: str | None = None, lock: bool = False) -> P2PTrade:
    """One trade; with ``user_id``, only if that user is one of the two; with ``lock``, its row is ours.

    :raises NotFound: none, or other people's: the two look the same from outside.
    """
    statement = select(p2p_trades).where(_T.id == trade_id)
    if user_id is not None:
        statement = statement.where(_of(user_id))
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    if row is None:
        raise NotFound("there is no such trade", field="trade_id")
    return P2PTrade(**row._mapping)


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the trades that follow; None at the end."""

    trades: list[P2PTrade]
    next_cursor: tuple[datetime, str] | None


async def of_user(
    conn: AsyncConnection,
    user_id: str,
    *,
    role: Party | None = None,
    statuses: Collection[P2PTradeStatus] = (),
    limit: int,
    cursor: tuple[datetime, str] | None,
) -> Page:
    """A user's trades, newest first; only those as ``role`` and in ``statuses``, where these are given."""
    statement = select(p2p_trades).where(_of(user_id, role)).order_by(_T.created_at.desc(), _T.id.desc())
    if statuses:
        statement = statement.where(_T.status.in_(sorted(statuses)))
    if cursor is not None:
        statement = statement.where(tuple_(_T.created_at, _T.id) < tuple_(*cursor))
    found = [P2PTrade(**row._mapping) for row in await conn.execute(statement.limit(limit + 1))]
    page, more = found[:limit], len(found) > limit
    return Page(page, (page[-1].created_at, page[-1].id) if more else None)


async def history(conn: AsyncConnection, trade_id: str) -> list[P2PTradeLine]:
    """Oldest first."""
    statement = select(*_LINE).where(_H.trade_id == trade_id).order_by(_H.version)
    return [P2PTradeLine(**row._mapping) for row in await conn.execute(statement)]


async def undone(conn: AsyncConnection, trade_id: str) -> int:
    """How often the buyer took back the word that they paid."""
    statement = select(func.count()).where(
        _H.trade_id == trade_id, _H.old_status == S.PAYMENT_SENT, _H.new_status == S.OPEN
    )
    return int((await conn.execute(statement)).scalar_one())


async def charge_facts(conn: AsyncConnection, trade_id: str, now: datetime) -> ChargeFacts:
    """What is known of the trade's charge now, which must be one."""
    c, r = charges.c, pix_receipts.c
    is_payment = and_(r.received_at <= c.accepts_until, r.amount_centavos.in_([0, c.amount_centavos]))
    undecided = exists().where(r.charge_key == c.key, r.status.in_(["blocked", "received"]), is_payment)
    heard = or_(c.asked_at >= c.accepts_until, c.watched_until <= now)
    statement = select(
        func.coalesce(heard, false()).label("is_heard"),
        undecided.label("is_undecided"),
        (c.status == "refused").label("is_refused"),
    ).where(c.p2p_trade_id == trade_id)
    return ChargeFacts(**(await conn.execute(statement)).one()._mapping)


async def volume_centavos(conn: AsyncConnection, user_id: str, *, since: datetime) -> int:
    """What a user has bought and sold in trades completed since."""
    total = func.coalesce(func.sum(_T.total_centavos), 0)
    statement = select(total).where(_of(user_id), _T.status == S.COMPLETED, _T.ended_at >= since)
    return int((await conn.execute(statement)).scalar_one())


@dataclass(frozen=True, slots=True)
class EscrowLeg:
    """``status``: locked | released | refunded | split."""

    owner: str
    asset_id: str
    units: Units
    status: str


async def escrow(conn: AsyncConnection, trade_id: str) -> list[EscrowLeg]:
    """What is or was held for the trade: the seller's coins first."""
    e = _ESCROWS.c
    statement = select(e.owner, e.asset_id, e.units, e.status).where(e.trade_id == trade_id)
    legs = [EscrowLeg(**row._mapping) for row in await conn.execute(statement)]
    return sorted(legs, key=lambda leg: leg.asset_id == "BRL")


async def open_by_status(conn: AsyncConnection) -> dict[P2PTradeStatus, int]:
    """How many trades are in each state that is not an end."""
    statement = select(_T.status, func.count()).where(_T.status.not_in(sorted(ENDED))).group_by(_T.status)
    return {P2PTradeStatus(status): count for status, count in await conn.execute(statement)}


def _of(user_id: str, role: Party | None = None) -> ColumnElement[bool]:
    if role is not None:
        return {Party.BUYER: _T.buyer_id, Party.SELLER: _T.seller_id}[role] == user_id
    return or_(_T.buyer_id == user_id, _T.seller_id == user_id)
