"""A real EVM node of our own on loopback, and the things only a test may do to one."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

BUNDLED = Path(".liquida/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
ERC20 = json.loads((Path(__file__).parents[1] / "fixtures" / "erc20.json").read_text())
START_SECONDS = 15.0
DEPLOYER_INDEX = 0


def binary() -> str:
    """The anvil to run. Missing is an error and never a skip: untested chain code must not pass."""
    candidates = (os.environ.get("LIQUIDA_ANVIL"), shutil.which("anvil"), BUNDLED)
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return str(candidate)
    raise FileNotFoundError("no anvil: set LIQUIDA_ANVIL or run 'npm i --prefix .liquida @foundry-rs/anvil@1.7.1'")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Anvil:
    url: str
    chain_id: int
    client: httpx.AsyncClient = field(repr=False)

    async def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        reply = (await self.client.post(self.url, json=body)).json()
        if "error" in reply:
            raise RuntimeError(reply["error"]["message"])
        return reply["result"]

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.rpc("evm_mine")

    async def height(self) -> int:
        return int(await self.rpc("eth_blockNumber"), 16)

    async def fund(self, address: str, wei: int = 10**19) -> None:
        """Set the balance, from the next block on."""
        await self.rpc("anvil_setBalance", address, hex(wei))

    async def reorg(self, depth: int) -> None:
        """Replace the last ``depth`` blocks by empty ones.

        Their transactions are forgotten, and so is a balance set just before the first of them.
        """
        await self.rpc("anvil_reorg", depth, [])

    async def send_as_developer(self, **transaction: Any) -> str:
        """From anvil's first unlocked account, mined at once; fails if it reverted."""
        deployer = (await self.rpc("eth_accounts"))[DEPLOYER_INDEX]
        txid = await self.rpc("eth_sendTransaction", {"from": deployer, "gas": hex(2_000_000), **transaction})
        await self.mine()
        receipt = await self.rpc("eth_getTransactionReceipt", txid)
        assert receipt["status"] == "0x1", receipt
        return txid

    async def deploy_erc20(self, *, name: str = "Tether", symbol: str = "USDT", decimals: int = 6) -> str:
        """The contract address of a new token that anybody may mint."""
        arguments = abi_encode("constructor", [name, symbol, decimals])
        txid = await self.send_as_developer(data=ERC20["bytecode"] + arguments)
        return (await self.rpc("eth_getTransactionReceipt", txid))["contractAddress"]

    async def call_erc20(self, contract: str, function: str, *arguments: Any) -> str:
        """Send e.g. ``mint(to, units)`` or ``setRefusing(flag)``, and mine it."""
        return await self.send_as_developer(to=contract, data=selector(function) + abi_encode(function, arguments))


def abi_encode(function: str, arguments: Any) -> str:
    from eth_abi import encode

    return encode(_types(function), list(arguments)).hex()


def selector(function: str) -> str:
    from eth_hash.auto import keccak

    return "0x" + keccak(f"{function}({','.join(_types(function))})".encode())[:4].hex()


def _types(function: str) -> list[str]:
    entry = next(e for e in ERC20["abi"] if e.get("name", e["type"]) == function and e["type"] != "event")
    return [argument["type"] for argument in entry["inputs"]]


@asynccontextmanager
async def running(*, chain_id: int = 31337) -> AsyncIterator[Anvil]:
    """A node that mines only when told to, stopped by its own process handle."""
    port = free_port()
    command = [binary(), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
    process = subprocess.Popen([*command, "--silent", "--no-mining"], stdin=subprocess.DEVNULL)
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            anvil = Anvil(f"http://127.0.0.1:{port}", chain_id, client)
            await _ready(anvil, process)
            yield anvil
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


async def _ready(anvil: Anvil, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            reported = await anvil.rpc("eth_chainId")
        except httpx.TransportError:
            assert process.poll() is None, "anvil ended while starting"
            assert time.monotonic() < deadline, "anvil did not start in time"
            await asyncio.sleep(0.05)
        else:
            assert anvil.chain_id == int(reported, 16)
            return
