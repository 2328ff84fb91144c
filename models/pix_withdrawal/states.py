"""The states of one withdrawal of reais by PIX.

::

    paying_out ──► completed ──► refunded
       │  │            ▲            ▲
       │  └─► needs_review ─────────┤
       └────────────────────────────┘

``refunded``: the reais are in the user's balance again. The database lets nobody there before the payout was
rejected or came back. ``needs_review``: nobody knows what became of the payout; the hold stays.
"""

from enum import StrEnum


class PixWithdrawalStatus(StrEnum):
    PAYING_OUT = "paying_out"
    COMPLETED = "completed"
    REFUNDED = "refunded"
    NEEDS_REVIEW = "needs_review"


_S = PixWithdrawalStatus

NEXT: dict[PixWithdrawalStatus, frozenset[PixWithdrawalStatus]] = {
    _S.PAYING_OUT: frozenset({_S.COMPLETED, _S.REFUNDED, _S.NEEDS_REVIEW}),
    _S.NEEDS_REVIEW: frozenset({_S.COMPLETED, _S.REFUNDED}),
    _S.COMPLETED: frozenset({_S.REFUNDED}),
    _S.REFUNDED: frozenset(),
}

ENDED = frozenset({_S.COMPLETED, _S.REFUNDED})
"""Nothing is held any more. A payout that comes back later still turns ``completed`` into ``refunded``."""
