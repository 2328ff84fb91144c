"""Quotes: each part shown, each bad input named."""

from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import text

from api.prices import CachedFeed
from liquida.prices import FixedFeed
from tests.api.door import OUTSIDE, TRADES, Door, Person, custody_funded, problem


class TestQuote:
    @pytest.mark.parametrize(
        "asked",
        [
            {"amount": "0.1"},
            {"amount": "0.123456789012345678"},
            {"amount": None, "receive_brl": "1234.56"},
            {"amount": None, "receive_brl": "10"},
            {"asset": "USDT", "amount": "77.777777"},
            {"asset": "USDT", "amount": None, "receive_brl": "99999.99"},
            {"asset": "POL", "network": "polygon", "amount": "22"},
        ],
        ids=str,
    )
    async def test_has_parts_that_make_the_total(self, door: Door, ana: Person, asked: dict):
        reply = await door.quote(ana, **asked)

        shown = reply.json()
        part = {name: Decimal(shown[name]) for name in ("gross", "spread", "network_fee", "total")}
        assert 201 == reply.status_code, shown
        assert part["total"] == part["gross"] - part["spread"] - part["network_fee"]
        assert all(value >= 0 and value == round(value, 2) for value in part.values())
        assert Decimal(asked.get("receive_brl") or part["total"]) == part["total"]
        assert asked.get("amount") is None or Decimal(asked["amount"]) == Decimal(shown["amount"])
        assert ("amount" if asked.get("amount", "0.1") else "receive") == shown["locked_side"]

    async def test_is_what_the_desk_has_always_charged(self, door: Door, ana: Person):
        """22 POL at 5.909: gross 129.99 at a price of two places down."""
        shown = (await door.quote(ana, asset="POL", network="polygon", amount="22")).json()

        assert ("5.90", "129.80", "3.90", "0.33", "125.57") == tuple(
            shown[name] for name in ("price", "gross", "spread", "network_fee", "total")
        )

    async def test_states_its_time_and_what_becomes_of_other_deposits(self, door: Door, ana: Person):
        shown = (await door.quote(ana)).json()

        valid = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["created_at"])
        assert 30 == valid.total_seconds()
        assert {
            "window_seconds": 900,
            "short": "top_up_until_the_window_ends_then_return",
            "over": "settle_the_quoted_amount_and_return_the_rest",
            "late": "return",
            "several": "add_up",
            "wrong_asset": "keep_safe_for_an_operator",
            "return_min": "5.00",
        } == shown["deposit_policy"]
        assert (OUTSIDE, "deposit") == (shown["refund_address"], shown["funding"])

    async def test_needs_no_refund_address_for_coins_on_the_platform(self, door: Door, ana: Person):
        shown = (await door.quote(ana, **custody_funded())).json()

        assert (None, None) == (shown["refund_address"], shown["deposit_policy"])

    async def test_takes_a_refund_address_in_any_case_and_shows_its_checksum(self, door: Door, ana: Person):
        shown = (await door.quote(ana, refund_address=OUTSIDE.lower())).json()

        assert OUTSIDE == shown["refund_address"]

    async def test_uses_one_price_for_as_long_as_it_is_cached(self, door: Door, ana: Person):
        market = FixedFeed({"ETH": Decimal("15000.00")})
        async with door.other(feed=CachedFeed(market, seconds=30)) as other:
            first = (await other.quote(ana)).json()
            market._prices["ETH"] = Decimal("16000.00")
            second = (await other.quote(ana)).json()

        assert first["price"] == second["price"]

    @pytest.mark.parametrize(
        ("asked", "kind", "field"),
        [
            ({"asset": "DOGE"}, "unknown-asset", "asset"),
            ({"asset": "POL"}, "unknown-asset", "asset"),
            ({"asset": "eth"}, "unknown-asset", "asset"),
            ({"network": "solana"}, "unknown-network", "network"),
            ({"network": "x" * 33}, "invalid-input", "network"),
            ({"operation": "lend"}, "invalid-input", "operation"),
            ({"delivery_address": OUTSIDE}, "invalid-input", "delivery_address"),
            ({"pay_brl": "100.00"}, "invalid-input", "pay_brl"),
            ({"funding": "pix"}, "invalid-input", "funding"),
            ({"funding": "gift"}, "invalid-input", "funding"),
            ({"amount": "0"}, "not-an-amount", "amount"),
            ({"amount": "0.000000000000000000"}, "not-an-amount", "amount"),
            ({"amount": "-1"}, "not-an-amount", "amount"),
            ({"amount": "1e3"}, "not-an-amount", "amount"),
            ({"amount": "1,5"}, "not-an-amount", "amount"),
            ({"amount": "NaN"}, "not-an-amount", "amount"),
            ({"amount": "Infinity"}, "not-an-amount", "amount"),
            ({"amount": "١"}, "not-an-amount", "amount"),
            ({"amount": " 1"}, "not-an-amount", "amount"),
            ({"amount": "1\x00"}, "not-an-amount", "amount"),
            ({"amount": ""}, "invalid-input", "amount"),
            ({"amount": 1}, "invalid-input", "amount"),
            ({"amount": 0.1}, "invalid-input", "amount"),
            ({"amount": True}, "invalid-input", "amount"),
            ({"amount": ["1"]}, "invalid-input", "amount"),
            ({"amount": "9" * 10_000}, "invalid-input", "amount"),
            ({"amount": "9" * 100}, "not-an-amount", "amount"),
            ({"amount": "1" + "0" * 50}, "limit-exceeded", "amount"),
            ({"amount": "0.0000001"}, "limit-exceeded", "amount"),
            ({"amount": "1000"}, "limit-exceeded", "amount"),
            ({"amount": "0.1000000000000000001"}, "too-precise", "amount"),
            ({"asset": "USDT", "amount": "10.1234567"}, "too-precise", "amount"),
            ({"amount": None}, "invalid-input", "amount"),
            ({"receive_brl": "100.00"}, "invalid-input", "amount"),
            ({"amount": None, "receive_brl": "0"}, "not-an-amount", "receive_brl"),
            ({"amount": None, "receive_brl": "-5.00"}, "not-an-amount", "receive_brl"),
            ({"amount": None, "receive_brl": "10.001"}, "too-precise", "receive_brl"),
            ({"amount": None, "receive_brl": "9.99"}, "limit-exceeded", "receive_brl"),
            ({"amount": None, "receive_brl": "100000.01"}, "limit-exceeded", "receive_brl"),
            ({"refund_address": None}, "invalid-input", "refund_address"),
            ({"refund_address": OUTSIDE[:-1] + "D"}, "invalid-address", "refund_address"),
            ({"refund_address": OUTSIDE[:-1]}, "invalid-address", "refund_address"),
            ({"refund_address": "0x" + "0" * 40}, "invalid-address", "refund_address"),
            ({"refund_address": "0x" + f"{7:040x}"}, "invalid-address", "refund_address"),
            ({"refund_address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"}, "invalid-address", "refund_address"),
            ({"funding": "custody"}, "invalid-input", "refund_address"),
            ({"slippage": "1"}, "invalid-input", "slippage"),
        ],
        ids=lambda value: str(value)[:60],
    )
    async def test_names_the_field_at_fault(self, door: Door, ana: Person, asked: dict, kind: str, field: str):
        reply = await door.quote(ana, **asked)

        assert 422 == reply.status_code
        problem(reply, kind, field=field)

    async def test_takes_no_number_of_ten_thousand_digits(self, door: Door, ana: Person):
        headers = {
            "authorization": f"Bearer {ana.key}",
            "idempotency-key": "digits",
            "content-type": "application/json",
        }

        reply = await door.http.post(
            f"{TRADES}/quote", content=b'{"amount": ' + b"9" * 10_000 + b"}", headers=headers
        )

        assert 422 == reply.status_code
        problem(reply, "invalid-input")

    async def test_says_when_there_is_no_price(self, door: Door, ana: Person):
        async with door.other(feed=CachedFeed(FixedFeed({}), seconds=30)) as other:
            reply = await other.quote(ana)

        problem(reply, "price-unavailable")
        assert "1" == reply.headers["retry-after"]

    async def test_leaves_nothing_behind_when_refused(self, door: Door, ana: Person):
        await door.quote(ana, amount="0")

        async with door.engine.connect() as conn:
            counted = text(
                "SELECT (SELECT count(*) FROM quotes WHERE user_id = :id), "
                "(SELECT count(*) FROM idempotency_keys WHERE user_id = :id AND status IS NULL)"
            )
            rows = (await conn.execute(counted, {"id": ana.id})).one()
        assert (0, 0) == tuple(rows)


class TestAssets:
    async def test_are_listed_with_what_one_must_know(self, door: Door, ana: Person):
        shown = (await door.get(ana, f"{TRADES}/assets")).json()

        usdt = next(asset for asset in shown if asset["asset"] == "USDT")
        assert {"ETH", "USDT", "POL"} == {asset["asset"] for asset in shown}
        assert (6, "ethereum", 3) == (usdt["decimals"], usdt["network"]["id"], usdt["network"]["confirmations"])


class TestFees:
    async def test_are_stated_with_the_limits(self, door: Door, ana: Person):
        shown = (await door.get(ana, f"{TRADES}/fees")).json()

        assert (300, 25, "10.00", "100000.00", ["pix"]) == (
            shown["spread_bps"],
            shown["network_fee_bps"],
            shown["trade_min"],
            shown["trade_max"],
            shown["payout_methods"],
        )
