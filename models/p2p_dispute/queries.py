"""Reads of disputes between users."""

from collections.abc import Collection
from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.p2p_dispute.rules import require_outsider
from models.p2p_dispute.states import P2PDisputeStatus
from models.p2p_dispute.tables import (
    p2p_dispute_history,
    p2p_dispute_offers,
    p2p_dispute_rulings,
    p2p_dispute_statements,
    p2p_disputes,
)
from models.p2p_dispute.types import DisputeLine, DisputeReason, Offer, P2PDispute, Ruling, Statement, Step
from models.p2p_trade import queries as trades
from models.p2p_trade.tables import p2p_trades
from models.p2p_trade.types import P2PTrade
from models.secret_box import SecretBox
from models.user.types import Actor

_D, _S, _O = p2p_disputes.c, p2p_dispute_statements.c, p2p_dispute_offers.c
_R, _H, _T = p2p_dispute_rulings.c, p2p_dispute_history.c, p2p_trades.c
_COLUMNS = tuple(column for column in p2p_disputes.columns if column.name in P2PDispute.__dataclass_fields__)
_LINE = tuple(column for column in p2p_dispute_history.columns if column.name in DisputeLine.__dataclass_fields__)
_RULING = tuple(column for column in p2p_dispute_rulings.columns if column.name in Ruling.__dataclass_fields__)


def statement_place(row_id: str) -> str:
    """Where a sealed statement opens."""
    return f"p2p_dispute_statements/{row_id}/text"


def ruling_place(row_id: str) -> str:
    """Where a ruling's sealed text opens."""
    return f"p2p_dispute_rulings/{row_id}/text"


async def of_trade(conn: AsyncConnection, trade_id: str) -> P2PDispute | None:
    row = (await conn.execute(select(*_COLUMNS).where(_D.trade_id == trade_id))).first()
    return None if row is None else P2PDispute(**row._mapping)


async def require_of_trade(conn: AsyncConnection, trade_id: str) -> P2PDispute:
    """:raises NotFound: this trade was never in dispute."""
    found = await of_trade(conn, trade_id)
    if found is None:
        raise NotFound("this trade has no dispute")
    return found


async def dispute(conn: AsyncConnection, dispute_id: str) -> P2PDispute:
    """:raises NotFound: there is none."""
    row = (await conn.execute(select(*_COLUMNS).where(_D.id == dispute_id))).first()
    if row is None:
        raise NotFound("there is no such dispute", field="dispute_id")
    return P2PDispute(**row._mapping)


async def visible_trade(conn: AsyncConnection, trade_id: str, actor: Actor) -> P2PTrade:
    """A trade whose chat this user may read: one of the two, or an outsider who reads disputes, once there is one.

    :raises NotFound: none, or not theirs to read: the two look the same from outside.
    """
    found = await trades.trade(conn, trade_id)
    if found.party(actor.user_id) is not None:
        return found
    if not actor.reads_disputes or await of_trade(conn, trade_id) is None:
        raise NotFound("there is no such trade", field="trade_id")
    return found


async def for_reader(conn: AsyncConnection, dispute_id: str, user_id: str) -> tuple[P2PTrade, P2PDispute]:
    """A dispute as arbiters see it.

    :raises NotFound: there is none.
    :raises Forbidden: it is about a trade of this user's own.
    """
    found = await dispute(conn, dispute_id)
    trade = await trades.trade(conn, found.trade_id)
    require_outsider(trade, user_id)
    return trade, found


async def statements(conn: AsyncConnection, box: SecretBox, dispute_id: str) -> list[Statement]:
    """Oldest first.

    :raises SealBroken: one does not open with this key.
    """
    statement = select(p2p_dispute_statements).where(_S.dispute_id == dispute_id).order_by(_S.version)
    return [
        Statement(
            row.id,
            row.user_id,
            tuple(row.file_ids),
            row.at,
            box.open(row.text_sealed, place=statement_place(row.id)),
        )
        for row in await conn.execute(statement)
    ]


async def statements_by(conn: AsyncConnection, dispute_id: str, user_id: str) -> int:
    statement = select(_S.id).where(_S.dispute_id == dispute_id, _S.user_id == user_id)
    return len((await conn.execute(statement)).all())


async def offers(conn: AsyncConnection, dispute_id: str) -> list[Offer]:
    """Oldest first."""
    later = exists().where(
        _H.dispute_id == _O.dispute_id, _H.version > _O.version, _H.step.in_([Step.RULED, Step.APPEALED])
    )
    columns = (_O.id, _O.user_id, _O.buyer_bps, _O.at, later.label("is_overtaken"))
    statement = select(*columns).where(_O.dispute_id == dispute_id)
    return [Offer(*row) for row in await conn.execute(statement.order_by(_O.version))]


async def rulings(conn: AsyncConnection, box: SecretBox, dispute_id: str) -> list[Ruling]:
    """Oldest first, those too that came to nothing.

    :raises SealBroken: a text does not open with this key.
    """
    statement = select(*_RULING, _R.text_sealed).where(_R.dispute_id == dispute_id).order_by(_R.version)
    return [
        Ruling(
            **{column.name: getattr(row, column.name) for column in _RULING},
            text=box.open(row.text_sealed, place=ruling_place(row.id)),
        )
        for row in await conn.execute(statement)
    ]


async def history(conn: AsyncConnection, dispute_id: str) -> list[DisputeLine]:
    """Oldest first."""
    statement = select(*_LINE).where(_H.dispute_id == dispute_id).order_by(_H.version)
    return [DisputeLine(**row._mapping) for row in await conn.execute(statement)]


@dataclass(frozen=True, slots=True)
class Listed:
    """A dispute with what an arbiter chooses by."""

    dispute: P2PDispute
    reference: str
    asset_id: str
    total_centavos: int


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the disputes that follow; None at the end."""

    disputes: list[Listed]
    next_cursor: tuple[datetime, str] | None


async def page(
    conn: AsyncConnection,
    reader_id: str,
    *,
    limit: int,
    states: Collection[P2PDisputeStatus],
    reason: DisputeReason | None = None,
    opened_before: datetime | None = None,
    cursor: tuple[datetime, str] | None = None,
) -> Page:
    """Disputes in these states, the oldest first, without those about the reader's own trades."""
    statement = (
        select(*_COLUMNS, _T.reference, _T.asset_id, _T.total_centavos)
        .join_from(p2p_disputes, p2p_trades, _T.id == _D.trade_id)
        .where(_D.status.in_(sorted(states)), _T.buyer_id != reader_id, _T.seller_id != reader_id)
        .order_by(_D.created_at, _D.id)
        .limit(limit + 1)
    )
    if reason is not None:
        statement = statement.where(_D.reason == reason)
    if opened_before is not None:
        statement = statement.where(_D.created_at <= opened_before)
    if cursor is not None:
        statement = statement.where(tuple_(_D.created_at, _D.id) > tuple_(*cursor))
    found = [
        Listed(
            P2PDispute(**{column.name: getattr(row, column.name) for column in _COLUMNS}),
            row.reference,
            row.asset_id,
            row.total_centavos,
        )
        for row in await conn.execute(statement)
    ]
    last = found[limit - 1].dispute if len(found) > limit else None
    return Page(found[:limit], None if last is None else (last.created_at, last.id))
