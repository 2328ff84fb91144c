"""The states of one PIX charge.

::

    created ──► submitted ──► active
       │            │
       └────────────┴──► refused

What was paid on it is no state of a charge: it may be paid twice, by strangers, and after its expiry. Its receipts
say so, each for itself.
"""

from enum import StrEnum


class ChargeStatus(StrEnum):
    CREATED = "created"
    SUBMITTED = "submitted"
    ACTIVE = "active"
    REFUSED = "refused"


_S = ChargeStatus

NEXT: dict[ChargeStatus, frozenset[ChargeStatus]] = {
    _S.CREATED: frozenset({_S.SUBMITTED, _S.REFUSED}),
    _S.SUBMITTED: frozenset({_S.ACTIVE, _S.REFUSED}),
    _S.ACTIVE: frozenset(),
    _S.REFUSED: frozenset(),
}
