"""One running stack per state directory."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from os import getpid
from pathlib import Path

from models.errors import StackUnavailable


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold ``state_dir/run/up.lock``. The kernel gives it back when we die, so it is never stale.

    :raises StackUnavailable: another process holds it.
    """
    file = state_dir / "run" / "up.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise StackUnavailable(
                f"a stack already runs in {state_dir} (pid {holder}): stop it with Ctrl-C there, "
                "or set LIQUIDA_STATE_DIR (and other ports) for a second one"
            ) from None
        lock.truncate(0)
        lock.write(str(getpid()))
        lock.flush()
        yield
