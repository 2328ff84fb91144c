"""The chain on a bad day: reorgs, transactions that get stuck, tokens that need gas, tokens nobody asked for."""

import itertools

from tests.desk import ETHER, Desk


class TestReorg:
    async def test_of_a_deposit_after_one_confirmation_waits_again(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.sell(ana, "0.2", funding="deposit")
        with desk.by_hand():
            await desk.send(trade["deposit_address"], ETHER // 5)
            await desk.anvil.mine()
            await desk.until(ana, trade, "confirming")

            await desk.anvil.reorg(1)
            await desk.anvil.mine()
            back = await desk.until(ana, trade, "awaiting_deposit")
            await desk.send(trade["deposit_address"], ETHER // 5)
            await desk.anvil.mine(4)
            await desk.until(ana, trade, "completed")

        assert "deposits_too_small_so_far" == back["reason"]
        assert 1 == len(desk.payouts_of(trade))
        await desk.balanced()

    async def test_of_our_own_transfer_sends_the_same_bytes_again(self, desk: Desk):
        ana = await desk.person()
        await desk.give(ana, ETHER)
        with desk.by_hand():
            trade = await desk.sell(ana, "0.2")
            txid = await _in_pool(desk, ana, trade)
            await desk.anvil.mine()
            await desk.until(ana, trade, "confirming")

            await desk.anvil.reorg(1)
            await desk.until(ana, trade, "transferring")
            assert txid == await _in_pool(desk, ana, trade)
            await desk.anvil.mine(4)
            await desk.until(ana, trade, "completed")

        states = await desk.log(ana, trade)
        expected = ["transferring", "confirming", "transferring", "confirming", "paying_out", "completed"]
        assert expected == states
        await desk.balanced()


class TestStuckTransfer:
    async def test_is_replaced_at_a_higher_fee_under_the_same_nonce(self, desk: Desk):
        ana = await desk.person()
        await desk.give(ana, ETHER)
        with desk.by_hand():
            trade = await desk.sell(ana, "0.2")
            first = await _in_pool(desk, ana, trade)
            await desk.eventually(lambda: _attempts(desk, ana, trade, 2), "a replacement", seconds=20)
            await desk.eventually(lambda: _pool_is_without(desk, first), "the first to be replaced")
            await desk.anvil.mine(4)
            await desk.until(ana, trade, "completed")

        transfer = _custody(await desk.why(ana, trade))
        fees = [int(attempt["fee"]["max_fee_per_gas"]) for attempt in transfer["attempts"]]
        assert first != transfer["txid"]
        assert all(later * 10 >= earlier * 11 for earlier, later in itertools.pairwise(fees))
        assert ETHER - ETHER // 5 == await desk.available(ana)
        await desk.balanced()


async def _in_pool(desk: Desk, person, trade) -> str:
    """The txid of the custody transfer, once the node's pool has it."""
    found: list[str] = []

    async def there() -> bool:
        transfer = _custody(await desk.why(person, trade))
        for attempt in transfer["attempts"]:
            if await desk.anvil.rpc("eth_getTransactionByHash", attempt["txid"]):
                found[:] = [attempt["txid"]]
                return True
        return False

    await desk.eventually(there, "the transfer to be in the pool")
    return found[0]


async def _attempts(desk: Desk, person, trade, count: int) -> bool:
    return len(_custody(await desk.why(person, trade))["attempts"]) >= count


async def _pool_is_without(desk: Desk, txid: str) -> bool:
    return await desk.anvil.rpc("eth_getTransactionByHash", txid) is None


def _custody(why) -> dict:
    return next(transfer for transfer in why["transfers"] if transfer["purpose"] == "custody")
