"""One supervised program: started, watched, stopped for certain; and the ports it may want."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from liquida.stack.ports import free_port, is_free, require_free
from liquida.stack.process import Process, is_ours, stop_leftovers
from models.errors import StackUnavailable

OBEDIENT = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
)


def _python(code: str, tmp_path: Path, **options: object) -> Process:
    return Process("child", [sys.executable, "-c", code], state_dir=tmp_path, **options)  # type: ignore[arg-type]


class TestProcess:
    async def test_is_ready_when_it_says_so(self, tmp_path: Path) -> None:
        process = _python(OBEDIENT, tmp_path)

        await process.start(lambda: _has_spoken(process))

        assert process.is_running
        assert is_ours(tmp_path, "child")
        await process.stop()
        assert not is_ours(tmp_path, "child")

    async def test_is_stopped_politely(self, tmp_path: Path) -> None:
        process = _python(OBEDIENT, tmp_path)
        await process.start(lambda: _has_spoken(process))

        await process.stop()

        assert -signal.SIGTERM == await process.ended()

    async def test_is_killed_when_it_does_not_listen(self, tmp_path: Path) -> None:
        process = _python(STUBBORN, tmp_path, stop_seconds=0.2)
        await process.start(lambda: _has_spoken(process))

        await process.stop()

        assert -signal.SIGKILL == await process.ended()

    async def test_names_exit_code_last_words_and_log_when_it_ends_early(self, tmp_path: Path) -> None:
        process = _python("import sys; print('no such table'); sys.exit(3)", tmp_path)

        with pytest.raises(StackUnavailable) as failed:
            await process.start(_never)

        assert (
            "child ended while starting (exit code 3); its last words: no such table; "
            f"read {tmp_path}/logs/child.log" == failed.value.detail
        )

    async def test_is_not_left_running_when_it_is_never_ready(self, tmp_path: Path) -> None:
        process = _python(OBEDIENT, tmp_path)

        with pytest.raises(StackUnavailable, match=r"not ready after 0\.2 s; read .*child\.log"):
            await process.start(_never, ready_seconds=0.2)

        assert not process.is_running

    async def test_says_which_program_cannot_be_executed(self, tmp_path: Path) -> None:
        process = Process("child", [tmp_path / "missing"], state_dir=tmp_path)

        with pytest.raises(StackUnavailable, match=r"No such file.*missing"):
            process.spawn()

    async def test_is_out_of_reach_of_ctrl_c(self, tmp_path: Path) -> None:
        process = _python(OBEDIENT, tmp_path)
        process.spawn()

        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
        await process.stop()

    async def test_leftover_of_a_killed_run_is_stopped(self, tmp_path: Path) -> None:
        left_behind = _python(OBEDIENT, tmp_path)
        await left_behind.start(lambda: _has_spoken(left_behind))

        await _python(OBEDIENT, tmp_path).stop_leftover()

        assert not left_behind.is_running

    async def test_leftovers_of_a_killed_run_are_stopped_together(self, tmp_path: Path) -> None:
        children = [Process(name, ["sleep", "60"], state_dir=tmp_path) for name in ("one", "two")]
        for child in children:
            child.spawn()

        await stop_leftovers(tmp_path)

        assert [False, False] == [child.is_running for child in children]
        assert [] == list((tmp_path / "run").iterdir())

    async def test_stranger_with_a_recycled_pid_is_left_alone(self, tmp_path: Path) -> None:
        stranger = _python(OBEDIENT, tmp_path / "elsewhere")
        stranger.spawn()
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "child.json").write_text(
            f'{{"pid": {stranger.pid}, "born": 1, "stop_with": 15, "stop_seconds": 1}}'
        )

        await _python(OBEDIENT, tmp_path).stop_leftover()

        assert stranger.is_running
        await stranger.stop()


class TestRequireFree:
    def test_passes_a_free_port(self) -> None:
        require_free(free_port(), part="PostgreSQL", setting="LIQUIDA_POSTGRES_PORT")

    @pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
    def test_names_port_holder_and_setting(self, address: str) -> None:
        with socket.create_server((address, 0)) as taken:
            port = taken.getsockname()[1]

            with pytest.raises(StackUnavailable) as refused:
                require_free(port, part="PostgreSQL", setting="LIQUIDA_POSTGRES_PORT")

        assert f"PostgreSQL needs port {port}" in refused.value.detail
        assert f"(pid {os.getpid()})" in refused.value.detail
        assert "set LIQUIDA_POSTGRES_PORT to a free port" in refused.value.detail
        assert is_free(port)


async def _has_spoken(process: Process) -> bool:
    return "here" == process.last_words()


async def _never() -> bool:
    return False
