"""What every PIX provider offers. Amounts are centavos; keys are ours, chosen before the first call."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pydantic.dataclasses import dataclass

from models.money import Units


class PixKeyKind(StrEnum):
    """DICT key types (Bacen DICT API 2.6.0)."""

    CPF = "cpf"
    CNPJ = "cnpj"
    PHONE = "phone"
    EMAIL = "email"
    EVP = "evp"


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """One PIX out. ``key`` is 32 characters ``[A-Za-z0-9]``; the same key is for ever the same payout.

    Holds personal data: lives only inside the activity that sends it. ``repr`` shows the key alone.
    """

    key: str
    amount_centavos: Units
    pix_key: str
    pix_key_kind: PixKeyKind
    holder_name: str
    holder_tax_id: str
    description: str

    def __repr__(self) -> str:
        return f"PayoutOrder(key={self.key!r})"


class PayoutState(StrEnum):
    """What a provider says of a payout, in our words. ``NOT_FOUND``: it has never heard of the key."""

    NOT_FOUND = "not_found"
    PROCESSING = "processing"
    PAID = "paid"
    REJECTED = "rejected"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class PayoutReport:
    """A provider's answer about one key.

    ``reason``: the rejection or return code (ISO 20022 where given). ``end_to_end_id``: opaque, 32
    characters by the rule, longer or shorter in practice.
    """

    state: PayoutState
    amount_centavos: Units | None = None
    provider_id: str | None = None
    end_to_end_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutEvent:
    """A verified webhook about one of our payouts: a hint to look, never the truth itself.

    ``event_id`` is the provider's own, the same over its retries. ``provider_id``: the provider's own name for the
    payout, from those that cannot be asked without it.
    """

    event_id: str
    key: str
    state: PayoutState
    provider_id: str | None = None


class ChargeState(StrEnum):
    """What a provider says of a charge. ``ACTIVE`` may be past its expiry: that is no state at Bacen."""

    NOT_FOUND = "not_found"
    ACTIVE = "active"
    PAID = "paid"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ChargeOrder:
    """One dynamic charge. ``key``: 32 characters ``[A-Za-z0-9]``, its txid where the provider lets us choose.

    ``payer_tax_id`` is shown to the payer's bank and binds nobody (Bacen API Pix: ``devedor``).
    """

    key: str
    amount_centavos: Units
    expires_seconds: int
    payer_name: str
    payer_tax_id: str
    description: str

    def __repr__(self) -> str:
        return f"ChargeOrder(key={self.key!r})"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One PIX that paid a charge. A charge may be paid twice, by strangers, and after its expiry.

    ``payer_tax_id``: bare characters; None where the provider does not say or masks it.
    ``blocked``: under precautionary block: received, and not ours to spend yet. ``taken_back_centavos``: of it,
    what the bank has sent back to its payer without our asking, after a block or a dispute.
    """

    end_to_end_id: str
    amount_centavos: Units
    time: datetime
    payer_tax_id: str | None = None
    blocked: bool = False
    taken_back_centavos: Units = 0

    def __repr__(self) -> str:
        return f"Receipt(end_to_end_id={self.end_to_end_id!r})"


@dataclass(frozen=True, slots=True)
class ChargeReport:
    """A provider's answer about one charge. ``br_code``: the "copia e cola" text."""

    state: ChargeState
    amount_centavos: Units | None = None
    provider_id: str | None = None
    br_code: str | None = None
    receipts: tuple[Receipt, ...] = ()


class RefundState(StrEnum):
    """A devolução's state: asynchronous, and it may fail."""

    NOT_FOUND = "not_found"
    PROCESSING = "processing"
    REFUNDED = "refunded"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Send all or part of a received PIX back to its payer (devolução). ``key``: as a payout's."""

    key: str
    end_to_end_id: str
    amount_centavos: Units


@dataclass(frozen=True, slots=True)
class RefundReport:
    """``return_id``: the devolução's own id (``D...``, "rtrId")."""

    state: RefundState
    amount_centavos: Units | None = None
    return_id: str | None = None
    reason: str | None = None


class DisputeState(StrEnum):
    """Where a payer's bank's claim on a PIX we received stands (MED). ``WON``: the reais stay ours, or it was
    withdrawn. ``LOST``: they went back to the payer.
    """

    OPEN = "open"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class DisputeReport:
    """A provider's answer about one dispute. ``amount_centavos``: what is claimed, at most the receipt's amount.

    ``answer_until``: the end of our defence window, where the provider says.
    """

    id: str
    state: DisputeState
    end_to_end_id: str
    amount_centavos: Units
    answer_until: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeEvent:
    """A verified webhook about one of our charges: a hint to look.

    ``payer_tax_id``: bare characters, from providers that say it here and not when they are asked.
    """

    event_id: str
    key: str
    end_to_end_id: str | None = None
    payer_tax_id: str | None = None

    def __repr__(self) -> str:
        return f"ChargeEvent(event_id={self.event_id!r}, key={self.key!r})"


@dataclass(frozen=True, slots=True)
class RefundEvent:
    """A verified webhook about a devolução. ``key`` is ours where the provider repeats it."""

    event_id: str
    key: str | None
    end_to_end_id: str | None = None


@dataclass(frozen=True, slots=True)
class DisputeEvent:
    """A verified webhook about a dispute. ``key`` is the dispute's id at the provider."""

    event_id: str
    key: str
    end_to_end_id: str | None = None


WebhookEvent = PayoutEvent | ChargeEvent | RefundEvent | DisputeEvent


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of the bank's books. ``amount_centavos`` is signed: money out is negative."""

    id: str
    key: str | None
    end_to_end_id: str | None
    amount_centavos: Units
    time: datetime


class PixProvider(Protocol):
    """One payment provider. Adapters map its words to ours and never guess."""

    name: str

    async def payout(self, order: PayoutOrder) -> PayoutReport:
        """Send, or find the earlier sending of, this key.

        :raises models.errors.PayoutUnknown: timeout, 5xx, dropped connection: it may have happened.
        :raises models.errors.ProviderBalanceTooLow: it did not happen; send the same key again later.
        :raises models.errors.ProviderLimitReached: it did not happen: a limit of the hour or day; as above.
        :raises models.errors.PayoutRefused: a definitive no; this key will never be paid.
        :raises models.errors.OperationKeyReused: the provider knows this key with another content.
        """
        ...

    async def find_payout(self, key: str, provider_id: str | None = None) -> PayoutReport:
        """Ask by our key. ``NOT_FOUND`` only on the provider's own clear word.

        :param provider_id: the provider's own name for it, if we know it; some cannot be asked without.

        :raises models.errors.PayoutUnknown: it did not answer.
        """
        ...

    async def balance(self) -> int:
        """Centavos available for payouts.

        :raises models.errors.PayoutUnknown: it did not answer.
        """
        ...

    async def statement(self, day: date) -> list[StatementLine]:
        """All lines of one day (America/Sao_Paulo), oldest first.

        :raises models.errors.PayoutUnknown: it did not answer.
        """
        ...

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        """Check the signature over the raw bytes and the time, then read the events.

        Events of kinds we do not use are left out, so the list may be empty.

        :raises models.errors.WebhookRejected: forged, stale or malformed.
        """
        ...

    def read_webhook(self, body: bytes, *, event_id: str) -> list[WebhookEvent]:
        """The events of a body that was verified when it came.

        :param event_id: for providers that name the event outside its body.
        :raises models.errors.WebhookRejected: malformed.
        """
        ...

    async def close(self) -> None:
        """Close its connections; the provider is not used after."""
        ...


@runtime_checkable
class PixPing(Protocol):
    """What a provider offers that tells no balance, so that it can be seen whether it answers at all."""

    async def ping(self) -> None:
        """:raises models.errors.PayoutUnknown: it does not answer, or does not know us."""
        ...


@runtime_checkable
class PixCollector(Protocol):
    """What a provider that also receives offers: charges, and sending what came back."""

    async def charge(self, order: ChargeOrder) -> ChargeReport:
        """Make, or find the earlier making of, this key.

        :raises models.errors.PayoutUnknown: it may have been made.
        :raises models.errors.PayoutRefused: a definitive no.
        :raises models.errors.OperationKeyReused: the provider knows this key with another content.
        """
        ...

    async def find_charge(self, key: str) -> ChargeReport:
        """Ask by our key; with every receipt. ``NOT_FOUND`` only on the provider's own clear word.

        :raises models.errors.PayoutUnknown: it did not answer.
        """
        ...

    async def refund(self, order: RefundOrder) -> RefundReport:
        """Send back, or find the earlier sending of, this key.

        :raises models.errors.PayoutUnknown: it may have happened.
        :raises models.errors.PayoutRefused: a definitive no; this key will never be refunded.
        """
        ...

    async def find_refund(self, order: RefundOrder) -> RefundReport:
        """Ask by our key and the receipt it belongs to.

        :raises models.errors.PayoutUnknown: it did not answer.
        """
        ...

    def read_webhook(self, body: bytes, *, event_id: str) -> list[WebhookEvent]:
        """See :meth:`PixProvider.read_webhook`."""
        ...


@runtime_checkable
class PixDisputes(Protocol):
    """What a provider offers whose receipts can be claimed back (MED, Manual Operacional do DICT)."""

    async def find_dispute(self, dispute_id: str) -> DisputeReport:
        """Ask by the provider's id.

        :raises models.errors.PayoutUnknown: it did not answer, or knows none.
        """
        ...

    async def defend(self, dispute_id: str, statement: str) -> None:
        """Hand in our side. The same statement again changes nothing.

        :param statement: plain text; names nobody beyond what the provider must know.
        :raises models.errors.PayoutUnknown: it may have been handed in.
        :raises models.errors.PayoutRefused: too late, or the dispute is decided.
        """
        ...
