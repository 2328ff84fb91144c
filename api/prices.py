"""Market prices as the API sees them: a protocol, and a memory that asks once for many."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


class PriceFeed(Protocol):
    async def price(self, symbol: str) -> Decimal:
        """BRL per unit shown of the asset with this symbol, as the market has it now.

        :raises models.errors.PriceUnavailable: no market, no answer in time, or an answer too old.
        """
        ...

    async def close(self) -> None:
        """Close its connections; the feed is not used after."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    price: Decimal
    until: float


class CachedFeed:
    """Keeps each price for ``seconds``. Callers who find it old at the same time share one question.

    Failures are not kept: the next caller asks again.
    """

    def __init__(self, feed: PriceFeed, *, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._feed = feed
        self._seconds = seconds
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[Decimal]] = {}

    async def price(self, symbol: str) -> Decimal:
        known = self._known.get(symbol)
        if known is not None and self._clock() < known.until:
            return known.price
        asking = self._asking.get(symbol)
        if asking is None:
            asking = asyncio.create_task(self._ask(symbol))
            asking.add_done_callback(_heard)
            self._asking[symbol] = asking
        # A caller who hangs up must not take the answer from the others.
        return await asyncio.shield(asking)

    async def close(self) -> None:
        await self._feed.close()

    async def _ask(self, symbol: str) -> Decimal:
        try:
            asked_at = self._clock()
            price = await self._feed.price(symbol)
            self._known[symbol] = _Known(price, asked_at + self._seconds)
            return price
        finally:
            del self._asking[symbol]


def _heard(asking: asyncio.Task[Decimal]) -> None:
    """Take note of a failure that every caller has stopped waiting for, so that asyncio does not complain."""
    if not asking.cancelled():
        asking.exception()
