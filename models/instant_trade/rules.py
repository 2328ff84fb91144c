"""Where a trade goes next, decided from facts alone. Pure: no clock, no database.

Each function answers for one state: the step that the facts demand, or None to go on waiting.
A lock that has run out always ends the waiting, so no trade outlives its lock.
"""

from collections.abc import Callable
from datetime import datetime

from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Facts, Lock, Ruling, Step, Trade
from models.payout.states import PayoutStatus
from models.quote.types import Funding
from models.transfer.states import TransferStatus

S = TradeStatus
NOT_MOVED = frozenset({TransferStatus.REJECTED, TransferStatus.FAILED})


def decide(trade: Trade, facts: Facts, now: datetime) -> Step | None:
    """The next step of the trade, or None while it must wait."""
    rule = RULES.get(trade.status)
    return None if rule is None else rule(trade, facts, now)


def may_cancel(trade: Trade, facts: Facts) -> bool:
    """Whether no coin has moved: nothing seen on chain, nothing signed."""
    if trade.status is S.AWAITING_DEPOSIT:
        return facts.seen_units == 0
    return trade.status is S.TRANSFERRING and facts.funding in {
        TransferStatus.INTENDED,
        TransferStatus.REJECTED,
    }


def _awaiting_deposit(trade: Trade, facts: Facts, now: datetime) -> Step | None:
    if facts.seen_units >= trade.amount_units:
        return Step(S.CONFIRMING)
    if not _over(facts, Lock.DEPOSIT_WINDOW, now):
        return None
    if facts.pending_units:
        return Step(S.CONFIRMING, "last_deposits_confirming")
    if trade.held_units:
        return Step(S.REFUNDING, "deposit_too_small")
    return Step(S.EXPIRED, "no_deposit_in_time")


def _transferring(_trade: Trade, facts: Facts, now: datetime) -> Step | None:
    if facts.funding in NOT_MOVED:
        return Step(S.CANCELLED, "transfer_not_possible")
    if facts.funding in {TransferStatus.MINED, TransferStatus.FINAL}:
        return Step(S.CONFIRMING)
    if _over(facts, Lock.CHAIN_TIMEOUT, now):
        return Step(S.NEEDS_REVIEW, "transfer_not_final_in_time")
    return None


def _confirming(trade: Trade, facts: Facts, now: datetime) -> Step | None:
    if trade.funding is Funding.CUSTODY:
        return _confirming_transfer(facts, now)
    if trade.held_units >= trade.amount_units:
        return Step(S.PAYING_OUT)
    if facts.seen_units < trade.amount_units and not facts.pending_units:
        return Step(S.AWAITING_DEPOSIT, "deposits_too_small_so_far")
    if _over(facts, Lock.CHAIN_TIMEOUT, now):
        return Step(S.NEEDS_REVIEW, "deposit_not_final_in_time")
    return None


def _confirming_transfer(facts: Facts, now: datetime) -> Step | None:
    if facts.funding is TransferStatus.FINAL:
        return Step(S.PAYING_OUT)
    if facts.funding in NOT_MOVED:
        return Step(S.CANCELLED, "transfer_reverted")
    if facts.funding is not TransferStatus.MINED:
        return Step(S.TRANSFERRING, "transfer_left_the_chain")
    if _over(facts, Lock.CHAIN_TIMEOUT, now):
        return Step(S.NEEDS_REVIEW, "transfer_not_final_in_time")
    return None


def _paying_out(_trade: Trade, facts: Facts, now: datetime) -> Step | None:
    if facts.payout in {PayoutStatus.PAID, PayoutStatus.RETURNED}:
        return Step(S.COMPLETED)
    if facts.payout is PayoutStatus.REJECTED:
        return Step(S.REFUNDING, "payout_rejected")
    if _over(facts, Lock.PAYOUT_DEADLINE, now):
        return Step(S.NEEDS_REVIEW, "payout_outcome_unknown")
    return None


def _refunding(_trade: Trade, facts: Facts, now: datetime) -> Step | None:
    if facts.refund in {None, TransferStatus.FINAL}:
        return Step(S.REFUNDED)
    if facts.refund in NOT_MOVED:
        return Step(S.NEEDS_REVIEW, "refund_not_possible")
    if _over(facts, Lock.CHAIN_TIMEOUT, now):
        return Step(S.NEEDS_REVIEW, "refund_not_final_in_time")
    return None


def _needs_review(trade: Trade, facts: Facts, _now: datetime) -> Step | None:
    """Facts that arrive late still count; where they leave a choice, only an operator's ruling makes it."""
    if facts.refund is not None:
        return Step(S.REFUNDED, "late_confirmation") if facts.refund is TransferStatus.FINAL else None
    if facts.payout is PayoutStatus.PAID:
        return Step(S.COMPLETED, "late_confirmation")
    if facts.payout is PayoutStatus.REJECTED:
        return Step(S.REFUNDING, "payout_rejected")
    if facts.payout is PayoutStatus.RETURNED:
        return _ruled(trade, S.COMPLETED)
    if facts.payout is not None:
        return None
    if facts.funding is TransferStatus.FAILED:
        return Step(S.CANCELLED, "transfer_reverted")
    if facts.funding is TransferStatus.REJECTED:
        return Step(S.CANCELLED, "operator_ruling" if trade.ruling else "transfer_not_possible")
    funded = facts.funding is TransferStatus.FINAL or (
        facts.funding is None and trade.held_units >= trade.amount_units
    )
    if funded:
        return _ruled(trade, S.PAYING_OUT)
    if facts.funding is None and not facts.pending_units and trade.ruling is Ruling.REFUND:
        return Step(S.REFUNDING if trade.held_units else S.CANCELLED, "operator_ruling")
    return None


def _ruled(trade: Trade, completing: TradeStatus) -> Step | None:
    if trade.ruling is Ruling.COMPLETE:
        return Step(completing, "operator_ruling")
    return Step(S.REFUNDING, "operator_ruling") if trade.ruling is Ruling.REFUND else None


def _over(facts: Facts, lock: Lock, now: datetime) -> bool:
    return lock in facts.locks and facts.locks[lock] <= now


RULES: dict[TradeStatus, Callable[[Trade, Facts, datetime], Step | None]] = {
    S.AWAITING_DEPOSIT: _awaiting_deposit,
    S.TRANSFERRING: _transferring,
    S.CONFIRMING: _confirming,
    S.PAYING_OUT: _paying_out,
    S.REFUNDING: _refunding,
    S.NEEDS_REVIEW: _needs_review,
}
