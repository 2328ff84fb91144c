"""A withdrawal's next step, decided from facts alone. Pure: no clock, no database.

Only the payout's own fate ends it: time alone never gives the reais back, because they may still arrive.
"""

from models.payout.states import PayoutStatus
from models.pix_withdrawal.states import PixWithdrawalStatus
from models.pix_withdrawal.types import Step

P, S = PayoutStatus, PixWithdrawalStatus
WAITING = frozenset({S.PAYING_OUT, S.NEEDS_REVIEW})
"""The reais are held, and what became of the payout is not known yet."""


def decide(status: PixWithdrawalStatus, payout: PayoutStatus, *, is_late: bool) -> Step | None:
    """The one next step, or None. A payout that left and came back takes two: both are in the bank's statement.

    :param is_late: the provider's deadline is over.
    """
    if status in WAITING and payout in {P.PAID, P.RETURNED}:
        return Step(S.COMPLETED, "late_confirmation" if status is S.NEEDS_REVIEW else None)
    if status in WAITING and payout is P.REJECTED:
        return Step(S.REFUNDED, "payout_rejected")
    if status is S.COMPLETED and payout is P.RETURNED:
        return Step(S.REFUNDED, "payout_returned")
    if status is S.PAYING_OUT and is_late:
        return Step(S.NEEDS_REVIEW, "payout_outcome_unknown")
    return None
