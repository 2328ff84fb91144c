"""The embedded EVM node: what its chain remembers, and how it is found."""

import asyncio
import stat
from pathlib import Path

import pytest

from liquida.stack.evm_node import CHAIN_ID, EvmNode, ask, find, install
from models.errors import StackUnavailable
from tests.parts import start_anvil


async def _pay(url: str) -> str:
    sender, receiver, *_ = await ask(url, "eth_accounts")
    return str(await ask(url, "eth_sendTransaction", {"from": sender, "to": receiver, "value": "0x1"}))


class TestEvmNode:
    async def test_remembers_its_chain_over_a_restart(self, tmp_path: Path) -> None:
        async with start_anvil(tmp_path, in_memory=False) as node:
            txid = await _pay(node.address)
            await _until_mined(node.address, txid)
            await node.stop()

            await node.start()

            receipt = await ask(node.address, "eth_getTransactionReceipt", txid)
            assert ("0x1", "0x1") == (receipt["status"], receipt["blockNumber"])

    async def test_remembers_what_was_saved_before_sigkill(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("liquida.stack.evm_node.SAVE_SECONDS", 1)
        async with start_anvil(tmp_path, in_memory=False) as node:
            txid = await _pay(node.address)
            await _until_saved(tmp_path / "chain.json", txid)
            node.process.kill()

            await node.start()

            assert await ask(node.address, "eth_getTransactionReceipt", txid) is not None

    async def test_has_the_development_chain_id(self, evm_node: EvmNode) -> None:
        assert CHAIN_ID == int(await ask(evm_node.address, "eth_chainId"), 16)

    async def test_mines_nothing_unasked_without_mining(self, tmp_path: Path) -> None:
        async with start_anvil(tmp_path, mining=False) as node:
            txid = await _pay(node.address)

            assert await ask(node.address, "eth_getTransactionReceipt", txid) is None
            await ask(node.address, "evm_mine")
            assert await ask(node.address, "eth_getTransactionReceipt", txid) is not None

    async def test_names_the_setting_when_the_port_is_taken(self, evm_node: EvmNode, tmp_path: Path) -> None:
        port = int(evm_node.address.rpartition(":")[2])
        second = EvmNode(tmp_path, program=Path("/bin/false"), port=port)

        with pytest.raises(StackUnavailable, match=rf"port {port}.*LIQUIDA_EVM_PORT"):
            await second.start()

    async def test_says_which_log_to_read_when_its_saved_chain_is_broken(self, tmp_path: Path) -> None:
        (tmp_path / "chain.json").write_text("{")

        with pytest.raises(StackUnavailable, match=r"evm-node ended while starting.*logs/evm-node\.log"):
            async with start_anvil(tmp_path, in_memory=False):
                pass


class TestFind:
    def test_takes_the_configured_program_first(self, tmp_path: Path) -> None:
        chosen = _program(tmp_path / "my-anvil")

        assert chosen == find(tmp_path, configured=chosen)

    def test_refuses_a_configured_program_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(StackUnavailable, match="LIQUIDA_ANVIL"):
            find(tmp_path, configured=tmp_path / "missing")

    @pytest.mark.parametrize("machine", ["linux-amd64", "linux-arm64", "darwin-arm64"])
    def test_finds_npms_program_for_any_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        installed = _program(tmp_path / "node_modules" / "@foundry-rs" / f"anvil-{machine}" / "bin" / "anvil")

        assert installed == find(tmp_path)

    async def test_says_what_to_install_when_npm_is_missing_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(StackUnavailable, match=r"install Node\.js, or get anvil and set LIQUIDA_ANVIL"):
            await install(tmp_path)

    async def test_says_which_log_to_read_when_npm_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _program(tmp_path / "npm", "#!/bin/sh\necho no network; exit 7\n")
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(StackUnavailable, match=r"exit code 7.*npm\.log"):
            await install(tmp_path, say=lambda _: None)

        assert "no network\n" == (tmp_path / "logs" / "npm.log").read_text()


def _program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def _until_mined(url: str, txid: str) -> None:
    async with asyncio.timeout(10):
        while await ask(url, "eth_getTransactionReceipt", txid) is None:
            await asyncio.sleep(0.02)


async def _until_saved(file: Path, txid: str) -> None:
    async with asyncio.timeout(20):
        while not file.exists() or txid not in file.read_text():
            await asyncio.sleep(0.1)
