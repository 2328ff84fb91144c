"""The node-facing half against a real node (anvil), which mines only when a test says so."""

import logging
import traceback

import pytest

from chains.evm.fee import TRANSFER_GAS
from chains.protocol import Fee, Observation, Payment, Seen, Signed
from models.errors import BroadcastUnknown, Broken, InvalidAddress, NodeUnavailable, TransferImpossible
from tests.chains.anvil import free_port, running
from tests.chains.conftest import GWEI, Fault

ETHER = 10**18


class TestNativeTransfer:
    async def test_goes_from_the_pool_into_a_block_and_down_into_the_chain(self, anvil, node, account, stranger):
        before = await node.balance(account.address)

        signed = await account.signs(account.pays(stranger, ETHER))
        unseen = await node.observe(signed.txid)
        await node.broadcast(signed)
        waiting = await node.observe(signed.txid)
        await anvil.mine()
        mined = await node.observe(signed.txid)
        await anvil.mine(4)
        deeper = await node.observe(signed.txid)

        block = await node.block(mined.block_height)
        assert Observation(Seen.UNSEEN) == unseen
        assert Observation(Seen.MEMPOOL) == waiting
        assert (Seen.MINED, 1, block.hash) == (mined.seen, mined.confirmations, mined.block_hash)
        assert (Seen.MINED, 5, block.hash) == (deeper.seen, deeper.confirmations, deeper.block_hash)
        assert ETHER == await node.balance(stranger)
        assert before - ETHER - mined.fee_units == await node.balance(account.address)

    async def test_pays_exactly_the_gas_of_a_transfer_within_the_offer(self, anvil, node, account, stranger):
        fee = await node.estimate_fee(account.pays(stranger, 1))
        signed = await account.sends(account.pays(stranger, 1), fee=fee)
        await anvil.mine()

        paid = (await node.observe(signed.txid)).fee_units

        assert TRANSFER_GAS == fee.gas_limit
        assert 0 == paid % TRANSFER_GAS
        assert 0 < paid <= fee.most

    async def test_gets_a_margin_of_gas_when_the_recipient_is_a_contract(self, node, account, token):
        with pytest.raises(TransferImpossible, match="revert"):
            await node.estimate_fee(account.pays(token, 1))

    async def test_is_impossible_with_more_than_the_account_has(self, node, account, stranger):
        with pytest.raises(TransferImpossible, match="insufficient funds"):
            await node.estimate_fee(account.pays(stranger, 1_000 * ETHER))

    async def test_counts_the_pool_in_the_next_nonce(self, node, account, stranger):
        first = await node.nonce(account.address)

        await account.sends(account.pays(stranger, 1))

        assert (0, 1) == (first, await node.nonce(account.address))


class TestBroadcast:
    async def test_is_harmless_to_repeat_while_pending_and_when_mined(self, anvil, node, account, stranger):
        signed = await account.sends(account.pays(stranger, 7))

        await node.broadcast(signed)
        await anvil.mine()
        await node.broadcast(signed)
        await anvil.mine()
        await node.broadcast(signed)

        assert 7 == await node.balance(stranger)
        assert 1 == await node.nonce(account.address)

    async def test_leaves_the_loser_of_a_nonce_to_be_decided_by_observing(self, anvil, node, account, stranger):
        winner = await account.sends(account.pays(stranger, 1), nonce=0)
        await anvil.mine()
        loser = await account.signs(account.pays(stranger, 2), nonce=0)

        await node.broadcast(loser)

        assert (await node.observe(winner.txid)).seen is Seen.MINED
        assert (await node.observe(loser.txid)).seen is Seen.UNSEEN

    async def test_is_impossible_with_another_chains_id(self, node, account, stranger):
        fee = await node.estimate_fee(account.pays(stranger, 1))
        unsigned = account.signer.build(account.pays(stranger, 1), nonce=0, fee=fee, chain_id=1)
        signed = account.signer.sign(unsigned, index=account.index)

        with pytest.raises(TransferImpossible, match="chain id"):
            await node.broadcast(signed)

    @pytest.mark.parametrize("raw", ["0x", "0x02", "0x02f8", "0xdeadbeef"])
    async def test_is_impossible_with_malformed_bytes(self, node, raw):
        with pytest.raises(TransferImpossible):
            await node.broadcast(Signed(raw, "0x" + "11" * 32))

    async def test_is_impossible_without_coins_for_gas(self, anvil, node, account, stranger):
        signed = await account.signs(account.pays(stranger, ETHER))
        await anvil.fund(account.address, ETHER)

        with pytest.raises(TransferImpossible, match="insufficient funds"):
            await node.broadcast(signed)

    async def test_is_fine_when_the_coins_went_after_the_node_took_it(self, anvil, node, account, stranger):
        signed = await account.sends(account.pays(stranger, ETHER))
        await anvil.fund(account.address, ETHER)

        await node.broadcast(signed)

        assert (await node.observe(signed.txid)).seen is Seen.MEMPOOL

    async def test_is_left_to_a_bump_when_the_offer_is_below_the_base_fee(self, node, account, stranger):
        signed = await account.signs(account.pays(stranger, 1), fee=Fee(21_000, 1, 1))

        await node.broadcast(signed)

        assert (await node.observe(signed.txid)).seen is Seen.UNSEEN

    async def test_is_unknown_when_the_node_is_down(self, connect, account, stranger):
        signed = await account.signs(account.pays(stranger, 1))

        with pytest.raises(BroadcastUnknown):
            await connect(f"http://127.0.0.1:{free_port()}").broadcast(signed)

    async def test_is_unknown_when_the_reply_is_lost_though_the_node_took_it(
        self, node, connect, proxy, account, stranger
    ):
        signed = await account.signs(account.pays(stranger, 1))
        proxy.fault = Fault.LOSES_THE_REPLY

        with pytest.raises(BroadcastUnknown):
            await connect(proxy.url).broadcast(signed)

        assert (await node.observe(signed.txid)).seen is Seen.MEMPOOL

    async def test_is_unknown_when_one_node_refuses_after_another_may_have_taken_it(
        self, anvil, connect, proxy, account, stranger
    ):
        signed = await account.signs(account.pays(stranger, ETHER))
        await anvil.fund(account.address, ETHER)
        proxy.fault = Fault.LOSES_THE_REPLY

        with pytest.raises(BroadcastUnknown):
            await connect(proxy.url, anvil.url).broadcast(signed)


class TestTokenTransfer:
    async def test_moves_tokens_and_pays_gas_in_coins(self, anvil, node, account, token, stranger):
        await anvil.call_erc20(token, "mint", account.address, 1_000_000)

        signed = await account.sends(account.pays(stranger, 400_000, token))
        await anvil.mine()
        seen = await node.observe(signed.txid)

        assert seen.seen is Seen.MINED
        assert 400_000 == await node.balance(stranger, token)
        assert 600_000 == await node.balance(account.address, token)

    async def test_gets_a_margin_of_gas(self, anvil, node, account, token, stranger):
        await anvil.call_erc20(token, "mint", account.address, 1)
        fee = await node.estimate_fee(account.pays(stranger, 1, token))

        signed = await account.sends(account.pays(stranger, 1, token), fee=fee)
        await anvil.mine()

        receipt = await anvil.rpc("eth_getTransactionReceipt", signed.txid)
        used = int(receipt["gasUsed"], 16)
        assert used * 12 < fee.gas_limit * 10 < used * 15

    async def test_is_impossible_with_more_than_the_account_has(self, node, account, token, stranger):
        with pytest.raises(TransferImpossible, match="balance too low"):
            await node.estimate_fee(account.pays(stranger, 1, token))

    async def test_is_impossible_when_the_token_says_no_without_reverting(self, anvil, node, account, stranger):
        token = await anvil.deploy_erc20()
        await anvil.call_erc20(token, "mint", account.address, 5)
        await anvil.call_erc20(token, "setRefusing", True)

        with pytest.raises(TransferImpossible, match="will not move"):
            await node.estimate_fee(account.pays(stranger, 5, token))

    async def test_is_impossible_where_there_is_no_token(self, node, account, stranger, signer):
        with pytest.raises(TransferImpossible, match="no token"):
            await node.estimate_fee(account.pays(stranger, 5, signer.address(0)))

    async def test_is_seen_as_reverted_when_forced_and_costs_gas(self, anvil, node, account, token, stranger):
        fee = Fee(100_000, 100 * GWEI, GWEI)

        signed = await account.sends(account.pays(stranger, 1, token), fee=fee)
        await anvil.mine(3)
        seen = await node.observe(signed.txid)

        assert (Seen.REVERTED, 3) == (seen.seen, seen.confirmations)
        assert 0 < seen.fee_units <= fee.most
        assert 0 == await node.balance(stranger, token)

    async def test_has_a_balance_only_where_there_is_a_token(self, node, account, signer):
        with pytest.raises(Broken, match="no ERC-20"):
            await node.balance(account.address, signer.address(0))


class TestBump:
    async def test_replaces_the_stuck_transaction_under_its_nonce(self, anvil, node, account, stranger):
        payment = account.pays(stranger, 5)
        first_fee = await node.estimate_fee(payment)
        stuck = await account.sends(payment, fee=first_fee, nonce=0)

        raised = node.bump(first_fee, await node.estimate_fee(payment))
        replacing = await account.sends(payment, fee=raised, nonce=0)
        await anvil.mine()
        await node.broadcast(stuck)

        assert raised.max_fee_per_gas * 100 >= first_fee.max_fee_per_gas * 110
        assert raised.max_priority_fee_per_gas * 100 >= first_fee.max_priority_fee_per_gas * 110
        assert (await node.observe(stuck.txid)).seen is Seen.UNSEEN
        assert (await node.observe(replacing.txid)).seen is Seen.MINED
        assert 5 == await node.balance(stranger)

    async def test_is_not_undone_by_sending_the_old_one_again(self, anvil, node, account, stranger):
        payment = account.pays(stranger, 5)
        fee = await node.estimate_fee(payment)
        old = await account.sends(payment, fee=fee, nonce=0)
        new = await account.sends(payment, fee=node.bump(fee, fee), nonce=0)

        await node.broadcast(old)
        await anvil.mine()

        assert (await node.observe(new.txid)).seen is Seen.MINED


class TestReorganisation:
    async def test_takes_a_mined_transaction_back_until_it_is_sent_again(self, anvil, node, account, stranger):
        signed = await account.sends(account.pays(stranger, 9))
        await anvil.mine(3)
        before = await node.observe(signed.txid)

        await anvil.reorg(3)
        gone = await node.observe(signed.txid)
        await node.broadcast(signed)
        waiting = await node.observe(signed.txid)
        await anvil.mine()
        again = await node.observe(signed.txid)

        assert (Seen.MINED, 3) == (before.seen, before.confirmations)
        assert Observation(Seen.UNSEEN) == gone
        assert Observation(Seen.MEMPOOL) == waiting
        assert (Seen.MINED, 1) == (again.seen, again.confirmations)
        assert again.block_hash != before.block_hash
        assert 9 == await node.balance(stranger)

    async def test_brings_several_back_when_all_are_sent_again_in_order(self, anvil, node, account, stranger):
        signed = [await account.sends(account.pays(stranger, units)) for units in (1, 2, 4)]
        await anvil.mine()
        await anvil.reorg(1)

        for each in signed:
            await node.broadcast(each)
        await anvil.mine()

        assert [Seen.MINED] * 3 == [(await node.observe(each.txid)).seen for each in signed]
        assert 7 == await node.balance(stranger)

    async def test_does_not_count_a_receipt_whose_block_was_replaced(self, anvil, connect, proxy, account, stranger):
        signed = await account.sends(account.pays(stranger, 9))
        await anvil.mine()
        proxy.fault = Fault.STALE_RECEIPT

        assert Observation(Seen.UNSEEN) == await connect(proxy.url).observe(signed.txid)


class TestBlocks:
    async def test_form_a_chain_up_to_the_head(self, anvil, node):
        await anvil.mine(2)

        head = await node.head()
        parent = await node.block(head.height - 1)

        assert await anvil.height() == head.height
        assert parent.hash == head.parent_hash
        assert head.time >= parent.time > 1_600_000_000

    async def test_end_at_the_head(self, node):
        head = await node.head()

        assert await node.block(head.height + 1) is None


class TestEndpoints:
    async def test_report_the_chain_they_serve_whatever_we_expect(self, anvil, connect):
        assert anvil.chain_id == await connect(anvil.url, chain_id=1).chain_id()

    async def test_stop_everything_when_they_serve_another_chain(self, anvil, connect):
        with pytest.raises(Broken, match="serves chain 31337, not 1"):
            await connect(anvil.url, chain_id=1).head()

    async def test_are_unavailable_when_none_listens(self, connect):
        dead = connect(f"http://127.0.0.1:{free_port()}")

        with pytest.raises(NodeUnavailable):
            await dead.head()
        with pytest.raises(NodeUnavailable):
            await dead.observe("0x" + "11" * 32)
        with pytest.raises(NodeUnavailable):
            await dead.chain_id()

    @pytest.mark.parametrize("fault", [Fault.HANGS, Fault.ANSWERS_HTML, Fault.ANSWERS_NULL, Fault.LOSES_THE_REPLY])
    async def test_are_passed_over_while_they_do_not_answer_well(self, anvil, connect, proxy, fault):
        proxy.fault = fault
        both, alone = (connect(*urls, timeout_seconds=0.3) for urls in ((proxy.url, anvil.url), (proxy.url,)))

        height = (await both.head()).height

        assert await anvil.height() == height
        with pytest.raises(NodeUnavailable):
            await alone.head()

    async def test_are_asked_first_when_they_answered_last(self, anvil, connect, proxy):
        proxy.fault = Fault.ANSWERS_HTML
        node = connect(proxy.url, anvil.url)
        await node.head()
        asked = len(proxy.asked)

        await node.head()

        assert asked == len(proxy.asked)

    async def test_broadcast_through_the_second_when_the_first_is_down(self, anvil, connect, account, stranger):
        signed = await account.signs(account.pays(stranger, 3))
        node = connect(f"http://127.0.0.1:{free_port()}", anvil.url)

        await node.broadcast(signed)
        await anvil.mine()

        assert (await node.observe(signed.txid)).seen is Seen.MINED

    async def test_are_unavailable_after_their_node_ended(self, connect):
        async with running() as short_lived:
            node = connect(short_lived.url)
            await node.head()

        with pytest.raises(NodeUnavailable):
            await node.head()

    async def test_open_again_after_close(self, anvil, connect):
        node = connect(anvil.url)
        await node.head()

        await node.close()
        await node.close()

        assert await anvil.height() == (await node.head()).height

    async def test_keep_the_key_in_their_url_out_of_errors_and_logs(self, connect, proxy, caplog, capsys):
        caplog.set_level(logging.DEBUG)
        proxy.fault = Fault.ANSWERS_HTML
        node = connect(proxy.url)

        with pytest.raises(NodeUnavailable) as caught:
            await node.head()

        captured = capsys.readouterr()
        said = "".join(traceback.format_exception(caught.value)) + caplog.text + captured.out + captured.err
        assert "127.0.0.1" in caught.value.detail
        assert "secret-api-key" not in said

    async def test_may_run_by_proof_of_authority(self, anvil, connect, proxy):
        proxy.fault = Fault.PROOF_OF_AUTHORITY

        assert await anvil.height() == (await connect(proxy.url).head()).height

    async def test_may_charge_a_rollups_fee_beside_the_gas(self, anvil, node, connect, proxy, account, stranger):
        proxy.fault = Fault.ROLLUP_FEE
        signed = await account.sends(account.pays(stranger, 1))
        await anvil.mine()

        plain, rollup = await node.observe(signed.txid), await connect(proxy.url).observe(signed.txid)

        assert 1_000 == rollup.fee_units - plain.fee_units

    async def test_are_not_asked_about_what_is_no_address(self, node, account):
        with pytest.raises(InvalidAddress):
            await node.balance("nobody")
        with pytest.raises(InvalidAddress):
            await node.estimate_fee(Payment(account.address, "0x" + "0" * 40, 1))
