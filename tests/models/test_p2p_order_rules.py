"""What orders cost, what takers get, who may take: tables, and Hypothesis where a law holds for all numbers."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.assets import Asset
from models.errors import InvalidInput, LimitExceeded, PriceUnavailable, Refused, TakeRefused
from models.p2p_order.rules import (
    check_terms,
    cooldown_until,
    is_open,
    price_now,
    quote_take,
    refuse_taker,
    require_taker,
)
from models.p2p_order.states import OrderStatus
from models.p2p_order.types import P2POrder, P2PRules, PriceKind, Settlement, Taker, TakeRefusal, Tier
from models.quote.types import Side
from tests.models.p2p_rows import TERMS, an_order

ETH = Asset("ETH.ethereum", "ETH", 18, "ethereum")
SHIB = Asset("SHIB.ethereum", "SHIB", 18, "ethereum", price_decimals=8)
RULES = P2PRules()
NOW = datetime(2026, 1, 5, 15, tzinfo=UTC)
"""Noon in São Paulo."""
FLOATING: dict[str, Any] = {"price_kind": PriceKind.FLOATING, "price": None}
BOB = Taker("bob", True, 10, 9_500, 0, None, 2)

prices = st.decimals(min_value="0.01", max_value="1000000", places=2)
margins = st.integers(-5_000, 5_000)


class TestPriceNow:
    def test_of_a_fixed_order_asks_no_market(self) -> None:
        assert Decimal("15000.00") == price_now(an_order(), None, ETH)

    @pytest.mark.parametrize(
        ("side", "margin_bps", "market", "expected"),
        [
            (Side.SELL, 0, "100.00", "100.00"),
            (Side.SELL, 150, "100.01", "101.52"),
            (Side.BUY, 150, "100.01", "101.51"),
            (Side.SELL, -150, "100.01", "98.51"),
            (Side.BUY, -5_000, "0.03", "0.01"),
        ],
    )
    def test_of_a_floating_one_is_rounded_for_its_maker(
        self, side: Side, margin_bps: int, market: str, expected: str
    ) -> None:
        order = an_order(side=side, margin_bps=margin_bps, **FLOATING)

        assert Decimal(expected) == price_now(order, Decimal(market), ETH)

    @given(market=prices, margin=margins, ends=st.tuples(prices, prices), side=st.sampled_from(Side))
    def test_stays_between_floor_and_ceiling(
        self, market: Decimal, margin: int, ends: tuple[Decimal, Decimal], side: Side
    ) -> None:
        floor, ceiling = sorted(ends)
        order = an_order(side=side, margin_bps=margin, price_floor=floor, price_ceiling=ceiling, **FLOATING)

        price = price_now(order, market, ETH)

        assert floor <= price <= ceiling
        assert 2 == -price.as_tuple().exponent  # type: ignore[operator]

    @given(market=prices, margin=margins, side=st.sampled_from(Side))
    def test_is_within_a_tick_of_the_markets(self, market: Decimal, margin: int, side: Side) -> None:
        order = an_order(side=side, margin_bps=margin, **FLOATING)
        exact = Fraction(market) * (10_000 + margin) / 10_000
        assume(exact >= Fraction(1, 100))

        tail = Fraction(price_now(order, market, ETH)) - exact

        assert 0 <= (tail if side is Side.SELL else -tail) < Fraction(1, 100)

    @pytest.mark.parametrize("market", [None, Decimal("0.001")])
    def test_of_a_floating_one_is_unknown_without_a_market(self, market: Decimal | None) -> None:
        with pytest.raises(PriceUnavailable):
            price_now(an_order(side=Side.BUY, margin_bps=0, **FLOATING), market, ETH)


def wide(**changes: Any) -> P2POrder:
    return an_order(min_centavos=1, max_centavos=10**15, available_units=10**40, total_units=10**40, **changes)


class TestQuoteTake:
    @pytest.mark.parametrize(
        ("side", "named", "expected"),
        [
            (Side.SELL, {"units": 10**16}, (10**16, 15_000)),
            (Side.SELL, {"units": 10**16 + 1}, (10**16 + 1, 15_001)),
            (Side.BUY, {"units": 10**16 + 1}, (10**16 + 1, 15_000)),
            (Side.SELL, {"centavos": 10_000}, (6_666_666_666_666_666, 10_000)),
            (Side.BUY, {"centavos": 10_000}, (6_666_666_666_666_667, 10_000)),
        ],
    )
    def test_rounds_what_the_taker_did_not_name(
        self, side: Side, named: dict[str, int], expected: tuple[int, int]
    ) -> None:
        order = an_order(side=side)

        assert expected == quote_take(order, Decimal("15000.00"), ETH, **named)

    @given(units=st.integers(10**18, 10**24), price=prices, side=st.sampled_from(Side))
    def test_of_named_coins_is_within_a_centavo_for_the_maker(self, units: int, price: Decimal, side: Side) -> None:
        exact = Fraction(units) * Fraction(price) * 100 / 10**18

        same, centavos = quote_take(wide(side=side), price, ETH, units=units)

        assert same == units
        assert 0 <= (centavos - exact if side is Side.SELL else exact - centavos) < 1

    @given(centavos=st.integers(1, 10**12), price=prices, side=st.sampled_from(Side))
    def test_of_named_reais_is_within_a_unit_for_the_maker(self, centavos: int, price: Decimal, side: Side) -> None:
        exact = Fraction(centavos) * 10**18 / (100 * Fraction(price))

        units, same = quote_take(wide(side=side), price, ETH, centavos=centavos)

        assert same == centavos
        assert 0 <= (exact - units if side is Side.SELL else units - exact) < 1

    @given(
        units=st.one_of(st.none(), st.integers(1, 2 * 10**18)),
        centavos=st.integers(1, 10**6),
        side=st.sampled_from(Side),
    )
    def test_is_within_the_limits_or_refused(self, units: int | None, centavos: int, side: Side) -> None:
        order = an_order(side=side)
        named = {"centavos": centavos} if units is None else {"units": units}

        got, paid, field = 1, 5_000, None
        try:
            got, paid = quote_take(order, Decimal("15000.00"), ETH, **named)
        except LimitExceeded as refusal:
            field = refusal.field

        assert field in {None, "pay_brl" if units is None else "amount"}
        assert 0 < got
        assert order.min_centavos <= paid <= order.max_centavos

    def test_of_reais_that_buy_no_unit_is_refused(self) -> None:
        whole = Asset("X.ethereum", "X", 0, "ethereum")

        with pytest.raises(LimitExceeded) as refused:
            quote_take(wide(), Decimal("15000.00"), whole, centavos=10)

        assert "pay_brl" == refused.value.field


class TestHours:
    @pytest.mark.parametrize(
        ("opens", "closes", "local", "expected"),
        [
            ("09:00", "18:00", "08:59", False),
            ("09:00", "18:00", "09:00", True),
            ("09:00", "18:00", "17:59", True),
            ("09:00", "18:00", "18:00", False),
            ("22:00", "02:00", "21:59", False),
            ("22:00", "02:00", "22:00", True),
            ("22:00", "02:00", "00:00", True),
            ("22:00", "02:00", "01:59", True),
            ("22:00", "02:00", "02:00", False),
            ("22:00", "00:00", "23:59", True),
            ("22:00", "00:00", "00:00", False),
            ("00:00", "06:00", "00:00", True),
        ],
    )
    def test_are_sao_paulos_and_may_wrap_midnight(self, opens: str, closes: str, local: str, expected: bool) -> None:
        order = an_order(opens_at=time.fromisoformat(opens), closes_at=time.fromisoformat(closes))
        at = datetime.combine(NOW.date(), time.fromisoformat(local), UTC) + timedelta(hours=3)

        assert expected is is_open(order, at)

    def test_left_out_are_all(self) -> None:
        assert is_open(an_order(), NOW)


class TestTaker:
    @pytest.mark.parametrize(
        ("order", "taker", "expected"),
        [
            ({}, {}, None),
            ({}, {"user_id": "maker"}, TakeRefusal.OWN_ORDER),
            ({"status": OrderStatus.CLOSED}, {}, TakeRefusal.CLOSED),
            ({"status": OrderStatus.PAUSED}, {}, TakeRefusal.PAUSED),
            ({"opens_at": time(13), "closes_at": time(14)}, {}, TakeRefusal.CLOSED_HOURS),
            ({"require_verified": True}, {"is_verified": False}, TakeRefusal.NOT_VERIFIED),
            ({"require_verified": True}, {}, None),
            ({"min_trades": 10}, {}, None),
            ({"min_trades": 11}, {}, TakeRefusal.TOO_FEW_TRADES),
            ({"min_completion_bps": 9_500}, {}, None),
            ({"min_completion_bps": 9_501}, {}, TakeRefusal.COMPLETION_TOO_LOW),
            ({"min_completion_bps": 1}, {"completion_bps": None}, TakeRefusal.COMPLETION_TOO_LOW),
            ({}, {"completion_bps": None, "trades": 0}, None),
            ({}, {"cooldown_until": NOW + timedelta(seconds=1)}, TakeRefusal.COOLING_DOWN),
            ({}, {"cooldown_until": NOW}, None),
            ({}, {"unpaid_live": 1}, None),
            ({}, {"unpaid_live": 2}, TakeRefusal.TOO_MANY_UNPAID),
            ({"side": Side.BUY}, {"unpaid_live": 2, "cooldown_until": NOW + timedelta(1)}, None),
        ],
    )
    def test_is_refused_for_one_reason(
        self, order: dict[str, Any], taker: dict[str, Any], expected: TakeRefusal | None
    ) -> None:
        assert expected == refuse_taker(an_order(**order), replace(BOB, **taker), NOW, blocked=False)

    def test_who_is_blocked_is_refused(self) -> None:
        assert TakeRefusal.BLOCKED == refuse_taker(an_order(), BOB, NOW, blocked=True)

    @pytest.mark.parametrize(
        ("order", "taker", "blocked", "said"),
        [
            ({"opens_at": time(22), "closes_at": time(2)}, {}, False, "from 22:00 to 02:00"),
            ({"min_trades": 11}, {}, False, "11 completed trades; you have 10"),
            ({}, {"cooldown_until": NOW + timedelta(hours=1)}, False, "2026-01-05T16:00:00+00:00"),
            ({}, {"unpaid_live": 2}, False, "at most 2"),
            ({}, {}, True, "do not trade with each other"),
            ({"status": OrderStatus.CLOSED}, {}, False, "closed"),
        ],
    )
    def test_is_told_why(self, order: dict[str, Any], taker: dict[str, Any], blocked: bool, said: str) -> None:
        with pytest.raises(TakeRefused, match=said.replace("+", r"\+")) as refused:
            require_taker(an_order(**order), replace(BOB, **taker), NOW, blocked=blocked)

        assert refused.value.reason in set(TakeRefusal)


class TestCooldown:
    @pytest.mark.parametrize(
        ("hours_ago", "expected"),
        [
            ([], None),
            ([2, 1], None),
            ([3, 2, 1], -1 + 24),
            ([40, 26, 2, 1], None),
            ([27, 26, 25, 1], -25 + 24),
            ([25.5, 2, 1], None),
            ([25, 2, 1], -1 + 24),
        ],
    )
    def test_begins_with_the_third_within_a_day(self, hours_ago: list[float], expected: float | None) -> None:
        ends = [NOW - timedelta(hours=hours) for hours in hours_ago]

        until = cooldown_until(ends, RULES)

        assert (None if expected is None else NOW + timedelta(hours=expected)) == until


class TestTerms:
    @pytest.mark.parametrize(
        ("side", "change", "field"),
        [
            (Side.SELL, {"price": None}, "price"),
            (Side.SELL, {"margin_bps": 1}, "margin_bps"),
            (Side.SELL, {"price_floor": Decimal(1)}, "price_floor"),
            (Side.SELL, {"price_ceiling": Decimal(1)}, "price_ceiling"),
            (Side.SELL, {"price_kind": PriceKind.FLOATING, "margin_bps": 1}, "price"),
            (Side.SELL, FLOATING, "margin_bps"),
            (
                Side.SELL,
                FLOATING | {"margin_bps": 1, "price_floor": Decimal(2), "price_ceiling": Decimal(1)},
                "price_ceiling",
            ),
            (Side.SELL, {"min_centavos": 999}, "min_total"),
            (Side.SELL, {"max_centavos": 10_000_001}, "max_total"),
            (Side.SELL, {"max_centavos": 4_999}, "max_total"),
            (Side.SELL, {"window_seconds": 899}, "window_seconds"),
            (Side.SELL, {"window_seconds": 86_401}, "window_seconds"),
            (Side.SELL, {"total_units": 10**15}, "amount"),
            (Side.SELL, {"settlements": ()}, "settlements"),
            (Side.SELL, {"settlements": (Settlement.DIRECT,)}, "method_ids"),
            (Side.BUY, {"settlements": (Settlement.DIRECT,)}, "method_kinds"),
            (Side.SELL, {"method_ids": ("m",)}, "method_ids"),
            (Side.BUY, {"settlements": (Settlement.DIRECT,), "method_ids": ("m",)}, "method_ids"),
            (Side.SELL, {"settlements": (Settlement.DIRECT,), "method_kinds": ("pix",)}, "method_kinds"),
            (Side.SELL, {"opens_at": time(9)}, "closes_at"),
            (Side.SELL, {"closes_at": time(9)}, "opens_at"),
            (Side.SELL, {"opens_at": time(9), "closes_at": time(9)}, "closes_at"),
        ],
    )
    def test_that_do_not_fit_are_refused_by_field(self, side: Side, change: dict[str, Any], field: str) -> None:
        with pytest.raises((InvalidInput, LimitExceeded)) as refused:
            check_terms(replace(TERMS, **change), side, ETH, RULES)

        error: Refused = refused.value
        assert field == error.field

    @pytest.mark.parametrize("side", Side)
    def test_that_fit_are_taken(self, side: Side) -> None:
        direct = {"settlements": (Settlement.BALANCE, Settlement.DIRECT)}
        own = {"method_ids": ("m",)} if side is Side.SELL else {"method_kinds": ("pix",)}

        check_terms(replace(TERMS, **direct, **own), side, ETH, RULES)
        check_terms(replace(TERMS, price=Decimal("0.00000001"), total_units=10**30), side, SHIB, RULES)


class TestCommission:
    @pytest.mark.parametrize(("volume", "expected"), [(0, 200), (99, 200), (100, 150), (999, 150), (1_000, 100)])
    def test_is_that_of_the_last_tier_reached(self, volume: int, expected: int) -> None:
        rules = P2PRules(commission_tiers=(Tier(1_000, 100), Tier(100, 150)))

        assert expected == rules.commission_bps_at(volume)
