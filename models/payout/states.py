"""The states of one PIX payout.

::

    created ──► submitted ──► processing ──► paid ──► returned
                   │  ▲            ▲           ▲
                   ▼  │            │           │
                 unknown ──────────┴───────────┘        any of the middle ones ──► rejected

``unknown`` is left only by the provider's own word, asked by our key, or an operator's evidence.
"""

from enum import StrEnum


class PayoutStatus(StrEnum):
    CREATED = "created"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    PROCESSING = "processing"
    PAID = "paid"
    RETURNED = "returned"
    REJECTED = "rejected"


_S = PayoutStatus

NEXT: dict[PayoutStatus, frozenset[PayoutStatus]] = {
    _S.CREATED: frozenset({_S.SUBMITTED}),
    _S.SUBMITTED: frozenset({_S.UNKNOWN, _S.PROCESSING, _S.PAID, _S.REJECTED}),
    _S.UNKNOWN: frozenset({_S.SUBMITTED, _S.PROCESSING, _S.PAID, _S.REJECTED}),
    _S.PROCESSING: frozenset({_S.PAID, _S.REJECTED}),
    _S.PAID: frozenset({_S.RETURNED}),
    _S.RETURNED: frozenset(),
    _S.REJECTED: frozenset(),
}

KNOWN = frozenset({_S.PAID, _S.RETURNED, _S.REJECTED})
"""The money's place is certain; nothing needs to be asked."""
