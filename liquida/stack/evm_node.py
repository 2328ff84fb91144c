"""An EVM node for development: anvil, found on this machine or installed from npm."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from liquida.stack.ports import LOOPBACK, require_free
from liquida.stack.process import Process
from models.errors import StackUnavailable

PACKAGE = "@foundry-rs/anvil@1.7.1"
CHAIN_ID = 31337
SAVE_SECONDS = 5
INSTALL_SECONDS = 300


class EvmNode:
    """anvil on ``127.0.0.1:port``. The chain lives in ``state_dir/chain.json``: saved at the end and every 5 s.

    A killed node therefore forgets at most the last 5 s of its chain, which looks like a reorg to us.

    :param program: from :func:`find` or :func:`install`.
    :param block_seconds: a block every so often; None: one block per transaction, at once.
    :param mining: False: a block only on ``evm_mine``.
    :param in_memory: for tests: nothing is kept.
    """

    name = "EVM node"

    def __init__(
        self,
        state_dir: Path,
        *,
        program: Path,
        port: int,
        chain_id: int = CHAIN_ID,
        block_seconds: float | None = None,
        mining: bool = True,
        in_memory: bool = False,
    ) -> None:
        self._state_dir = state_dir.absolute()
        self._port = port
        self._chain_id = chain_id
        command: list[str | Path] = [program, "--host", LOOPBACK, "--port", str(port), "--quiet"]
        command += ["--chain-id", str(chain_id)]
        if not mining:
            command += ["--no-mining"]
        elif block_seconds is not None:
            command += ["--block-time", f"{block_seconds:g}"]
        if not in_memory:
            command += ["--state", self._state_dir / "chain.json", "--state-interval", str(SAVE_SECONDS)]
        self.process = Process("evm-node", command, state_dir=self._state_dir, stop_seconds=30)

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    async def start(self) -> None:
        """:raises StackUnavailable: the port is taken, or the node does not come up."""
        await self.process.stop_leftover()
        require_free(self._port, part=self.name, setting="LIQUIDA_EVM_PORT")
        self._state_dir.mkdir(parents=True, exist_ok=True)
        await self.process.start(self._is_ready, ready_seconds=60)

    async def stop(self) -> None:
        await self.process.stop()

    async def _is_ready(self) -> bool:
        try:
            return int(await ask(self.address, "eth_chainId"), 16) == self._chain_id
        except httpx.HTTPError:
            return False


async def ask(url: str, method: str, *params: object) -> Any:
    """One JSON-RPC call; its result.

    :raises httpx.HTTPError: nobody answers there, or the answer is an error or no JSON-RPC.
    """
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        answer = (await client.post(url, json=body)).raise_for_status()
    try:
        return answer.json()["result"]
    except (ValueError, KeyError, TypeError) as error:
        raise httpx.DecodingError(f"{method}: no JSON-RPC result in the answer") from error


def find(state_dir: Path, *, configured: Path | None = None) -> Path | None:
    """The anvil program: the setting ``LIQUIDA_ANVIL``, else on PATH, else installed in ``state_dir``.

    :raises StackUnavailable: the setting names no program.
    """
    if configured is not None:
        if not os.access(configured, os.X_OK):
            raise StackUnavailable(f"LIQUIDA_ANVIL is {configured}, which is no program")
        return configured
    on_path = shutil.which("anvil")
    return Path(on_path) if on_path else _installed(state_dir)


async def install(state_dir: Path, *, configured: Path | None = None, say: Callable[[str], None] = print) -> Path:
    """The anvil program, from npm if this machine has none yet.

    :param say: takes one line of progress before the download.
    :raises StackUnavailable: npm is missing or fails, or has no anvil for this machine.
    """
    found = find(state_dir, configured=configured)
    if found is not None:
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise StackUnavailable(
            f"the EVM node is missing and so is npm: install Node.js, or get anvil and set LIQUIDA_ANVIL "
            f"(with npm it would come from the package {PACKAGE})"
        )
    say(f"installing {PACKAGE} from npm, once")
    await _run_npm([npm, "install", "--prefix", str(state_dir), "--no-audit", "--no-fund", PACKAGE], state_dir)
    found = _installed(state_dir)
    if found is None:
        raise StackUnavailable(f"{PACKAGE} has no program for this machine: get anvil and set LIQUIDA_ANVIL")
    return found


def _installed(state_dir: Path) -> Path | None:
    """npm places the program in a package named after system and processor, such as ``anvil-linux-amd64``."""
    places = (state_dir / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil")
    return next((place.absolute() for place in sorted(places) if os.access(place, os.X_OK)), None)


async def _run_npm(command: list[str], state_dir: Path) -> None:
    (state_dir / "logs").mkdir(parents=True, exist_ok=True)
    log = state_dir / "logs" / "npm.log"
    with log.open("wb") as output:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=asyncio.subprocess.STDOUT
        )
        try:
            code = await asyncio.wait_for(child.wait(), INSTALL_SECONDS)
        except BaseException as error:
            child.kill()
            await child.wait()
            if isinstance(error, TimeoutError):
                raise StackUnavailable(
                    f"npm took more than {INSTALL_SECONDS} s to install {PACKAGE}; read {log}"
                ) from None
            raise
    if code != 0:
        raise StackUnavailable(f"npm could not install {PACKAGE} (exit code {code}); read {log}")


if __name__ == "__main__":
    try:
        asyncio.run(install(Path(sys.argv[1])))
    except StackUnavailable as refused:
        sys.exit(refused.detail)
