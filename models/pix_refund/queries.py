"""Reads of devoluções."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.pix_refund.tables import pix_refunds
from models.pix_refund.types import PixRefund
from models.receipt.tables import pix_receipts

_F, _R = pix_refunds.c, pix_receipts.c
_COLUMNS = (
    _F.key,
    _F.receipt_id,
    _R.provider,
    _R.end_to_end_id,
    _F.amount_centavos,
    _F.status,
    _F.version,
    _F.return_id,
    _F.reason,
    func.extract("epoch", func.clock_timestamp() - _F.submitted_at).label("silent_seconds"),
)


async def refund(conn: AsyncConnection, key: str, *, lock: bool = False) -> PixRefund | None:
    """The devolução of this key, or None; with ``lock``, its row is ours until the transaction ends."""
    statement = select(*_COLUMNS).join(pix_receipts, _R.id == _F.receipt_id).where(_F.key == key)
    if lock:
        statement = statement.with_for_update(of=pix_refunds, key_share=True)
    row = (await conn.execute(statement)).first()
    return None if row is None else PixRefund(**row._mapping)


async def of_receipts(conn: AsyncConnection, receipt_ids: list[str]) -> dict[str, PixRefund]:
    """The latest devolução of each of these receipts that has one."""
    statement = (
        select(*_COLUMNS)
        .join(pix_receipts, _R.id == _F.receipt_id)
        .where(_F.receipt_id.in_(receipt_ids))
        .order_by(_F.created_at, _F.key)
    )
    return {row.receipt_id: PixRefund(**row._mapping) for row in await conn.execute(statement)}
