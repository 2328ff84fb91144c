"""A dispute's row, and what its workflow is told."""

from datetime import datetime
from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.dispute.states import DisputeStatus
from models.instant_trade.types import Waits
from models.money import Units


class Cover(StrEnum):
    """What pays a claim should it be lost.

    ``RESERVE``: reais set aside, the user's as far as they went and the desk's. ``PENDING``: the receipt's own, which
    were credited to nobody. ``NOTHING``: there is nothing left of the receipt to be claimed.
    """

    RESERVE = "reserve"
    PENDING = "pending"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute's row. ``dispute_id``: the provider's own name for it.

    ``amount_centavos``: what the provider says is claimed; ``covered_centavos``: the part of it that there was to
    claim, which the bank keeps from us meanwhile; ``taken_centavos``: what went back to the payer when it was lost.
    ``from_user_centavos``, ``from_house_centavos``: who bears it. ``cover`` None: not known yet, because the
    receipt is just being sent back by us, or has no amount yet. ``defence_at``: when an operator gave it;
    ``defended_at``: when the provider took it.
    """

    id: str
    provider: str
    dispute_id: str
    receipt_id: str
    amount_centavos: Units
    status: DisputeStatus
    version: int
    cover: Cover | None = None
    covered_centavos: Units = 0
    from_user_centavos: Units = 0
    from_house_centavos: Units = 0
    taken_centavos: Units = 0
    answer_until: datetime | None = None
    reason: str | None = None
    defence_at: datetime | None = None
    defence_by: str | None = None
    defence_evidence: str | None = None
    defence_refusal: str | None = None
    defended_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_to_be_handed_in(self) -> bool:
        return self.defence_at is not None and self.defended_at is None and self.defence_refusal is None


@dataclass(frozen=True, slots=True)
class Claim:
    """What the provider says of a dispute, for its row. ``reason``: the provider's code."""

    provider: str
    dispute_id: str
    receipt_id: str
    amount_centavos: Units
    answer_until: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a dispute. ``actor``: ``system``, or an operator's id."""

    version: int
    step: str
    old_status: DisputeStatus | None
    new_status: DisputeStatus
    actor: str
    reason: str | None
    at: datetime


class Alarm(StrEnum):
    """What a person must know, once each. ``UNDEFENDED_...``: half, then a quarter of the window is left."""

    UNKNOWN_RECEIPT = "unknown_receipt"
    NOTHING_TO_CLAIM = "nothing_to_claim"
    DIFFERS = "differs"
    DEFENCE_REFUSED = "defence_refused"
    UNDEFENDED_HALF = "undefended_half"
    UNDEFENDED_QUARTER = "undefended_quarter"


@dataclass(frozen=True, slots=True)
class DisputeQuestion:
    """Which dispute to look at, by the provider's name for it."""

    provider: str
    dispute_id: str


@dataclass(frozen=True, slots=True)
class DisputeProgress:
    """``details``: for operators. ``seconds_to_next``: until the next moment that matters, if any. ``facts``: for the
    log.
    """

    is_over: bool
    status: DisputeStatus | None
    details: str
    alarms: tuple[Alarm, ...] = ()
    facts: dict[str, str] | None = None
    seconds_to_next: float | None = None


@dataclass(frozen=True, slots=True)
class DisputeInput:
    """One dispute. ``told``: the alarms that were given before the workflow was continued as new."""

    provider: str
    dispute_id: str
    waits: Waits
    told: tuple[Alarm, ...] = ()
