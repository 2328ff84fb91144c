"""Deposits: found once, however often they are read; booked once, to whom their address belongs."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select

from models.deposit import queries
from models.deposit import writes as deposits
from models.deposit.types import BlockMark, Found
from models.ledger.chart import Purpose
from models.outbox import outbox
from models.quote.types import Funding
from models.wallet import allocate
from models.wallet.allocate import SystemAddress
from tests.models.world import COIN, ETH, OUTSIDE, World, address_at


async def at(world: World, index: int) -> SystemAddress:
    async with world.engine.connect() as conn:
        return (await allocate.by_text(conn, "ethereum", [address_at(index)]))[address_at(index)]


async def found(world: World, trade: str, *, height: int = 200, units: int = COIN) -> Found:
    source = await world.source(trade)
    return Found("0xt", 3, ETH.id, source.id, trade, OUTSIDE, units, height, f"0xb{height}", world.now)


async def record(world: World, *deposits_found: Found) -> None:
    async with world.engine.begin() as conn:
        marks = [BlockMark(one.block_height, one.block_hash) for one in deposits_found]
        await deposits.record(conn, "ethereum", marks, deposits_found)


async def rows(world: World, trade: str) -> list[tuple[str, int, int]]:
    async with world.engine.connect() as conn:
        return [(row.status, row.amount_units, row.block_height) for row in await queries.of_trade(conn, trade)]


class TestRecord:
    async def test_twice_is_once(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        one = await found(world, trade)

        await record(world, one)
        await record(world, one)

        assert [("seen", COIN, 200)] == await rows(world, trade)

    async def test_tells_the_trade_to_look(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)

        await record(world, await found(world, trade))

        async with world.engine.connect() as conn:
            told = (await conn.execute(select(outbox.c.workflow_id).where(outbox.c.kind == "look"))).scalars().all()
        assert [f"otc-sell/{trade}"] == told

    async def test_does_not_wait_for_a_trade_that_is_being_moved(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        one = await found(world, trade)
        async with world.engine.begin() as conn:
            from models.instant_trade import queries as trades

            await trades.trade(conn, trade, lock=True)

            await asyncio.wait_for(record(world, one), 2)

        assert 1 == len(await rows(world, trade))

    async def test_forgets_blocks_too_deep_for_any_reorg(self, world: World) -> None:
        async with world.engine.begin() as conn:
            blocks = [BlockMark(height, f"0x{height}") for height in range(deposits.KEPT_BLOCKS + 10)]
            await deposits.record(conn, "ethereum", blocks, [])

            marks = await queries.marks(conn, "ethereum")

        assert deposits.KEPT_BLOCKS + 1 == len(marks)
        assert deposits.KEPT_BLOCKS + 9 == marks[0].height


class TestReorg:
    async def test_orphans_what_was_in_the_dropped_blocks_and_moves_the_cursor_back(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        early = replace(await found(world, trade, height=199, units=5), txid="0xearly")
        await record(world, early, await found(world, trade))

        async with world.engine.begin() as conn:
            orphaned = await deposits.rewind(conn, "ethereum", 199)
            marks = await queries.marks(conn, "ethereum")

        assert (1, 199) == (orphaned, marks[0].height)
        assert [("seen", 5, 199), ("orphaned", COIN, 200)] == await rows(world, trade)

    async def test_leaves_final_deposits_to_reconciliation(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        deposit = await world.deposit(trade, COIN)
        await world.make_final(deposit)

        async with world.engine.begin() as conn:
            orphaned = await deposits.rewind(conn, "ethereum", 0)

        assert (0, "final") == (orphaned, (await rows(world, trade))[0][0])

    async def test_that_brings_the_deposit_again_brings_it_as_the_new_block_says(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        await record(world, await found(world, trade))
        async with world.engine.begin() as conn:
            await deposits.rewind(conn, "ethereum", 199)

        await record(world, await found(world, trade, height=201, units=COIN - 1))

        assert [("seen", COIN - 1, 201)] == await rows(world, trade)

    async def test_does_not_reopen_a_final_deposit(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        await record(world, await found(world, trade))
        await world.make_final(1)

        await record(world, await found(world, trade, height=201, units=7))

        assert [("final", COIN, 200)] == await rows(world, trade)


class TestBook:
    async def test_by_many_at_once_books_once(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        deposit = await world.deposit(trade, COIN)

        await asyncio.gather(*(world.make_final(deposit) for _ in range(8)))

        assert COIN == await world.held()
        assert {} == await world.broken_laws()

    @pytest.mark.parametrize(
        ("role", "index", "purpose"),
        [("house", 0, Purpose.DESK), ("free", 9, Purpose.SUSPENSE), ("user", 1, Purpose.AVAILABLE)],
    )
    async def test_goes_to_whom_the_address_belongs(
        self, world: World, role: str, index: int, purpose: Purpose
    ) -> None:
        address = await at(world, index)
        assert role == address.role

        await world.make_final(await world.arrive(address, COIN))

        units = await world.available() if purpose is Purpose.AVAILABLE else await world.house(purpose)
        assert (COIN, -COIN) == (units, await world.custody())
        assert purpose == await world.scalar("SELECT booked_to FROM deposits")
        assert {} == await world.broken_laws()
        assert [] == await world.differences()

    async def test_leaves_an_orphan_alone(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        deposit = await world.deposit(trade, COIN)
        await world.drop_block(deposit)

        await world.make_final(deposit)

        assert (0, 0) == (await world.held(), await world.custody())

    async def test_keeps_what_came_before_the_address_had_an_owner_in_suspense(self, world: World) -> None:
        deposit = await world.arrive(await at(world, 2), COIN)
        trade = await world.sell(Funding.DEPOSIT)
        assert address_at(2) == (await world.source(trade)).address

        await world.make_final(deposit)

        assert (0, COIN) == (await world.held(), await world.house(Purpose.SUSPENSE))
        assert {} == await world.broken_laws()

    async def test_finds_what_is_deep_enough(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        first = await world.deposit(trade, COIN)
        height = world.height
        await world.deposit(trade, COIN)

        async with world.engine.connect() as conn:
            assert [first] == await deposits.final_ids(conn, "ethereum", height=height)


class TestReturn:
    async def test_is_booked_once(self, world: World) -> None:
        await world.fund_house()
        trade = await world.sell(Funding.DEPOSIT)
        await world.cancel(trade)
        await world.make_final(await world.deposit(trade, COIN))
        async with world.engine.connect() as conn:
            (back,) = await queries.returns_of_trade(conn, trade)
        await world.top_up(f"return/{back.id}")
        await world.finish(f"return/{back.id}")

        await asyncio.gather(*(world.close_return(back.id) for _ in range(5)))
        await world.close_return(back.id, returned=False)

        assert (0, 0) == (await world.held(), await world.available())
        assert {} == await world.broken_laws()
        assert [] == await world.differences()
