"""One node, one signer, and a fresh funded account per test; a proxy that behaves like a bad connection."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretBytes

from chains.evm.node import EvmNode
from chains.evm.signer import EvmSigner
from chains.protocol import Fee, Payment, Signed
from tests.chains.anvil import Anvil, running

SEED = SecretBytes(bytes(range(64)))
INDEXES = itertools.count(1)
GWEI = 10**9
REPLACED = "0x" + "22" * 32
TOO_MANY = {"code": -32005, "message": "query returns more than 10000 results"}


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    return json.loads((Path(__file__).parents[1] / "vectors" / "evm.json").read_text())


@pytest.fixture(scope="session")
async def anvil() -> AsyncIterator[Anvil]:
    async with running() as node:
        yield node


@pytest.fixture
async def connect(anvil: Anvil) -> AsyncIterator[Callable[..., EvmNode]]:
    """Makes nodes over any URLs, and closes them after the test."""
    made = []

    def connect(*urls: str, chain_id: int = anvil.chain_id, timeout_seconds: float = 5.0) -> EvmNode:
        made.append(EvmNode(chain_id=chain_id, rpc_urls=urls, timeout_seconds=timeout_seconds))
        return made[-1]

    yield connect
    for node in made:
        await node.close()


@pytest.fixture
async def node(connect: Callable[..., EvmNode], anvil: Anvil) -> EvmNode:
    return connect(anvil.url)


@pytest.fixture(scope="session")
def signer() -> EvmSigner:
    return EvmSigner(SEED)


@pytest.fixture(scope="session")
async def token(anvil: Anvil) -> str:
    return await anvil.deploy_erc20()


@dataclass
class Account:
    """One of our addresses, with what a test asks of it in one word."""

    index: int
    address: str
    node: EvmNode
    signer: EvmSigner

    def pays(self, to: str, units: int, contract: str | None = None) -> Payment:
        return Payment(self.address, to, units, contract)

    async def signs(self, payment: Payment, *, fee: Fee | None = None, nonce: int | None = None) -> Signed:
        fee = fee or await self.node.estimate_fee(payment)
        nonce = await self.node.nonce(self.address) if nonce is None else nonce
        return self.signer.sign(
            self.signer.build(payment, nonce=nonce, fee=fee, chain_id=await self.node.chain_id()), index=self.index
        )

    async def sends(self, payment: Payment, **options: Any) -> Signed:
        signed = await self.signs(payment, **options)
        await self.node.broadcast(signed)
        return signed


@pytest.fixture
def stranger(signer: EvmSigner) -> str:
    """An address that nothing was ever sent to."""
    return signer.address(next(INDEXES))


@pytest.fixture
async def account(anvil: Anvil, node: EvmNode, signer: EvmSigner) -> Account:
    index = next(INDEXES)
    await anvil.fund(signer.address(index))
    await anvil.mine()
    return Account(index, signer.address(index), node, signer)


class Fault(Enum):
    NONE = auto()
    LOSES_THE_REPLY = auto()
    HANGS = auto()
    ANSWERS_HTML = auto()
    ANSWERS_NULL = auto()
    PROOF_OF_AUTHORITY = auto()
    ROLLUP_FEE = auto()
    REFUSES_LONG_RANGES = auto()
    STALE_RECEIPT = auto()
    STALE_PARENT = auto()
    STALE_EVENTS = auto()


@dataclass
class Proxy:
    """Stands before a real node and spoils its answers in one way."""

    target: str
    fault: Fault = Fault.NONE
    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        method = body["method"]
        self.asked.append(method)
        async with aiohttp.ClientSession() as session, session.post(self.target, json=body) as reply:
            answer = await reply.json()
        match self.fault:
            case Fault.LOSES_THE_REPLY if method != "eth_chainId":
                assert request.transport is not None
                request.transport.abort()
            case Fault.HANGS:
                await asyncio.sleep(30)
            case Fault.ANSWERS_HTML:
                return web.Response(text="<html>Bad gateway</html>", status=502)
            case Fault.ANSWERS_NULL:
                return web.json_response(None)
            case Fault.PROOF_OF_AUTHORITY if method == "eth_getBlockByNumber":
                answer["result"]["extraData"] = "0x" + "d8" * 97
            case Fault.ROLLUP_FEE if method == "eth_getTransactionReceipt":
                answer["result"]["l1Fee"] = "0x3e8"
            case Fault.STALE_RECEIPT if method == "eth_getTransactionReceipt":
                answer["result"]["blockHash"] = REPLACED
            case Fault.STALE_PARENT if method == "eth_getBlockByNumber":
                answer["result"]["parentHash"] = REPLACED
            case Fault.STALE_EVENTS if method == "eth_getLogs":
                answer["result"][0]["blockHash"] = REPLACED
            case Fault.REFUSES_LONG_RANGES if method == "eth_getLogs" and _blocks(body) > 2:
                answer = {"jsonrpc": "2.0", "id": body["id"], "error": TOO_MANY}
        return web.json_response(answer)


def _blocks(body: dict[str, Any]) -> int:
    question = body["params"][0]
    return int(question["toBlock"], 16) - int(question["fromBlock"], 16) + 1


@pytest.fixture
async def proxy(anvil: Anvil) -> AsyncIterator[Proxy]:
    proxy = Proxy(anvil.url)
    application = web.Application()
    application.router.add_post("/{key}", proxy.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    proxy.url = f"http://127.0.0.1:{port}/secret-api-key"
    yield proxy
    with suppress(asyncio.CancelledError):
        await runner.cleanup()
