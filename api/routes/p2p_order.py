"""Offers to trade with anybody: a user's own, and the market's."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pagination
from api.auth import Caller
from api.deps import Deps, Services
from api.ids import IdInPath
from api.p2p_orders import OrderView, TermsRequest, books, floating_among, market_price, order_view, terms_of
from api.problems import problems
from api.routes.quote import positive
from api.sealed_once import SealedOnce, SealedOncePerKey
from models.assets import BRL, Asset
from models.errors import (
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    LimitExceeded,
    NotAnAmount,
    NotFound,
    PayloadTooLarge,
    StaleVersion,
    TooPrecise,
    UnknownAsset,
    UnknownNetwork,
)
from models.network import queries as networks
from models.network.queries import Catalogue
from models.p2p_block import queries as blocks
from models.p2p_order import market, queries, writes
from models.p2p_order.rules import refuse_taker
from models.p2p_order.states import OrderStatus
from models.p2p_order.types import Book, P2POrder, Place, PriceKind, Settlement, Sort, Wanted
from models.payment_method.types import MethodKind
from models.quote.types import Side
from models.reputation import queries as reputations
from models.user.types import Actor

router = APIRouter(prefix="/api/v1/p2p", tags=["p2p"])

_DECIMAL = r"-?[0-9]{1,40}([.][0-9]{1,60})?"
_PLACE = re.compile(
    rf"(?P<sort>[a-z]+)/(?P<key>{_DECIMAL}|[0-9T:.-]{{19,26}}\+00:00)/(?P<market>{_DECIMAL}|)/(?P<id>[0-9a-f]{{32}})"
)
_TERMS = (PayloadTooLarge, InvalidInput, NotAnAmount, TooPrecise, LimitExceeded, NotFound)


class OrderRequest(TermsRequest):
    side: Side = Field(description="what you do")
    asset: str = Field(max_length=32, description="its symbol, as `GET config` lists it")
    network: str = Field(max_length=32)


class ChangeRequest(TermsRequest):
    """All terms anew. Trades that run keep theirs."""

    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)] = Field(
        description="that you have read; another one now is a `stale-version`"
    )


class OrderPage(BaseModel):
    orders: list[OrderView]
    next_cursor: str | None = Field(description="pass it back for the orders that follow; null at the end")


@router.post(
    "/orders",
    status_code=201,
    response_model=OrderView,
    responses=problems(*_TERMS, UnknownAsset, UnknownNetwork, IdempotencyMismatch),
)
async def create(body: OrderRequest, services: Deps, caller: Caller, once: SealedOncePerKey) -> JSONResponse:
    """Offer to sell or to buy. Nothing is held until somebody takes it."""
    asset = services.catalogue.asset(body.asset, body.network)
    terms = terms_of(body, asset, services)
    # Before the transaction: no database connection waits for a market.
    price = await market_price(services, asset) if terms.price_kind is PriceKind.FLOATING else None
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        made = await writes.create(
            conn, services.box, user_id=caller.user_id, side=body.side, asset=asset, terms=terms, rules=services.p2p
        )
        return await once.answer(conn, 201, await _one(conn, made, asset, price, caller, services))


@router.get("/orders", responses=problems(InvalidInput, NotAnAmount, TooPrecise, UnknownAsset, UnknownNetwork))
async def list_open(
    services: Deps,
    caller: Caller,
    symbol: Annotated[str | None, Query(alias="asset", max_length=32, examples=["ETH"])] = None,
    network: Annotated[str | None, Query(max_length=32, examples=["ethereum"])] = None,
    side: Annotated[Side | None, Query(description="what the makers do: `sell` for those you buy from")] = None,
    total: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=100,
            examples=["150.00"],
            description="reais of one trade, which the order's limits and what is left of it must allow",
        ),
    ] = None,
    settlement: Settlement | None = None,
    method: Annotated[MethodKind | None, Query(description="of direct payments")] = None,
    verified_only: Annotated[bool, Query(description="makers with a verified document")] = False,
    sort: Annotated[
        Sort | None,
        Query(
            description="`price`: best for you first, and needs `asset`, `network` and `side`; it is the default "
            "where those are given, else `newest` is"
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> OrderPage:
    """Open orders, with their makers' reputation and whether you can take them.

    Not listed: those closed, paused, used up or outside their hours, of users whom you blocked or who blocked you,
    and those with a floating price while the market has none. Pages stay in order while prices move: floating prices
    are sorted as they were on the first page, and shown as they are now.
    """
    assets = assets_named(services.catalogue, symbol, network)
    chosen = _sort(sort, is_one=len(assets) == 1 and None not in {symbol, network, side})
    wanted = Wanted(
        side=side,
        centavos=None if total is None else positive(total, BRL, "total"),
        settlement=settlement,
        method_kind=method,
        verified_only=verified_only,
    )
    after = _place(cursor, chosen)
    now = datetime.now(UTC)
    async with services.engine.connect() as conn:
        floating = await market.floating_assets(conn, [asset.id for asset in assets])
    # Between two connections: none waits for a market.
    prices = await books(services, assets, floating)
    async with services.engine.connect() as conn:
        found, last = await market.page(
            conn,
            caller_id=caller.user_id,
            wanted=wanted,
            books=_sorted_by(after, prices),
            sort=chosen,
            after=after,
            limit=limit,
            now=now,
        )
        views = await _views(conn, found, services.catalogue.assets, _markets(prices), caller, services)
    return OrderPage(orders=views, next_cursor=_cursor(last))


@router.get("/my-orders", responses=problems(InvalidInput))
async def list_own(
    services: Deps,
    caller: Caller,
    status: OrderStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> OrderPage:
    """The caller's own orders, newest first, closed ones too."""
    after = pagination.decode(cursor)
    async with services.engine.connect() as conn:
        page = await queries.of_user(conn, caller.user_id, status=status, limit=limit, cursor=after)
        assets = await networks.ever_traded(conn)
    prices = _markets(await books(services, assets.values(), floating_among(page.orders)))
    async with services.engine.connect() as conn:
        views = await _views(conn, page.orders, assets, prices, caller, services)
    return OrderPage(orders=views, next_cursor=pagination.encode(page.next_cursor))


@router.get("/orders/{order_id:id}", responses=problems(NotFound))
async def show(order_id: IdInPath, services: Deps, caller: Caller) -> OrderView:
    """One order: your own, or another's while it is open."""
    async with services.engine.connect() as conn:
        found = await queries.order(conn, order_id)
        is_hidden = found.status is not OrderStatus.ACTIVE or await blocks.between(
            conn, caller.user_id, found.user_id
        )
        if is_hidden and found.user_id != caller.user_id:
            raise NotFound("there is no such order", field="order_id")
        asset = (await networks.ever_traded(conn))[found.asset_id]
    price = await market_price(services, asset) if found.price_kind is PriceKind.FLOATING else None
    async with services.engine.connect() as conn:
        return await _one(conn, found, asset, price, caller, services)


@router.put("/orders/{order_id:id}", responses=problems(*_TERMS, StaleVersion, IllegalTransition))
async def change(order_id: IdInPath, body: ChangeRequest, services: Deps, caller: Caller) -> OrderView:
    """Replace all terms of your order. Trades that run keep what they were opened with."""
    asset, _ = await _own(order_id, services, caller)
    terms = terms_of(body, asset, services)
    price = await market_price(services, asset) if terms.price_kind is PriceKind.FLOATING else None
    async with services.engine.begin() as conn:
        changed = await writes.change(
            conn,
            services.box,
            order_id=order_id,
            user_id=caller.user_id,
            version=body.version,
            asset=asset,
            terms=terms,
            rules=services.p2p,
        )
        return await _one(conn, changed, asset, price, caller, services)


@router.delete("/orders/{order_id:id}", status_code=204, responses=problems(NotFound))
async def close(order_id: IdInPath, services: Deps, caller: Caller) -> None:
    """Close your order for ever. Trades that run go on. Harmless to repeat."""
    async with services.engine.begin() as conn:
        await writes.turn(conn, order_id=order_id, user_id=caller.user_id, status=OrderStatus.CLOSED)


@router.post(
    "/orders/{order_id:id}/pause",
    response_model=OrderView,
    responses=problems(NotFound, IllegalTransition, IdempotencyMismatch),
)
async def pause(order_id: IdInPath, services: Deps, caller: Caller, once: SealedOncePerKey) -> JSONResponse:
    """Nobody can take it until it is resumed. Trades that run go on."""
    return await _turn(order_id, OrderStatus.PAUSED, services, caller, once)


@router.post(
    "/orders/{order_id:id}/resume",
    response_model=OrderView,
    responses=problems(NotFound, IllegalTransition, IdempotencyMismatch),
)
async def resume(order_id: IdInPath, services: Deps, caller: Caller, once: SealedOncePerKey) -> JSONResponse:
    """It can be taken again."""
    return await _turn(order_id, OrderStatus.ACTIVE, services, caller, once)


async def _turn(
    order_id: str, status: OrderStatus, services: Services, caller: Actor, once: SealedOnce
) -> JSONResponse:
    asset, price = await _own(order_id, services, caller)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        turned = await writes.turn(conn, order_id=order_id, user_id=caller.user_id, status=status)
        return await once.answer(conn, 200, await _one(conn, turned, asset, price, caller, services))


async def _own(order_id: str, services: Services, caller: Actor) -> tuple[Asset, Decimal | None]:
    """The asset of the caller's order, and its market's price where the order's floats.

    :raises NotFound: not the caller's.
    """
    async with services.engine.connect() as conn:
        found = await queries.own(conn, order_id=order_id, user_id=caller.user_id)
        asset = (await networks.ever_traded(conn))[found.asset_id]
    return asset, await market_price(services, asset) if found.price_kind is PriceKind.FLOATING else None


async def _one(
    conn: AsyncConnection, found: P2POrder, asset: Asset, price: Decimal | None, caller: Actor, services: Services
) -> OrderView:
    (view,) = await _views(conn, [found], {asset.id: asset}, {asset.id: price}, caller, services)
    return view


async def _views(
    conn: AsyncConnection,
    found: list[P2POrder],
    assets: Mapping[str, Asset],
    prices: Mapping[str, Decimal | None],
    caller: Actor,
    services: Services,
) -> list[OrderView]:
    now = datetime.now(UTC)
    taker = await queries.taker(conn, caller.user_id, services.p2p, now)
    makers = await reputations.of_users(conn, (one.user_id for one in found))
    return [
        order_view(
            one,
            assets[one.asset_id],
            prices[one.asset_id],
            makers[one.user_id],
            refuse_taker(one, taker, now, blocked=False),
            is_own=one.user_id == caller.user_id,
            auto_reply=queries.auto_reply(services.box, one) if one.user_id == caller.user_id else None,
        )
        for one in found
    ]


def _sorted_by(after: Place | None, found: Mapping[str, Book]) -> list[Book]:
    """The books as the first page saw them, where the sorting is by price."""
    if after is None or after.sort is not Sort.PRICE:
        return list(found.values())
    return [replace(book, market=after.market) for book in found.values()]


def _markets(found: Mapping[str, Book]) -> dict[str, Decimal | None]:
    return {asset_id: book.market for asset_id, book in found.items()}


def assets_named(catalogue: Catalogue, symbol: str | None, network: str | None) -> list[Asset]:
    """:raises UnknownAsset: none of this symbol, or not on this network.
    :raises UnknownNetwork: not one that this installation runs.
    """
    if symbol is not None and network is not None:
        return [catalogue.asset(symbol, network)]
    if network is not None:
        catalogue.network(network)
    found = [
        asset
        for asset in catalogue.assets.values()
        if asset.network is not None and symbol in {None, asset.symbol} and network in {None, asset.network}
    ]
    if not found:
        known = ", ".join(sorted({asset.symbol for asset in catalogue.assets.values() if asset.network}))
        raise UnknownAsset(f"choose one of: {known}", field="asset")
    return found


def _sort(named: Sort | None, *, is_one: bool) -> Sort:
    if named is Sort.PRICE and not is_one:
        raise InvalidInput("prices are compared of one asset, network and side: name them", field="sort")
    return named or (Sort.PRICE if is_one else Sort.NEWEST)


def _cursor(last: Place | None) -> str | None:
    if last is None:
        return None
    price = "" if last.market is None else f"{last.market:f}"
    return pagination.encode_text(f"{last.sort}/{last.key}/{price}/{last.order_id}")


def _place(cursor: str | None, sort: Sort) -> Place | None:
    """:raises InvalidInput: not a cursor of ours, or of another sorting."""
    if cursor is None:
        return None
    found = pagination.decode_text(cursor, _PLACE)
    if found["sort"] != sort:
        raise InvalidInput("this cursor is of another list", field="cursor")
    try:
        datetime.fromisoformat(found["key"]) if sort is Sort.NEWEST else Decimal(found["key"])
    except (ValueError, ArithmeticError):
        raise InvalidInput("this cursor is of another list", field="cursor") from None
    return Place(sort, found["key"], found["id"], Decimal(found["market"]) if found["market"] else None)
