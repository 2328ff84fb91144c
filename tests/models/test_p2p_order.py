"""Orders on a real database: what the market lists, in which order and in which pages; edits that race."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models.errors import IllegalTransition, LimitExceeded, NotFound, PriceUnavailable, StaleVersion
from models.p2p_block import writes as blocks
from models.p2p_order import market, queries, writes
from models.p2p_order.rules import is_open, price_now
from models.p2p_order.states import OrderStatus
from models.p2p_order.types import Book, P2POrder, P2PRules, Place, PriceKind, Settlement, Sort, Wanted
from models.p2p_trade.states import P2PTradeStatus
from models.payment_method.types import MethodKind
from models.quote.types import Side
from tests.models.p2p_rows import TERMS, order_row, trade_row
from tests.models.world import BOX, ETH, USDT, World

RULES = P2PRules()
NOW = datetime(2026, 1, 5, 15, tzinfo=UTC)
MARKET = Decimal("15000.00")
FLOATING: dict[str, Any] = {"price_kind": PriceKind.FLOATING, "price": None}


def book(price: Decimal | None = MARKET) -> Book:
    return Book(ETH.id, ETH.decimals, ETH.price_decimals, price)


async def rows(world: World, *orders: dict[str, Any]) -> list[str]:
    async with world.engine.begin() as conn:
        return [await order_row(conn, world.user_id, **one) for one in orders]


async def listed(
    world: World,
    caller: str = "nobody",
    *,
    sort: Sort = Sort.PRICE,
    after: Place | None = None,
    limit: int = 100,
    now: datetime = NOW,
    price: Decimal | None = MARKET,
    **wanted: Any,
) -> tuple[list[P2POrder], Place | None]:
    async with world.engine.connect() as conn:
        return await market.page(
            conn,
            caller_id=caller,
            wanted=Wanted(**({"side": Side.SELL} | wanted)),
            books=[book(price)],
            sort=sort,
            after=after,
            limit=limit,
            now=now,
        )


async def ids(world: World, caller: str = "nobody", **how: Any) -> list[str]:
    found, _ = await listed(world, caller, **how)
    return [one.id for one in found]


class TestMarket:
    @pytest.mark.parametrize("side", Side)
    async def test_costs_what_the_rules_say(self, world: World, side: Side) -> None:
        """The same prices in SQL, which sorts by them, as in Python, which trades at them."""
        markets = [None, Decimal("0.001"), Decimal("0.01"), Decimal("14999.996"), Decimal("15000.01")]
        floating: list[dict[str, Any]] = [
            {"margin_bps": margin, "price_floor": floor, "price_ceiling": ceiling, **FLOATING}
            for margin in (-4_999, -1, 0, 1, 333)
            for floor in (None, Decimal("14000.00"))
            for ceiling in (None, Decimal("15000.00"))
        ]
        await rows(world, *({"side": side, "min_centavos": 1, **one} for one in [{}, *floating]))

        for price in markets:
            found, _ = await listed(world, price=price, side=side)
            every, _ = await listed(world, price=MARKET, side=side)
            expected = {one.id: cost(one, price) for one in every}

            assert {key for key, value in expected.items() if value is not None} == {one.id for one in found}
            prices = [expected[one.id] for one in found]
            assert sorted(prices, reverse=side is Side.BUY) == prices  # type: ignore[type-var]

    @pytest.mark.parametrize(
        ("opens", "closes"), [("09:00", "18:00"), ("22:00", "02:00"), ("22:00", "00:00"), ("00:00", "06:00")]
    )
    async def test_is_open_when_the_rules_say(self, world: World, opens: str, closes: str) -> None:
        hours = {"opens_at": time.fromisoformat(opens), "closes_at": time.fromisoformat(closes)}
        (made,) = await rows(world, hours)
        async with world.engine.connect() as conn:
            order = await queries.order(conn, made)

        for hour in (opens, closes, "12:00"):
            for seconds in (-1, 0):
                local = datetime.combine(NOW.date(), time.fromisoformat(hour), UTC)
                now = local + timedelta(hours=3, seconds=seconds)

                assert is_open(order, now) == ([made] == await ids(world, now=now))

    async def test_lists_what_can_be_taken_and_is_wanted(self, world: World) -> None:
        everybody, _ = await world.join("bob@example.com")
        async with world.engine.begin() as conn:
            stranger = await order_row(conn, everybody)
        plain, paused, closed, gone, little, direct, large, buys = await rows(
            world,
            {},
            {"status": "paused"},
            {"status": "closed"},
            {"available_units": 0},
            {"available_units": 3 * 10**15},
            {"settlements": ["direct"], "method_ids": ["m"], "method_kinds": ["ted"]},
            {"min_centavos": 600_000, "max_centavos": 700_000},
            {"side": Side.BUY},
        )

        assert {plain, direct, large, stranger} == set(await ids(world))
        assert {direct} == set(await ids(world, settlement=Settlement.DIRECT))
        assert {direct} == set(await ids(world, method_kind=MethodKind.TED))
        assert set() == set(await ids(world, method_kind=MethodKind.PIX))
        assert {plain, direct, stranger} == set(await ids(world, centavos=500_000))
        assert {large} == set(await ids(world, centavos=600_000))
        assert set() == set(await ids(world, centavos=4_999))
        assert {buys} == set(await ids(world, side=Side.BUY))
        assert not {paused, closed, gone, little} & set(await ids(world, sort=Sort.NEWEST, side=None))

    async def test_leaves_out_what_is_not_left_for_the_trade_wanted(self, world: World) -> None:
        half, _ = await rows(world, {"available_units": 10**16}, {"available_units": 10**16 - 10**12})

        assert [half] == await ids(world, centavos=15_000)

    @pytest.mark.parametrize("blocker", ["maker", "taker"])
    async def test_hides_the_blocked_from_each_other(self, world: World, blocker: str) -> None:
        bob, _ = await world.join("bob@example.com")
        eve, _ = await world.join("eve@example.com")
        await rows(world, {})
        who, whom = (world.user_id, bob) if blocker == "maker" else (bob, world.user_id)
        async with world.engine.begin() as conn:
            await blocks.add(conn, user_id=who, blocked_id=whom)

        assert ([], 1) == (await ids(world, bob), len(await ids(world, eve)))

    async def test_shows_makers_without_a_document_only_to_those_who_do_not_mind(self, world: World) -> None:
        (known,) = await rows(world, {})
        async with world.engine.begin() as conn:
            made = "INSERT INTO users (id, email) VALUES ('anon', 'anon@example.com')"
            await conn.execute(text(made))
            await order_row(conn, "anon")

        assert (2, [known]) == (len(await ids(world)), await ids(world, verified_only=True))

    @pytest.mark.parametrize("side", Side)
    async def test_sorts_the_best_price_first_and_pages_without_gaps(self, world: World, side: Side) -> None:
        made = await rows(
            world,
            *({"side": side, "price": Decimal(price)} for price in ("15100.00", "14900.00", "15000.00", "14900.00")),
            *({"side": side, "margin_bps": margin, **FLOATING} for margin in (-100, 0, 50)),
        )

        whole = await ids(world, side=side)
        paged = await pages(world, 2, side=side)

        assert set(made) == set(whole)
        assert whole == paged

    async def test_pages_stay_right_while_rows_and_the_market_change(self, world: World) -> None:
        made = await rows(
            world,
            *({"price": Decimal(14_000 + n * 100)} for n in range(6)),
            *({"margin_bps": -600 + n * 200, **FLOATING} for n in range(6)),
        )
        before = await ids(world)
        found, after = await listed(world, limit=5)
        seen = [one.id for one in found]

        gone, *_ = [one for one in before if one not in seen]
        async with world.engine.begin() as conn:
            await conn.execute(
                text("UPDATE p2p_orders SET status = 'paused' WHERE id IN (:gone, :seen)"),
                {"gone": gone, "seen": seen[-1]},
            )
        new = await rows(world, {"price": Decimal("13000.00")}, {"price": Decimal("99999.00")})
        assert after is not None
        assert MARKET == after.market
        rest = await pages(world, 3, after=after, price=after.market)

        assert [one for one in before if one not in {*seen, gone}] == [one for one in rest if one not in new]
        assert [new[1]] == [one for one in rest if one in new]
        assert set(made) == set(before)

    @pytest.mark.parametrize("sort", [Sort.NEWEST, Sort.REPUTATION])
    async def test_pages_without_gaps_in_every_sorting(self, world: World, sort: Sort) -> None:
        makers = [world.user_id, *[(await world.join(f"{n}@example.com"))[0] for n in range(3)]]
        async with world.engine.begin() as conn:
            for maker in makers:
                for _ in range(2):
                    await order_row(conn, maker)
            await trade_row(conn, seller=makers[1], buyer=makers[0])
            await trade_row(conn, seller=makers[1], buyer=makers[2])
            await trade_row(conn, seller=makers[3], buyer=makers[0], maker=makers[3], status=P2PTradeStatus.EXPIRED)

        whole, _ = await listed(world, sort=sort)
        paged = await pages(world, 3, sort=sort)

        assert [one.id for one in whole] == paged
        assert 8 == len(whole)
        if sort is Sort.REPUTATION:
            ranks = [makers.index(one.user_id) for one in whole]
            assert [1, 1, 2, 2, 0, 0, 3, 3] == ranks
        else:
            assert sorted((one.created_at for one in whole), reverse=True) == [one.created_at for one in whole]


async def pages(world: World, limit: int, *, after: Place | None = None, **how: Any) -> list[str]:
    found: list[str] = []
    for _ in range(20):
        page, after = await listed(world, limit=limit, after=after, **how)
        found += [one.id for one in page]
        assert len(page) <= limit
        if after is None:
            return found
    raise AssertionError("the pages have no end")


def cost(order: P2POrder, price: Decimal | None) -> Decimal | None:
    try:
        return price_now(order, price, ETH)
    except PriceUnavailable:
        return None


class TestStats:
    async def test_tell_last_best_volume_and_offers(self, world: World) -> None:
        bob, _ = await world.join("bob@example.com")
        now = datetime.now(UTC)
        await rows(
            world,
            {"price": Decimal("15100.00")},
            {"margin_bps": 50, **FLOATING},
            {"price": Decimal("1.00"), "status": "paused"},
            {"price": Decimal("2.00"), "available_units": 1},
            {"side": Side.BUY, "price": Decimal("14800.00")},
            {"side": Side.BUY, "margin_bps": -100, **FLOATING},
        )
        async with world.engine.begin() as conn:
            for hours, price in ((30, 1), (2, 15_010), (1, 15_020)):
                await trade_row(
                    conn,
                    seller=world.user_id,
                    buyer=bob,
                    ended_at=now - timedelta(hours=hours),
                    price=Decimal(price),
                )
            await trade_row(conn, seller=world.user_id, buyer=bob, status=P2PTradeStatus.EXPIRED, price=Decimal(7))

            found = await market.stats(conn, [book(), Book(USDT.id, 6, 2, None)], now)

        ether, tether = found
        assert (Decimal(15020), Decimal("14850.00"), Decimal("15075.00")) == (ether.last, ether.bid, ether.ask)
        assert (2 * 10**16, 30_000, 2, 5) == (ether.units, ether.centavos, ether.trades, ether.open_orders)
        assert (None, None, None, 0, 0, 0, 0) == (
            tether.last,
            tether.bid,
            tether.ask,
            tether.units,
            tether.centavos,
            tether.trades,
            tether.open_orders,
        )


class TestTaker:
    async def test_is_what_the_rows_say(self, world: World) -> None:
        bob, _ = await world.join("bob@example.com")
        now = datetime.now(UTC)
        sold = {"seller": world.user_id, "buyer": bob}
        live = sold | {"settlement": Settlement.CHARGE}
        async with world.engine.begin() as conn:
            for _ in range(3):
                await trade_row(conn, **sold)
            for status in (P2PTradeStatus.OPEN, P2PTradeStatus.PAYMENT_SENT, P2PTradeStatus.DISPUTED):
                await trade_row(conn, **live, status=status)
                await trade_row(conn, **live, status=status, maker=bob)
            await trade_row(conn, **sold, status=P2PTradeStatus.OPEN)
            await trade_row(conn, **sold, status=P2PTradeStatus.EXPIRED, ended_at=now - timedelta(hours=3))
            await trade_row(conn, **sold, status=P2PTradeStatus.CANCELLED, by=bob, ended_at=now - timedelta(hours=2))
            before = await queries.taker(conn, bob, RULES, now)
            await trade_row(conn, **sold, status=P2PTradeStatus.EXPIRED, ended_at=now - timedelta(hours=1))
            after = await queries.taker(conn, bob, RULES, now)
            seller = await queries.taker(conn, world.user_id, RULES, now)

        assert (3, 6_000, 3, None, True) == (
            before.trades,
            before.completion_bps,
            before.unpaid_live,
            before.cooldown_until,
            before.is_verified,
        )
        assert now + timedelta(hours=23) == after.cooldown_until
        assert (3, 10_000, 0, None) == (
            seller.trades,
            seller.completion_bps,
            seller.unpaid_live,
            seller.cooldown_until,
        )

    @pytest.mark.parametrize("how", ["as the maker", "cancelled by the seller", "long ago"])
    async def test_is_not_cooled_down_for_what_was_not_their_doing(self, world: World, how: str) -> None:
        bob, _ = await world.join("bob@example.com")
        now = datetime.now(UTC)
        more: dict[str, Any] = {
            "as the maker": {"status": P2PTradeStatus.EXPIRED, "maker": bob},
            "cancelled by the seller": {"status": P2PTradeStatus.CANCELLED, "by": world.user_id},
            "long ago": {"status": P2PTradeStatus.EXPIRED, "ended_at": now - timedelta(hours=25)},
        }[how]
        async with world.engine.begin() as conn:
            for _ in range(4):
                await trade_row(conn, seller=world.user_id, buyer=bob, **more)
            found = await queries.taker(conn, bob, RULES, now)

        assert found.cooldown_until is None or found.cooldown_until <= now


class TestChange:
    async def test_of_one_version_is_made_once_however_many_race(self, world: World) -> None:
        (order_id,) = await rows(world, {})

        results = await asyncio.gather(
            *(change(world, order_id, 1, min_trades=n) for n in range(1, 5)), return_exceptions=True
        )

        assert [StaleVersion] * 3 == [type(one) for one in results if isinstance(one, Exception)]
        (won,) = [one for one in results if isinstance(one, P2POrder)]
        async with world.engine.connect() as conn:
            assert won == await queries.order(conn, order_id)
        assert 2 == won.version

    async def test_moves_what_is_available_with_the_total(self, world: World) -> None:
        (order_id,) = await rows(world, {"total_units": 10**18, "available_units": 7 * 10**17})

        larger = await change(world, order_id, 1, total_units=2 * 10**18)
        least = await change(world, order_id, 2, total_units=3 * 10**17)
        with pytest.raises(LimitExceeded, match=r"0\.300000000000000000 ETH of it are in trades") as refused:
            await change(world, order_id, 3, total_units=3 * 10**17 - 1)

        assert [17 * 10**17, 0] == [larger.available_units, least.available_units]
        assert "amount" == refused.value.field

    async def test_waits_for_a_taking_and_counts_it(self, world: World) -> None:
        """The taking has the row; the change must see what it left, not what was there before."""
        (order_id,) = await rows(world, {})
        async with world.engine.begin() as conn:
            await conn.execute(text("UPDATE p2p_orders SET available_units = available_units - 4e17"))
            changing = asyncio.create_task(change(world, order_id, 1, total_units=5 * 10**17))
            await asyncio.sleep(0.2)
            assert not changing.done()

        changed = await changing

        assert 10**17 == changed.available_units

    async def test_of_anothers_finds_none(self, world: World) -> None:
        (order_id,) = await rows(world, {})
        bob, _ = await world.join("bob@example.com")

        with pytest.raises(NotFound):
            await change(world, order_id, 1, user_id=bob)

    async def test_is_refused_once_closed_for_ever(self, world: World) -> None:
        (order_id,) = await rows(world, {})

        closed = [await turn(world, order_id, OrderStatus.CLOSED) for _ in range(2)]

        assert [OrderStatus.CLOSED] * 2 == [one.status for one in closed]
        for doing in (change(world, order_id, 1), turn(world, order_id, OrderStatus.ACTIVE)):
            with pytest.raises(IllegalTransition):
                await doing

    async def test_of_terms_only_raises_the_version(self, world: World) -> None:
        (order_id,) = await rows(world, {})

        statuses = [OrderStatus.PAUSED, OrderStatus.PAUSED, OrderStatus.ACTIVE]
        turned = [await turn(world, order_id, status) for status in statuses]
        changed = await change(world, order_id, 1, terms="by noon")

        assert (statuses, [1, 1, 1]) == ([one.status for one in turned], [one.version for one in turned])
        assert (2, "by noon") == (changed.version, changed.terms)

    async def test_never_makes_more_orders_than_a_user_may_have(self, world: World) -> None:
        rules = replace(RULES, orders_most=3)

        async def make() -> P2POrder:
            async with world.engine.begin() as conn:
                return await writes.create(
                    conn, BOX, user_id=world.user_id, side=Side.SELL, asset=ETH, terms=TERMS, rules=rules
                )

        results = await asyncio.gather(*(make() for _ in range(5)), return_exceptions=True)
        made = [one for one in results if isinstance(one, P2POrder)]
        await turn(world, made[0].id, OrderStatus.CLOSED)
        await make()

        assert (3, [LimitExceeded] * 2) == (len(made), [type(one) for one in results if isinstance(one, Exception)])


async def change(world: World, order_id: str, version: int, *, user_id: str = "", **terms: Any) -> P2POrder:
    async with world.engine.begin() as conn:
        return await writes.change(
            conn,
            BOX,
            order_id=order_id,
            user_id=user_id or world.user_id,
            version=version,
            asset=ETH,
            terms=replace(TERMS, **terms),
            rules=RULES,
        )


async def turn(world: World, order_id: str, status: OrderStatus) -> P2POrder:
    async with world.engine.begin() as conn:
        return await writes.turn(conn, order_id=order_id, user_id=world.user_id, status=status)
