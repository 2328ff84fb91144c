"""The states of one P2P trade. The seller's coins are held from before the first to the end.

::

    open ◄──► payment_sent ──► disputed ──► completed
     │ │           │  │            ├──────► refunded
     │ │           │  └► completed └──────► split
     │ └─► completed
     └───► cancelled | expired      payment_sent ──► cancelled

``payment_sent``: the buyer says so, or a bank does; from here on the coins go back to the seller only if the buyer
gives up, or by a ruling. ``refunded``: a ruling, or the buyer, gave the coins back to the seller. ``split``: a
ruling, or the two themselves, divided them.
"""

from enum import StrEnum


class P2PTradeStatus(StrEnum):
    OPEN = "open"
    PAYMENT_SENT = "payment_sent"
    DISPUTED = "disputed"
    COMPLETED = "completed"
    REFUNDED = "refunded"
    SPLIT = "split"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_S = P2PTradeStatus

NEXT: dict[P2PTradeStatus, frozenset[P2PTradeStatus]] = {
    _S.OPEN: frozenset({_S.PAYMENT_SENT, _S.COMPLETED, _S.CANCELLED, _S.EXPIRED}),
    _S.PAYMENT_SENT: frozenset({_S.OPEN, _S.COMPLETED, _S.DISPUTED, _S.CANCELLED}),
    _S.DISPUTED: frozenset({_S.COMPLETED, _S.REFUNDED, _S.SPLIT}),
    _S.COMPLETED: frozenset(),
    _S.REFUNDED: frozenset(),
    _S.SPLIT: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset(),
}

ENDED = frozenset({_S.COMPLETED, _S.REFUNDED, _S.SPLIT, _S.CANCELLED, _S.EXPIRED})
"""Nothing is held any more."""
