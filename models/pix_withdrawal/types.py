"""A withdrawal of reais by PIX, and the messages that steer it."""

from datetime import datetime

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from models.instant_trade.types import Terms, Waits
from models.money import Units
from models.pix_withdrawal.states import PixWithdrawalStatus


@dataclass(frozen=True, slots=True)
class PixWithdrawal:
    """A withdrawal's row. ``deadline_at``: until when the provider may leave us without its word."""

    id: str
    user_id: str
    bank_data_id: str
    amount_centavos: Units
    provider: str
    status: PixWithdrawalStatus
    version: int
    reason: str | None
    deadline_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One move of a withdrawal, with its coded reason."""

    status: PixWithdrawalStatus
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PixWithdrawalProgress:
    """``waits_for``: in words, for operators. ``seconds_to_deadline``: None once the deadline is no matter."""

    status: PixWithdrawalStatus
    is_over: bool
    waits_for: str = ""
    seconds_to_deadline: float | None = None


@dataclass(frozen=True, slots=True)
class PixWithdrawalInput:
    """Everything that a withdrawal's workflows need. Ids and durations only."""

    withdrawal_id: str
    terms: Terms
    waits: Waits


@dataclass(frozen=True, slots=True)
class PixWithdrawalLine:
    """One line of a withdrawal's history."""

    version: int
    old_status: PixWithdrawalStatus | None
    new_status: PixWithdrawalStatus
    reason: str | None
    actor: str
    details: dict[str, JsonValue]
    at: datetime
