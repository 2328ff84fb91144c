"""The laws of the books, checked every hour while the settlement worker runs. A broken one pages a person."""

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.checks import check_all
from liquida.loops import for_ever

log = structlog.get_logger()
EVERY_SECONDS = 3600


async def watch_laws(engine: AsyncEngine, *, every_seconds: float = EVERY_SECONDS) -> None:
    """Until cancelled. Each broken law is one error in the log, with the rows that break it."""

    async def once() -> bool:
        async with engine.connect() as conn:
            for law, rows in (await check_all(conn)).items():
                log.error("law.broken", law=law, rows=rows[:20], count=len(rows))
        return False

    await for_ever("laws", once, every_seconds=every_seconds)
