"""Write down whether a provider answered."""

from sqlalchemy import case, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.provider_health.tables import provider_health


async def note(conn: AsyncConnection, provider: str, *, answers: bool) -> None:
    """Any answer ends the failing, whichever worker got it; another silence leaves its beginning."""
    now = func.clock_timestamp()
    statement = insert(provider_health).values(
        provider=provider, failing_since=None if answers else now, checked_at=now
    )
    kept = func.coalesce(provider_health.c.failing_since, statement.excluded.failing_since)
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=["provider"],
            set_={
                "failing_since": case((statement.excluded.failing_since.is_(None), None), else_=kept),
                "checked_at": statement.excluded.checked_at,
            },
        )
    )
