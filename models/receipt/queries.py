"""Reads of receipts."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.receipt.tables import pix_receipts
from models.receipt.types import Receipt

_R = pix_receipts.c
_COLUMNS = tuple(column for column in pix_receipts.columns if column.name in Receipt.__dataclass_fields__)


async def of_charge(conn: AsyncConnection, charge_key: str) -> list[Receipt]:
    """In the order in which the bank stamped them."""
    statement = select(*_COLUMNS).where(_R.charge_key == charge_key).order_by(_R.received_at, _R.id)
    return [Receipt(**row._mapping) for row in await conn.execute(statement)]


async def of_charges(conn: AsyncConnection, charge_keys: list[str]) -> dict[str, list[Receipt]]:
    """By charge, each in the order in which the bank stamped them; a charge without any is left out."""
    statement = select(*_COLUMNS).where(_R.charge_key.in_(charge_keys)).order_by(_R.received_at, _R.id)
    found: dict[str, list[Receipt]] = {}
    for row in await conn.execute(statement):
        found.setdefault(row.charge_key, []).append(Receipt(**row._mapping))
    return found


async def receipt(conn: AsyncConnection, receipt_id: str, *, lock: bool = False) -> Receipt:
    statement = select(*_COLUMNS).where(_R.id == receipt_id)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).one()
    return Receipt(**row._mapping)


async def by_end_to_end_id(conn: AsyncConnection, provider: str, end_to_end_id: str) -> Receipt | None:
    statement = select(*_COLUMNS).where(_R.provider == provider, _R.end_to_end_id == end_to_end_id)
    row = (await conn.execute(statement)).first()
    return None if row is None else Receipt(**row._mapping)
