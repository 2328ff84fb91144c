"""An instant trade, the facts it depends on, and the messages that steer it."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from models.charge.states import ChargeStatus
from models.instant_trade.states import TradeStatus
from models.money import Units
from models.payout.night import Night
from models.payout.states import PayoutStatus
from models.quote.types import Delivery, Funding, Side
from models.receipt.states import ReceiptStatus
from models.transfer.states import TransferStatus


class Lock(StrEnum):
    """What runs out on a trade. While a lock runs, somebody outside keeps a promise to us or we to them."""

    DEPOSIT_WINDOW = "deposit_window"
    CHAIN_TIMEOUT = "chain_timeout"
    PAYOUT_DEADLINE = "payout_deadline"
    PAYMENT_WINDOW = "payment_window"
    PAYMENT_DEADLINE = "payment_deadline"
    REFUND_DEADLINE = "refund_deadline"


class Ruling(StrEnum):
    """What an operator decides for a trade in review."""

    COMPLETE = "complete"
    REFUND = "refund"


class Outcome(StrEnum):
    PAYOUT = "payout"
    DELIVERY = "delivery"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Terms:
    """How long each wait of a trade may take, and through whom reais move. Set at acceptance; seconds.

    ``payment_leniency_seconds``: how long after a charge's expiry a payment may be stamped and still count.
    ``payment_deadline_seconds``: for the bank to say what was paid. ``block_deadline_seconds``: for a precautionary
    block to end, which Bacen bounds at 72 hours.
    """

    deposit_window_seconds: float
    chain_timeout_seconds: float
    payout_deadline_seconds: float
    provider: str
    payment_window_seconds: float = 15 * 60
    payment_leniency_seconds: float = 30
    payment_deadline_seconds: float = 60 * 60
    block_deadline_seconds: float = 80 * 60 * 60
    refund_deadline_seconds: float = 60 * 60
    night: Night | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """How often a workflow looks by itself, should every signal be lost; seconds."""

    recheck_first_seconds: float
    recheck_most_seconds: float
    bump_after_seconds: float
    payout_poll_first_seconds: float
    payout_poll_most_seconds: float
    payout_resend_after_seconds: float
    charge_poll_first_seconds: float = 5
    charge_poll_most_seconds: float = 120
    charge_watch_seconds: float = 60 * 60


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade's row. ``held_units``: what this trade holds in the user's ``held`` account, of its asset.

    ``source_address``: where the coins come from; of a purchase, the house's own. ``bank_data_id`` and
    ``refund_address`` are a sale's, ``delivery`` and ``delivery_address`` a purchase's.
    """

    id: str
    reference: str
    user_id: str
    quote_id: str
    operation: Side
    funding: Funding
    asset_id: str
    asset_decimals: int
    network_id: str
    amount_units: Units
    price: Decimal
    gross_centavos: Units
    spread_centavos: Units
    network_fee_centavos: Units
    total_centavos: Units
    return_min_centavos: Units
    bank_data_id: str | None
    source_address_id: int
    source_address: str
    refund_address: str | None
    held_units: Units
    status: TradeStatus
    version: int
    reason: str | None
    ruling: Ruling | None
    created_at: datetime
    updated_at: datetime
    delivery: Delivery | None = None
    delivery_address: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the world around a sale, read in one statement.

    ``seen_units``: deposits in a block, in time, not orphaned. ``pending_units``: those not final yet.
    ``locks``: kind → when it runs out, of locks not released.
    """

    seen_units: Units
    pending_units: Units
    funding: TransferStatus | None
    refund: TransferStatus | None
    refunds: int
    payout: PayoutStatus | None
    locks: dict[Lock, datetime]


@dataclass(frozen=True, slots=True)
class BuyFacts:
    """What is known of the world around a purchase, read in one statement.

    ``is_asked_in_full``: the bank was asked after the last moment at which a payment counts, and answered.
    ``receipts``: how many PIX came in, by status. ``refund_reason``: of the one that came last and goes back.
    """

    charge: ChargeStatus | None
    is_asked_in_full: bool
    receipts: dict[ReceiptStatus, int]
    refund_reason: str | None
    delivery: TransferStatus | None
    locks: dict[Lock, datetime]


@dataclass(frozen=True, slots=True)
class Step:
    """One move of a trade, with its coded reason."""

    status: TradeStatus
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a workflow learns from the books: where the trade is, when its next lock runs out, and the
    operation key of the refund that is on its way, if one is.
    """

    status: TradeStatus
    seconds_to_lock: float | None = None
    refund_key: str | None = None


@dataclass(frozen=True, slots=True)
class TradeInput:
    """Everything a trade's workflow needs. Ids and durations only."""

    trade_id: str
    status: TradeStatus
    terms: Terms
    waits: Waits


@dataclass(frozen=True, slots=True)
class Advance:
    """Ask the books to move a trade as far as the facts allow.

    ``cancel``: its user asked to stop. ``reopen``: its PIX came back after it was completed.
    """

    trade_id: str
    terms: Terms
    cancel: bool = False
    reopen: bool = False
    actor: str = "system"


@dataclass(frozen=True, slots=True)
class Attestation:
    """An operator's word about a payout whose provider cannot be asked. ``evidence``: a document's reference."""

    actor: str
    paid: bool
    evidence: str
    end_to_end_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """An operator's ruling on a trade in review."""

    actor: str
    ruling: Ruling
    evidence: str


@dataclass(frozen=True, slots=True)
class Nudge:
    """An operator's order to look at a trade's transfers again, or to try a failed refund anew."""

    actor: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator's action on one trade, for its books. Exactly one of the three is set."""

    trade_id: str
    terms: Terms
    attestation: Attestation | None = None
    decision: Decision | None = None
    nudge: Nudge | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    version: int
    old_status: TradeStatus | None
    new_status: TradeStatus
    reason: str | None
    actor: str
    details: dict[str, JsonValue]
    at: datetime
