"""What an order costs now, what a taker gets of it, who may take it. Pure: no clock, no database.

Price in BRL per unit shown, amounts in base units and centavos. Each rounding is in the maker's favour, and by less
than one unit of what is rounded: the taker has named the other side and gets that exactly.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from models.assets import BRL, Asset
from models.errors import InvalidInput, LimitExceeded, PriceUnavailable, TakeRefused
from models.money import ROUNDING, units_text
from models.p2p_order.states import OrderStatus
from models.p2p_order.types import OrderTerms, P2POrder, P2PRules, PriceKind, Settlement, Taker, TakeRefusal
from models.quote.rules import BPS
from models.quote.types import Side
from models.reconciliation.types import BANK_TIME

DAY = timedelta(days=1)


def price_now(order: P2POrder, market: Decimal | None, asset: Asset) -> Decimal:
    """At the asset's price precision; a floating one is rounded up for a sale and down for a purchase.

    :param market: needed for a floating price only.
    :raises PriceUnavailable: there is no market price, or what follows from it is smaller than the precision.
    """
    tick = Decimal(1).scaleb(-asset.price_decimals)
    if order.price_kind is PriceKind.FIXED:
        assert order.price is not None
        return order.price.quantize(tick, context=ROUNDING)
    assert order.margin_bps is not None
    if market is None:
        raise PriceUnavailable(f"the market price of {asset.symbol} is not known now")
    direction = ROUND_CEILING if order.side is Side.SELL else ROUND_FLOOR
    exact = ROUNDING.divide(ROUNDING.multiply(market, Decimal(BPS + order.margin_bps)), Decimal(BPS))
    price = exact.quantize(tick, rounding=direction, context=ROUNDING)
    if order.price_floor is not None:
        price = max(price, order.price_floor.quantize(tick, context=ROUNDING))
    if order.price_ceiling is not None:
        price = min(price, order.price_ceiling.quantize(tick, context=ROUNDING))
    if price < tick:
        raise PriceUnavailable(f"the market price of {asset.symbol} is not usable now")
    return price


def centavos_for(units: int, price: Decimal, asset: Asset, *, up: bool) -> int:
    """Reais of ``units``, rounded up or down to a centavo."""
    top, bottom = price.as_integer_ratio()
    value, unit = units * top * _power(BRL), bottom * _power(asset)
    return -(-value // unit) if up else value // unit


def units_for(centavos: int, price: Decimal, asset: Asset, *, up: bool) -> int:
    """Coins that ``centavos`` pay for, rounded up or down to a base unit."""
    top, bottom = price.as_integer_ratio()
    value, unit = centavos * bottom * _power(asset), top * _power(BRL)
    return -(-value // unit) if up else value // unit


def quote_take(
    order: P2POrder, price: Decimal, asset: Asset, *, units: int | None = None, centavos: int | None = None
) -> tuple[int, int]:
    """Base units and centavos of a trade whose taker names exactly one of them.

    Of a sale, named coins cost reais rounded up and named reais buy coins rounded down; of a purchase, named coins
    bring reais rounded down and named reais cost coins rounded up.
    Whether so much is left of the order is said where it is taken from it.
    :raises LimitExceeded: outside the order's limits; the field is the side named, ``amount`` for coins and
        ``pay_brl`` for reais.
    """
    maker_sells = order.side is Side.SELL
    if units is not None:
        field, centavos = "amount", centavos_for(units, price, asset, up=maker_sells)
    else:
        assert centavos is not None
        field, units = "pay_brl", units_for(centavos, price, asset, up=not maker_sells)
    if units <= 0:
        raise LimitExceeded("this is less than the smallest unit of the asset", field=field)
    low, high = order.min_centavos, order.max_centavos
    if not low <= centavos <= high:
        least, most = units_text(low, BRL.decimals), units_text(high, BRL.decimals)
        raise LimitExceeded(f"a trade of this order is worth between R$ {least} and R$ {most}", field=field)
    return units, centavos


def check_terms(terms: OrderTerms, side: Side, asset: Asset, rules: P2PRules) -> None:
    """:raises InvalidInput: a part is missing, belongs to another kind of order, or contradicts another.
    :raises LimitExceeded: outside this installation's limits.
    """
    _check_price(terms)
    _check_limits(terms, side, asset, rules)
    _check_settlements(terms, side)
    if (terms.opens_at is None) != (terms.closes_at is None):
        field = "opens_at" if terms.opens_at is None else "closes_at"
        raise InvalidInput("name both ends of the hours, or none", field=field)
    if terms.opens_at is not None and terms.opens_at == terms.closes_at:
        raise InvalidInput("the hours end when they begin; leave both out for the whole day", field="closes_at")


def _check_price(terms: OrderTerms) -> None:
    is_fixed = terms.price_kind is PriceKind.FIXED
    needed, foreign = (
        ("price", ("margin_bps", "price_floor", "price_ceiling")) if is_fixed else ("margin_bps", ("price",))
    )
    for field in foreign:
        if getattr(terms, field) is not None:
            raise InvalidInput(f"{field} does not belong to a {terms.price_kind} price; leave it out", field=field)
    if getattr(terms, needed) is None:
        raise InvalidInput(f"{needed} is needed for a {terms.price_kind} price", field=needed)
    if terms.price_floor is not None and terms.price_ceiling is not None and terms.price_floor > terms.price_ceiling:
        raise InvalidInput("the ceiling is below the floor", field="price_ceiling")


def _check_limits(terms: OrderTerms, side: Side, asset: Asset, rules: P2PRules) -> None:
    least, most = (units_text(c, BRL.decimals) for c in (rules.trade_min_centavos, rules.trade_max_centavos))
    for field, centavos in (("min_total", terms.min_centavos), ("max_total", terms.max_centavos)):
        if not rules.trade_min_centavos <= centavos <= rules.trade_max_centavos:
            raise LimitExceeded(f"one trade is worth between R$ {least} and R$ {most}", field=field)
    if terms.min_centavos > terms.max_centavos:
        raise InvalidInput("the most of one trade is below the least", field="max_total")
    low, high = rules.window_least_seconds, rules.window_most_seconds
    if not low <= terms.window_seconds <= high:
        raise LimitExceeded(f"the buyer gets between {low} and {high} seconds to pay", field="window_seconds")
    if terms.price is not None:
        worth = centavos_for(terms.total_units, terms.price, asset, up=side is Side.SELL)
        if worth < terms.min_centavos:
            raise LimitExceeded("all of it is worth less than one trade must be", field="amount")


def _check_settlements(terms: OrderTerms, side: Side) -> None:
    if not terms.settlements:
        raise InvalidInput("name at least one", field="settlements")
    is_direct = Settlement.DIRECT in terms.settlements
    own, theirs = ("method_ids", "method_kinds") if side is Side.SELL else ("method_kinds", "method_ids")
    if getattr(terms, theirs):
        raise InvalidInput(f"{theirs} does not belong to this side; name {own}", field=theirs)
    if is_direct and not getattr(terms, own):
        raise InvalidInput("direct payment needs at least one", field=own)
    if not is_direct and getattr(terms, own):
        raise InvalidInput("only direct payment needs it; leave it out", field=own)


def is_open(order: P2POrder, now: datetime) -> bool:
    """Whether ``now`` is within its hours: from ``opens_at`` on, before ``closes_at``, over midnight if need be."""
    if order.opens_at is None or order.closes_at is None:
        return True
    local = now.astimezone(BANK_TIME).time()
    if order.opens_at < order.closes_at:
        return order.opens_at <= local < order.closes_at
    return order.opens_at <= local or local < order.closes_at


def refuse_taker(order: P2POrder, taker: Taker, now: datetime, *, blocked: bool) -> TakeRefusal | None:
    """The first reason why the taker cannot open a trade of this order; None: they can.

    :param blocked: one of the two has blocked the other.
    """
    buys = order.side is Side.SELL
    completion = -1 if taker.completion_bps is None else taker.completion_bps
    refusals = {
        TakeRefusal.OWN_ORDER: taker.user_id == order.user_id,
        TakeRefusal.BLOCKED: blocked,
        TakeRefusal.CLOSED: order.status is OrderStatus.CLOSED,
        TakeRefusal.PAUSED: order.status is OrderStatus.PAUSED,
        TakeRefusal.CLOSED_HOURS: not is_open(order, now),
        TakeRefusal.NOT_VERIFIED: order.require_verified and not taker.is_verified,
        TakeRefusal.TOO_FEW_TRADES: taker.trades < order.min_trades,
        TakeRefusal.COMPLETION_TOO_LOW: order.min_completion_bps > 0 and completion < order.min_completion_bps,
        TakeRefusal.COOLING_DOWN: buys and taker.cooldown_until is not None and now < taker.cooldown_until,
        TakeRefusal.TOO_MANY_UNPAID: buys and taker.unpaid_live >= taker.unpaid_most,
    }
    return next((refusal for refusal, holds in refusals.items() if holds), None)


def require_taker(order: P2POrder, taker: Taker, now: datetime, *, blocked: bool) -> None:
    """:raises TakeRefused: the taker cannot open a trade of this order; it says why."""
    refusal = refuse_taker(order, taker, now, blocked=blocked)
    if refusal is not None:
        raise TakeRefused(_sentence(refusal, order, taker), reason=refusal)


def cooldown_until(unpaid_ends: Sequence[datetime], rules: P2PRules) -> datetime | None:
    """Until when somebody takes nothing as the buyer, whose taken trades ended unpaid at these times, oldest first.

    None: they never had too many of them within 24 hours.
    """
    first = rules.unpaid_day_most - 1
    many = [end for start, end in zip(unpaid_ends, unpaid_ends[first:], strict=False) if end - start <= DAY]
    return many[-1] + timedelta(seconds=rules.cooldown_seconds) if many else None


def _power(asset: Asset) -> int:
    return int(10**asset.decimals)


def _sentence(refusal: TakeRefusal, order: P2POrder, taker: Taker) -> str:
    match refusal:
        case TakeRefusal.CLOSED_HOURS:
            return f"it can be taken from {order.opens_at:%H:%M} to {order.closes_at:%H:%M} in America/Sao_Paulo"
        case TakeRefusal.TOO_FEW_TRADES:
            return f"its maker asks for {order.min_trades} completed trades; you have {taker.trades}"
        case TakeRefusal.COOLING_DOWN:
            assert taker.cooldown_until is not None
            until = taker.cooldown_until.astimezone(UTC).isoformat(timespec="seconds")
            return f"too many trades that you took ended unpaid; you can take one as the buyer again at {until}"
        case TakeRefusal.TOO_MANY_UNPAID:
            most = taker.unpaid_most
            return f"end one first: at most {most} trades that you took as the buyer may be under way at once"
        case _:
            return _SENTENCES[refusal]


_SENTENCES = {
    TakeRefusal.OWN_ORDER: "this order is your own",
    TakeRefusal.BLOCKED: "you and its maker do not trade with each other",
    TakeRefusal.CLOSED: "it is closed",
    TakeRefusal.PAUSED: "its maker has paused it",
    TakeRefusal.NOT_VERIFIED: "its maker asks for a verified document; an operator has not verified yours yet",
    TakeRefusal.COMPLETION_TOO_LOW: "its maker asks for a higher completion rate than yours",
}
