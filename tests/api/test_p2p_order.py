"""Offers through the door: what is refused by field, who sees what, and pages that stay right."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from models.p2p_order.types import P2PRules, Tier
from models.p2p_trade.states import P2PTradeStatus
from models.reconciliation.types import BANK_TIME
from tests.api.door import Door, Person, now, problem
from tests.api.p2p import FLOATING, ORDERS, P2P, TERMS, Market, delete, open_market, pix
from tests.models.p2p_rows import trade_row


@pytest.fixture
async def market(door: Door) -> AsyncIterator[Market]:
    async with open_market(door) as market:
        yield market


class TestOrder:
    async def test_is_shown_whole_to_its_maker_and_less_to_others(self, market: Market, ana: Person, bob: Person):
        kept = await pix(market.door, ana)
        made = await market.order(
            ana,
            settlements=["direct", "balance", "direct"],
            method_ids=[kept["id"]],
            terms="  only by day\n",
            auto_reply="hello",
            opens_at="00:00",
            closes_at="23:59",
            min_trades=1,
        )

        own = await market.door.get(ana, f"{ORDERS}/{made['id']}")
        others = await market.door.get(bob, f"{ORDERS}/{made['id']}")

        private = {"amount": "1.000000000000000000", "method_ids": [kept["id"]], "auto_reply": "hello"}
        assert private == {name: made[name] for name in private}
        assert made == own.json()
        assert dict.fromkeys(private) == {name: others.json()[name] for name in private}
        assert (["direct", "balance"], ["pix"], "only by day") == (
            made["settlements"],
            made["method_kinds"],
            made["terms"],
        )
        assert ("15000.00", "00:00", 1800, 1, "own_order") == tuple(
            made[name] for name in ("price", "opens_at", "window_seconds", "version", "refusal")
        )
        assert ana.email not in others.text

    async def test_keeps_what_its_maker_says_in_chats_sealed(self, market: Market, ana: Person):
        words = f"hello-{secrets.token_hex(8)}"
        made = await market.order(ana, auto_reply=words)
        path = f"{ORDERS}/{made['id']}"

        paused = await market.door.post(ana, f"{path}/pause", key="pause-it-once")
        again = await market.door.post(ana, f"{path}/pause", key="pause-it-once")
        resumed = await market.door.post(ana, f"{path}/resume")
        read = await market.door.get(ana, path)

        assert {words} == {one.json()["auto_reply"] for one in (paused, again, resumed, read)}
        for table in ("p2p_orders", "idempotency_keys", "events"):
            async with market.door.engine.connect() as conn:
                found = text(f"SELECT count(*) FROM {table} AS t WHERE strpos(t::text, :words) > 0")
                assert 0 == (await conn.execute(found, {"words": words})).scalar_one(), table

    @pytest.mark.parametrize(
        ("change", "kind", "field"),
        [
            ({"side": "lend"}, "invalid-input", "side"),
            ({"asset": "DOGE"}, "unknown-asset", "asset"),
            ({"network": "tron"}, "unknown-network", "network"),
            ({"amount": "0"}, "not-an-amount", "amount"),
            ({"amount": "-1"}, "not-an-amount", "amount"),
            ({"amount": "1e3"}, "not-an-amount", "amount"),
            ({"amount": 1}, "invalid-input", "amount"),
            ({"amount": "0.0000000000000000001"}, "too-precise", "amount"),
            ({"amount": "0.001"}, "limit-exceeded", "amount"),
            ({"price_kind": "best"}, "invalid-input", "price_kind"),
            ({"price": None}, "invalid-input", "price"),
            ({"price": "0"}, "not-an-amount", "price"),
            ({"price": "15000.001"}, "too-precise", "price"),
            ({"price": "1" + "0" * 15}, "not-an-amount", "price"),
            ({"margin_bps": 1}, "invalid-input", "margin_bps"),
            ({**FLOATING, "margin_bps": None}, "invalid-input", "margin_bps"),
            ({**FLOATING, "margin_bps": 5_001}, "invalid-input", "margin_bps"),
            ({**FLOATING, "margin_bps": True}, "invalid-input", "margin_bps"),
            ({**FLOATING, "price": "1.00"}, "invalid-input", "price"),
            ({**FLOATING, "price_floor": "0.001"}, "too-precise", "price_floor"),
            ({**FLOATING, "price_floor": "2.00", "price_ceiling": "1.00"}, "invalid-input", "price_ceiling"),
            ({"min_total": "9.99"}, "limit-exceeded", "min_total"),
            ({"min_total": "50.001"}, "too-precise", "min_total"),
            ({"max_total": "100000.01"}, "limit-exceeded", "max_total"),
            ({"max_total": "49.99"}, "invalid-input", "max_total"),
            ({"settlements": []}, "invalid-input", "settlements"),
            ({"settlements": ["cash"]}, "invalid-input", "settlements"),
            ({"settlements": ["direct"]}, "invalid-input", "method_ids"),
            ({"settlements": ["direct"], "method_ids": ["1"]}, "invalid-input", "method_ids"),
            ({"settlements": ["direct"], "method_ids": ["0" * 32]}, "not-found", "method_ids"),
            ({"method_kinds": ["pix"]}, "invalid-input", "method_kinds"),
            ({"side": "buy", "settlements": ["direct"]}, "invalid-input", "method_kinds"),
            ({"window_seconds": 899}, "limit-exceeded", "window_seconds"),
            ({"window_seconds": "1800"}, "invalid-input", "window_seconds"),
            ({"terms": "a" * 2_001}, "invalid-input", "terms"),
            ({"terms": "a\x00"}, "invalid-input", "terms"),
            ({"auto_reply": "a" * 1_001}, "invalid-input", "auto_reply"),
            ({"opens_at": "24:00", "closes_at": "09:00"}, "invalid-input", "opens_at"),
            ({"opens_at": "09:00"}, "invalid-input", "closes_at"),
            ({"opens_at": "09:00", "closes_at": "09:00"}, "invalid-input", "closes_at"),
            ({"require_verified": "yes"}, "invalid-input", "require_verified"),
            ({"min_trades": -1}, "invalid-input", "min_trades"),
            ({"min_completion_bps": 10_001}, "invalid-input", "min_completion_bps"),
            ({"colour": "red"}, "invalid-input", "colour"),
        ],
        ids=lambda value: str(value)[:40].replace("\x00", "NUL"),
    )
    async def test_names_the_field_at_fault(
        self, market: Market, ana: Person, change: dict[str, Any], kind: str, field: str
    ):
        reply = await market.offer(ana, **change)

        problem(reply, kind, field=field)
        assert reply.status_code == (404 if kind == "not-found" else 422)

    async def test_is_made_once_for_one_key(self, market: Market, ana: Person):
        body = {"side": "sell", **market.named, **TERMS}
        key = secrets.token_hex(8)

        replies = await asyncio.gather(*(market.door.post(ana, ORDERS, body, key=key) for _ in range(4)))

        assert {201} == {reply.status_code for reply in replies}
        assert 1 == len({reply.json()["id"] for reply in replies}) == len(await market.ids(ana))

    async def test_names_no_payment_method_of_another(self, market: Market, ana: Person, bob: Person):
        kept = await pix(market.door, bob)

        reply = await market.offer(ana, settlements=["direct"], method_ids=[kept["id"]])

        problem(reply, "not-found", field="method_ids")

    async def test_of_one_who_became_another_cannot_be_resumed(self, market: Market, door: Door, ana: Person):
        """The document was replaced: the account kept under the old one may be somebody else's."""
        kept = await pix(door, ana)
        made = await market.order(ana, settlements=["direct"], method_ids=[kept["id"]])
        path = f"{ORDERS}/{made['id']}"
        await door.post(ana, f"{path}/pause")
        await door.verify(ana, replace=True)

        resumed = await market.door.post(ana, f"{path}/resume")

        problem(resumed, "not-found", field="method_ids")

    async def test_of_others_is_not_theirs_to_change(self, market: Market, ana: Person, bob: Person):
        made = await market.order(ana)
        path = f"{ORDERS}/{made['id']}"
        nobody = f"{ORDERS}/{secrets.token_hex(16)}"

        replies = [
            reply
            for place in (path, nobody)
            for reply in (
                await market.door.put(bob, place, {**TERMS, "version": 1}),
                await delete(market.door, bob, place),
                await market.door.post(bob, f"{place}/pause"),
                await market.door.post(bob, f"{place}/resume"),
            )
        ]

        assert {404} == {reply.status_code for reply in replies}
        assert made == (await market.door.get(ana, path)).json()

    async def test_is_changed_under_a_new_version(self, market: Market, ana: Person):
        made = await market.order(ana)
        path = f"{ORDERS}/{made['id']}"
        body = {**TERMS, "price": "16000.00", "amount": "2"}

        changed = await market.door.put(ana, path, {**body, "version": 1})
        stale = await market.door.put(ana, path, {**body, "version": 1})
        unversioned = await market.door.put(ana, path, body)

        assert (200, 2, "16000.00", "2.000000000000000000") == (
            changed.status_code,
            *(changed.json()[name] for name in ("version", "price", "available")),
        )
        problem(stale, "stale-version", field="version")
        assert 409 == stale.status_code
        problem(unversioned, "invalid-input", field="version")

    async def test_may_not_be_less_than_its_trades_have(self, market: Market, ana: Person):
        made = await market.order(ana)
        await taken(market, made["id"], 4 * 10**17)
        path = f"{ORDERS}/{made['id']}"

        less = await market.door.put(ana, path, {**TERMS, "amount": "0.3", "version": 1})
        same = await market.door.put(ana, path, {**TERMS, "amount": "0.4", "version": 1})

        problem(less, "limit-exceeded", field="amount")
        assert "0.000000000000000000" == same.json()["available"]

    async def test_is_paused_resumed_and_closed(self, market: Market, ana: Person, bob: Person):
        made = await market.order(ana)
        path = f"{ORDERS}/{made['id']}"

        paused = await market.door.post(ana, f"{path}/pause")
        unseen = [await market.door.get(bob, path), await market.ids(bob)]
        resumed = await market.door.post(ana, f"{path}/resume")
        seen = await market.ids(bob)
        closed = [await delete(market.door, ana, path) for _ in range(2)]
        late = [
            await market.door.post(ana, f"{path}/resume"),
            await market.door.put(ana, path, {**TERMS, "version": 1}),
        ]

        assert ["paused", "active"] == [reply.json()["status"] for reply in (paused, resumed)]
        assert (404, []) == (unseen[0].status_code, unseen[1])
        assert [made["id"]] == seen
        assert [204, 204] == [reply.status_code for reply in closed]
        for reply in late:
            problem(reply, "illegal-transition")
        assert ([], 404) == (await market.ids(bob), (await market.door.get(bob, path)).status_code)

    async def test_says_nothing_of_anybody_in_the_logs(self, market: Market, ana: Person):
        kept = await pix(market.door, ana)
        with capture_logs() as logs:
            await market.order(
                ana, settlements=["direct"], method_ids=[kept["id"]], terms="call Ana", auto_reply="hi Bea"
            )
            await market.offer(ana, terms="call Ana\x00")

        assert not any(words in str(logs) for words in ("Ana", "Bea", ana.email, ana.tax_id))


async def taken(market: Market, order_id: str, units: int) -> None:
    """As trades leave it."""
    async with market.door.engine.begin() as conn:
        less = "UPDATE p2p_orders SET available_units = available_units - :units WHERE id = :id"
        await conn.execute(text(less), {"units": units, "id": order_id})


class TestOwnOrders:
    async def test_are_listed_newest_first_in_pages(self, market: Market, ana: Person, bob: Person):
        made = [(await market.order(ana))["id"] for _ in range(3)]
        await delete(market.door, ana, f"{ORDERS}/{made[1]}")
        await market.order(bob)

        first = (await market.door.get(ana, f"{P2P}/my-orders", params={"limit": 2})).json()
        rest = await market.door.get(ana, f"{P2P}/my-orders", params={"limit": 2, "cursor": first["next_cursor"]})
        closed = (await market.door.get(ana, f"{P2P}/my-orders", params={"status": "closed"})).json()

        found = [order["id"] for order in first["orders"] + rest.json()["orders"]]
        assert (list(reversed(made)), None) == (found, rest.json()["next_cursor"])
        assert [made[1]] == [order["id"] for order in closed["orders"]]


class TestList:
    async def test_has_the_best_price_first_for_the_caller(self, market: Market, ana: Person, bob: Person):
        sells = {price: (await market.order(ana, price=price))["id"] for price in ("15100.00", "14900.00")}
        floating = (await market.order(ana, **FLOATING))["id"]
        buys = {price: (await market.order(ana, side="buy", price=price))["id"] for price in ("14000.00", "14500.00")}

        selling = await market.page(bob)
        buying = await market.ids(bob, side="buy")

        assert [sells["14900.00"], floating, sells["15100.00"]] == [order["id"] for order in selling["orders"]]
        assert ["14900.00", "15000.00", "15100.00"] == [order["price"] for order in selling["orders"]]
        assert [buys["14500.00"], buys["14000.00"]] == buying

    async def test_keeps_its_pages_when_the_market_moves(self, market: Market, ana: Person, bob: Person):
        """At the new price the floating ones would stand elsewhere, and one would be listed twice."""
        fixed = [(await market.order(ana, price=price))["id"] for price in ("14000.00", "15000.00", "16000.00")]
        floating = [(await market.order(ana, **FLOATING | {"margin_bps": bps}))["id"] for bps in (-500, 500)]

        first = await market.page(bob, limit=2)
        async with market.at("20000.00") as later:
            second = await later.page(bob, limit=2, cursor=first["next_cursor"])
            third = await later.page(bob, limit=2, cursor=second["next_cursor"])

        pages = [[order["id"] for order in page["orders"]] for page in (first, second, third)]
        assert [[fixed[0], floating[0]], [fixed[1], floating[1]], [fixed[2]]] == pages
        assert ("21000.00", None) == (second["orders"][1]["price"], third["next_cursor"])

    async def test_leaves_out_floating_prices_without_a_market(self, market: Market, ana: Person, bob: Person):
        fixed, floating = await market.order(ana), await market.order(ana, **FLOATING)

        async with market.at(None) as dark:
            found = await dark.ids(bob)
            own = (await dark.door.get(ana, f"{P2P}/my-orders")).json()["orders"]

        assert [fixed["id"]] == found
        assert {fixed["id"]: "15000.00", floating["id"]: None} == {order["id"]: order["price"] for order in own}

    async def test_filters(self, market: Market, ana: Person, bob: Person):
        kept = await pix(market.door, ana)
        eve = await market.door.person()
        plain = (await market.order(ana))["id"]
        direct = (await market.order(ana, settlements=["direct"], method_ids=[kept["id"]]))["id"]
        large = (await market.order(eve, min_total="1000.00"))["id"]

        assert {plain, direct, large} == set(await market.ids(bob))
        assert {direct} == set(await market.ids(bob, settlement="direct"))
        assert {direct} == set(await market.ids(bob, method="pix"))
        assert set() == set(await market.ids(bob, method="ted"))
        assert {plain, direct} == set(await market.ids(bob, total="999.99"))
        assert {plain, direct} == set(await market.ids(bob, verified_only="true"))
        assert set() == set(await market.ids(bob, total="5000.01"))

    async def test_of_every_asset_is_newest_first(self, market: Market, ana: Person, bob: Person):
        made = [(await market.order(ana))["id"] for _ in range(2)]

        found = (await market.door.get(bob, ORDERS, params={"asset": market.asset.symbol})).json()
        every = await market.door.get(bob, ORDERS)

        assert list(reversed(made)) == [order["id"] for order in found["orders"]]
        assert list(reversed(made)) == [order["id"] for order in every.json()["orders"]][:2]

    @pytest.mark.parametrize(
        ("query", "kind", "field"),
        [
            ({"asset": "DOGE"}, "unknown-asset", "asset"),
            ({"network": "tron"}, "unknown-network", "network"),
            ({"asset": "ETH", "network": "polygon"}, "unknown-asset", "asset"),
            ({"side": "lend"}, "invalid-input", "side"),
            ({"total": "0"}, "not-an-amount", "total"),
            ({"total": "1.001"}, "too-precise", "total"),
            ({"settlement": "cash"}, "invalid-input", "settlement"),
            ({"method": "boleto"}, "invalid-input", "method"),
            ({"verified_only": "perhaps"}, "invalid-input", "verified_only"),
            ({"sort": "price"}, "invalid-input", "sort"),
            ({"sort": "price", "asset": "ETH", "side": "sell"}, "invalid-input", "sort"),
            ({"sort": "colour"}, "invalid-input", "sort"),
            ({"limit": "101"}, "invalid-input", "limit"),
            ({"cursor": "x"}, "invalid-input", "cursor"),
            ({"cursor": "price/1//" + "0" * 32}, "invalid-input", "cursor"),
            ({"cursor": "newest/1//" + "0" * 32}, "invalid-input", "cursor"),
            ({"cursor": "newest/2026-13-01T00:00:00+00:00//" + "0" * 32}, "invalid-input", "cursor"),
            ({"cursor": "reputation/x//" + "0" * 32, "sort": "reputation"}, "invalid-input", "cursor"),
        ],
        ids=str,
    )
    async def test_names_the_field_at_fault(
        self, door: Door, ana: Person, query: dict[str, str], kind: str, field: str
    ):
        if "/" in query.get("cursor", ""):
            query = query | {"cursor": base64.urlsafe_b64encode(query["cursor"].encode()).decode()}

        reply = await door.get(ana, ORDERS, params=query)

        problem(reply, kind, field=field)
        assert 422 == reply.status_code

    async def test_of_a_cursor_out_of_this_world_is_empty_or_refused_but_never_an_error(
        self, market: Market, ana: Person
    ):
        for key, price in (("-" + "9" * 40, ""), ("9" * 40, "9" * 40), ("0", "-1"), ("0.5", "0")):
            words = f"price/{key}/{price}/{'f' * 32}"
            cursor = base64.urlsafe_b64encode(words.encode()).decode()

            page = await market.page(ana, cursor=cursor)

            assert [] == page["orders"]

    async def test_sorts_by_reputation(self, market: Market, ana: Person, bob: Person):
        eve = await market.door.person()
        made = {who.id: (await market.order(who))["id"] for who in (ana, bob, eve)}
        async with market.door.engine.begin() as conn:
            await trade_row(conn, seller=eve.id, buyer=bob.id)
            await trade_row(conn, seller=eve.id, buyer=bob.id, status=P2PTradeStatus.EXPIRED)

        page = await market.page(ana, sort="reputation")

        assert [made[eve.id], made[bob.id], made[ana.id]] == [order["id"] for order in page["orders"]]
        assert [(1, 10_000), (1, 5_000), (0, None)] == [
            (order["maker"]["trades"], order["maker"]["completion_bps"]) for order in page["orders"]
        ]

    async def test_shows_no_order_outside_its_hours(self, market: Market, ana: Person, bob: Person):
        """Around now, so that this runs over midnight on some days."""
        local = now().astimezone(BANK_TIME)
        before, after, later = (f"{local + timedelta(hours=hours):%H:%M}" for hours in (-2, 2, 4))
        open_now = (await market.order(ana, opens_at=before, closes_at=after))["id"]
        closed_now = (await market.order(ana, opens_at=after, closes_at=later))["id"]

        found = await market.page(bob)
        direct = (await market.door.get(bob, f"{ORDERS}/{closed_now}")).json()

        assert [open_now] == [order["id"] for order in found["orders"]]
        assert (False, "closed_hours") == (direct["takeable"], direct["refusal"])

    async def test_shows_neither_of_two_who_are_blocked(self, market: Market, ana: Person, bob: Person):
        of_ana, of_bob = (await market.order(ana))["id"], (await market.order(bob))["id"]
        eve = await market.door.person()

        await market.door.post(ana, f"{P2P}/blocks", {"user_id": bob.id})
        seen = [await market.ids(who) for who in (ana, bob, eve)]
        one = [
            (await market.door.get(who, f"{ORDERS}/{order}")).status_code
            for who, order in ((ana, of_bob), (bob, of_ana), (ana, of_ana))
        ]
        await delete(market.door, ana, f"{P2P}/blocks/{bob.id}")
        after = await market.ids(bob)

        assert [{of_ana}, {of_bob}, {of_ana, of_bob}] == [set(found) for found in seen]
        assert [404, 404, 200] == one
        assert {of_ana, of_bob} == set(after)

    @pytest.mark.parametrize(
        ("gate", "refusal"),
        [
            ({}, None),
            ({"require_verified": True}, "not_verified"),
            ({"min_trades": 1}, "too_few_trades"),
            ({"min_completion_bps": 1}, "completion_too_low"),
        ],
    )
    async def test_shows_what_the_caller_may_not_take_and_why(
        self, market: Market, ana: Person, gate: dict[str, Any], refusal: str | None
    ):
        eve = await market.door.person()
        await market.order(ana, **gate)

        (order,) = (await market.page(eve))["orders"]
        (own,) = (await market.page(ana))["orders"]

        assert (refusal is None, refusal) == (order["takeable"], order["refusal"])
        assert (False, "own_order") == (own["takeable"], own["refusal"])

    async def test_knows_who_parks_orders(self, market: Market, ana: Person):
        eve = await market.door.person()
        await market.order(ana)
        await market.order(ana, side="buy")
        strict = P2PRules(unpaid_most=1, unpaid_day_most=2)
        refusals = []
        async with market.at(rules=strict) as asked:
            for status in (None, P2PTradeStatus.EXPIRED, P2PTradeStatus.OPEN, P2PTradeStatus.EXPIRED):
                if status is not None:
                    async with market.door.engine.begin() as conn:
                        await trade_row(conn, seller=ana.id, buyer=eve.id, status=status, settlement="charge")
                (order,) = (await asked.page(eve))["orders"]
                refusals.append(order["refusal"])
            (bought,) = (await asked.page(eve, side="buy"))["orders"]

        assert [None, None, "too_many_unpaid", "cooling_down"] == refusals
        assert bought["takeable"]


class TestMarketStats:
    async def test_tell_prices_volume_and_offers(self, market: Market, ana: Person, bob: Person):
        await market.order(ana, price="15100.00")
        await market.order(ana, **FLOATING)
        await market.order(ana, side="buy", price="14000.00")
        async with market.door.engine.begin() as conn:
            await trade_row(conn, seller=ana.id, buyer=bob.id, asset_id=market.asset.id)

        (found,) = (await market.door.get(bob, f"{P2P}/market-stats", params=market.named)).json()

        assert {
            **market.named,
            "last": "15000.00",
            "bid": "14000.00",
            "ask": "15000.00",
            "volume": "0.010000000000000000",
            "volume_total": "150.00",
            "trades": 1,
            "open_orders": 3,
        } == found

    async def test_of_a_market_where_nothing_happened_are_empty(self, market: Market, ana: Person):
        reply = await market.door.get(ana, f"{P2P}/market-stats")

        found = {(one["asset"], one["network"]): one for one in reply.json()}
        assert {None} == {found[market.asset.symbol, "ethereum"][name] for name in ("last", "bid", "ask")}
        assert {("ETH", "ethereum"), ("USDT", "ethereum"), ("POL", "polygon")} < set(found)

    @pytest.mark.parametrize(("query", "field"), [({"asset": "DOGE"}, "asset"), ({"network": "tron"}, "network")])
    async def test_name_the_field_at_fault(self, door: Door, ana: Person, query: dict[str, str], field: str):
        reply = await door.get(ana, f"{P2P}/market-stats", params=query)

        problem(reply, f"unknown-{field}", field=field)


class TestConfig:
    async def test_says_what_is_set(self, market: Market, ana: Person):
        rules = P2PRules(commission_bps=180, commission_tiers=(Tier(100_000_000, 150),), unpaid_most=5)
        async with market.at(rules=rules) as asked:
            found = (await asked.door.get(ana, f"{P2P}/config")).json()

        assert {
            "bps": 180,
            "payer": "buyer",
            "tiers": [{"from_volume": "1000000.00", "bps": 150}],
        } == found["commission"]
        assert ("10.00", "100000.00", 1800, 5) == (
            found["trade_min"],
            found["trade_max"],
            found["window_default_seconds"],
            found["unpaid_most"],
        )
        assert market.asset.symbol in {asset["asset"] for asset in found["assets"]}
