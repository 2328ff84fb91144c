"""Reads of charges."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge.tables import charges
from models.charge.types import Charge
from models.pix_refund.states import KNOWN
from models.pix_refund.tables import pix_refunds
from models.receipt.tables import pix_receipts

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


async def watched_providers(conn: AsyncConnection) -> set[str]:
    """The providers of charges that may still be paid, or whose payments are on their way back."""
    r, f = pix_receipts.c, pix_refunds.c
    going = select(r.id).join(pix_refunds, f.receipt_id == r.id).where(r.charge_key == _C.key, f.status.not_in(KNOWN))
    is_open = (_C.watched_until > func.now()) | going.exists()
    return set((await conn.execute(select(_C.provider).where(is_open).distinct())).scalars())
