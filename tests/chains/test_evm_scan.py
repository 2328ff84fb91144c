"""Incoming transfers as a real node shows them."""

import pytest

from chains.evm import scan as scanning
from chains.protocol import Fee
from models.errors import NodeUnavailable
from tests.chains.conftest import GWEI, Fault


class TestScan:
    async def test_finds_native_and_token_transfers_in_chain_order(self, anvil, node, account, token, stranger):
        await anvil.call_erc20(token, "mint", account.address, 100)
        first = await anvil.height() + 1
        native = await account.sends(account.pays(stranger, 11))
        tokens = await account.sends(account.pays(stranger, 22, token))
        more = await account.sends(account.pays(stranger, 33))
        await anvil.mine()
        later = await account.sends(account.pays(stranger, 44, token))
        await anvil.mine()

        found = await node.scan(first, first + 1, addresses={stranger}, contracts={token})

        block, next_block = await node.block(first), await node.block(first + 1)
        assert [
            (native.txid, None, 11, block),
            (tokens.txid, token, 22, block),
            (more.txid, None, 33, block),
            (later.txid, token, 44, next_block),
        ] == [(each.txid, each.contract, each.units, each.block) for each in found]
        assert [(account.address, stranger)] * 4 == [(each.from_address, each.to_address) for each in found]
        assert [-1, -1] == [each.index for each in found if each.contract is None]
        assert all(each.index >= 0 for each in found if each.contract)

    async def test_names_a_token_transfer_by_its_place_in_its_transaction_not_in_the_block(
        self, anvil, node, account, token, stranger
    ):
        await anvil.call_erc20(token, "mint", account.address, 100)
        height = await anvil.height() + 1
        await account.sends(account.pays(stranger, 1, token), nonce=await node.nonce(account.address))
        await account.sends(account.pays(stranger, 2, token), nonce=await node.nonce(account.address))
        await anvil.mine()

        found = await node.scan(height, height, addresses={stranger}, contracts={token})

        assert [(1, 0), (2, 0)] == [(each.units, each.index) for each in found]

    async def test_gives_addresses_and_contracts_back_as_the_caller_spells_them(self, anvil, node, account, token):
        await anvil.call_erc20(token, "mint", account.address, 5)
        height = await anvil.height()
        shouted = "0x" + token[2:].upper()

        found = await node.scan(height, height, addresses=[account.address.lower()], contracts=[shouted])

        assert [(account.address.lower(), shouted)] == [(each.to_address, each.contract) for each in found]

    async def test_leaves_out_failed_transactions(self, anvil, node, account, token):
        height = await anvil.height() + 1
        await account.sends(account.pays(token, 5), fee=Fee(100_000, 100 * GWEI, GWEI))
        await account.sends(account.pays(account.address, 5, token), fee=Fee(100_000, 100 * GWEI, GWEI))
        await anvil.mine()

        found = await node.scan(height, height, addresses=[token, account.address], contracts=[token])

        assert [] == found

    async def test_leaves_out_other_addresses_other_tokens_and_nothing(
        self, anvil, node, account, token, stranger, signer
    ):
        other = await anvil.deploy_erc20()
        await anvil.call_erc20(token, "mint", account.address, 5)
        await anvil.call_erc20(other, "mint", account.address, 5)
        height = await anvil.height() + 1
        await account.sends(account.pays(stranger, 5, other))
        await account.sends(account.pays(stranger, 0, token))
        await account.sends(account.pays(stranger, 0))
        await account.sends(account.pays(signer.address(0), 5, token))
        await account.sends(account.pays(signer.address(0), 5))
        await anvil.mine()

        found = await node.scan(height, height, addresses=[stranger], contracts=[token])

        assert [] == found

    async def test_finds_the_same_in_one_range_and_block_by_block(self, anvil, node, account, token, monkeypatch):
        await anvil.call_erc20(token, "mint", account.address, 100)
        first = await anvil.height() + 1
        for units in (1, 2, 3, 4, 5):
            await account.sends(account.pays(account.address, units, token))
            await account.sends(account.pays(account.address, units))
            await anvil.mine()
        last = await anvil.height()
        asked = {"addresses": {account.address}, "contracts": {token}}

        whole = await node.scan(first, last, **asked)
        single = [each for height in range(first, last + 1) for each in await node.scan(height, height, **asked)]
        monkeypatch.setattr(scanning, "BLOCKS_PER_QUESTION", 2)
        pairs = await node.scan(first, last, **asked)

        assert 10 == len(whole)
        assert whole == single == pairs

    async def test_asks_for_events_in_halves_when_the_node_finds_them_too_many(
        self, anvil, node, connect, proxy, account, token
    ):
        await anvil.call_erc20(token, "mint", account.address, 100)
        first = await anvil.height() + 1
        for units in (1, 2, 3, 4, 5):
            await account.sends(account.pays(account.address, units, token))
            await anvil.mine()
        proxy.fault = Fault.REFUSES_LONG_RANGES
        asked = {"addresses": {account.address}, "contracts": {token}}

        found = await connect(proxy.url).scan(first, first + 4, **asked)

        assert [1, 2, 3, 4, 5] == [each.units for each in found]

    async def test_finds_nothing_of_a_block_that_was_replaced(self, anvil, node, account, stranger):
        height = await anvil.height() + 1
        await account.sends(account.pays(stranger, 5))
        await anvil.mine()
        asked = {"addresses": [stranger], "contracts": []}
        before = await node.scan(height, height, **asked)

        await anvil.reorg(1)
        after = await node.scan(height, height, **asked)

        assert ([5], []) == ([each.units for each in before], after)

    @pytest.mark.parametrize("fault", [Fault.STALE_PARENT, Fault.STALE_EVENTS])
    async def test_is_to_be_asked_again_when_the_chain_changed_while_being_read(
        self, anvil, connect, proxy, account, token, fault
    ):
        await anvil.call_erc20(token, "mint", account.address, 5)
        height = await anvil.height()
        proxy.fault = fault

        with pytest.raises(NodeUnavailable, match="reorganised"):
            await connect(proxy.url).scan(height - 1, height, addresses=[account.address], contracts=[token])

    async def test_waits_for_blocks_that_are_not_there_yet(self, anvil, node, stranger):
        height = await anvil.height()

        with pytest.raises(NodeUnavailable, match="no block"):
            await node.scan(height, height + 1, addresses=[stranger], contracts=[])

    async def test_reads_nothing_of_an_empty_range(self, anvil, node, stranger):
        height = await anvil.height()

        assert [] == await node.scan(height + 1, height, addresses=[stranger], contracts=[])
