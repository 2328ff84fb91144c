"""Prices: asked once for many, never from floats, never stale."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from api.prices import CachedFeed
from liquida.prices import CcxtFeed, FixedFeed
from models.errors import PriceUnavailable


class Market:
    """Counts its questions."""

    def __init__(self, *answers: Decimal | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def price(self, symbol: str) -> Decimal:
        self.asked += 1
        await asyncio.sleep(0.01)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class TestCachedFeed:
    async def test_asks_once_for_all_who_come_at_the_same_time(self):
        market = Market(Decimal(1))
        feed = CachedFeed(market, seconds=30)

        found = await asyncio.gather(*(feed.price("ETH") for _ in range(20)))

        assert (1, {Decimal(1)}) == (market.asked, set(found))

    async def test_asks_again_when_the_time_is_over(self):
        now = [0.0]
        feed = CachedFeed(Market(Decimal(1), Decimal(2)), seconds=30, clock=lambda: now[0])

        first = await feed.price("ETH")
        now[0] = 29.9
        second = await feed.price("ETH")
        now[0] = 30.0
        third = await feed.price("ETH")

        assert [Decimal(1), Decimal(1), Decimal(2)] == [first, second, third]

    async def test_does_not_keep_a_failure(self):
        feed = CachedFeed(Market(PriceUnavailable("away"), Decimal(2)), seconds=30)

        with pytest.raises(PriceUnavailable):
            await feed.price("ETH")

        assert Decimal(2) == await feed.price("ETH")

    async def test_answers_the_others_when_the_first_hangs_up(self):
        market = Market(Decimal(1))
        feed = CachedFeed(market, seconds=30)
        first, second = (asyncio.create_task(feed.price("ETH")) for _ in range(2))
        await asyncio.sleep(0)

        first.cancel()

        assert Decimal(1) == await second
        assert 1 == market.asked


class TestFixedFeed:
    async def test_knows_its_table_and_nothing_else(self):
        feed = FixedFeed({"ETH": Decimal("15000.00")})

        assert Decimal("15000.00") == await feed.price("ETH")
        with pytest.raises(PriceUnavailable, match="LIQUIDA_FIXED_PRICES"):
            await feed.price("DOGE")


SYMBOL = {
    "symbol": "ETHBRL",
    "status": "TRADING",
    "baseAsset": "ETH",
    "quoteAsset": "BRL",
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT"],
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "permissions": ["SPOT"],
    "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"}],
}


class Exchange:
    """Answers as Binance's public interface does, on the loopback."""

    def __init__(self) -> None:
        self.ticker: dict[str, Any] = {}
        self.delay = 0.0

    async def exchange_info(self, _request: web.Request) -> web.Response:
        return web.json_response({"timezone": "UTC", "serverTime": 1, "rateLimits": [], "symbols": [SYMBOL]})

    async def ticker_24hr(self, _request: web.Request) -> web.Response:
        await asyncio.sleep(self.delay)
        fresh = {"symbol": "ETHBRL", "closeTime": int(time.time() * 1000), "lastPrice": "15001.10"}
        return web.json_response(fresh | self.ticker)


@pytest.fixture
async def exchange() -> AsyncIterator[tuple[Exchange, CcxtFeed]]:
    given = Exchange()
    app = web.Application()
    app.router.add_get("/api/v3/exchangeInfo", given.exchange_info)
    app.router.add_get("/api/v3/ticker/24hr", given.ticker_24hr)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    feed = CcxtFeed("binance", timeout_seconds=2)
    adapter = await feed._connected()
    adapter.urls["api"]["public"] = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v3"
    adapter.options["fetchMarkets"] = {"types": ["spot"]}
    yield given, feed
    await feed.close()
    await runner.cleanup()


class TestCcxtFeed:
    async def test_reads_the_bid_without_a_float(self, exchange: tuple[Exchange, CcxtFeed]):
        given, feed = exchange
        given.ticker = {"bidPrice": "15000.123456789012345678"}

        assert Decimal("15000.123456789012345678") == await feed.price("ETH")

    async def test_takes_the_last_trade_where_there_is_no_bid(self, exchange: tuple[Exchange, CcxtFeed]):
        _, feed = exchange

        assert Decimal("15001.10") == await feed.price("ETH")

    @pytest.mark.parametrize(
        "ticker",
        [
            {"closeTime": int(time.time() * 1000) - 120_000},
            {"closeTime": None},
            {"bidPrice": "0", "lastPrice": "0"},
            {"bidPrice": "-1"},
            {"bidPrice": "NaN"},
            {"bidPrice": "a lot"},
            {"lastPrice": None},
        ],
        ids="-".join,
    )
    async def test_has_no_price_that_is_stale_or_none(self, exchange: tuple[Exchange, CcxtFeed], ticker: dict):
        given, feed = exchange
        given.ticker = ticker

        with pytest.raises(PriceUnavailable):
            await feed.price("ETH")

    async def test_has_no_price_for_a_market_that_is_not_there(self, exchange: tuple[Exchange, CcxtFeed]):
        _, feed = exchange

        with pytest.raises(PriceUnavailable, match="DOGE/BRL"):
            await feed.price("DOGE")

    async def test_does_not_wait_for_ever(self, exchange: tuple[Exchange, CcxtFeed]):
        given, feed = exchange
        given.delay = 30

        began = time.monotonic()
        with pytest.raises(PriceUnavailable):
            await feed.price("ETH")

        assert time.monotonic() - began < 5

    async def test_refuses_an_exchange_that_is_none(self):
        with pytest.raises(ValueError, match="nowhere"):
            await CcxtFeed("nowhere").price("ETH")
