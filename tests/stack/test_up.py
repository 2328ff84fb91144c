"""The stack as a whole: order, lock, death, signals."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from api.app import document
from liquida import worker
from liquida.database import latest_revision, present_revision
from liquida.settings import Settings
from liquida.stack import evm_node, services
from liquida.stack.lock import only_one
from liquida.stack.ports import free_port, is_free
from liquida.stack.up import Stack, up
from models.errors import StackUnavailable
from tests.parts import STATE_DIR

PORTS = ("postgres_port", "temporal_port", "temporal_ui_port", "evm_port", "sandbox_port", "api_port")


@pytest.fixture
async def chosen(tmp_path: Path) -> Settings:
    anvil = await evm_node.install(STATE_DIR)
    ports = {name: free_port() for name in PORTS}
    return Settings(state_dir=tmp_path, anvil=anvil, evm_block_seconds=0.2, **ports)


class TestStack:
    async def test_starts_the_engines_the_bank_the_schema_and_a_wallet(self, chosen: Settings) -> None:
        spoken = StringIO()

        async with Stack(chosen, ours=[services.sandbox], console=Console(file=spoken, width=200)) as stack:
            bank = stack.environment["LIQUIDA_SANDBOX_URL"]
            revision = await present_revision(stack.environment["LIQUIDA_DATABASE_URL"])
            alive = await services.answers(f"{bank}/healthz")

        assert latest_revision() == revision
        assert alive
        assert 0o600 == (chosen.state_dir / "wallet.sealed").stat().st_mode & 0o777
        assert _in_order(
            spoken.getvalue(),
            ("ok PostgreSQL", "ok Temporal", "ok EVM node", "ok Database schema", "ok Wallet", "ok PIX sandbox"),
        )
        assert _in_order(
            spoken.getvalue(), ("stopped PIX sandbox", "stopped EVM node", "stopped Temporal", "stopped PostgreSQL")
        )
        assert all(is_free(getattr(chosen, name)) for name in PORTS)

    async def test_goes_on_where_it_was(self, chosen: Settings) -> None:
        async with Stack(chosen, ours=[]) as first:
            secrets = first.environment["LIQUIDA_DATA_KEY"]
            wallet = (chosen.state_dir / "wallet.sealed").read_text()

        async with Stack(chosen, ours=[]) as second:
            assert secrets == second.environment["LIQUIDA_DATA_KEY"]
            assert wallet == (chosen.state_dir / "wallet.sealed").read_text()

    async def test_stops_what_it_started_when_a_later_part_fails(self, chosen: Settings) -> None:
        with pytest.raises(StackUnavailable, match=r"broken ended while starting \(exit code 3\)"):
            async with Stack(chosen, ours=[_broken]):
                pass

        assert all(is_free(getattr(chosen, name)) for name in PORTS)
        with only_one(chosen.state_dir):
            pass

    async def test_says_which_part_died(self, chosen: Settings) -> None:
        async with Stack(chosen, ours=[]) as stack:
            node = next(part for part in stack.parts if part.name == "EVM node")
            node.process.kill()

            death = await asyncio.wait_for(stack.death(), 10)

        assert "EVM node ended by itself (exit code -9)" in death.detail
        assert "evm-node.log" in death.detail

    async def test_refuses_a_second_stack_in_the_same_directory(self, tmp_path: Path) -> None:
        with only_one(tmp_path), pytest.raises(StackUnavailable) as refused:
            await Stack(Settings(state_dir=tmp_path)).start()

        assert f"a stack already runs in {tmp_path} (pid {os.getpid()})" in refused.value.detail

    async def test_takes_over_the_lock_of_a_dead_one(self, tmp_path: Path) -> None:
        code = "import sys, os; from pathlib import Path; from liquida.stack.lock import only_one\n"
        code += "with only_one(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
        dead = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(tmp_path))
        assert -signal.SIGKILL == await dead.wait()

        with only_one(tmp_path):
            assert str(os.getpid()) == (tmp_path / "run" / "up.lock").read_text()


class TestServices:
    def test_know_the_doors_of_the_api(self) -> None:
        paths = document()["paths"]

        assert "get" in paths["/readyz"]
        assert "post" in paths[services.WEBHOOK_PATH.rpartition("/")[0] + "/{provider}"]

    def test_wait_for_the_queues_that_the_worker_serves(self) -> None:
        assert worker.QUEUES == services.QUEUES


class TestUp:
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
    async def test_stops_everything_on_a_signal(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started = asyncio.Event()
        spoken = StringIO()
        monkeypatch.setattr(Stack, "start", _start_only_a_sleeper(started))

        running = asyncio.ensure_future(up(Settings(state_dir=tmp_path), console=Console(file=spoken)))
        await started.wait()
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), getattr(signal, name))
        await asyncio.wait_for(running, 10)

        assert "stopped Sleeper" in spoken.getvalue()

    async def test_ends_with_an_error_when_a_part_dies(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Stack, "start", _start_only_a_sleeper(asyncio.Event(), seconds=0.3))

        with pytest.raises(StackUnavailable, match="Sleeper ended by itself"):
            await asyncio.wait_for(up(Settings(state_dir=tmp_path), console=Console(file=StringIO())), 10)


def _broken(settings: Settings, environment: Mapping[str, str]) -> services.Service:
    process = services.Process("broken", [sys.executable, "-c", "raise SystemExit(3)"], state_dir=settings.state_dir)
    return services.Service("Broken", process, address="nowhere", ready=_always)


async def _always() -> bool:
    await asyncio.sleep(0.5)
    return False


def _start_only_a_sleeper(started: asyncio.Event, *, seconds: float = 60):
    async def start(self: Stack) -> None:
        process = services.Process(
            "sleeper",
            [sys.executable, "-c", f"import time; time.sleep({seconds})"],
            state_dir=self.settings.state_dir,
        )
        process.spawn()
        self.environment = {"LIQUIDA_TEMPORAL_UI_URL": ""}
        self.parts.append(services.Service("Sleeper", process, address="", ready=_always))
        started.set()

    return start


def _in_order(text: str, phrases: tuple[str, ...]) -> bool:
    words = " ".join(text.split())
    places = [words.find(phrase) for phrase in phrases]
    return -1 not in places and places == sorted(places)
