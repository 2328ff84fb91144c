"""The market: open orders with their present prices, sorted and in pages, and what they say of each asset."""

from collections.abc import Sequence
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Numeric,
    Select,
    String,
    and_,
    any_,
    case,
    cast,
    column,
    exists,
    func,
    join,
    literal,
    or_,
    select,
    tuple_,
    values,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL
from models.document.tables import user_documents
from models.p2p_block.queries import either
from models.p2p_order.rules import DAY
from models.p2p_order.states import OrderStatus
from models.p2p_order.tables import p2p_orders
from models.p2p_order.types import (
    Book,
    MarketStats,
    P2POrder,
    Place,
    PriceKind,
    Sort,
    Wanted,
)
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.tables import p2p_trades
from models.quote.rules import BPS
from models.quote.types import Side
from models.reconciliation.types import BANK_TIME
from models.reputation import queries as reputations

_O = p2p_orders.c
_T = p2p_trades.c
_EXACT = Numeric()
_OPEN = and_(_O.status == OrderStatus.ACTIVE, _O.available_units > 0)


async def floating_assets(conn: AsyncConnection, asset_ids: Sequence[str]) -> set[str]:
    """Those of these assets whose market price somebody must ask for, to know what open orders cost."""
    statement = (
        select(_O.asset_id).where(_OPEN, _O.asset_id.in_(asset_ids), _O.price_kind == PriceKind.FLOATING).distinct()
    )
    return set((await conn.execute(statement)).scalars())


async def page(
    conn: AsyncConnection,
    *,
    caller_id: str,
    wanted: Wanted,
    books: Sequence[Book],
    sort: Sort,
    after: Place | None,
    limit: int,
    now: datetime,
) -> tuple[list[P2POrder], Place | None]:
    """Open orders that the caller may see, and the place of the last if more follow.

    Left out: closed, paused and exhausted ones, those outside their hours, those of users who have blocked the caller
    or whom the caller has blocked, and floating ones whose market has no price.
    :param books: the assets; one with ``Sort.PRICE``.
    """
    b = _books(books)
    price = _price(b)
    is_verified = exists().where(user_documents.c.user_id == _O.user_id)
    key: ColumnElement[Any] = price if sort is Sort.PRICE else _O.created_at
    source = join(p2p_orders, b, b.c.asset_id == _O.asset_id)
    if sort is Sort.REPUTATION:
        scores = _scores(books, wanted)
        key, source = scores.c.score, source.join(scores, scores.c.user_id == _O.user_id)
    statement = (
        select(p2p_orders, key.label("key"))
        .select_from(source)
        .where(_OPEN, _in_hours(now), _is_left(b, price, wanted), ~either(caller_id, _O.user_id))
        .where(*_wanted(wanted, is_verified))
    )
    statement = _sorted(statement, sort, wanted, key, after).limit(limit + 1)
    rows = (await conn.execute(statement)).all()
    names = {one.name for one in p2p_orders.columns}
    found = [
        P2POrder(**{name: value for name, value in row._mapping.items() if name in names}) for row in rows[:limit]
    ]
    if len(rows) <= limit:
        return found, None
    last = rows[limit - 1]
    text = last.key.isoformat() if sort is Sort.NEWEST else f"{Decimal(last.key):f}"
    return found, Place(sort, text, last.id, books[0].market if sort is Sort.PRICE else None)


async def stats(conn: AsyncConnection, books: Sequence[Book], now: datetime) -> list[MarketStats]:
    """One for each of these assets."""
    b = _books(books)
    price = _price(b)
    is_takeable = and_(_in_hours(now), _is_left(b, price, Wanted()))
    offers = (
        select(
            _O.asset_id,
            func.count().label("open_orders"),
            func.min(price).filter(is_takeable, _O.side == Side.SELL).label("ask"),
            func.max(price).filter(is_takeable, _O.side == Side.BUY).label("bid"),
        )
        .join(b, b.c.asset_id == _O.asset_id)
        .where(_OPEN)
        .group_by(_O.asset_id)
        .subquery()
    )
    done = _T.status == P2PTradeStatus.COMPLETED
    day = (
        select(
            _T.asset_id,
            func.sum(_T.units).label("units"),
            func.sum(_T.total_centavos).label("centavos"),
            func.count().label("trades"),
        )
        .where(done, _T.asset_id.in_([book.asset_id for book in books]), _T.ended_at > now - DAY)
        .group_by(_T.asset_id)
        .subquery()
    )
    last = (
        select(_T.price).where(done, _T.asset_id == b.c.asset_id).order_by(_T.ended_at.desc()).limit(1)
    ).scalar_subquery()
    statement = (
        select(
            b.c.asset_id,
            last.label("last"),
            offers.c.bid,
            offers.c.ask,
            func.coalesce(day.c.units, 0).label("units"),
            func.coalesce(day.c.centavos, 0).label("centavos"),
            func.coalesce(day.c.trades, 0).label("trades"),
            func.coalesce(offers.c.open_orders, 0).label("open_orders"),
        )
        .outerjoin_from(b, offers, offers.c.asset_id == b.c.asset_id)
        .outerjoin(day, day.c.asset_id == b.c.asset_id)
        .order_by(b.c.asset_id)
    )
    return [
        MarketStats(**dict(row._mapping) | {"units": int(row.units), "centavos": int(row.centavos)})
        for row in await conn.execute(statement)
    ]


def _books(books: Sequence[Book]) -> Any:
    """The assets as a table. ``scale``: ticks of a price in a real, ``tick``: its inverse; ``unit``: what makes
    centavos of base units at a price. Nothing is divided, so all is exact.
    """
    rows = [
        (
            book.asset_id,
            book.market,
            Decimal(1).scaleb(book.price_decimals),
            Decimal(1).scaleb(-book.price_decimals),
            Decimal(1).scaleb(BRL.decimals - book.decimals),
        )
        for book in books
    ]
    return values(
        column("asset_id", String),
        column("market", _EXACT),
        column("scale", _EXACT),
        column("tick", _EXACT),
        column("unit", _EXACT),
        name="books",
    ).data(rows)


def _price(b: Any) -> ColumnElement[Any]:
    """As :func:`models.p2p_order.rules.price_now`; null where that raises."""
    market = cast(b.c.market, _EXACT)
    exact = market * (literal(Decimal(1).scaleb(-4), _EXACT) * (BPS + _O.margin_bps))
    ticks = exact * b.c.scale
    rounded = case((_O.side == Side.SELL, func.ceil(ticks)), else_=func.floor(ticks)) * b.c.tick
    floating = func.least(func.greatest(rounded, _O.price_floor), _O.price_ceiling)
    kept = case((floating >= b.c.tick, floating))
    return case((_O.price_kind == PriceKind.FIXED, _O.price), (market.is_not(None), kept))


def _is_left(b: Any, price: ColumnElement[Any], wanted: Wanted) -> ColumnElement[bool]:
    """Whether what is available is worth a trade, or the trade that is wanted. Null, so false, without a price."""
    worth = cast(_O.available_units, Numeric) * price * b.c.unit
    most = case((_O.side == Side.SELL, func.ceil(worth)), else_=func.floor(worth))
    if wanted.centavos is None:
        return most >= _O.min_centavos
    return and_(most >= _O.min_centavos, func.floor(worth) >= wanted.centavos)


def _in_hours(now: datetime) -> ColumnElement[bool]:
    """As :func:`models.p2p_order.rules.is_open`."""
    local: time = now.astimezone(BANK_TIME).time()
    return or_(
        _O.opens_at.is_(None),
        case(
            (_O.opens_at < _O.closes_at, and_(_O.opens_at <= local, local < _O.closes_at)),
            else_=or_(_O.opens_at <= local, local < _O.closes_at),
        ),
    )


def _wanted(wanted: Wanted, is_verified: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.side is not None:
        conditions.append(_O.side == wanted.side)
    if wanted.centavos is not None:
        conditions.append(and_(_O.min_centavos <= wanted.centavos, wanted.centavos <= _O.max_centavos))
    if wanted.settlement is not None:
        conditions.append(any_(_O.settlements) == wanted.settlement)
    if wanted.method_kind is not None:
        conditions.append(any_(_O.method_kinds) == wanted.method_kind)
    if wanted.verified_only:
        conditions.append(is_verified)
    return conditions


def _scores(books: Sequence[Book], wanted: Wanted) -> CTE:
    """The makers of open orders, each with the number to sort by. Worked out once for each, not for each order."""
    makers = select(_O.user_id).where(_OPEN, _O.asset_id.in_([book.asset_id for book in books])).distinct()
    if wanted.side is not None:
        makers = makers.where(_O.side == wanted.side)
    known = makers.subquery()
    scored = select(known.c.user_id, reputations.score(known.c.user_id).label("score"))
    return scored.cte("scores").prefix_with("MATERIALIZED")


def _sorted(
    statement: Select[Any], sort: Sort, wanted: Wanted, key: ColumnElement[Any], after: Place | None
) -> Select[Any]:
    """The order's id makes every place one order's alone."""
    if sort is Sort.PRICE and wanted.side is Side.SELL:
        statement = statement.order_by(key, _O.id)
    else:
        statement = statement.order_by(key.desc(), _O.id.desc())
    if after is None:
        return statement
    last: Any = datetime.fromisoformat(after.key) if sort is Sort.NEWEST else Decimal(after.key)
    here, there = tuple_(key, _O.id), tuple_(last, after.order_id)
    return statement.where(here > there if sort is Sort.PRICE and wanted.side is Side.SELL else here < there)
