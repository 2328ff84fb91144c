"""The states of one PIX that came in.

::

    blocked ──► received ──► credited
       │            │           │
       ▼            ▼           ▼
    taken_back   refunding ◄────┘
                    │  ▲
                    ▼  │ (an operator tries again)
              refunded, refund_failed ──► credited (an operator leaves the reais with the user)

``blocked``: under the receiving bank's precautionary block, in our account and not ours to spend. ``received``: ours,
its fate not decided yet, which lasts a moment. ``taken_back``: the bank sent it back to its payer without us.
"""

from enum import StrEnum


class ReceiptStatus(StrEnum):
    BLOCKED = "blocked"
    RECEIVED = "received"
    CREDITED = "credited"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    TAKEN_BACK = "taken_back"


_S = ReceiptStatus

NEXT: dict[ReceiptStatus, frozenset[ReceiptStatus]] = {
    _S.BLOCKED: frozenset({_S.RECEIVED, _S.TAKEN_BACK}),
    _S.RECEIVED: frozenset({_S.CREDITED, _S.REFUNDING, _S.TAKEN_BACK}),
    _S.CREDITED: frozenset({_S.REFUNDING, _S.TAKEN_BACK}),
    _S.REFUNDING: frozenset({_S.REFUNDED, _S.REFUND_FAILED}),
    _S.REFUND_FAILED: frozenset({_S.REFUNDING, _S.CREDITED, _S.TAKEN_BACK}),
    _S.REFUNDED: frozenset(),
    _S.TAKEN_BACK: frozenset(),
}
