"""The states of one devolução: a received PIX on its way back to its payer.

::

    created ──► submitted ──► processing ──► refunded
                   │  ▲            ▲            ▲
                   ▼  │            │            │
                 unknown ──────────┴────────────┘       any of the middle ones ──► rejected

As with a payout, ``unknown`` is left only by the provider's own word, asked by our key.
"""

from enum import StrEnum


class RefundStatus(StrEnum):
    CREATED = "created"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    PROCESSING = "processing"
    REFUNDED = "refunded"
    REJECTED = "rejected"


_S = RefundStatus

NEXT: dict[RefundStatus, frozenset[RefundStatus]] = {
    _S.CREATED: frozenset({_S.SUBMITTED}),
    _S.SUBMITTED: frozenset({_S.UNKNOWN, _S.PROCESSING, _S.REFUNDED, _S.REJECTED}),
    _S.UNKNOWN: frozenset({_S.SUBMITTED, _S.PROCESSING, _S.REFUNDED, _S.REJECTED}),
    _S.PROCESSING: frozenset({_S.REFUNDED, _S.REJECTED}),
    _S.REFUNDED: frozenset(),
    _S.REJECTED: frozenset(),
}

KNOWN = frozenset({_S.REFUNDED, _S.REJECTED})
"""The money's place is certain; nothing needs to be asked."""
