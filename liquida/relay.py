"""The relay: turns outbox rows into workflow starts and signals, for ever, beside the settlement worker."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from api.engine import Defaults, deliver
from models import outbox

log = structlog.get_logger()
BATCH = 100
KEPT = timedelta(days=7)


async def relay(engine: AsyncEngine, client: Client, defaults: Defaults, *, every_seconds: float) -> None:
    """Deliver until cancelled. Any number of relays may run: each row is delivered by one of them."""
    turns = 0
    while True:
        try:
            sent = await deliver(engine, client, defaults, most=BATCH)
            if turns % 10_000 == 0:
                async with engine.begin() as conn:
                    await outbox.forget(conn, older_than=KEPT)
        except (SQLAlchemyError, OSError) as error:
            log.warning("relay.database_unavailable", error=type(error).__name__)
            sent = 0
        turns += 1
        if sent < BATCH:
            await asyncio.sleep(every_seconds)
