"""A quote is kept as promised and used once."""

import asyncio
from datetime import timedelta

import pytest

from models.errors import NotFound, QuoteExpired, QuoteUsed
from models.quote import writes as quotes
from models.quote.types import Funding, Quote
from tests.models.world import COIN, World


async def use(world: World, quote: Quote, *, user: str | None = None) -> Quote:
    async with world.engine.begin() as conn:
        return await quotes.use(conn, quote_id=quote.id, user_id=user or quote.user_id, now=world.now)


class TestQuote:
    async def test_is_kept_to_the_last_unit(self, world: World) -> None:
        quote = await world.quote(Funding.DEPOSIT, COIN)

        assert quote == await use(world, quote)

    async def test_is_used_once_by_twenty_at_once(self, world: World) -> None:
        quote = await world.quote(Funding.DEPOSIT, COIN)

        done = await asyncio.gather(*(use(world, quote) for _ in range(20)), return_exceptions=True)

        assert 1 == done.count(quote)
        assert 19 == sum(isinstance(one, QuoteUsed) for one in done)

    async def test_expires_at_the_second_it_says(self, world: World) -> None:
        early, late = await world.quote(Funding.DEPOSIT, COIN), await world.quote(Funding.DEPOSIT, COIN)
        world.pass_time(29.9)
        await use(world, early)
        world.now += timedelta(seconds=0.1)

        with pytest.raises(QuoteExpired):
            await use(world, late)

    async def test_is_its_users_alone(self, world: World) -> None:
        quote = await world.quote(Funding.DEPOSIT, COIN)
        stranger, _ = await world.join("bia@example.com")

        with pytest.raises(NotFound):
            await use(world, quote, user=stranger)
