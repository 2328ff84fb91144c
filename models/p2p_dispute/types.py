"""A dispute between the two of a P2P trade: what they say, what arbiters rule, and who may do what."""

from dataclasses import field
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from models.instant_trade.types import Waits
from models.p2p_dispute.states import P2PDisputeStatus

STATEMENT_MOST = 5_000
STATEMENTS_MOST = 20
"""Of one party in one dispute."""
OFFERS_MOST = 20
"""Of one party in one dispute."""
FIRST_ROUND, APPEAL_ROUND = 1, 2
HOUR_SECONDS = 60 * 60


class DisputeReason(StrEnum):
    """Why it was opened. ``NOT_CONFIRMED_IN_TIME``: by the system, as the seller neither confirmed nor denied."""

    PAYMENT_NOT_RECEIVED = "payment_not_received"
    PAYMENT_WRONG_AMOUNT = "payment_wrong_amount"
    PAID_NOT_RELEASED = "paid_not_released"
    THIRD_PARTY_PAYMENT = "third_party_payment"
    FRAUD = "fraud"
    OTHER = "other"
    NOT_CONFIRMED_IN_TIME = "not_confirmed_in_time"


class RulingReason(StrEnum):
    PAYMENT_PROVEN = "payment_proven"
    PAYMENT_NOT_PROVEN = "payment_not_proven"
    PAYMENT_WRONG_AMOUNT = "payment_wrong_amount"
    THIRD_PARTY_PAYMENT = "third_party_payment"
    FRAUD_BY_BUYER = "fraud_by_buyer"
    FRAUD_BY_SELLER = "fraud_by_seller"
    SHARED_FAULT = "shared_fault"
    OTHER = "other"


class RulingFate(StrEnum):
    """What became of a proposed ruling. ``ALONE``: it needed no second arbiter."""

    ALONE = "alone"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    OVERTAKEN = "overtaken"
    """The two settled while it waited."""


HELD_GOOD = frozenset({RulingFate.ALONE, RulingFate.APPROVED})


class Step(StrEnum):
    """What one line of a dispute's history says."""

    OPENED = "opened"
    STATED = "stated"
    RULING_PROPOSED = "ruling_proposed"
    RULING_REJECTED = "ruling_rejected"
    PROPOSAL_EXPIRED = "proposal_expired"
    RULED = "ruled"
    RULING_ACCEPTED = "ruling_accepted"
    APPEALED = "appealed"
    SETTLEMENT_OFFERED = "settlement_offered"
    SETTLED = "settled"
    CONCEDED = "conceded"
    ENDED_WITH_TRADE = "ended_with_trade"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class DisputeRules:
    """``alone_most_centavos``: what a trade may be worth for one arbiter to rule on it alone. ``appeal_seconds``: how
    long a first ruling may be appealed. ``proposal_seconds``: how long a proposed one waits for the second arbiter.
    """

    alone_most_centavos: int = 500_000
    appeal_seconds: float = 48 * HOUR_SECONDS
    proposal_seconds: float = 24 * HOUR_SECONDS


@dataclass(frozen=True, slots=True)
class P2PDispute:
    """A dispute's row. ``opened_by`` None: the system. ``round``: 2 from an appeal on. ``ruling_id``: the ruling that
    waits for a second arbiter, or that stands. ``deadline_at``: when a proposal expires, or a ruling can no more be
    appealed. ``buyer_bps``: how it ended: the buyer's part, in basis points.
    """

    id: str
    trade_id: str
    opened_by: str | None
    reason: DisputeReason
    status: P2PDisputeStatus
    version: int
    round: int
    ruling_id: str | None
    buyer_accepted_at: datetime | None
    seller_accepted_at: datetime | None
    appealed_by: str | None
    buyer_bps: int | None
    deadline_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """What a party said of it. ``text``: in clear, in no repr."""

    id: str
    user_id: str
    file_ids: tuple[str, ...]
    at: datetime
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """A party's proposal to settle. Each party's last one counts, while the dispute lives and nothing was ruled or
    appealed since (``is_overtaken``): what somebody would give before a ruling is not what they would after it.
    """

    id: str
    user_id: str
    buyer_bps: int
    at: datetime
    is_overtaken: bool = False


@dataclass(frozen=True, slots=True)
class RulingOrder:
    """What an arbiter rules: ``buyer_bps`` 10000 is all to the buyer, 0 all to the seller, else a split."""

    buyer_bps: int
    reason: RulingReason
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ruling:
    """``fate`` None: it waits. ``decided_by``: the second arbiter; None where nobody decided on it."""

    id: str
    round: int
    buyer_bps: int
    reason: RulingReason
    proposed_by: str
    needs_second: bool
    fate: RulingFate | None
    decided_by: str | None
    decided_at: datetime | None
    at: datetime
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class DisputeLine:
    """One line of a dispute's history. ``actor``: ``system``, or a user's id."""

    version: int
    step: Step
    old_status: P2PDisputeStatus | None
    new_status: P2PDisputeStatus
    reason: str | None
    actor: str
    details: dict[str, JsonValue]
    at: datetime


@dataclass(frozen=True, slots=True)
class P2PDisputeProgress:
    """``waits_for``: in words, for operators. ``seconds_to_next``: until the next moment that matters, if any."""

    status: P2PDisputeStatus
    is_over: bool
    waits_for: str = ""
    seconds_to_next: float | None = None


@dataclass(frozen=True, slots=True)
class P2PDisputeInput:
    """One dispute and how often to look at it unasked."""

    dispute_id: str
    waits: Waits
