"""One devolução's row."""

from pydantic.dataclasses import dataclass

from models.instant_trade.types import Waits
from models.money import Units
from models.pix_refund.states import RefundStatus


@dataclass(frozen=True, slots=True)
class PixRefund:
    """``silent_seconds``: since the provider was last sent this key; None if never."""

    key: str
    receipt_id: str
    provider: str
    end_to_end_id: str
    amount_centavos: Units
    status: RefundStatus
    version: int
    return_id: str | None = None
    reason: str | None = None
    silent_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RefundNews:
    """What became known of a refund."""

    status: RefundStatus
    return_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RefundQuestion:
    """``resend_after_seconds``: as for a payout: how long the provider must know nothing before it is told again."""

    key: str
    resend_after_seconds: float


@dataclass(frozen=True, slots=True)
class RefundInput:
    """One devolução, named by its key."""

    key: str
    waits: Waits
