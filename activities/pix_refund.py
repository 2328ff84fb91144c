"""Devoluções at a provider: send once, ask by key until known."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from temporalio import activity

from models.charge import queries as charges
from models.charge.types import Charge
from models.errors import Broken, PayoutRefused, PayoutUnknown
from models.outbox import put
from models.pix_refund import queries, writes
from models.pix_refund.states import KNOWN, RefundStatus
from models.pix_refund.types import PixRefund, RefundNews, RefundQuestion
from models.receipt import queries as receipts
from models.receipt import settle
from models.receipt import writes as receipt_writes
from payments.protocol import PixCollector, RefundOrder, RefundReport, RefundState

_STATUS = {
    RefundState.PROCESSING: RefundStatus.PROCESSING,
    RefundState.REFUNDED: RefundStatus.REFUNDED,
    RefundState.REJECTED: RefundStatus.REJECTED,
}


class PixRefundActivities:
    def __init__(self, engine: AsyncEngine, collectors: Mapping[str, PixCollector]) -> None:
        self._engine = engine
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._collectors = collectors

    @activity.defn(name="pix_refund.settle")
    async def settle(self, question: RefundQuestion) -> RefundStatus:
        """Bring our knowledge of a devolução up to date; send it if the provider has never heard of it.

        As with a payout: a first call sends, a later one asks by our key first, and the same order goes out again
        only on the provider's clear word that it knows none, after ``resend_after_seconds`` of silence.
        """
        refund, is_first = await self._begin(question.key)
        if refund.status in KNOWN:
            return refund.status
        if is_first:
            return await self._learn(refund.key, await self._send(refund))
        news = await self._ask(refund)
        if news is not None:
            return await self._learn(refund.key, news)
        if (refund.silent_seconds or 0) < question.resend_after_seconds:
            return await self._learn(refund.key, RefundNews(RefundStatus.UNKNOWN, reason="not_found_yet"))
        refund, is_first = await self._begin(question.key, again=refund)
        return await self._learn(refund.key, await self._send(refund)) if is_first else refund.status

    async def _begin(self, key: str, again: PixRefund | None = None) -> tuple[PixRefund, bool]:
        """The refund, and whether it is ours to send now; if so, that is written down before."""
        async with self._engine.begin() as conn:
            refund = await queries.refund(conn, key, lock=True)
            if refund is None:
                raise Broken(f"there is no refund {key}")
            is_mine = refund.status is RefundStatus.CREATED if again is None else refund.version == again.version
            if is_mine and refund.status in {RefundStatus.CREATED, RefundStatus.UNKNOWN, RefundStatus.SUBMITTED}:
                await writes.mark_submitting(conn, refund)
                return refund, True
        return refund, False

    async def _send(self, refund: PixRefund) -> RefundNews:
        try:
            return _read(await self._collectors[refund.provider].refund(_order(refund)), refund)
        except PayoutRefused as refusal:
            return RefundNews(RefundStatus.REJECTED, reason=refusal.reason)
        except PayoutUnknown as unknown:
            return RefundNews(RefundStatus.UNKNOWN, reason=unknown.type)

    async def _ask(self, refund: PixRefund) -> RefundNews | None:
        """None: the provider's clear word that it has never heard of the key."""
        try:
            report = await self._collectors[refund.provider].find_refund(_order(refund))
        except PayoutUnknown as unknown:
            return RefundNews(RefundStatus.UNKNOWN, reason=unknown.type)
        if report.state is RefundState.NOT_FOUND and refund.status is not RefundStatus.PROCESSING:
            return None
        return _read(report, refund)

    async def _learn(self, key: str, news: RefundNews) -> RefundStatus:
        """Write it down, with the end of the receipt it belongs to; what another call learned meanwhile stands."""
        async with self._engine.begin() as conn:
            charge = await self._lock_charge(conn, key)
            refund = await queries.refund(conn, key, lock=True)
            if refund is None or refund.status in KNOWN:
                return news.status if refund is None else refund.status
            if news.status is RefundStatus.UNKNOWN and refund.status is RefundStatus.PROCESSING:
                return refund.status
            await writes.record(conn, refund, news)
            if news.status in KNOWN:
                receipt = await receipts.receipt(conn, refund.receipt_id, lock=True)
                is_done = news.status is RefundStatus.REFUNDED
                await receipt_writes.end_refund(conn, charge, receipt, refunded=is_done)
                await put(conn, *settle.bell(charge))
        return news.status

    async def _lock_charge(self, conn: AsyncConnection, key: str) -> Charge:
        refund = await queries.refund(conn, key)
        receipt = None if refund is None else await receipts.receipt(conn, refund.receipt_id)
        charge = None if receipt is None else await charges.charge(conn, receipt.charge_key)
        if charge is None:
            raise Broken(f"refund {key} belongs to no charge")
        await settle.lock_trade(conn, charge)
        return await charges.charge(conn, charge.key, lock=True) or charge


def _order(refund: PixRefund) -> RefundOrder:
    return RefundOrder(refund.key, refund.end_to_end_id, refund.amount_centavos)


def _read(report: RefundReport, refund: PixRefund) -> RefundNews:
    """A devolução of another amount than ordered is never taken for ours."""
    if report.amount_centavos not in {None, refund.amount_centavos}:
        return RefundNews(RefundStatus.UNKNOWN, report.return_id, "amount_differs")
    status = _STATUS.get(report.state, RefundStatus.UNKNOWN)
    return RefundNews(status, report.return_id, report.reason)
