"""PIX charges at a provider: made once, then looked at until nothing more is to be expected of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from temporalio import activity

from models.charge import queries, writes
from models.charge.states import ChargeStatus
from models.charge.types import Charge, ChargeProgress
from models.document import queries as documents
from models.errors import DocumentMissing, PayoutRefused, PayoutUnknown
from models.inbound_webhook import queries as webhooks
from models.outbox import put
from models.receipt import settle
from models.receipt import writes as receipts
from models.receipt.states import ReceiptStatus
from models.receipt.types import Payer, Receipt, Seen
from models.secret_box import SecretBox, same
from payments.protocol import ChargeEvent, ChargeOrder, ChargeReport, ChargeState, PixCollector
from payments.protocol import Receipt as Shown

WINDOW_LEAST_SECONDS = 1


class ChargeActivities:
    """:param payer_patience_seconds: how long a receipt waits for its payer to become known before it goes back."""

    def __init__(
        self,
        engine: AsyncEngine,
        box: SecretBox,
        collectors: Mapping[str, PixCollector],
        *,
        payer_patience_seconds: float,
    ) -> None:
        self._engine = engine
        self._box = box
        self._collectors = collectors
        self._payer_patience = timedelta(seconds=payer_patience_seconds)

    @activity.defn(name="charge.look")
    async def look(self, key: str) -> ChargeProgress:
        """Make the charge if the provider has not confirmed it yet; else ask what was paid on it, and settle that.

        Making is by our key and moves no reais, so it is simply repeated until it is answered.
        """
        charge = await self._prepare(key)
        if charge.status is ChargeStatus.REFUSED:
            return ChargeProgress(charge.status, is_over=True)
        asked_at = datetime.now(UTC)
        try:
            report = await self._ask(charge)
        except PayoutRefused as refusal:
            return await self._refuse(charge, refusal.reason)
        except PayoutUnknown as unknown:
            return _waiting(charge, f"{charge.provider}: {unknown.type}")
        return await self._learn(charge, report, asked_at)

    async def _prepare(self, key: str) -> Charge:
        """The charge, about to be sent if it was not: with the same window each time, or its content would differ."""
        now = datetime.now(UTC)
        async with self._engine.begin() as conn:
            charge = await _locked(conn, key)
            if charge.status is not ChargeStatus.CREATED:
                return charge
            window = int((charge.expires_at - now).total_seconds())
            if window >= WINDOW_LEAST_SECONDS:
                return await writes.mark_submitted(conn, charge, window_seconds=window)
            await put(conn, *settle.bell(charge))
            return await writes.refuse(conn, charge, "too_late")

    async def _ask(self, charge: Charge) -> ChargeReport:
        """:raises PayoutUnknown: no answer. :raises PayoutRefused: it will never be payable."""
        collector = self._collectors[charge.provider]
        if charge.status is ChargeStatus.ACTIVE:
            return await collector.find_charge(charge.key)
        async with self._engine.connect() as conn:
            payer = await documents.holder(conn, self._box, charge.user_id)
        if payer is None:
            raise DocumentMissing(f"charge {charge.key} has no payer")
        order = ChargeOrder(
            key=charge.key,
            amount_centavos=charge.amount_centavos,
            expires_seconds=charge.window_seconds or WINDOW_LEAST_SECONDS,
            payer_name=payer.name,
            payer_tax_id=payer.tax_id,
            description=f"Liquida {charge.key[:8]}",
        )
        return await collector.charge(order)

    async def _refuse(self, charge: Charge, reason: str) -> ChargeProgress:
        """Only a charge that never was active can be refused; of another the provider's word is not believed."""
        if charge.status is ChargeStatus.ACTIVE:
            return _waiting(charge, f"{charge.provider}: {reason}")
        async with self._engine.begin() as conn:
            locked = await _locked(conn, charge.key)
            if locked.status is ChargeStatus.SUBMITTED:
                locked = await writes.refuse(conn, locked, reason)
                await put(conn, *settle.bell(locked))
        return ChargeProgress(locked.status, is_over=locked.status is ChargeStatus.REFUSED)

    async def _learn(self, charge: Charge, report: ChargeReport, asked_at: datetime) -> ChargeProgress:
        """Write down what the provider shows, and decide on every receipt, in one transaction."""
        if report.state is ChargeState.NOT_FOUND:
            return _waiting(charge, f"{charge.provider} does not know it")
        async with self._engine.begin() as conn:
            locked = await _locked(conn, charge.key)
            if locked.status is ChargeStatus.SUBMITTED:
                if report.br_code is None:
                    return _waiting(charge, f"{charge.provider} gives no BR Code")
                locked = await writes.activate(conn, locked, provider_id=report.provider_id, br_code=report.br_code)
            before = locked.asked_at
            shown = [await self._seen(conn, locked, receipt) for receipt in report.receipts]
            news = [await receipts.see(conn, locked, receipt) for receipt in shown]
            _shout(locked, [receipt for receipt, is_news in zip(shown, news, strict=True) if is_news])
            now = datetime.now(UTC)
            found = await settle.settle(conn, locked, known_by=now - self._payer_patience, now=now)
            locked = await writes.mark_asked(conn, locked, asked_at)
            if any(news) or _is_final(locked, before):
                await put(conn, *settle.bell(locked))
        return _progress(locked, found, self._payer_patience)

    async def _seen(self, conn: AsyncConnection, charge: Charge, shown: Shown) -> Seen:
        """The payer's tax id is compared here and goes no further."""
        payer = Payer.UNKNOWN
        tax_id = shown.payer_tax_id or await self._payer_told(conn, charge, shown.end_to_end_id)
        if tax_id is not None:
            known = await documents.fingerprint_of(conn, charge.user_id)
            payer = Payer.SAME if known is not None and same(self._box, known, tax_id) else Payer.OTHER
        return Seen(
            shown.end_to_end_id,
            shown.amount_centavos,
            shown.time,
            payer,
            is_blocked=shown.blocked,
            taken_back_centavos=shown.taken_back_centavos,
        )

    async def _payer_told(self, conn: AsyncConnection, charge: Charge, end_to_end_id: str) -> str | None:
        """Some providers name the payer in their webhook alone, which was verified when it came."""
        read = self._collectors[charge.provider].read_webhook
        for told in await webhooks.about(conn, charge.provider, charge.key):
            for event in read(told.body(self._box), event_id=told.event_id):
                is_it = isinstance(event, ChargeEvent) and event.end_to_end_id == end_to_end_id
                if is_it and isinstance(event, ChargeEvent) and event.payer_tax_id is not None:
                    return event.payer_tax_id
        return None


async def _locked(conn: AsyncConnection, key: str) -> Charge:
    """The charge's row, and before it its trade's."""
    charge = await queries.charge(conn, key)
    if charge is not None:
        await settle.lock_trade(conn, charge)
        charge = await queries.charge(conn, key, lock=True)
    if charge is None:
        raise LookupError(f"no charge {key}")
    return charge


def _shout(charge: Charge, news: list[Seen]) -> None:
    """A payment that the bank took away again is for a person to know, whatever it had paid for."""
    for seen in news:
        if seen.taken_back_centavos:
            details = {
                "charge": charge.key,
                "end_to_end_id": seen.end_to_end_id,
                "centavos": seen.taken_back_centavos,
            }
            activity.logger.error("receipt.taken_back", extra=details)


def _is_final(charge: Charge, asked_before: datetime | None) -> bool:
    """Whether the bank was asked just now, for the first time after the last moment at which a payment counts."""
    late = charge.asked_at is not None and charge.asked_at >= charge.accepts_until
    return late and (asked_before is None or asked_before < charge.accepts_until)


def _progress(charge: Charge, found: list[Receipt], patience: timedelta) -> ChargeProgress:
    now = datetime.now(UTC)
    nameless = [receipt.created_at for receipt in found if receipt.status is ReceiptStatus.RECEIVED]
    ends = [moment + patience for moment in nameless if moment is not None and moment + patience > now]
    if ends:
        seconds = (max(ends) - now).total_seconds()
        return ChargeProgress(charge.status, is_over=False, waits_for="the payer's name", seconds_to_next=seconds)
    is_open = any(receipt.status in settle.OPEN for receipt in found)
    if charge.asked_at is not None and charge.asked_at >= charge.watched_until and not is_open:
        return ChargeProgress(charge.status, is_over=True)
    return _waiting(charge, "the bank's block to end" if is_open else "a payment")


def _waiting(charge: Charge, what: str) -> ChargeProgress:
    now = datetime.now(UTC)
    ahead = [(end - now).total_seconds() for end in (charge.accepts_until, charge.watched_until) if end > now]
    return ChargeProgress(charge.status, is_over=False, waits_for=what, seconds_to_next=min(ahead, default=None))
