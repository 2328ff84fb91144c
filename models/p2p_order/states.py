"""The states of one P2P order.

::

    active ◄──► paused
      │           │
      └──► closed ◄┘
"""

from enum import StrEnum


class OrderStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    CLOSED = "closed"


_S = OrderStatus

NEXT: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.ACTIVE: frozenset({_S.PAUSED, _S.CLOSED}),
    _S.PAUSED: frozenset({_S.ACTIVE, _S.CLOSED}),
    _S.CLOSED: frozenset(),
}
