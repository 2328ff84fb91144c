"""The states of an instant trade, as users see them. A sale::

    awaiting_deposit ◄──► confirming ──► paying_out ──► completed ──► needs_review   (the bank gave the PIX back)
        transferring ◄──┘    │               │
              │              │               ▼
              ▼              ▼           refunding ──► refunded
          cancelled      cancelled           ▲
                                             │
    awaiting_deposit ─────────────────► (window over, too little came) or expired, cancelled
    transferring, confirming, paying_out, refunding ──► needs_review ──► paying_out, refunding, or an end

A purchase::

    awaiting_payment ───► confirming_payment ──► delivering ──► completed
           │  └──────────────────────────────────────▲ │
           ▼                 │                         ▼
       cancelled             └──► expired, or ──► refunding ──► refunded
                                                  (what came in was not as asked, or cannot be delivered)
    confirming_payment, delivering, refunding ──► needs_review ──► delivering, refunding, or an end

``awaiting_deposit`` and ``awaiting_payment`` wait for the user, ``transferring``, ``confirming`` and ``delivering``
for the chain, ``paying_out`` and ``confirming_payment`` for the bank, ``refunding`` for whom the refund goes through,
``needs_review`` for an operator.
"""

from enum import StrEnum


class TradeStatus(StrEnum):
    AWAITING_DEPOSIT = "awaiting_deposit"
    TRANSFERRING = "transferring"
    CONFIRMING = "confirming"
    PAYING_OUT = "paying_out"
    AWAITING_PAYMENT = "awaiting_payment"
    CONFIRMING_PAYMENT = "confirming_payment"
    DELIVERING = "delivering"
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
    _S.AWAITING_PAYMENT: frozenset({_S.CONFIRMING_PAYMENT, _S.DELIVERING, _S.CANCELLED, _S.EXPIRED, _S.REFUNDING}),
    _S.CONFIRMING_PAYMENT: frozenset({_S.DELIVERING, _S.EXPIRED, _S.REFUNDING, _S.NEEDS_REVIEW}),
    _S.DELIVERING: frozenset({_S.COMPLETED, _S.REFUNDING, _S.NEEDS_REVIEW}),
    _S.REFUNDING: frozenset({_S.REFUNDED, _S.NEEDS_REVIEW}),
    _S.NEEDS_REVIEW: frozenset(
        {
            _S.PAYING_OUT,
            _S.DELIVERING,
            _S.COMPLETED,
            _S.REFUNDING,
            _S.REFUNDED,
            _S.CANCELLED,
            _S.EXPIRED,
        }
    ),
    _S.COMPLETED: frozenset({_S.NEEDS_REVIEW}),
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.REFUNDED: frozenset(),
}

ENDED = frozenset({_S.COMPLETED, _S.CANCELLED, _S.EXPIRED, _S.REFUNDED})
"""The trade's workflow is over. A completed trade reopens only if the bank returns its PIX."""
