"""Reads of charges."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge.tables import charges
from models.charge.types import Charge

_C = charges.c
_COLUMNS = tuple(column for column in charges.columns if column.name in Charge.__dataclass_fields__)


async def charge(conn: AsyncConnection, key: str, *, lock: bool = False) -> Charge | None:
    """The charge of this key, or None; with ``lock``, its row is ours until the transaction ends."""
    statement = select(*_COLUMNS).where(_C.key == key)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    return None if row is None else Charge(**row._mapping)


async def of_trade(conn: AsyncConnection, trade_id: str) -> Charge | None:
    row = (await conn.execute(select(*_COLUMNS).where(_C.trade_id == trade_id))).first()
    return None if row is None else Charge(**row._mapping)
