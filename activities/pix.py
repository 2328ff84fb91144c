"""PIX payouts at a provider: send once, ask by key until known."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from models.bank_data import writes as bank_data
from models.errors import PayoutRefused, PayoutUnknown, ProviderBalanceTooLow, ProviderLimitReached
from models.instant_trade.writes import return_message
from models.outbox import put
from models.payout import queries, writes
from models.payout.states import KNOWN, PayoutStatus
from models.payout.types import Payout, PayoutProgress, PayoutQuestion, Report
from models.secret_box import SecretBox, same
from payments.protocol import PayoutOrder, PayoutReport, PayoutState, PixKeyKind, PixProvider

HOLDER_DIFFERS = "holder_differs"
WAITS_FOR = {
    ProviderBalanceTooLow.type: "money in our account there",
    ProviderLimitReached.type: "the provider's limit to allow it",
    HOLDER_DIFFERS: "an operator: the holder is not the user",
}
"""By reason. Whatever else it is, the provider knows."""

_STATUS = {
    PayoutState.PROCESSING: PayoutStatus.PROCESSING,
    PayoutState.PAID: PayoutStatus.PAID,
    PayoutState.REJECTED: PayoutStatus.REJECTED,
    PayoutState.RETURNED: PayoutStatus.RETURNED,
}


class PixActivities:
    def __init__(self, engine: AsyncEngine, box: SecretBox, providers: Mapping[str, PixProvider]) -> None:
        self._engine = engine
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._box = box
        self._providers = providers

    @activity.defn(name="pix.settle")
    async def settle(self, question: PayoutQuestion) -> PayoutProgress:
        """Bring our knowledge of a payout up to date; send it if the provider has never heard of it.

        A first call sends, in the night only if it may. A later one, whoever makes it and why, first asks the
        provider by our key, and sends the same order again only on its clear word that it knows none, after
        ``resend_after_seconds`` of silence. A refusal, a payment or a return ends it. Nothing is sent to another
        holder than the user.
        """
        async with self._engine.begin() as conn:
            payout = await queries.payout(conn, question.key, lock=True)
            if payout is None or payout.status in KNOWN:
                return PayoutProgress(PayoutStatus.REJECTED if payout is None else payout.status)
            provider = self._provider(payout)
            first = payout.status is PayoutStatus.CREATED
            if first and (seconds := _seconds_of_night(payout)) > 0:
                return PayoutProgress(payout.status, f"the morning, {payout.not_before:%Y-%m-%d %H:%M %Z}", seconds)
            if first:
                await writes.mark_submitting(conn, payout)
        if first:
            return _progress(await self._learn(payout, await self._send(provider, payout, first=True)))
        report = await _ask(provider, payout)
        if report.status is PayoutStatus.CREATED:
            return _progress(await self._send_again(provider, payout, question.resend_after_seconds))
        return _progress(await self._learn(payout, report))

    def _provider(self, payout: Payout) -> PixProvider:
        """The one it was ordered at, and no other, however long that is silent.

        :raises PayoutUnknown: this worker is not configured for it.
        """
        if payout.provider not in self._providers:
            raise PayoutUnknown(f"the payment provider {payout.provider} is not configured in this worker")
        return self._providers[payout.provider]

    async def _send_again(self, provider: PixProvider, payout: Payout, resend_after_seconds: float) -> Report:
        """The provider says it never heard of the key: the same order under the same key, after a silence."""
        if payout.status is PayoutStatus.PROCESSING:
            return Report(payout.status)
        if (payout.silent_seconds or 0) < resend_after_seconds:
            return await self._learn(payout, Report(PayoutStatus.UNKNOWN, reason="not_found_yet"))
        async with self._engine.begin() as conn:
            locked = await queries.payout(conn, payout.key, lock=True)
            if locked is None or locked.status in KNOWN or locked.version != payout.version:
                return Report(PayoutStatus.UNKNOWN)
            await writes.mark_submitting(conn, locked)
        return await self._learn(payout, await self._send(provider, payout, first=False))

    async def _send(self, provider: PixProvider, payout: Payout, *, first: bool) -> Report:
        async with self._reads.connect() as conn:
            payee = await bank_data.payee(conn, self._box, payout.bank_data_id)
            user = await queries.holder_fingerprint(conn, payout.key)
        if user is None or not same(self._box, user, payee.holder_tax_id):
            # An earlier sending may still be on its way: then our own no is not the end of it.
            return Report(PayoutStatus.REJECTED if first else PayoutStatus.UNKNOWN, reason=HOLDER_DIFFERS)
        order = PayoutOrder(
            key=payout.key,
            amount_centavos=payout.amount_centavos,
            pix_key=payee.pix_key,
            pix_key_kind=PixKeyKind(payee.pix_key_kind),
            holder_name=payee.holder_name,
            holder_tax_id=payee.holder_tax_id,
            description=f"Liquida {payout.trade_id[:8]}",
        )
        try:
            return _read(await provider.payout(order), payout)
        except PayoutRefused as refusal:
            return Report(PayoutStatus.REJECTED, reason=refusal.reason)
        except PayoutUnknown as unknown:
            return Report(PayoutStatus.UNKNOWN, reason=unknown.type)

    async def _learn(self, payout: Payout, report: Report) -> Report:
        """Write it down; what another call learned meanwhile stands."""
        async with self._engine.begin() as conn:
            locked = await queries.payout(conn, payout.key, lock=True)
            if locked is None or locked.status in KNOWN:
                return Report(payout.status if locked is None else locked.status)
            if report.status is PayoutStatus.RETURNED:
                await writes.record(conn, locked, Report(PayoutStatus.PAID, report.provider_id, report.end_to_end_id))
                locked = await queries.payout(conn, payout.key, lock=True)
                await put(conn, return_message(payout.trade_id))
            if locked is not None and not _is_weaker(report.status, locked.status):
                await writes.record(conn, locked, report)
        return report

    @activity.defn(name="pix.check_return")
    async def check_return(self, key: str) -> PayoutStatus:
        """After a payout was paid: has it come back? Believes the provider's look-up, not the webhook."""
        async with self._reads.connect() as conn:
            payout = await queries.payout(conn, key)
        if payout is None or payout.status is not PayoutStatus.PAID:
            return PayoutStatus.UNKNOWN if payout is None else payout.status
        report = await _ask(self._provider(payout), payout)
        if report.status is not PayoutStatus.RETURNED:
            return payout.status
        async with self._engine.begin() as conn:
            locked = await queries.payout(conn, key, lock=True)
            if locked is not None and locked.status is PayoutStatus.PAID:
                await writes.record(conn, locked, report)
        return PayoutStatus.RETURNED


async def _ask(provider: PixProvider, payout: Payout) -> Report:
    """``CREATED`` stands for the provider's clear word that it has never heard of the key."""
    try:
        report = await provider.find_payout(payout.key, payout.provider_id)
    except PayoutUnknown as unknown:
        return Report(PayoutStatus.UNKNOWN, reason=unknown.type)
    if report.state is PayoutState.NOT_FOUND:
        return Report(PayoutStatus.CREATED)
    return _read(report, payout)


def _read(report: PayoutReport, payout: Payout) -> Report:
    """A payout of another amount than ordered is never taken for ours."""
    if report.amount_centavos not in {None, payout.amount_centavos}:
        return Report(PayoutStatus.UNKNOWN, report.provider_id, report.end_to_end_id, "amount_differs")
    return Report(_STATUS[report.state], report.provider_id, report.end_to_end_id, report.reason)


def _progress(report: Report) -> PayoutProgress:
    return PayoutProgress(report.status, WAITS_FOR.get(report.reason or "", "the provider"))


def _seconds_of_night(payout: Payout) -> float:
    return 0 if payout.not_before is None else (payout.not_before - datetime.now(UTC)).total_seconds()


def _is_weaker(new: PayoutStatus, old: PayoutStatus) -> bool:
    """Not knowing now does not undo what was known before."""
    return new is PayoutStatus.UNKNOWN and old is PayoutStatus.PROCESSING
