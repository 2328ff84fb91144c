"""Devoluções: the order first, then what the provider says of it."""

from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.errors import Broken
from models.ids import new_id
from models.outbox import Message, MessageKind, put
from models.pix_refund.states import RefundStatus
from models.pix_refund.tables import pix_refunds
from models.pix_refund.types import PixRefund, RefundNews

WORKFLOW = "pix-refund"
REASON_MOST = 100


def workflow_id(key: str) -> str:
    return f"{WORKFLOW}/{key}"


async def order(conn: AsyncConnection, *, receipt_id: str, amount_centavos: int) -> str:
    """Write the order under a key of its own, and start its workflow; the key.

    The database allows no second one for a receipt until the first is rejected for good.
    """
    key = new_id()
    await conn.execute(insert(pix_refunds).values(key=key, receipt_id=receipt_id, amount_centavos=amount_centavos))
    start = Message(
        MessageKind.START,
        workflow_id(key),
        workflow=WORKFLOW,
        input={"key": key},
        summary="a PIX on its way back to its payer",
        attributes={"Kind": WORKFLOW, "AmountCents": amount_centavos},
    )
    await put(conn, start)
    return key


async def mark_submitting(conn: AsyncConnection, refund: PixRefund) -> None:
    """Say, before the call, that the provider may be about to hear of it. ``refund`` must be locked."""
    await _step(conn, refund, RefundStatus.SUBMITTED, submitted_at=func.clock_timestamp())


async def record(conn: AsyncConnection, refund: PixRefund, news: RefundNews) -> None:
    """Write what became known. ``refund`` must be locked.

    :raises IllegalTransition: the table does not allow it.
    """
    reason = news.reason and news.reason[:REASON_MOST]
    await _step(conn, refund, news.status, return_id=news.return_id or refund.return_id, reason=reason)


async def _step(conn: AsyncConnection, refund: PixRefund, after: RefundStatus, **columns: object) -> None:
    if after is not refund.status:
        transitions.check("pix_refund", refund.status, after)
    f = pix_refunds.c
    statement = (
        update(pix_refunds)
        .where(f.key == refund.key, f.status == refund.status, f.version == refund.version)
        .values(status=after, version=refund.version + 1, updated_at=func.now(), **columns)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"refund {refund.key} changed while its row was locked")
