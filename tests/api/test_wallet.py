"""Platform addresses and balances."""

import asyncio
from decimal import Decimal

from models.wallet import allocate
from tests.api.door import API, ETHER, Door, custody_funded, problem

ADDRESSES, BALANCES = f"{API}/wallet/addresses", f"{API}/wallet/balances"


class TestAddress:
    async def test_is_one_per_person_and_network_for_ever(self, door: Door):
        bea = await door.person()

        replies = await asyncio.gather(*(door.post(bea, ADDRESSES, {"network": "ethereum"}) for _ in range(10)))
        later = await door.post(bea, ADDRESSES, {"network": "ethereum"})

        assert {200} == {reply.status_code for reply in (*replies, later)}
        assert 1 == len({reply.json()["address"] for reply in (*replies, later)})

    async def test_is_the_same_on_networks_of_one_family(self, door: Door):
        bea = await door.person()

        one = await door.post(bea, ADDRESSES, {"network": "ethereum"})
        two = await door.post(bea, ADDRESSES, {"network": "polygon"})

        assert one.json()["address"] == two.json()["address"]

    async def test_is_nobody_elses(self, door: Door):
        bea, carl = await door.person(), await door.person()

        given = [(await door.post(who, ADDRESSES, {"network": "ethereum"})).json()["address"] for who in (bea, carl)]

        async with door.engine.connect() as conn:
            owners = [row.user_id for row in (await allocate.by_text(conn, "ethereum", given)).values()]
        assert {bea.id, carl.id} == set(owners)

    async def test_needs_a_known_network(self, door: Door):
        bea = await door.person()

        reply = await door.post(bea, ADDRESSES, {"network": "solana"})

        problem(reply, "unknown-network", field="network")


class TestBalances:
    async def test_show_every_asset_available_locked_and_in_all(self, door: Door):
        bea = await door.rich(ETHER)
        await door.trade(bea, **custody_funded("0.25"))

        shown = (await door.get(bea, BALANCES)).json()

        eth = next(row for row in shown if row["asset"] == "ETH")
        brl = next(row for row in shown if row["asset"] == "BRL")
        assert ["BRL", "ETH", "POL", "USDT"] == [row["asset"] for row in shown]
        assert (Decimal("0.75"), Decimal("0.25"), Decimal(1)) == tuple(
            Decimal(eth[name]) for name in ("available", "locked", "total")
        )
        assert (None, "0.00") == (brl["network"], brl["total"])
