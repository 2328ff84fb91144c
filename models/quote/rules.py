"""What a sale brings and a purchase costs. Each rounding names its direction and who gains.

Pure arithmetic: price in BRL per unit shown, amounts in base units and centavos.
"""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_UP, Decimal

from models.assets import BRL, Asset
from models.errors import LimitExceeded, PriceUnavailable
from models.money import EXACT, ROUNDING, units_text
from models.quote.types import Parts, Rates, Side

BPS = 10_000


def price_of(market: Decimal, asset: Asset, side: Side = Side.SELL) -> Decimal:
    """The market price at the asset's price precision, rounded down for a sale, up for a purchase: the house keeps
    the tail.

    :raises PriceUnavailable: it is smaller than the precision, so that a sale would bring nothing and a purchase cost
        many times its worth.
    """
    direction = ROUND_DOWN if side is Side.SELL else ROUND_UP
    tick = Decimal(1).scaleb(-asset.price_decimals)
    if market < tick:
        raise PriceUnavailable(f"the market price of {asset.symbol} is not usable now")
    return market.quantize(tick, rounding=direction, context=ROUNDING)


def gross(units: int, price: Decimal, decimals: int) -> int:
    """Centavos for ``units`` of an asset with ``decimals``, rounded down: the house gains less than one."""
    exact = ROUNDING.multiply(EXACT.scaleb(Decimal(units), BRL.decimals - decimals), price)
    return int(exact.to_integral_value(rounding=ROUND_FLOOR))


def cost(units: int, price: Decimal, decimals: int) -> int:
    """Centavos for ``units`` bought, rounded up: the house gains less than one."""
    exact = ROUNDING.multiply(EXACT.scaleb(Decimal(units), BRL.decimals - decimals), price)
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


def share(centavos: int, bps: int) -> int:
    """Basis points of ``centavos``, rounded up: the house gains less than a centavo."""
    return -(-centavos * bps // BPS)


def sell_amount(units: int, price: Decimal, asset: Asset, rates: Rates) -> Parts:
    """The user names the crypto; everything else follows.

    :raises LimitExceeded: the user would receive less or more than the limits.
    """
    value = gross(units, price, asset.decimals)
    spread = share(value, rates.spread_bps)
    network_fee = share(value, rates.network_fee_bps)
    return _checked(Parts(units, value, spread, network_fee, value - spread - network_fee), rates, "amount")


def sell_for(centavos: int, price: Decimal, asset: Asset, rates: Rates) -> Parts:
    """The user names the reais and gets exactly those; the crypto is the least that pays for them.

    Base units are rounded up, and what that brings beyond the fees goes to the spread.
    :raises LimitExceeded: outside the limits.
    """
    _check_limits(centavos, rates, "receive_brl")
    keep = BPS - rates.spread_bps - rates.network_fee_bps
    value = -(-centavos * BPS // keep)
    while value - share(value, rates.spread_bps) - share(value, rates.network_fee_bps) < centavos:
        value += 1
    # Divided last, so that a quotient that is whole stays so.
    exact = ROUNDING.divide(EXACT.scaleb(Decimal(value), asset.decimals), EXACT.scaleb(price, BRL.decimals))
    units = int(exact.to_integral_value(rounding=ROUND_CEILING))
    while gross(units, price, asset.decimals) < value:
        units += 1
    worth = gross(units, price, asset.decimals)
    network_fee = share(worth, rates.network_fee_bps)
    return Parts(units, worth, worth - network_fee - centavos, network_fee, centavos)


def buy_amount(units: int, price: Decimal, asset: Asset, rates: Rates) -> Parts:
    """The user names the crypto; what it costs follows.

    :raises LimitExceeded: the user would pay less or more than the limits.
    """
    value = cost(units, price, asset.decimals)
    spread = share(value, rates.spread_bps)
    network_fee = share(value, rates.network_fee_bps)
    return _checked(Parts(units, value, spread, network_fee, value + spread + network_fee), rates, "amount")


def buy_for(centavos: int, price: Decimal, asset: Asset, rates: Rates) -> Parts:
    """The user names the reais and pays exactly those; the crypto is the most that they buy.

    Base units are rounded down, and what is left beyond the fees goes to the spread.
    :raises LimitExceeded: outside the limits, or the reais buy nothing.
    """
    _check_limits(centavos, rates, "pay_brl")
    value = centavos * BPS // (BPS + rates.spread_bps + rates.network_fee_bps)
    while value + share(value, rates.spread_bps) + share(value, rates.network_fee_bps) > centavos:
        value -= 1
    exact = ROUNDING.divide(EXACT.scaleb(Decimal(value), asset.decimals), EXACT.scaleb(price, BRL.decimals))
    units = int(exact.to_integral_value(rounding=ROUND_FLOOR))
    while units and cost(units, price, asset.decimals) > value:
        units -= 1
    if units <= 0:
        raise LimitExceeded("this buys less than the smallest unit of the asset", field="pay_brl")
    worth = cost(units, price, asset.decimals)
    network_fee = share(worth, rates.network_fee_bps)
    return Parts(units, worth, centavos - worth - network_fee, network_fee, centavos)


def _checked(parts: Parts, rates: Rates, field: str) -> Parts:
    _check_limits(parts.total_centavos, rates, field)
    return parts


def _check_limits(total_centavos: int, rates: Rates, field: str) -> None:
    low, high = rates.trade_min_centavos, rates.trade_max_centavos
    if not low <= total_centavos <= high:
        raise LimitExceeded(
            f"a trade is worth between R$ {units_text(low, BRL.decimals)} and R$ {units_text(high, BRL.decimals)}",
            field=field,
        )
