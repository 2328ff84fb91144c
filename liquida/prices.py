"""Where prices come from: a fixed table (the embedded stack), or a real market through ccxt."""

import asyncio
import time
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from api.prices import PriceFeed
from liquida.settings import Settings
from models.errors import PriceUnavailable

QUOTE_SYMBOL = "BRL"


def feed(settings: Settings) -> PriceFeed:
    """The feed that settings name, not cached.

    :raises ValueError: an exchange that ccxt does not know; at the first question.
    """
    if settings.price_feed == "ccxt":
        return CcxtFeed(settings.price_exchange)
    return FixedFeed(settings.fixed_prices)


class FixedFeed:
    """The same price, always. For development and tests."""

    def __init__(self, prices: Mapping[str, Decimal]) -> None:
        self._prices = dict(prices)

    async def price(self, symbol: str) -> Decimal:
        """See :meth:`api.prices.PriceFeed.price`."""
        if symbol not in self._prices:
            raise PriceUnavailable(f"no price is set for {symbol}: add it to LIQUIDA_FIXED_PRICES")
        return self._prices[symbol]

    async def close(self) -> None:
        pass


class CcxtFeed:
    """The best bid (what the market would pay for it now) for ``SYMBOL/BRL`` at one exchange, else the last trade.

    :param exchange_id: ccxt's name of it, ``binance``.
    :param age_seconds_most: a ticker older than that, or of unknown age, is no price.
    :param timeout_seconds: for the whole question, the first one's look at the list of markets included.
    :raises ValueError: ccxt knows no such exchange.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        age_seconds_most: float = 60,
        timeout_seconds: float = 10,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._exchange_id = exchange_id
        self._age_seconds_most = age_seconds_most
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._exchange: Any = None

    async def price(self, symbol: str) -> Decimal:
        """See :meth:`api.prices.PriceFeed.price`."""
        market = f"{symbol}/{QUOTE_SYMBOL}"
        exchange = await self._connected()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                ticker = await exchange.fetch_ticker(market)
        except Exception as error:  # noqa: BLE001 whatever an exchange's adapter raises, there is no price
            raise PriceUnavailable(
                f"{self._exchange_id} gave no price for {market}: {type(error).__name__}"
            ) from None
        return self._read(ticker, market)

    async def close(self) -> None:
        if self._exchange is not None:
            await self._exchange.close()

    async def _connected(self) -> Any:
        if self._exchange is None:
            # ccxt takes a second and 100 MB to import, and only installations that ask a market need it.
            self._exchange = await asyncio.to_thread(_adapter, self._exchange_id, self._timeout_seconds)
        return self._exchange

    def _read(self, ticker: Mapping[str, Any], market: str) -> Decimal:
        at = ticker.get("timestamp")
        age = None if at is None else self._clock() - int(at) / 1000
        if age is None or age > self._age_seconds_most:
            raise PriceUnavailable(f"{self._exchange_id}'s price for {market} is too old, or of unknown age")
        try:
            price = Decimal(str(ticker.get("bid") or ticker.get("last")))
        except InvalidOperation:
            price = Decimal(0)
        if not price.is_finite() or price <= 0:
            raise PriceUnavailable(f"{self._exchange_id} has no usable price for {market}")
        return price


def _adapter(exchange_id: str, timeout_seconds: float) -> Any:
    from ccxt import async_support as ccxt  # noqa: PLC0415 see above

    if exchange_id not in ccxt.exchanges:
        raise ValueError(f"LIQUIDA_PRICE_EXCHANGE names {exchange_id}, which ccxt does not know")
    exchange = getattr(ccxt, exchange_id)({"timeout": int(timeout_seconds * 1000), "enableRateLimit": True})
    exchange.number = str  # ccxt's own way to keep prices out of floats
    return exchange
