"""The relay: turns outbox rows into workflow starts and signals, for ever, beside the settlement worker."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from api.engine import Defaults, deliver
from liquida.loops import for_ever
from models import outbox

BATCH = 100
KEPT = timedelta(days=7)
TIDY_SECONDS = 3600


async def relay(engine: AsyncEngine, client: Client, defaults: Defaults, *, every_seconds: float) -> None:
    """Deliver until cancelled. Any number of relays may run: each row is delivered by one of them."""

    async def once() -> bool:
        return await deliver(engine, client, defaults, most=BATCH) == BATCH

    await for_ever("relay", once, every_seconds=every_seconds)


async def tidy(engine: AsyncEngine) -> None:
    """Forget delivered messages after a week."""

    async def once() -> bool:
        async with engine.begin() as conn:
            await outbox.forget(conn, older_than=KEPT)
        return False

    await for_ever("outbox", once, every_seconds=TIDY_SECONDS)
