"""Reads of the providers' health."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.provider_health.tables import provider_health
from models.provider_health.types import ProviderHealth

_H = provider_health.c


async def all_known(conn: AsyncConnection) -> dict[str, ProviderHealth]:
    """By provider, by the database's clock."""
    failing = func.extract("epoch", func.clock_timestamp() - _H.failing_since)
    checked = func.extract("epoch", func.clock_timestamp() - _H.checked_at)
    rows = (await conn.execute(select(_H.provider, failing, checked))).all()
    return {name: ProviderHealth(name, None if down is None else float(down), float(age)) for name, down, age in rows}
