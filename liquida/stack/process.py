"""One program of the embedded stack: started with a log file, waited for, watched, and stopped for certain."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from models.errors import StackUnavailable

POLL_SECONDS = 0.02
LOG_BYTES_MOST = 16 * 1024 * 1024

Ready = Callable[[], Awaitable[bool]]


class Process:
    """A child process in a process group of its own, so that Ctrl-C reaches us first and we stop it in order.

    ``state_dir/logs/<name>.log`` takes its output. ``state_dir/run/<name>.json`` remembers its pid and birth,
    so that a child whose parent was killed is found and stopped by the next start.

    :param environment: the child's whole environment; None: ours.
    :param user: the system user to run as; only root can ask for one.
    :param stop_with: the polite signal; after ``stop_seconds`` comes SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        state_dir: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_with: signal.Signals = signal.SIGTERM,
        stop_seconds: float = 10,
    ) -> None:
        self.name = name
        self.log = state_dir / "logs" / f"{name}.log"
        self._run_file = state_dir / "run" / f"{name}.json"
        self._command = [str(word) for word in command]
        self._environment = environment
        self._user = user
        self._stop_with = stop_with
        self._stop_seconds = stop_seconds
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """:raises StackUnavailable: the process was never started."""
        if self._child is None:
            raise StackUnavailable(f"{self.name} is not running")
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def spawn(self) -> None:
        """Start the program without waiting for it.

        :raises StackUnavailable: the program cannot be executed.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._run_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MOST:
            self.log.replace(self.log.with_suffix(".log.old"))
        with self.log.open("ab") as log:
            try:
                self._child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    process_group=0,
                    user=self._user,
                    group=self._user,
                    extra_groups=[] if self._user else None,
                )
            except OSError as error:
                raise StackUnavailable(
                    f"{self.name} cannot be executed: {error.strerror} ({self._command[0]})"
                ) from error
        self._remember()

    async def start(self, ready: Ready, *, ready_seconds: float = 30) -> None:
        """Start the program and wait until ``ready()``; on failure nothing is left running.

        :raises StackUnavailable: it cannot be executed, ended early, or was not ready in time.
        """
        self.spawn()
        try:
            await self._wait_until(ready, ready_seconds)
        except BaseException:
            await self.stop()
            raise

    async def ended(self) -> int:
        """Wait until the program ends; its exit code (negative: the signal that killed it)."""
        while self._child is not None and self._child.poll() is None:  # noqa: ASYNC110 a child has no event
            await asyncio.sleep(POLL_SECONDS * 5)
        return 0 if self._child is None else self._child.returncode

    async def stop(self) -> None:
        """End the program, politely and then for certain. Harmless when it is not running."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.send_signal(self._stop_with)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended(), self._stop_seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait for the kernel to confirm. Harmless when it is not running."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        self._run_file.unlink(missing_ok=True)

    async def stop_leftover(self) -> None:
        """Stop the child that an earlier run of us, killed before it could tidy up, left behind."""
        await asyncio.to_thread(_stop_leftover, self._run_file)

    def last_words(self) -> str:
        """The last line of the log, for an error message; empty when it wrote none."""
        with suppress(OSError):
            lines = self.log.read_text(errors="replace").rstrip().splitlines()
            return lines[-1].strip() if lines else ""
        return ""

    def _remember(self) -> None:
        with suppress(psutil.NoSuchProcess):
            born = psutil.Process(self.pid).create_time()
            note = {"pid": self.pid, "born": born, "stop_with": self._stop_with, "stop_seconds": self._stop_seconds}
            self._run_file.write_text(json.dumps(note))

    async def _wait_until(self, ready: Ready, ready_seconds: float) -> None:
        deadline = time.monotonic() + ready_seconds
        while time.monotonic() < deadline:
            if not self.is_running:
                code = await self.ended()
                raise StackUnavailable(
                    f"{self.name} ended while starting (exit code {code}); its last words: "
                    f"{self.last_words() or 'none'}; read {self.log}"
                )
            if await ready():
                return
            await asyncio.sleep(POLL_SECONDS)
        raise StackUnavailable(f"{self.name} was not ready after {ready_seconds:g} s; read {self.log}")


def process_of(pid: int, born: float) -> psutil.Process | None:
    """The living process with this pid and birth time: a pid alone may have gone to somebody else."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - born) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same and pid != os.getpid() else None


def is_ours(state_dir: Path, name: str) -> bool:
    """Whether the stack of ``state_dir`` has the program ``name`` running now."""
    note = _note(state_dir / "run" / f"{name}.json")
    return note is not None and process_of(note.pid, note.born) is not None


async def stop_leftovers(state_dir: Path) -> None:
    """Stop every child that a killed run left behind in this state directory, all at once."""
    notes = sorted((state_dir / "run").glob("*.json"))
    await asyncio.gather(*(asyncio.to_thread(_stop_leftover, note) for note in notes))


@dataclass(frozen=True, slots=True)
class _Note:
    """What a run file says of its child."""

    pid: int
    born: float
    stop_with: int
    stop_seconds: float


def _note(run_file: Path) -> _Note | None:
    try:
        return _Note(**json.loads(run_file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _stop_leftover(run_file: Path) -> None:
    note = _note(run_file)
    leftover = None if note is None else process_of(note.pid, note.born)
    if note is not None and leftover is not None:
        with suppress(psutil.NoSuchProcess):
            leftover.send_signal(note.stop_with)
            try:
                leftover.wait(note.stop_seconds)
            except psutil.TimeoutExpired:
                leftover.kill()
                leftover.wait()
    run_file.unlink(missing_ok=True)
