"""What a provider calls a payout is written once, and how a payout is found by it."""

import pytest
from sqlalchemy.exc import DBAPIError

from models.errors import Broken
from models.payout import queries, writes
from models.payout.states import PayoutStatus as P
from models.payout.types import Payout
from models.quote.types import Funding
from tests.models.world import COIN, World


@pytest.fixture
async def key(world: World) -> str:
    """A payout that was sent, and not answered."""
    trade = await world.sell(Funding.DEPOSIT)
    await world.make_final(await world.deposit(trade, COIN))
    await world.advance(trade)
    await world.submit(trade)
    return trade


async def learn(world: World, key: str, provider_id: str) -> bool:
    async with world.engine.begin() as conn:
        payout = await queries.payout(conn, key, lock=True)
        assert payout is not None
        return await writes.learn_provider_id(conn, payout, provider_id)


async def row(world: World, key: str) -> Payout:
    async with world.engine.connect() as conn:
        found = await queries.payout(conn, key)
    assert found is not None
    return found


class TestProvidersName:
    async def test_is_learned_where_none_is_known(self, world: World, key: str) -> None:
        before = await row(world, key)

        learned = await learn(world, key, "pay_1")

        after = await row(world, key)
        assert (True, "pay_1", before.status, before.version + 1) == (
            learned,
            after.provider_id,
            after.status,
            after.version,
        )

    async def test_is_learned_once(self, world: World, key: str) -> None:
        await learn(world, key, "pay_1")
        before = await row(world, key)

        again, other = await learn(world, key, "pay_1"), await learn(world, key, "pay_2")

        assert (True, False) == (again, other)
        after = await row(world, key)
        assert ("pay_1", before.version) == (after.provider_id, after.version)

    async def test_stays_when_a_report_says_another(self, world: World, key: str) -> None:
        await learn(world, key, "pay_1")

        await world.hear(key, P.PAID)

        assert ("pay_1", P.PAID) == ((await row(world, key)).provider_id, (await row(world, key)).status)

    async def test_is_kept_by_the_database_too(self, world: World, key: str) -> None:
        await learn(world, key, "pay_1")

        with pytest.raises(DBAPIError, match="what was ordered does not change"):
            await world.execute("UPDATE payouts SET provider_id = 'pay_2'")

    async def test_is_not_learned_over_a_row_that_moved_on(self, world: World, key: str) -> None:
        stale = await row(world, key)
        await world.hear(key, P.UNKNOWN)
        await world.execute("UPDATE payouts SET version = version + 1")

        async with world.engine.connect() as conn:
            with pytest.raises(Broken):
                await writes.learn_provider_id(conn, stale, "pay_1")


class TestPayout:
    async def test_is_found_by_its_end_to_end_id_at_its_own_provider(self, world: World, key: str) -> None:
        await world.hear(key, P.PAID)

        async with world.engine.connect() as conn:
            found = [
                await queries.by_end_to_end_id(conn, provider, end_to_end_id)
                for provider, end_to_end_id in (("sandbox", f"E{key}"), ("efi", f"E{key}"), ("sandbox", "E0"))
            ]

        assert [key, None, None] == [payout and payout.key for payout in found]

    @pytest.mark.parametrize(("status", "expected"), [(P.UNKNOWN, {"sandbox"}), (P.PAID, set()), (P.REJECTED, set())])
    async def test_needs_its_provider_until_its_end_is_known(
        self, world: World, key: str, status: P, expected: set[str]
    ) -> None:
        await world.hear(key, status)

        async with world.engine.connect() as conn:
            assert expected == await queries.unended_providers(conn)
