"""Holds past their time give back what is left of them. Many processes may keep them at once."""

from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.loops import for_ever
from models.errors import LiquidaError
from models.hold import queries, writes

log = structlog.get_logger()
EVERY_SECONDS = 5
AT_ONCE = 100


async def keep_holds(engine: AsyncEngine, *, every_seconds: float = EVERY_SECONDS) -> None:
    """Until cancelled. A hold that the ledger refuses to end is one error in the log, and in nobody's way."""
    stuck: set[str] = set()

    async def once() -> bool:
        expired = await _expire(engine, stuck)
        for hold_id in expired:
            log.info("hold.expired", hold=hold_id)
        return len(expired) == AT_ONCE

    await for_ever("holds", once, every_seconds=every_seconds)


async def _expire(engine: AsyncEngine, stuck: set[str]) -> list[str]:
    now = datetime.now(UTC)
    try:
        async with engine.begin() as conn:
            return await writes.expire(conn, now, AT_ONCE)
    except LiquidaError:
        return await _expire_one_by_one(engine, now, stuck)


async def _expire_one_by_one(engine: AsyncEngine, now: datetime, stuck: set[str]) -> list[str]:
    """One of them cannot end; which one, and the others do."""
    expired: list[str] = []
    async with engine.connect() as conn:
        due = await queries.due(conn, now, AT_ONCE)
    for hold_id in due:
        try:
            async with engine.begin() as conn:
                expired += await writes.expire(conn, now, 1, among=[hold_id])
        except LiquidaError as error:
            if hold_id not in stuck:
                stuck.add(hold_id)
                log.error("hold.stuck", hold=hold_id, error=error.type)  # noqa: TRY400 a broken law, not a broken program
    return expired
