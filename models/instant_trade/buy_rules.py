"""Where a purchase goes next, decided from facts alone. Pure, as ``rules.py`` is for sales.

A payment that is not as asked never ends a purchase by itself: it goes back, and the user may still pay rightly until
the window ends. Then the bank is asked once more, so that nobody who paid in time is told that they did not.
"""

from collections.abc import Callable
from datetime import datetime

from models.charge.states import ChargeStatus
from models.instant_trade.rules import NOT_MOVED
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import BuyFacts, Lock, Ruling, Step, Trade
from models.receipt.states import ReceiptStatus
from models.transfer.states import TransferStatus

S, R = TradeStatus, ReceiptStatus
REFUND_REVIEWS = frozenset({"refund_rejected", "refund_not_done_in_time"})
"""Why a refund is in review: its outcome is decided, and the payer may have the reais by their own bank's doing."""


def decide(trade: Trade, facts: BuyFacts, now: datetime) -> Step | None:
    """The next step of the purchase, or None while it must wait."""
    rule = RULES.get(trade.status)
    return None if rule is None else rule(trade, facts, now)


def may_cancel(trade: Trade, facts: BuyFacts) -> bool:
    """Whether nothing has been paid, as far as is known."""
    return trade.status is S.AWAITING_PAYMENT and not facts.receipts


def _awaiting_payment(_trade: Trade, facts: BuyFacts, now: datetime) -> Step | None:
    if facts.receipts.get(R.CREDITED):
        return Step(S.DELIVERING)
    if facts.receipts.get(R.BLOCKED):
        return Step(S.CONFIRMING_PAYMENT, "payment_blocked")
    if facts.charge is ChargeStatus.REFUSED:
        return Step(S.CANCELLED, "charge_refused")
    if not _over(facts, Lock.PAYMENT_WINDOW, now):
        return None
    return _unpaid(facts) or Step(S.CONFIRMING_PAYMENT, "window_over")


def _confirming_payment(_trade: Trade, facts: BuyFacts, now: datetime) -> Step | None:
    if facts.receipts.get(R.CREDITED):
        return Step(S.DELIVERING)
    if facts.receipts.get(R.BLOCKED):
        blocked_too_long = _over(facts, Lock.PAYMENT_DEADLINE, now)
        return Step(S.NEEDS_REVIEW, "payment_still_blocked") if blocked_too_long else None
    if end := _unpaid(facts):
        return end
    return Step(S.NEEDS_REVIEW, "payment_unknown") if _over(facts, Lock.PAYMENT_DEADLINE, now) else None


def _delivering(_trade: Trade, facts: BuyFacts, now: datetime) -> Step | None:
    if facts.delivery is TransferStatus.FINAL:
        return Step(S.COMPLETED)
    if facts.delivery in NOT_MOVED:
        return Step(S.REFUNDING, "delivery_failed")
    return Step(S.NEEDS_REVIEW, "delivery_not_final_in_time") if _over(facts, Lock.CHAIN_TIMEOUT, now) else None


def _refunding(_trade: Trade, facts: BuyFacts, now: datetime) -> Step | None:
    if facts.receipts.get(R.REFUND_FAILED):
        return Step(S.NEEDS_REVIEW, "refund_rejected")
    if not facts.receipts.get(R.REFUNDING):
        return Step(S.REFUNDED, facts.refund_reason)
    return Step(S.NEEDS_REVIEW, "refund_not_done_in_time") if _over(facts, Lock.REFUND_DEADLINE, now) else None


def _needs_review(trade: Trade, facts: BuyFacts, _now: datetime) -> Step | None:
    """Facts that arrive late still count; where they leave a choice, only an operator's ruling makes it."""
    if facts.delivery is TransferStatus.FINAL:
        return Step(S.COMPLETED, "late_confirmation")
    if facts.receipts.get(R.CREDITED):
        return _paid_in_review(trade, facts)
    if facts.receipts.get(R.REFUND_FAILED):
        return Step(S.REFUNDED, "operator_ruling") if trade.ruling is Ruling.COMPLETE else None
    is_moving = facts.delivery is not None and facts.delivery not in NOT_MOVED
    if is_moving or facts.receipts.get(R.REFUNDING) or facts.receipts.get(R.BLOCKED):
        return None
    if facts.receipts.get(R.REFUNDED):
        return Step(S.REFUNDED, "late_confirmation")
    if facts.receipts.get(R.TAKEN_BACK) and trade.reason in REFUND_REVIEWS:
        return Step(S.REFUNDED, "late_confirmation")
    return Step(S.EXPIRED, "late_confirmation") if facts.is_asked_in_full else None


def _paid_in_review(trade: Trade, facts: BuyFacts) -> Step | None:
    if facts.delivery in NOT_MOVED:
        return Step(S.REFUNDING, "operator_ruling" if trade.ruling else "delivery_failed")
    if facts.delivery is not None:
        return None
    if trade.ruling is Ruling.COMPLETE:
        return Step(S.DELIVERING, "operator_ruling")
    return Step(S.REFUNDING, "operator_ruling") if trade.ruling is Ruling.REFUND else None


def _unpaid(facts: BuyFacts) -> Step | None:
    """The end of a purchase that nobody paid rightly, once the bank was asked after the last moment that counts."""
    if not facts.is_asked_in_full:
        return None
    if facts.refund_reason is not None:
        return Step(S.REFUNDING, facts.refund_reason)
    return Step(S.EXPIRED, "no_payment_in_time")


def _over(facts: BuyFacts, lock: Lock, now: datetime) -> bool:
    return lock in facts.locks and facts.locks[lock] <= now


RULES: dict[TradeStatus, Callable[[Trade, BuyFacts, datetime], Step | None]] = {
    S.AWAITING_PAYMENT: _awaiting_payment,
    S.CONFIRMING_PAYMENT: _confirming_payment,
    S.DELIVERING: _delivering,
    S.REFUNDING: _refunding,
    S.NEEDS_REVIEW: _needs_review,
}
