"""Incoming transfers, found by reading whole blocks and the Transfer events of our tokens.

Addresses are compared here in memory and not by the node: nodes cap how many one may ask for, and
reading a token's events whole costs the same. Not found: native coins sent by a contract from inside
its own execution, which no block lists.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from web3.exceptions import Web3RPCError
from web3.types import RPCEndpoint

from chains.evm.address import checksummed
from chains.evm.rpc import Web3
from chains.protocol import Block, Incoming
from models.errors import NodeUnavailable

TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""Keccak-256 of ``Transfer(address,address,uint256)``."""

BLOCKS_PER_QUESTION = 100
REQUESTS_AT_ONCE = 10
NATIVE_INDEX = -1

Json = Mapping[str, Any]
Names = Mapping[str, str]
"""Lower-case address → the caller's own spelling, which goes back in the result."""


def names(addresses: Collection[str]) -> Names:
    return {address.lower(): address for address in addresses}


async def scan(web3: Web3, first: int, last: int, *, addresses: Names, contracts: Names) -> list[Incoming]:
    """Transfers in blocks ``first``..``last`` (at most :data:`BLOCKS_PER_QUESTION`), in chain order.

    Zero amounts are left out: anybody can make a token emit those, in order to put a look-alike address
    into somebody's history.

    :raises NodeUnavailable: the node has not reached ``last``, or a reorganisation went through the range.
    """
    blocks = await _blocks(web3, first, last)
    headers = {int(block["number"], 16): header(block) for block in blocks}
    native = [
        transfer for block in blocks for transfer in _native(block, headers[int(block["number"], 16)], addresses)
    ]
    tokens = await _tokens(web3, headers, addresses, contracts) if contracts and addresses else []
    receipts = await _receipts(web3, {transfer.txid for transfer in (*native, *tokens)})
    order = {tx["hash"]: place for block in blocks for place, tx in enumerate(block["transactions"])}
    return sorted(
        [
            *(transfer for transfer in native if int(receipts[transfer.txid]["status"], 16) == 1),
            *(_within_its_transaction(transfer, receipts[transfer.txid]) for transfer in tokens),
        ],
        key=lambda transfer: (transfer.block.height, order[transfer.txid], transfer.index),
    )


def header(block: Json) -> Block:
    """A block's JSON as our :class:`Block`."""
    return Block(
        height=int(block["number"], 16),
        hash=block["hash"],
        parent_hash=block["parentHash"],
        time=int(block["timestamp"], 16),
    )


async def ask(web3: Web3, method: str, *params: Any) -> Any:
    """The plain JSON result: web3's formatters would checksum every address of every transaction."""
    return await web3.manager.coro_request(RPCEndpoint(method), list(params))


async def _blocks(web3: Web3, first: int, last: int) -> list[Json]:
    turn = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def one(height: int) -> Json:
        async with turn:
            block: Json | None = await ask(web3, "eth_getBlockByNumber", hex(height), True)
        if block is None:
            raise NodeUnavailable(f"the node has no block {height} yet")
        return block

    blocks = await asyncio.gather(*(one(height) for height in range(first, last + 1)))
    if any(child["parentHash"] != parent["hash"] for parent, child in pairwise(blocks)):
        raise NodeUnavailable(f"the chain was reorganised between blocks {first} and {last} while being read")
    return blocks


def _native(block: Json, found_in: Block, addresses: Names) -> list[Incoming]:
    return [
        Incoming(
            txid=tx["hash"],
            index=NATIVE_INDEX,
            from_address=checksummed(tx["from"]),
            to_address=addresses[tx["to"].lower()],
            contract=None,
            units=int(tx["value"], 16),
            block=found_in,
        )
        for tx in block["transactions"]
        if tx["to"] and tx["to"].lower() in addresses and int(tx["value"], 16) > 0
    ]


async def _receipts(web3: Web3, txids: Collection[str]) -> dict[str, Json]:
    turn = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def one(txid: str) -> Json:
        async with turn:
            receipt: Json | None = await ask(web3, "eth_getTransactionReceipt", txid)
        if receipt is None:
            raise NodeUnavailable("the node lost a transaction of a block it had just shown")
        return receipt

    return dict(zip(txids, await asyncio.gather(*(one(txid) for txid in txids)), strict=True))


def _within_its_transaction(transfer: Incoming, receipt: Json) -> Incoming:
    """Nodes count logs through the block; a reorg that moves the transaction would give the transfer another
    index, and so another identity. Its place within its transaction stays.
    """
    first = min(int(event["logIndex"], 16) for event in receipt["logs"])
    return replace(transfer, index=transfer.index - first)


async def _tokens(web3: Web3, headers: Mapping[int, Block], addresses: Names, contracts: Names) -> list[Incoming]:
    incoming = []
    for event in await _events(web3, min(headers), max(headers), contracts):
        found_in = headers[int(event["blockNumber"], 16)]
        if event["blockHash"] != found_in.hash:
            raise NodeUnavailable(f"the chain was reorganised at block {found_in.height} while being read")
        transfer = _token(event, found_in, addresses, contracts)
        if transfer:
            incoming.append(transfer)
    return incoming


async def _events(web3: Web3, first: int, last: int, contracts: Names) -> list[Json]:
    """All Transfer events of ``contracts``; in halves where a node finds the answer too long."""
    question = {
        "fromBlock": hex(first),
        "toBlock": hex(last),
        "address": list(contracts.values()),
        "topics": [TRANSFER_TOPIC],
    }
    try:
        events: list[Json] = await ask(web3, "eth_getLogs", question)
    except Web3RPCError:
        if first == last:
            raise
        middle = (first + last) // 2
        return [
            *await _events(web3, first, middle, contracts),
            *await _events(web3, middle + 1, last, contracts),
        ]
    return events


def _token(event: Json, found_in: Block, addresses: Names, contracts: Names) -> Incoming | None:
    topics = event["topics"]
    if len(topics) != 3:  # ERC-721 has the same event name with a fourth topic
        return None
    recipient, units = _address(topics[2]), int(event["data"], 16)
    if recipient not in addresses or units == 0:
        return None
    return Incoming(
        txid=event["transactionHash"],
        index=int(event["logIndex"], 16),
        from_address=checksummed(_address(topics[1])),
        to_address=addresses[recipient],
        contract=contracts[event["address"].lower()],
        units=units,
        block=found_in,
    )


def _address(topic: str) -> str:
    return f"0x{topic[-40:].lower()}"
