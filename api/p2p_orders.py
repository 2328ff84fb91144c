"""What the routes of orders share: how an order's terms are said in JSON, and how an order is shown."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, time
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.deps import Services
from api.ids import IdText
from api.routes.quote import PlainAmount, positive
from api.routes.reputation import ReputationView, reputation_view
from api.views import REAIS, reais
from models.assets import BRL, Asset
from models.errors import NotAnAmount, PriceUnavailable
from models.money import EXACT, units_text
from models.p2p_order.rules import price_now
from models.p2p_order.states import OrderStatus
from models.p2p_order.types import (
    Book,
    OrderTerms,
    P2POrder,
    PriceKind,
    Settlement,
    TakeRefusal,
)
from models.payment_method.types import MethodKind
from models.quote.types import Side
from models.reputation.types import Reputation

PRICE_MOST = 10**15
"""Reais per unit."""

_TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
_LIST_MOST = 10

Hour = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:30"])]
Small = Annotated[int, Field(strict=True, ge=0, le=10_000)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=10**9)]


class TermsRequest(BaseModel):
    """A `fixed` price needs `price`; a `floating` one needs `margin_bps` and may have a floor and a ceiling."""

    model_config = ConfigDict(extra="forbid")

    amount: PlainAmount = Field(examples=["0.5"], description="of the asset: all that is offered, in trades or not")
    price_kind: PriceKind
    price: PlainAmount | None = Field(default=None, examples=["15000.00"], description="reais per unit")
    margin_bps: Annotated[int, Field(strict=True, ge=-5_000, le=5_000)] | None = Field(
        default=None, description="added to the market's price, in basis points; may be negative"
    )
    price_floor: PlainAmount | None = None
    price_ceiling: PlainAmount | None = None
    min_total: PlainAmount = Field(examples=["50.00"], description="the least of one trade, in reais")
    max_total: PlainAmount = Field(examples=["5000.00"], description="the most of one trade, in reais")
    settlements: list[Settlement] = Field(min_length=1, max_length=_LIST_MOST)
    method_ids: list[IdText] = Field(
        default=[], max_length=_LIST_MOST, description="of a sale with `direct`: where you are paid"
    )
    method_kinds: list[MethodKind] = Field(
        default=[], max_length=_LIST_MOST, description="of a purchase with `direct`: how you pay"
    )
    window_seconds: Seconds | None = Field(default=None, description="for the buyer to pay; see `GET config`")
    terms: str = Field(default="", max_length=2_000, pattern=_TEXT, description="for the other side to read before")
    auto_reply: str = Field(
        default="", max_length=1_000, pattern=_TEXT, description="the first message of each trade's chat"
    )
    opens_at: Hour | None = Field(
        default=None, description="in America/Sao_Paulo; later than `closes_at`: it is open over midnight"
    )
    closes_at: Hour | None = Field(default=None, description="not included")
    require_verified: bool = Field(default=False, strict=True, description="takers need a verified document")
    min_trades: Small = Field(default=0, description="that takers have completed")
    min_completion_bps: Small = Field(default=0, description="the takers' completion rate, in basis points")


class OrderView(BaseModel):
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    maker: ReputationView
    side: Side = Field(description="what the maker does")
    asset: str = Field(examples=["ETH"])
    network: str = Field(examples=["ethereum"])
    status: OrderStatus
    version: int
    available: str = Field(examples=["0.500000000000000000"], description="not in or through a trade")
    price_kind: PriceKind
    price: str | None = Field(
        examples=["15000.00"], description="reais per unit, now; null: floating, and the market has no price now"
    )
    margin_bps: int | None
    price_floor: str | None
    price_ceiling: str | None
    min_total: str = REAIS
    max_total: str = REAIS
    settlements: list[Settlement]
    method_kinds: list[MethodKind]
    window_seconds: int
    terms: str
    opens_at: str | None = Field(examples=["22:30"], description="in America/Sao_Paulo")
    closes_at: str | None
    require_verified: bool
    min_trades: int
    min_completion_bps: int
    takeable: bool = Field(description="by you, now")
    refusal: TakeRefusal | None = Field(description="why not")
    amount: str | None = Field(description="all that was ever offered; to its maker only")
    method_ids: list[str] | None = Field(description="to its maker only")
    auto_reply: str | None = Field(description="to its maker only")
    created_at: datetime
    updated_at: datetime


def terms_of(body: TermsRequest, asset: Asset, services: Services) -> OrderTerms:
    """:raises NotAnAmount: an amount or price is none.
    :raises TooPrecise: one has more places than there are.
    """
    window = services.p2p.window_default_seconds if body.window_seconds is None else body.window_seconds
    return OrderTerms(
        total_units=positive(body.amount, asset, "amount"),
        price_kind=body.price_kind,
        price=price_in(body.price, asset, "price"),
        margin_bps=body.margin_bps,
        price_floor=price_in(body.price_floor, asset, "price_floor"),
        price_ceiling=price_in(body.price_ceiling, asset, "price_ceiling"),
        min_centavos=positive(body.min_total, BRL, "min_total"),
        max_centavos=positive(body.max_total, BRL, "max_total"),
        settlements=tuple(dict.fromkeys(body.settlements)),
        method_ids=tuple(dict.fromkeys(body.method_ids)),
        method_kinds=tuple(dict.fromkeys(body.method_kinds)),
        window_seconds=window,
        terms=body.terms.strip(),
        auto_reply=body.auto_reply.strip(),
        opens_at=None if body.opens_at is None else time.fromisoformat(body.opens_at),
        closes_at=None if body.closes_at is None else time.fromisoformat(body.closes_at),
        require_verified=body.require_verified,
        min_trades=body.min_trades,
        min_completion_bps=body.min_completion_bps,
    )


async def books(services: Services, assets: Iterable[Asset], floating: set[str]) -> dict[str, Book]:
    """By asset id; with the market's price now of those whose orders float, where it has one."""
    listed = list(assets)
    prices = await asyncio.gather(*(market_price(services, asset) for asset in listed if asset.id in floating))
    known = dict(zip((asset.id for asset in listed if asset.id in floating), prices, strict=True))
    return {asset.id: Book(asset.id, asset.decimals, asset.price_decimals, known.get(asset.id)) for asset in listed}


def order_view(
    order: P2POrder,
    asset: Asset,
    market: Decimal | None,
    reputation: Reputation,
    refusal: TakeRefusal | None,
    *,
    is_own: bool,
    auto_reply: str | None,
) -> OrderView:
    """:param auto_reply: in clear, for its maker."""
    return OrderView(
        id=order.id,
        maker=reputation_view(reputation),
        side=order.side,
        asset=asset.symbol,
        network=asset.network or "",
        status=order.status,
        version=order.version,
        available=units_text(order.available_units, asset.decimals),
        price_kind=order.price_kind,
        price=_price_shown(order, market, asset),
        margin_bps=order.margin_bps,
        price_floor=price_text(order.price_floor, asset),
        price_ceiling=price_text(order.price_ceiling, asset),
        min_total=reais(order.min_centavos),
        max_total=reais(order.max_centavos),
        settlements=list(order.settlements),
        method_kinds=[MethodKind(kind) for kind in order.method_kinds],
        window_seconds=order.window_seconds,
        terms=order.terms,
        opens_at=_hour(order.opens_at),
        closes_at=_hour(order.closes_at),
        require_verified=order.require_verified,
        min_trades=order.min_trades,
        min_completion_bps=order.min_completion_bps,
        takeable=refusal is None,
        refusal=refusal,
        amount=units_text(order.total_units, asset.decimals) if is_own else None,
        method_ids=list(order.method_ids) if is_own else None,
        auto_reply=auto_reply,
        created_at=order.created_at,
        updated_at=order.updated_at,
    )


def price_text(price: Decimal | None, asset: Asset) -> str | None:
    """At the asset's price precision, which it was given in."""
    return None if price is None else f"{price:.{asset.price_decimals}f}"


def floating_among(orders: Iterable[P2POrder]) -> set[str]:
    return {order.asset_id for order in orders if order.price_kind is PriceKind.FLOATING}


async def market_price(services: Services, asset: Asset) -> Decimal | None:
    """None: it has none now."""
    try:
        return await services.feed.price(asset.symbol)
    except PriceUnavailable:
        return None


def _price_shown(order: P2POrder, market: Decimal | None, asset: Asset) -> str | None:
    try:
        return price_text(price_now(order, market, asset), asset)
    except PriceUnavailable:
        return None


def price_in(text: str | None, asset: Asset, field: str) -> Decimal | None:
    """:raises NotAnAmount: it is none, or larger than any price.
    :raises TooPrecise: it has more places than the asset's prices.
    """
    if text is None:
        return None
    ticks = positive(text, Asset(asset.id, f"a price of {asset.symbol}", asset.price_decimals), field)
    price = EXACT.scaleb(Decimal(ticks), -asset.price_decimals)
    if price >= PRICE_MOST:
        raise NotAnAmount(f"{field} is larger than any price", field=field)
    return price


def _hour(at: time | None) -> str | None:
    return None if at is None else f"{at:%H:%M}"
