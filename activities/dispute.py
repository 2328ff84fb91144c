"""Disputes at a provider: asked for, defended, and booked as the provider says they stand."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from temporalio import activity

from models.charge import queries as charges
from models.charge.types import Charge
from models.charge.writes import bell
from models.dispute import books, queries, writes
from models.dispute.states import DisputeStatus
from models.dispute.types import Alarm, Claim, Cover, Dispute, DisputeProgress, DisputeQuestion
from models.errors import PayoutRefused, PayoutUnknown
from models.instant_trade import queries as trades
from models.instant_trade.states import ENDED
from models.money import units_text
from models.outbox import put
from models.receipt import queries as receipts
from models.receipt import settle
from models.receipt.types import Receipt
from models.secret_box import SecretBox
from payments.protocol import DisputeReport, DisputeState, PixDisputes

_STATUS = {
    DisputeState.OPEN: DisputeStatus.OPEN,
    DisputeState.WON: DisputeStatus.WON,
    DisputeState.LOST: DisputeStatus.LOST,
}
SHARES = ((0.25, Alarm.UNDEFENDED_QUARTER), (0.5, Alarm.UNDEFENDED_HALF))
"""How much of its window is left at most when an undefended claim asks for a person."""


class DisputeActivities:
    def __init__(self, engine: AsyncEngine, box: SecretBox, providers: Mapping[str, PixDisputes]) -> None:
        self._engine = engine
        self._box = box
        self._providers = providers

    @activity.defn(name="dispute.look")
    async def look(self, question: DisputeQuestion) -> DisputeProgress:
        """Bring our books up to date with what the provider says of a dispute, and hand in a defence that waits."""
        provider = self._providers.get(question.provider)
        if provider is None:
            return await self._as_known(question, "is not configured here, or knows no disputes")
        try:
            report = await provider.find_dispute(question.dispute_id)
        except PayoutUnknown as unknown:
            return await self._as_known(question, unknown.type)
        dispute, alarms = await self._learn(question, report)
        if dispute is None:
            is_over = report.state is not DisputeState.OPEN
            facts = {"provider": question.provider, "dispute": question.dispute_id, "reported": report.state.value}
            return DisputeProgress(is_over, None, "its receipt is not known", (Alarm.UNKNOWN_RECEIPT,), facts)
        if dispute.is_to_be_handed_in and dispute.status is DisputeStatus.OPEN:
            dispute = await self._hand_in(provider, dispute)
        return _progress(question, dispute, "the decision", report.state, alarms)

    async def _as_known(self, question: DisputeQuestion, why: str) -> DisputeProgress:
        """A provider's silence stops no clock."""
        async with self._engine.connect() as conn:
            known = await queries.by_name(conn, question.provider, question.dispute_id)
        return _progress(question, known, f"{question.provider}: {why}")

    async def _learn(
        self, question: DisputeQuestion, report: DisputeReport
    ) -> tuple[Dispute | None, tuple[Alarm, ...]]:
        """Write down what the provider says, and book it, in one transaction. None: we do not know the receipt."""
        async with self._engine.begin() as conn:
            receipt = await receipts.by_end_to_end_id(conn, question.provider, report.end_to_end_id)
            charge = None if receipt is None else await charges.charge(conn, receipt.charge_key)
            if receipt is None or charge is None:
                return None, ()
            await settle.lock_trade(conn, charge)
            await charges.charge(conn, charge.key, lock=True)
            receipt = await receipts.receipt(conn, receipt.id, lock=True)
            claim = Claim(
                question.provider,
                question.dispute_id,
                receipt.id,
                report.amount_centavos,
                report.answer_until,
                report.reason,
            )
            dispute = await writes.keep(conn, claim)
            told = _STATUS[report.state]
            same = (dispute.receipt_id, dispute.amount_centavos) == (receipt.id, report.amount_centavos)
            differs = not same or dispute.status not in {DisputeStatus.OPEN, told}
            if dispute.status is not DisputeStatus.OPEN or dispute.receipt_id != receipt.id:
                return dispute, (Alarm.DIFFERS,) if differs else ()
            dispute = await self._book(conn, charge, receipt, dispute, told)
        return dispute, (Alarm.DIFFERS,) if differs else ()

    async def _book(
        self, conn: AsyncConnection, charge: Charge, receipt: Receipt, dispute: Dispute, told: DisputeStatus
    ) -> Dispute:
        dispute = await books.cover(conn, charge, receipt, dispute)
        ended: Dispute | None = None
        if told is DisputeStatus.WON:
            ended = await books.win(conn, charge, receipt, dispute)
        elif told is DisputeStatus.LOST:
            is_over = charge.trade_id is None or (await trades.trade(conn, charge.trade_id)).status in ENDED
            ended = await books.give_up(conn, charge, receipt, dispute, trade_is_over=is_over)
        if ended is None:
            return dispute
        await put(conn, bell(charge, f"dispute/{ended.id}/{ended.status}", datetime.now(UTC)))
        await put(conn, *settle.bell(charge))
        return ended

    async def _hand_in(self, provider: PixDisputes, dispute: Dispute) -> Dispute:
        """The same statement each time, until the provider says that it took it, or will not."""
        async with self._engine.connect() as conn:
            statement = await queries.defence(conn, self._box, dispute.id)
        refusal = None
        try:
            await provider.defend(dispute.dispute_id, statement or "")
        except PayoutRefused as refused:
            refusal = refused.reason
        except PayoutUnknown:
            return dispute
        async with self._engine.begin() as conn:
            return await writes.end_defence(conn, dispute.id, refusal=refusal)


def _progress(
    question: DisputeQuestion,
    dispute: Dispute | None,
    waits_for: str,
    told: DisputeState | None = None,
    alarms: tuple[Alarm, ...] = (),
) -> DisputeProgress:
    if dispute is None:
        facts = {"provider": question.provider, "dispute": question.dispute_id}
        return DisputeProgress(is_over=False, status=None, details=f"waits for {waits_for}", facts=facts)
    now = datetime.now(UTC)
    is_over = dispute.status is not DisputeStatus.OPEN
    found = list(alarms)
    if dispute.cover is Cover.NOTHING and not dispute.from_user_centavos + dispute.from_house_centavos:
        found.append(Alarm.NOTHING_TO_CLAIM)
    if dispute.defence_refusal is not None:
        found.append(Alarm.DEFENCE_REFUSED)
    is_undefended = not is_over and told is not DisputeState.WON and told is not DisputeState.LOST
    if is_undefended and dispute.defended_at is None:
        found += _overdue(dispute, now)
    if not is_over and told in {DisputeState.WON, DisputeState.LOST}:
        waits_for = f"the trade's or the refund's end: the provider says {told}"
    window = "not said" if dispute.answer_until is None else dispute.answer_until.isoformat(timespec="seconds")
    defence = "handed in" if dispute.defended_at else "given" if dispute.is_to_be_handed_in else "none"
    details = (
        f"{dispute.status}: R$ {units_text(dispute.amount_centavos, 2)} claimed, defence until {window}: {defence};"
        f" waits for {waits_for}"
    )
    return DisputeProgress(is_over, dispute.status, details, tuple(found), _facts(dispute), _next(dispute, now))


def _overdue(dispute: Dispute, now: datetime) -> list[Alarm]:
    """Where no window's end is known, a person has to find it out at once."""
    if dispute.answer_until is None or dispute.created_at is None:
        return [Alarm.UNDEFENDED_HALF]
    window = (dispute.answer_until - dispute.created_at).total_seconds()
    left = (dispute.answer_until - now).total_seconds()
    return [alarm for share, alarm in SHARES if left <= window * share][:1]


def _next(dispute: Dispute, now: datetime) -> float | None:
    if dispute.answer_until is None or dispute.created_at is None or dispute.status is not DisputeStatus.OPEN:
        return None
    window = dispute.answer_until - dispute.created_at
    ahead = [(dispute.answer_until - window * share - now).total_seconds() for share, _ in SHARES]
    return min((seconds for seconds in ahead if seconds > 0), default=None)


def _facts(dispute: Dispute) -> dict[str, str]:
    return {
        "provider": dispute.provider,
        "dispute": dispute.id,
        "status": dispute.status,
        "centavos": str(dispute.amount_centavos),
        "answer_until": "" if dispute.answer_until is None else dispute.answer_until.isoformat(),
    }
