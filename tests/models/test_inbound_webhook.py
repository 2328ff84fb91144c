"""What a provider told us is kept once, sealed, and bound to a payout of ours if it is one."""

from models.inbound_webhook.writes import keep
from models.quote.types import Funding
from tests.models.world import BOX, COIN, World


async def tell(world: World, *, event: str = "e1", key: str = "unknown", provider: str = "sandbox") -> bool:
    async with world.engine.begin() as conn:
        return await keep(conn, BOX, provider=provider, event_id=event, key=key, state="paid", body=b'{"cpf":"1"}')


class TestWebhook:
    async def test_is_new_once(self, world: World) -> None:
        assert [True, False, True] == [await tell(world), await tell(world), await tell(world, event="e2")]

    async def test_names_a_payout_only_of_its_own_provider(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        await world.make_final(await world.deposit(trade, COIN))
        await world.advance(trade)

        await tell(world, event="ours", key=trade)
        await tell(world, event="theirs", key=trade, provider="other")
        await tell(world, event="nobody", key="x" * 200)

        rows = "SELECT string_agg(event_id || '=' || coalesce(payout_key, ''), ' ' ORDER BY id) FROM webhook_events"
        assert f"ours={trade} theirs= nobody=" == await world.scalar(rows)

    async def test_is_kept_sealed(self, world: World) -> None:
        await tell(world)

        row = str(await world.scalar("SELECT body_sealed FROM webhook_events"))

        assert "cpf" not in row
