"""``liquida worker`` that halts at one line of the product, says so, and waits to be killed or let go.

``HALT_AT`` is a ``Step.at``; ``HALT_DIR`` takes the file ``reached`` and is watched for the file ``go``. Halting
blocks the whole process, as a stopped machine would: no heartbeat, no other activity goes on meanwhile.
"""

import asyncio
import functools
import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from liquida import interceptors
from liquida.logging import configure
from liquida.settings import settings
from liquida.worker import QUEUES, run

MATTERS: dict[str, Callable[..., bool]] = {
    "models.deposit.writes:record": lambda _conn, _network, _blocks, found: bool(found),
}
"""Where only some calls are the moment meant."""
NEWS = frozenset({"models.receipt.writes:see"})
"""Where only calls that say that something was news are: the charges of earlier trades are looked at, too."""


def halt() -> None:
    halt_dir = Path(os.environ["HALT_DIR"])
    if (halt_dir / "reached").exists():
        return
    (halt_dir / "reached").write_text(str(os.getpid()))
    while not (halt_dir / "go").exists():
        time.sleep(0.01)


def halting(function: Any, when: str, matters: Callable[..., bool], *, is_news: bool = False) -> Any:
    @functools.wraps(function)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if when == "before" and matters(*args):
            halt()
        result = await function(*args, **kwargs)
        if when == "after" and matters(*args) and (result or not is_news):
            halt()
        return result

    return wrapped


def arm(at: str) -> None:
    when, place = at.split(" ", 1)
    if when in {"begin", "end"}:
        arm_activity(when, place)
        return
    module_name, path = place.split(":")
    owner: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    replacement = halting(original, when, MATTERS.get(place, lambda *_: True), is_news=place in NEWS)
    setattr(owner, name, replacement)
    for module in ("effects", "buy_effects"):
        effects = importlib.import_module(f"models.instant_trade.{module}").EFFECTS
        for status, effect in effects.items():
            if effect is original:
                effects[status] = replacement


def arm_activity(when: str, place: str) -> None:
    from temporalio import activity

    activity_type, _, status = place.partition("=")
    original = interceptors._Activity.execute_activity

    async def wrapped(self: Any, input: Any) -> Any:
        ours = activity.info().activity_type == activity_type
        if ours and when == "begin":
            halt()
        result = await original(self, input)
        if ours and when == "end" and status in {"", str(getattr(result, "status", ""))}:
            halt()
        return result

    interceptors._Activity.execute_activity = wrapped  # type: ignore[method-assign]


def main() -> NoReturn:
    if at := os.environ.get("HALT_AT"):
        arm(at)
    configure(level="INFO", json=True)
    asyncio.run(run(settings(), QUEUES))
    os._exit(0)
