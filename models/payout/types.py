"""One PIX payout's row."""

from datetime import datetime

from pydantic.dataclasses import dataclass

from models.money import Units
from models.payout.states import PayoutStatus


@dataclass(frozen=True, slots=True)
class Payout:
    """``silent_seconds``: since the provider was last sent this key; None if never. ``not_before``: the end of the
    night that it waits for, if it does.
    """

    key: str
    trade_id: str
    provider: str
    amount_centavos: Units
    bank_data_id: str
    status: PayoutStatus
    version: int
    provider_id: str | None = None
    end_to_end_id: str | None = None
    reason: str | None = None
    silent_seconds: float | None = None
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became known of a payout."""

    status: PayoutStatus
    provider_id: str | None = None
    end_to_end_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutQuestion:
    """``resend_after_seconds``: how long a provider that knows no such key must stay silent before the same
    order is sent again under the same key.
    """

    key: str
    resend_after_seconds: float


@dataclass(frozen=True, slots=True)
class PayoutProgress:
    """``waits_for``: in words, for operators. ``seconds_to_next``: until it may leave, where it may not yet."""

    status: PayoutStatus
    waits_for: str = ""
    seconds_to_next: float | None = None


@dataclass(frozen=True, slots=True)
class PayoutInput:
    """One PIX payout, named by its key. Waits in seconds."""

    key: str
    provider: str
    poll_first_seconds: float
    poll_most_seconds: float
    resend_after_seconds: float
