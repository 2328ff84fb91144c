"""Eager delivery: what a request has just committed goes to Temporal at once, if that is easy.

The relay delivers everything anyway, a moment later; so this never waits long, never takes many database
connections, and never fails a request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.background import BackgroundTask
from temporalio.client import Client

from api.engine import Defaults, deliver

log = structlog.get_logger()
DELIVERIES_MOST = 6
SECONDS_MOST = 3.0


class Courier:
    def __init__(self, engine: AsyncEngine, temporal: Callable[[], Awaitable[Client]], defaults: Defaults) -> None:
        self._engine = engine
        self._temporal = temporal
        self._defaults = defaults
        self._running = 0

    def soon(self, ids: Sequence[int]) -> BackgroundTask | None:
        """The task to run after the response is sent; ``ids`` are rows of the outbox, already committed."""
        return BackgroundTask(self.deliver, list(ids)) if ids else None

    async def deliver(self, ids: Sequence[int]) -> None:
        if self._running >= DELIVERIES_MOST:
            return
        self._running += 1
        try:
            async with asyncio.timeout(SECONDS_MOST):
                await deliver(self._engine, await self._temporal(), self._defaults, ids=ids)
        except Exception as error:  # noqa: BLE001 the rows are committed and the relay delivers them
            log.info("outbox.left_to_the_relay", error=type(error).__name__)
        finally:
            self._running -= 1
