"""The arithmetic of a quote: exact where promised, and each rounding in the direction that it says."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.assets import Asset
from models.errors import LimitExceeded, PriceUnavailable
from models.quote.rules import BPS, buy_amount, buy_for, cost, gross, price_of, sell_amount, sell_for, share
from models.quote.types import Parts, Rates, Side

DECIMALS = st.integers(6, 18)
PRICES = st.decimals("0.0001", "1000000", places=4, allow_nan=False, allow_infinity=False)
FINE_PRICES = st.one_of(
    st.decimals("0.000000000000000001", "0.001", places=18, allow_nan=False, allow_infinity=False), PRICES
)
"""Coins such as SHIB are worth a fraction of a centavo each."""
ANY_DECIMALS = st.integers(0, 18)
MARKETS = st.decimals("0.0001", "1000000", places=8, allow_nan=False, allow_infinity=False)
REAIS = st.integers(1, 10**12)
UNITS = st.integers(0, 10**30)
BASIS_POINTS = st.integers(0, 4_000)
FREE = 10**40


def asset(decimals: int) -> Asset:
    return Asset("X.ethereum", "X", decimals, "ethereum", None, 4)


def rates(spread: int, fee: int, low: int = 1, high: int = FREE) -> Rates:
    return Rates(spread, fee, low, high, 500)


def add_up(parts: Parts) -> None:
    assert parts.total_centavos == parts.gross_centavos - parts.spread_centavos - parts.network_fee_centavos
    assert min(parts.gross_centavos, parts.spread_centavos, parts.network_fee_centavos, parts.total_centavos) >= 0
    assert parts.amount_units > 0


def paid_up(parts: Parts) -> None:
    assert parts.total_centavos == parts.gross_centavos + parts.spread_centavos + parts.network_fee_centavos
    assert min(parts.gross_centavos, parts.spread_centavos, parts.network_fee_centavos) >= 0
    assert parts.amount_units > 0


def worth(units: int, price: Decimal, decimals: int) -> Fraction:
    """Centavos, exactly."""
    return Fraction(units, 10**decimals) * Fraction(price) * 100


class TestGross:
    @given(UNITS, PRICES, DECIMALS)
    def test_is_the_exact_worth_rounded_down(self, units: int, price: Decimal, decimals: int):
        exact = Fraction(units, 10**decimals) * Fraction(price) * 100

        assert gross(units, price, decimals) == exact.__floor__()


class TestShare:
    @given(st.integers(0, 10**20), st.integers(0, BPS))
    def test_is_rounded_up(self, centavos: int, bps: int):
        exact = Fraction(centavos * bps, BPS)

        assert share(centavos, bps) == exact.__ceil__()


class TestSellAmount:
    @settings(max_examples=300)
    @given(UNITS, PRICES, DECIMALS, BASIS_POINTS, BASIS_POINTS)
    @example(1, Decimal("0.0001"), 18, 4_000, 4_000)
    def test_has_parts_that_add_up_and_gives_exactly_the_amount(
        self, units: int, price: Decimal, decimals: int, spread: int, fee: int
    ):
        try:
            parts = sell_amount(units, price, asset(decimals), rates(spread, fee))
        except LimitExceeded:
            return

        add_up(parts)
        assert units == parts.amount_units
        assert gross(units, price, decimals) == parts.gross_centavos

    @given(st.integers(1, 10**12), BASIS_POINTS, BASIS_POINTS)
    def test_costs_less_than_two_centavos_of_rounding(self, centavos: int, spread: int, fee: int):
        """Beyond the exact rates; the house gains it."""
        parts = sell_amount(centavos * 10**16, Decimal(1), asset(18), rates(spread, fee, low=-FREE))

        exact = Fraction(centavos) * (BPS - spread - fee) / BPS
        assert 0 <= exact - parts.total_centavos < 2

    @pytest.mark.parametrize("units", [0, -1, -(10**30), 10**60])
    def test_refuses_what_is_outside_the_limits(self, units: int):
        with pytest.raises(LimitExceeded, match=r"between R\$ 10.00 and R\$ 100000.00") as refused:
            sell_amount(units, Decimal(15_000), asset(18), rates(300, 25, 1_000, 10_000_000))

        assert "amount" == refused.value.field


class TestSellFor:
    @settings(max_examples=300)
    @given(st.integers(1, 10**12), PRICES, DECIMALS, BASIS_POINTS, BASIS_POINTS)
    @example(1, Decimal(1_000_000), 6, 4_000, 4_000)
    def test_gives_exactly_the_reais_named(self, receive: int, price: Decimal, decimals: int, spread: int, fee: int):
        parts = sell_for(receive, price, asset(decimals), rates(spread, fee))

        add_up(parts)
        assert receive == parts.total_centavos
        assert gross(parts.amount_units, price, decimals) == parts.gross_centavos
        assert parts.spread_centavos >= share(parts.gross_centavos, spread) - 1

    @settings(max_examples=300)
    @given(st.integers(1, 10**12), PRICES, DECIMALS, BASIS_POINTS, BASIS_POINTS)
    def test_asks_for_the_least_that_pays_for_them(
        self, receive: int, price: Decimal, decimals: int, spread: int, fee: int
    ):
        """One base unit less, sold for its amount, would bring fewer reais."""
        parts = sell_for(receive, price, asset(decimals), rates(spread, fee))

        less = gross(parts.amount_units - 1, price, decimals)
        assert less - share(less, spread) - share(less, fee) < receive

    @pytest.mark.parametrize("receive", [999, 10_000_001, 0, -5, 10**40])
    def test_refuses_what_is_outside_the_limits(self, receive: int):
        with pytest.raises(LimitExceeded) as refused:
            sell_for(receive, Decimal(15_000), asset(18), rates(300, 25, 1_000, 10_000_000))

        assert "receive_brl" == refused.value.field


class TestCost:
    @given(UNITS, FINE_PRICES, ANY_DECIMALS)
    def test_is_the_exact_worth_rounded_up(self, units: int, price: Decimal, decimals: int):
        exact = Fraction(units, 10**decimals) * Fraction(price) * 100

        assert cost(units, price, decimals) == exact.__ceil__()


class TestBuyAmount:
    @settings(max_examples=300)
    @given(UNITS, FINE_PRICES, ANY_DECIMALS, BASIS_POINTS, BASIS_POINTS)
    @example(1, Decimal("0.000000000000000001"), 18, 4_000, 4_000)
    def test_has_parts_that_add_up_and_sells_exactly_the_amount(
        self, units: int, price: Decimal, decimals: int, spread: int, fee: int
    ):
        try:
            parts = buy_amount(units, price, asset(decimals), rates(spread, fee))
        except LimitExceeded:
            return

        paid_up(parts)
        assert units == parts.amount_units
        assert Fraction(parts.gross_centavos) >= worth(units, price, decimals)
        assert parts.spread_centavos >= Fraction(parts.gross_centavos * spread, BPS)
        assert parts.network_fee_centavos >= Fraction(parts.gross_centavos * fee, BPS)

    @given(UNITS, UNITS, FINE_PRICES, ANY_DECIMALS)
    def test_costs_no_less_for_more(self, one: int, other: int, price: Decimal, decimals: int):
        less, more = sorted((one, other))

        few = buy_amount(less, price, asset(decimals), rates(300, 25, low=0))
        many = buy_amount(more, price, asset(decimals), rates(300, 25, low=0))
        assert few.total_centavos <= many.total_centavos

    @pytest.mark.parametrize("units", [0, -1, -(10**30), 10**60])
    def test_refuses_what_is_outside_the_limits(self, units: int):
        with pytest.raises(LimitExceeded, match=r"between R\$ 10.00 and R\$ 100000.00") as refused:
            buy_amount(units, Decimal(15_000), asset(18), rates(300, 25, 1_000, 10_000_000))

        assert "amount" == refused.value.field


class TestBuyFor:
    @settings(max_examples=300)
    @given(REAIS, FINE_PRICES, ANY_DECIMALS, BASIS_POINTS, BASIS_POINTS)
    @example(10**12, Decimal("0.000000000000000001"), 18, 300, 25)
    @example(1, Decimal("0.000000000000000001"), 18, 0, 0)
    @example(10**12, Decimal("0.000129000000000000"), 18, 300, 25)
    @example(10**12, Decimal(3), 18, 0, 0)
    def test_costs_exactly_the_reais_named_and_buys_the_most(
        self, pay: int, price: Decimal, decimals: int, spread: int, fee: int
    ):
        try:
            parts = buy_for(pay, price, asset(decimals), rates(spread, fee))
        except LimitExceeded:
            one = cost(1, price, decimals)
            assert one + share(one, spread) + share(one, fee) > pay
            return

        more = cost(parts.amount_units + 1, price, decimals)
        paid_up(parts)
        assert pay == parts.total_centavos
        assert cost(parts.amount_units, price, decimals) == parts.gross_centavos
        assert parts.spread_centavos >= share(parts.gross_centavos, spread)
        assert parts.network_fee_centavos == share(parts.gross_centavos, fee)
        assert more + share(more, spread) + share(more, fee) > pay

    @given(REAIS, REAIS, FINE_PRICES, ANY_DECIMALS)
    def test_buys_no_less_for_more(self, one: int, other: int, price: Decimal, decimals: int):
        less, more = sorted((one, other))
        try:
            few = buy_for(less, price, asset(decimals), rates(300, 25))
        except LimitExceeded:
            return

        assert few.amount_units <= buy_for(more, price, asset(decimals), rates(300, 25)).amount_units

    @pytest.mark.parametrize("pay", [999, 10_000_001, 0, -5, 10**40])
    def test_refuses_what_is_outside_the_limits(self, pay: int):
        with pytest.raises(LimitExceeded) as refused:
            buy_for(pay, Decimal(15_000), asset(18), rates(300, 25, 1_000, 10_000_000))

        assert "pay_brl" == refused.value.field

    def test_refuses_what_buys_nothing(self):
        with pytest.raises(LimitExceeded, match="less than the smallest unit") as refused:
            buy_for(1_000, Decimal(1_000_000), asset(0), rates(300, 25))

        assert "pay_brl" == refused.value.field


class TestRoundTrip:
    """What is bought is sold again at once: the house never pays for it, whatever the fees, even none."""

    @settings(max_examples=300)
    @given(REAIS, MARKETS, DECIMALS, BASIS_POINTS, BASIS_POINTS)
    @example(10**12, Decimal("0.0001"), 18, 0, 0)
    def test_by_amount_brings_no_more_than_was_paid(
        self, pay: int, market: Decimal, decimals: int, spread: int, fee: int
    ):
        coin, free = asset(decimals), rates(spread, fee, low=-FREE)
        try:
            bought = buy_for(pay, price_of(market, coin, Side.BUY), coin, free)
        except LimitExceeded:
            return

        sold = sell_amount(bought.amount_units, price_of(market, coin, Side.SELL), coin, free)
        assert sold.total_centavos <= pay
        assert sold.gross_centavos <= worth(bought.amount_units, market, decimals) <= bought.gross_centavos

    @settings(max_examples=300)
    @given(REAIS, MARKETS, DECIMALS, BASIS_POINTS, BASIS_POINTS)
    def test_by_reais_takes_no_fewer_coins_than_they_buy(
        self, reais: int, market: Decimal, decimals: int, spread: int, fee: int
    ):
        coin = asset(decimals)
        try:
            bought = buy_for(reais, price_of(market, coin, Side.BUY), coin, rates(spread, fee))
        except LimitExceeded:
            return

        sold = sell_for(reais, price_of(market, coin, Side.SELL), coin, rates(spread, fee))
        assert bought.amount_units <= sold.amount_units


class TestPrice:
    @given(st.decimals("0.0001", "1e9", allow_nan=False, allow_infinity=False))
    def test_is_the_markets_rounded_down(self, market: Decimal):
        price = price_of(market, asset(18))

        assert 0 <= market - price < Decimal("0.0001")
        assert price == price.quantize(Decimal("0.0001"))

    @given(st.decimals("0.0001", "1e9", allow_nan=False, allow_infinity=False))
    def test_of_a_purchase_is_the_markets_rounded_up(self, market: Decimal):
        price = price_of(market, asset(18), Side.BUY)

        assert 0 <= price - market < Decimal("0.0001")
        assert price == price.quantize(Decimal("0.0001"))

    @pytest.mark.parametrize("side", list(Side))
    @pytest.mark.parametrize("market", ["0", "-1", "0.00009"])
    def test_of_nothing_is_none(self, market: str, side: Side):
        with pytest.raises(PriceUnavailable):
            price_of(Decimal(market), asset(18), side)
