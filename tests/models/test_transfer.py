"""A transfer of ours: its intent never changes, its nonce is its own, its states follow the picture."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.exc import DBAPIError

from models.errors import ForeignNonce, IllegalTransition, IntentMismatch
from models.ledger.chart import Purpose
from models.payout.states import PayoutStatus
from models.quote.types import Funding
from models.transfer import policy
from models.transfer import queries as transfers
from models.transfer import writes as transfer_writes
from models.transfer.states import NEXT
from models.transfer.states import TransferStatus as S
from models.transfer.types import Intent, Sighting, TransferPurpose
from models.wallet import allocate
from tests.models.world import COIN, ETH, FEE, GAS_FEE, GAS_PRICE_MOST, OUTSIDE, World, address_at

MANY = 12


@pytest.fixture
async def world(world: World) -> World:
    await world.fund_house()
    return world


async def intend_gas(world: World, number: int, *, to: str = address_at(1)) -> str:
    """A transfer from the house's own address."""
    async with world.engine.begin() as conn:
        desk = await allocate.house(conn, "ethereum")
        key = f"test-{number}/gas"
        await transfer_writes.intend(conn, Intent(key, TransferPurpose.GAS, "ethereum", ETH.id, desk.id, to, GAS_FEE))
    return key


async def moving(world: World) -> str:
    """A custody sale's transfer, intended."""
    await world.give_coins(2 * COIN)
    return f"{await world.sell(Funding.CUSTODY)}/transfer"


class TestNonce:
    async def test_of_each_transfer_is_the_next_whoever_signs_at_the_same_time(self, world: World) -> None:
        keys = [await intend_gas(world, number) for number in range(MANY)]

        await asyncio.gather(*(world.sign(key) for key in keys))

        nonces = sorted([(await world.transfer(key)).nonce or 0 for key in keys])
        assert list(range(MANY)) == nonces
        assert "nonces_have_no_gaps" not in await world.broken_laws()

    async def test_is_given_back_by_a_crash_before_the_commit(self, world: World) -> None:
        crashed, key = await intend_gas(world, 1), await intend_gas(world, 2)
        async with world.engine.connect() as conn:
            transfer = await transfers.transfer(conn, crashed, lock=True)
            await transfer_writes.meet_chain_nonce(conn, transfer, 7)
            await transfer_writes.reserve_nonce(conn, transfer)
            await conn.rollback()

        await world.sign(key)

        assert 0 == (await world.transfer(key)).nonce

    async def test_begins_where_the_chain_is(self, world: World) -> None:
        key = await intend_gas(world, 1)
        async with world.engine.begin() as conn:
            await transfer_writes.meet_chain_nonce(conn, await transfers.transfer(conn, key), 7)

        await world.sign(key)

        assert 7 == (await world.transfer(key)).nonce

    async def test_seen_on_chain_and_never_given_out_stops_everything(self, world: World) -> None:
        key, following = await intend_gas(world, 1), await intend_gas(world, 2)
        await world.sign(key)

        async with world.engine.begin() as conn:
            transfer = await transfers.transfer(conn, following)
            await transfer_writes.meet_chain_nonce(conn, transfer, 0)
            await transfer_writes.meet_chain_nonce(conn, transfer, 1)
            with pytest.raises(ForeignNonce):
                await transfer_writes.meet_chain_nonce(conn, transfer, 2)

    async def test_is_kept_by_a_replacement(self, world: World) -> None:
        key = await intend_gas(world, 1)
        first = await world.sign(key)
        await world.broadcast(key)

        second = await world.sign(key)

        async with world.engine.connect() as conn:
            attempts = (await transfers.attempts(conn, [key]))[key]
        assert [first, second] == [attempt.txid for attempt in attempts]
        assert (S.BROADCAST, 0) == ((await world.transfer(key)).status, (await world.transfer(key)).nonce)

    async def test_cannot_be_given_twice_by_hand(self, world: World) -> None:
        keys = [await intend_gas(world, number) for number in range(2)]
        await world.sign(keys[0])

        with pytest.raises(DBAPIError, match="uq_transfer_transactions_nonce"):
            await world.execute("UPDATE transfer_transactions SET nonce = 0 WHERE key = :key", key=keys[1])


class TestIntent:
    async def test_of_the_same_key_stays_the_first(self, world: World) -> None:
        key = await intend_gas(world, 1)

        await intend_gas(world, 1, to=address_at(2))

        assert address_at(1) == (await world.transfer(key)).to_address

    @pytest.mark.parametrize(
        "change",
        ["to_address = 'thief'", "amount_units = amount_units + 1", "purpose = 'return'", "nonce = nonce + 1"],
    )
    async def test_never_changes(self, world: World, change: str) -> None:
        await world.sign(await intend_gas(world, 1))

        with pytest.raises(DBAPIError, match="what was ordered does not change"):
            await world.execute(f"UPDATE transfer_transactions SET {change}")

    @pytest.mark.parametrize("change", ["raw = '0xother'", "txid = '0xother'"])
    async def test_keeps_its_signed_bytes(self, world: World, change: str) -> None:
        await world.sign(await intend_gas(world, 1))

        with pytest.raises(DBAPIError, match="what was ordered does not change"):
            await world.execute(f"UPDATE transfer_attempts SET {change}")

    @pytest.mark.parametrize("table", ["transfer_attempts", "transfer_transactions"])
    async def test_is_never_deleted(self, world: World, table: str) -> None:
        await world.sign(await intend_gas(world, 1))

        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(DBAPIError, match="permission denied"):
                await world.execute(statement)
            with pytest.raises(DBAPIError, match="append-only"):
                await world.execute_as_owner(statement)


class TestState:
    @pytest.mark.parametrize("skipped", [S.MINED, S.FINAL, S.FAILED, S.BROADCAST])
    async def test_is_not_skipped(self, world: World, skipped: S) -> None:
        key = await intend_gas(world, 1)

        with pytest.raises(IllegalTransition):
            await world._sight(key, Sighting(skipped))

    async def test_is_not_skipped_by_hand(self, world: World) -> None:
        await world.sign(await intend_gas(world, 1))

        for status in {*S, "stolen"} - NEXT[S.SIGNED] - {S.SIGNED}:
            with pytest.raises(DBAPIError, match="transfer cannot go from signed"):
                await world.execute("UPDATE transfer_transactions SET status = :s", s=str(status))

    async def test_never_leaves_its_end(self, world: World) -> None:
        key = await intend_gas(world, 1)
        await world.finish(key)

        with pytest.raises(IllegalTransition):
            await world._sight(key, Sighting(S.BROADCAST))

    async def test_is_never_rejected_once_signed(self, world: World) -> None:
        key = await intend_gas(world, 1)
        await world.sign(key)

        with pytest.raises(IllegalTransition):
            await world.reject(key)

    async def test_seen_again_at_the_same_place_changes_nothing(self, world: World) -> None:
        key = await intend_gas(world, 1)
        await world.mine(key)
        before = await world.transfer(key)
        seen = Sighting(S.MINED, before.txid, before.block_height, before.block_hash, 1, GAS_FEE)

        await world._sight(key, seen)
        same = await world.transfer(key)
        await world._sight(key, replace(seen, confirmations=2))

        assert before.version == same.version
        assert 2 == (await world.transfer(key)).confirmations

    async def test_final_books_the_fee_once(self, world: World) -> None:
        key = await intend_gas(world, 1)

        await world.finish(key)

        assert -GAS_FEE == await world.house(Purpose.NETWORK_FEES)
        assert GAS_FEE - 100 * COIN == await world.custody()
        assert [] == await world.differences()


class TestPolicy:
    async def _refuses(self, world: World, key: str, *, gas_limit: int = 21_000, fee_most: int = GAS_FEE) -> None:
        async with world.engine.begin() as conn:
            transfer = await transfers.transfer(conn, key)
            with pytest.raises(IntentMismatch):
                await policy.check(
                    conn, transfer, fee_most=fee_most, gas_limit=gas_limit, gas_price_most=GAS_PRICE_MOST
                )

    async def _intend(self, world: World, intent: Intent) -> str:
        async with world.engine.begin() as conn:
            await transfer_writes.intend(conn, intent)
        return intent.key

    async def test_refuses_gas_for_a_stranger(self, world: World) -> None:
        await self._refuses(world, await intend_gas(world, 1, to=OUTSIDE))

    async def test_refuses_gas_for_an_address_nobody_has(self, world: World) -> None:
        await self._refuses(world, await intend_gas(world, 1, to=address_at(9)))

    async def test_refuses_a_fee_above_the_ceiling(self, world: World) -> None:
        key = await moving(world)

        await self._refuses(world, key, gas_limit=1_000_001)
        await self._refuses(world, key, fee_most=21_000 * GAS_PRICE_MOST + 1)

    async def test_refuses_a_custody_transfer_of_a_cancelled_trade(self, world: World) -> None:
        key = await moving(world)
        await world.cancel(key.removesuffix("/transfer"))

        await self._refuses(world, key)

    async def test_refuses_coins_for_a_stranger_in_the_name_of_a_trade(self, world: World) -> None:
        trade = (await moving(world)).removesuffix("/transfer")
        source = (await world.trade(trade)).source_address_id

        key = await self._intend(
            world,
            Intent(f"{trade}/x", TransferPurpose.CUSTODY, "ethereum", ETH.id, source, OUTSIDE, COIN, trade_id=trade),
        )

        await self._refuses(world, key)

    async def test_refuses_a_return_that_the_books_do_not_know(self, world: World) -> None:
        trade = (await moving(world)).removesuffix("/transfer")
        source = (await world.trade(trade)).source_address_id

        key = await self._intend(
            world, Intent("return/x", TransferPurpose.RETURN, "ethereum", ETH.id, source, OUTSIDE, COIN, trade)
        )

        await self._refuses(world, key)

    async def test_refuses_a_refund_of_more_than_is_held(self, world: World) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        await world.make_final(await world.deposit(trade, COIN))
        await world.advance(trade)
        await world.hear(trade, PayoutStatus.REJECTED)
        await world.advance(trade)
        source = (await world.trade(trade)).source_address_id

        key = await self._intend(
            world,
            Intent(f"{trade}/refund/2", TransferPurpose.REFUND, "ethereum", ETH.id, source, OUTSIDE, COIN + 1, trade),
        )

        await self._refuses(world, key)


class TestQueries:
    async def test_list_what_is_in_flight_in_nonce_order(self, world: World) -> None:
        keys = [await intend_gas(world, number) for number in (3, 1, 2)]
        for key in keys:
            await world.sign(key)
        await world.finish(keys[0])

        async with world.engine.connect() as conn:
            flying = await transfers.in_flight(conn, "ethereum")
            ours = await transfers.ours(conn, ["0xnobody", (await world.transfer(keys[0])).txid or ""])

        assert keys[1:] == [transfer.key for transfer in flying]
        assert {(await world.transfer(keys[0])).txid} == ours

    async def test_give_back_the_fee_on_offer(self, world: World) -> None:
        key = await intend_gas(world, 1)
        await world.sign(key)

        async with world.engine.connect() as conn:
            (attempt,) = (await transfers.attempts(conn, [key]))[key]

        assert FEE == attempt.fee
