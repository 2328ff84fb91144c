"""What every command does the same way."""

import os
import sys
from collections.abc import Coroutine
from datetime import datetime
from typing import Annotated, Any

import typer
import uvloop

from liquida.settings import Settings

At = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", *(f"%Y-%m-%dT%H:%M:%S{rest}" for rest in ("", "%z", ".%f", ".%f%z"))],
        help="UTC if it says nothing.",
    ),
]


def read_settings(*, adopted: bool = True) -> Settings:
    """This process's settings; with the embedded stack's where there is one."""
    from liquida.logging import configure
    from liquida.settings import settings
    from liquida.stack.environment import adopt

    found = adopt(settings()) if adopted else settings()
    configure(level=found.log_level, json=found.log_json)
    return found


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end, on uvloop: a database call costs half the CPU it costs on asyncio's own loop."""
    return uvloop.run(work)


def fail(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    leave(1)


def leave(code: int) -> None:
    """Leave at once: the Temporal SDK's threads may otherwise change the exit code on the way out."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
