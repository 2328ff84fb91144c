"""A process that has done a worker's imports, and is copied for each worker: a start costs a fork, not two seconds.

It reads one line of JSON for each worker wanted, its environment and its log, and answers with its pid. It holds
no thread, so a copy is as good as a fresh start. Its workers end with it.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

import psutil

from tests.chaos import halting_worker

ROOT = Path(__file__).parents[2]


class Nursery:
    """The test's end of it; use as a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def worker(self, environment: dict[str, str], log: Path) -> "Worker":
        """A new one, in a process group of its own; ``environment`` is added to the nursery's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"environment": environment, "log": str(log)}) + "\n")
        self._process.stdin.flush()
        return Worker(int(self._process.stdout.readline()), log)


class Worker:
    """One copy, to look at and to end."""

    def __init__(self, pid: int, log: Path) -> None:
        self._process = psutil.Process(pid)
        self._log = log

    @property
    def is_running(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return self._process.status() != psutil.STATUS_ZOMBIE
        return False

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def last_words(self) -> str:
        return self._log.read_text()[-2_000:]

    def _end(self, how: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(how)
            self._process.wait(timeout=30)


def main() -> None:
    children: set[int] = set()

    def bury(_number: int, _frame: FrameType | None) -> None:
        with suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                children.discard(pid)

    signal.signal(signal.SIGCHLD, bury)
    try:
        for line in sys.stdin:
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                _be_a_worker(order["environment"], order["log"])
            children.add(pid)
            print(pid, flush=True)
    finally:
        for pid in tuple(children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _be_a_worker(environment: dict[str, str], log: str) -> NoReturn:
    """A fault here must not unwind into the nursery's own loop, of which this is a copy."""
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.update(environment)
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (written, 1), (written, 2)):
            os.dup2(source, target)
        halting_worker.main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
