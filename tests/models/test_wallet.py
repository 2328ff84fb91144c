"""Addresses: taken once, by one owner, on every network of the family."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from models.errors import NodeUnavailable
from models.wallet import allocate
from models.wallet.allocate import AddressRole, SystemAddress
from tests.models.world import ADDRESSES, WALLET, World, address_at

MANY = 24


@pytest.fixture
async def world(world: World) -> World:
    await derive(world, ADDRESSES, ADDRESSES + MANY)
    return world


async def derive(world: World, first: int, end: int, *, networks: tuple[str, ...] = ("ethereum", "polygon")) -> None:
    async with world.engine.begin() as conn:
        for network in networks:
            for index in range(first, end):
                await allocate.add_address(
                    conn, wallet_id=WALLET, network_id=network, index=index, address=address_at(index)
                )


async def take(world: World, network_id: str = "ethereum") -> SystemAddress:
    async with world.engine.begin() as conn:
        return await allocate.take(
            conn, network_id=network_id, role=AddressRole.TRADE, user_id=world.user_id, trade_id="t" * 32
        )


class TestTake:
    async def test_never_gives_an_address_twice(self, world: World) -> None:
        taken = await asyncio.gather(*(take(world) for _ in range(MANY)))

        assert MANY == len({address.address for address in taken})

    async def test_never_gives_an_address_twice_across_networks_of_a_family(self, world: World) -> None:
        networks = ("ethereum", "polygon") * (MANY // 2)

        taken = await asyncio.gather(*(take(world, network) for network in networks))

        assert MANY == len({address.address for address in taken})

    async def test_gives_the_twins_the_same_owner(self, world: World) -> None:
        address = await take(world)

        async with world.engine.connect() as conn:
            twins = await allocate.by_text(conn, "polygon", [address.address])

        assert [(AddressRole.TRADE, world.user_id, "t" * 32)] == [
            (twin.role, twin.user_id, twin.trade_id) for twin in twins.values()
        ]

    async def test_says_when_none_is_left(self, world: World) -> None:
        async with world.engine.connect() as conn:
            left = await allocate.count_free(conn, "ethereum")
        await asyncio.gather(*(take(world) for _ in range(left)))

        with pytest.raises(NodeUnavailable):
            await take(world)

    async def test_never_gives_the_houses_own(self, world: World) -> None:
        async with world.engine.connect() as conn:
            desk = await allocate.house(conn, "polygon")

        assert (0, AddressRole.HOUSE) == (desk.index, desk.role)

    async def test_cannot_make_a_second_house_by_hand(self, world: World) -> None:
        with pytest.raises(IntegrityError):
            await world.execute("UPDATE system_addresses SET role = 'house' WHERE index = 5")


class TestDerivation:
    async def test_goes_on_where_it_stopped_and_is_harmless_to_repeat(self, world: World) -> None:
        await derive(world, 0, ADDRESSES + MANY)

        async with world.engine.connect() as conn:
            following = await allocate.next_index(conn, WALLET, "ethereum")

        assert ADDRESSES + MANY == following

    async def test_gives_a_new_network_the_owners_of_the_twins(self, world: World) -> None:
        await world.execute("DELETE FROM system_addresses WHERE network_id = 'polygon'")
        address = await take(world)

        await derive(world, 0, ADDRESSES + MANY)

        async with world.engine.connect() as conn:
            (twin,) = (await allocate.by_text(conn, "polygon", [address.address])).values()
        assert AddressRole.TRADE == twin.role

    async def test_waits_for_a_twin_that_is_being_taken(self, world: World) -> None:
        """Else the new network's row would still be free, and the address be given to a second owner."""
        await world.execute("DELETE FROM system_addresses WHERE network_id = 'polygon'")
        async with world.engine.begin() as taking:
            address = await allocate.take(
                taking, network_id="ethereum", role=AddressRole.TRADE, user_id=world.user_id, trade_id="t" * 32
            )
            deriving = asyncio.create_task(derive(world, 0, ADDRESSES + MANY, networks=("polygon",)))
            await asyncio.sleep(0.2)
        await deriving

        async with world.engine.connect() as conn:
            (twin,) = (await allocate.by_text(conn, "polygon", [address.address])).values()
        assert AddressRole.TRADE == twin.role


class TestForUser:
    async def test_takes_one_address_however_many_ask(self, world: World) -> None:
        user, _ = await world.join("bia@example.com")
        await world.execute("UPDATE system_addresses SET role = 'free', user_id = NULL WHERE user_id = :u", u=user)

        async def ask() -> str:
            async with world.engine.begin() as conn:
                return (await allocate.for_user(conn, user_id=user, network_id="ethereum")).address

        assert 1 == len(set(await asyncio.gather(*(ask() for _ in range(10)))))

    async def test_finds_the_twin_on_another_network(self, world: World) -> None:
        async with world.engine.begin() as conn:
            here = await allocate.for_user(conn, user_id=world.user_id, network_id="ethereum")
            there = await allocate.for_user(conn, user_id=world.user_id, network_id="polygon")
            count = (
                await conn.execute(
                    text("SELECT count(*) FROM system_addresses WHERE user_id = :u"), {"u": world.user_id}
                )
            ).scalar_one()

        assert (here.address, 2) == (there.address, count)
