"""The states of an instant trade, as users see them.

::

    awaiting_deposit ◄──► confirming ──► paying_out ──► completed ──► needs_review   (the bank gave the PIX back)
        transferring ◄──┘    │               │
              │              │               ▼
              ▼              ▼           refunding ──► refunded
          cancelled      cancelled           ▲
                                             │
    awaiting_deposit ─────────────────► (window over, too little came) or expired, cancelled
    transferring, confirming, paying_out, refunding ──► needs_review ──► paying_out, refunding, or an end

``awaiting_deposit`` waits for the user, ``transferring`` and ``confirming`` for the chain,
``paying_out`` for the bank, ``refunding`` for the chain, ``needs_review`` for an operator.
"""

from enum import StrEnum


class TradeStatus(StrEnum):
    AWAITING_DEPOSIT = "awaiting_deposit"
    TRANSFERRING = "transferring"
    CONFIRMING = "confirming"
    PAYING_OUT = "paying_out"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    NEEDS_REVIEW = "needs_review"


_S = TradeStatus

NEXT: dict[TradeStatus, frozenset[TradeStatus]] = {
    _S.AWAITING_DEPOSIT: frozenset({_S.CONFIRMING, _S.CANCELLED, _S.EXPIRED, _S.REFUNDING}),
    _S.TRANSFERRING: frozenset({_S.CONFIRMING, _S.CANCELLED, _S.NEEDS_REVIEW}),
    _S.CONFIRMING: frozenset({_S.AWAITING_DEPOSIT, _S.TRANSFERRING, _S.PAYING_OUT, _S.CANCELLED, _S.NEEDS_REVIEW}),
    _S.PAYING_OUT: frozenset({_S.COMPLETED, _S.REFUNDING, _S.NEEDS_REVIEW}),
    _S.REFUNDING: frozenset({_S.REFUNDED, _S.NEEDS_REVIEW}),
    _S.NEEDS_REVIEW: frozenset({_S.PAYING_OUT, _S.COMPLETED, _S.REFUNDING, _S.REFUNDED, _S.CANCELLED}),
    _S.COMPLETED: frozenset({_S.NEEDS_REVIEW}),
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.REFUNDED: frozenset(),
}

ENDED = frozenset({_S.COMPLETED, _S.CANCELLED, _S.EXPIRED, _S.REFUNDED})
"""The trade's workflow is over. A completed trade reopens only if the bank returns its PIX."""
