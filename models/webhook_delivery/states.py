"""The states of one event on its way to one endpoint.

::

    pending ──► delivered
       │ ▲          │
       │ └──────────┤ (its owner has it sent again)
       ▼            │
     failed ────────┘

``failed``: every attempt was made, or the endpoint is gone, disabled or removed.
"""

from enum import StrEnum


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


_S = DeliveryStatus

NEXT: dict[DeliveryStatus, frozenset[DeliveryStatus]] = {
    _S.PENDING: frozenset({_S.DELIVERED, _S.FAILED}),
    _S.DELIVERED: frozenset({_S.PENDING}),
    _S.FAILED: frozenset({_S.PENDING}),
}
