"""What pages a person while the settlement worker runs: broken laws of the books, and breaks that nobody takes up."""

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.checks import check_all
from liquida.loops import for_ever
from models.reconciliation import breaks

log = structlog.get_logger()
EVERY_SECONDS = 3600
BREAKS_EVERY_SECONDS = 60
BREAKS_AT_ONCE = 100


async def watch_laws(engine: AsyncEngine, *, every_seconds: float = EVERY_SECONDS) -> None:
    """Until cancelled. Each broken law is one error in the log, with the rows that break it."""

    async def once() -> bool:
        async with engine.connect() as conn:
            for law, rows in (await check_all(conn)).items():
                log.error("law.broken", law=law, rows=rows[:20], count=len(rows))
        return False

    await for_ever("laws", once, every_seconds=every_seconds)


async def watch_breaks(
    engine: AsyncEngine, alarm_hours: float, *, every_seconds: float = BREAKS_EVERY_SECONDS
) -> None:
    """Until cancelled. A break that stays open for longer than ``alarm_hours`` is one error in the log.

    It is said before it is noted as said: a process that dies between the two makes it twice, never not at all.
    """

    async def once() -> bool:
        until = datetime.now(UTC) - timedelta(hours=alarm_hours)
        async with engine.begin() as conn:
            told = await breaks.tell(conn, older_than=until, limit=BREAKS_AT_ONCE)
            for row in told:
                facts = {name: row._mapping[name] for name in ("provider", "class", "hint", "ledger_key")}
                centavos = (row.bank_centavos or 0) - (row.ledger_centavos or 0)
                since = row.first_seen_at.isoformat()
                log.error(
                    "reconciliation.break",
                    break_id=row.id,
                    **facts,
                    day=str(row.day),
                    amount_centavos=centavos,
                    since=since,
                )
        return len(told) == BREAKS_AT_ONCE

    await for_ever("breaks", once, every_seconds=every_seconds)
