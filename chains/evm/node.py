"""The node-facing half of the EVM family: one class for all seven networks, which differ in data only."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, cast

from aiohttp import ClientConnectorError
from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3RPCError
from web3.types import BlockData, BlockIdentifier, TxParams, TxReceipt, Wei

from chains.evm import build as building
from chains.evm import fee as fees
from chains.evm import scan as scanning
from chains.evm.address import EvmAddressFormat
from chains.evm.rpc import Endpoints, Web3, message_of
from chains.evm.verdict import never_taken, undecided, would_fail
from chains.protocol import Block, Fee, Incoming, Observation, Payment, Seen, Signed
from models.errors import BroadcastUnknown, Broken, NodeUnavailable, TransferImpossible

BALANCE_OF_SELECTOR = "0x70a08231"
MESSAGE_LENGTH_MAX = 200


class EvmNode:
    """Implements :class:`chains.protocol.Chain` over the JSON-RPC of EVM nodes.

    :param rpc_urls: in order of preference; the next one is asked when one fails. ``close()`` when done.
    :param timeout_seconds: for each HTTP request; a call makes a few.
    """

    def __init__(self, *, chain_id: int, rpc_urls: Sequence[str], timeout_seconds: float = 10.0) -> None:
        self._chain_id = chain_id
        self._endpoints = Endpoints(rpc_urls, chain_id=chain_id, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        await self._endpoints.close()

    async def chain_id(self) -> int:
        """The EIP-155 id that the node reports. See :class:`chains.protocol.Chain`."""

        async def question(web3: Web3) -> int:
            return await web3.eth.chain_id

        return await self._endpoints.ask(question, any_chain=True)

    async def head(self) -> Block:
        return await self._endpoints.ask(lambda web3: _block(web3, "latest"))

    async def block(self, height: int) -> Block | None:
        return await self._endpoints.ask(lambda web3: _block_at(web3, height))

    async def balance(self, address: str, contract: str | None = None) -> int:
        """Base units at the latest block.

        :raises Broken: there is no ERC-20 token at ``contract``.
        """
        owner = _checksum(address)
        if contract is None:
            return await self._endpoints.ask(lambda web3: web3.eth.get_balance(owner))
        call = TxParams(to=_checksum(contract), data=HexBytes(f"{BALANCE_OF_SELECTOR}{owner[2:].lower():0>64}"))
        units = await self._endpoints.ask(lambda web3: _called(web3, call))
        if len(units) != 32:
            raise Broken(f"there is no ERC-20 token at {contract} on chain {self._chain_id}: correct the settings")
        return int.from_bytes(units)

    async def nonce(self, address: str) -> int:
        account = _checksum(address)
        return await self._endpoints.ask(lambda web3: web3.eth.get_transaction_count(account, "pending"))

    async def estimate_fee(self, payment: Payment) -> Fee:
        """The usual tip of the last blocks, and room for the base fee to double. See :mod:`chains.evm.fee`.

        Gas for the transfer itself need not be on the account yet; the amount must.

        :raises TransferImpossible: the transfer fails on the node's present state, or the token says no.
        """
        action = building.call(payment)
        payer = _checksum(payment.from_address)
        call = TxParams(
            {
                "from": payer,
                "to": _checksum(action["to"]),
                "value": Wei(action["value"]),
                "data": HexBytes(action["data"]),
            }
        )

        async def question(web3: Web3) -> Fee:
            try:
                if payment.contract is not None:
                    await _token_agrees(web3, call)
                elif await web3.eth.get_balance(payer) < payment.units:
                    raise TransferImpossible("insufficient funds: the account does not hold the amount")
                gas, (base_fee, tip) = await asyncio.gather(web3.eth.estimate_gas(call), _prices(web3))
            except ContractLogicError as error:
                raise TransferImpossible(f"the transfer would be reverted: {_short(error.message)}") from None
            except Web3RPCError as error:
                if would_fail(message_of(error)):
                    raise TransferImpossible(f"the node refuses: {_short(message_of(error))}") from None
                raise
            return fees.offer(gas_estimate=gas, base_fee=base_fee, tip=tip)

        return await self._endpoints.ask(question)

    def bump(self, fee: Fee, present: Fee) -> Fee:
        return fees.bump(fee, present)

    async def broadcast(self, signed: Signed) -> None:
        """Hand the raw bytes to the network; harmless to repeat. See :class:`chains.protocol.Chain`.

        A refusal counts only when the node does not have the transaction itself, and when no other node
        may have taken it just before. It is about the chain as it stands: signed bytes refused for want
        of coins become good again when coins arrive, until another transaction has used their nonce.

        :raises BroadcastUnknown: no clear answer; send the same bytes again.
        :raises TransferImpossible: refused for good, or for want of coins.
        """
        perhaps_taken = False

        async def question(web3: Web3) -> None:
            nonlocal perhaps_taken
            try:
                await web3.eth.send_raw_transaction(HexBytes(signed.raw))
            except Web3RPCError as error:
                message = message_of(error)
                if undecided(message) or await _known(web3, signed.txid):
                    return
                if never_taken(message) and not perhaps_taken:
                    raise TransferImpossible(f"the node refuses: {_short(message)}") from None
                raise
            except ClientConnectorError:
                raise
            except Exception:
                perhaps_taken = True
                raise

        try:
            await self._endpoints.ask(question)
        except NodeUnavailable as error:
            raise BroadcastUnknown(f"it may or may not be sent: {error.detail}") from None

    async def observe(self, txid: str) -> Observation:
        """Where the transaction is. A receipt counts only if its block is on the node's best chain now."""
        return await self._endpoints.ask(lambda web3: _observed(web3, txid))

    async def scan(
        self, first: int, last: int, *, addresses: Collection[str], contracts: Collection[str]
    ) -> list[Incoming]:
        """Transfers to ``addresses``, in chain order, in the spelling given. See :mod:`chains.evm.scan`.

        :raises NodeUnavailable: also when ``last`` is above the head, or a reorganisation went through.
        """
        ours, tokens = scanning.names(addresses), scanning.names(contracts)
        found: list[Incoming] = []
        for start in range(first, last + 1, scanning.BLOCKS_PER_QUESTION):
            end = min(last, start + scanning.BLOCKS_PER_QUESTION - 1)
            found += await self._endpoints.ask(
                lambda web3, start=start, end=end: scanning.scan(  # type: ignore[misc]  # mypy infers no defaults
                    web3, start, end, addresses=ours, contracts=tokens
                )
            )
        return found


async def _block(web3: Web3, identifier: BlockIdentifier) -> Block:
    block: BlockData = await web3.eth.get_block(identifier)
    return Block(
        height=block["number"],
        hash=block["hash"].to_0x_hex(),
        parent_hash=block["parentHash"].to_0x_hex(),
        time=block["timestamp"],
    )


async def _block_at(web3: Web3, height: int) -> Block | None:
    try:
        return await _block(web3, height)
    except BlockNotFound:
        return None


async def _called(web3: Web3, call: TxParams) -> bytes:
    try:
        return bytes(await web3.eth.call(call))
    except ContractLogicError:
        return b""


async def _token_agrees(web3: Web3, call: TxParams) -> None:
    """Some tokens return false rather than revert, and a call to an address without code always succeeds.

    :raises TransferImpossible: in both cases.
    :raises ContractLogicError: the transfer reverts.
    """
    returned = await web3.eth.call(call)
    if not returned and not await web3.eth.get_code(cast("ChecksumAddress", call["to"])):
        raise TransferImpossible(f"there is no token at {call['to']!r}")
    if returned and not int.from_bytes(returned):
        raise TransferImpossible("the token answers that it will not move this amount")


async def _prices(web3: Web3) -> tuple[int, int]:
    """The base fee of the next block and a tip, wei per gas."""
    history = await web3.eth.fee_history(fees.HISTORY_BLOCKS, "latest", [fees.HISTORY_PERCENTILE])
    rewards = [reward[0] for reward in history["reward"]]
    tip = fees.tip(rewards, history["gasUsedRatio"])
    return history["baseFeePerGas"][-1], await web3.eth.max_priority_fee if tip is None else tip


async def _known(web3: Web3, txid: str) -> bool:
    try:
        await web3.eth.get_transaction(HexBytes(txid))
    except TransactionNotFound:
        return False
    return True


async def _observed(web3: Web3, txid: str) -> Observation:
    try:
        receipt = await web3.eth.get_transaction_receipt(HexBytes(txid))
    except TransactionNotFound:
        return Observation(Seen.MEMPOOL if await _known(web3, txid) else Seen.UNSEEN)
    height, block_hash = receipt["blockNumber"], receipt["blockHash"].to_0x_hex()
    head, canonical = await asyncio.gather(web3.eth.block_number, _block_at(web3, height))
    if canonical is None or canonical.hash != block_hash or head < height:
        return Observation(Seen.UNSEEN)
    return Observation(
        seen=Seen.MINED if receipt["status"] == 1 else Seen.REVERTED,
        confirmations=head - height + 1,
        block_height=height,
        block_hash=block_hash,
        fee_units=_paid(receipt),
    )


def _paid(receipt: TxReceipt) -> int:
    """Wei spent: gas, and on rollups of the OP stack the ``l1Fee`` that their receipts carry beside it."""
    return receipt["gasUsed"] * receipt["effectiveGasPrice"] + _quantity(receipt.get("l1Fee", 0))


def _quantity(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)


def _checksum(address: str) -> ChecksumAddress:
    return cast("ChecksumAddress", EvmAddressFormat().parse(address))


def _short(message: str | None) -> str:
    return (message or "no reason given")[:MESSAGE_LENGTH_MAX]
