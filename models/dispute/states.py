"""The states of one dispute: a payer's bank claims back a PIX that we received (MED).

::

    open ──► won
      │
      └────► lost

``won``: the reais stay ours, or the claim was withdrawn. ``lost``: they went back to the payer. A lost one is written
down as lost once what the payment bought cannot be undone any more, and so may be open here for a while longer.
"""

from enum import StrEnum


class DisputeStatus(StrEnum):
    OPEN = "open"
    WON = "won"
    LOST = "lost"


_S = DisputeStatus

NEXT: dict[DisputeStatus, frozenset[DisputeStatus]] = {
    _S.OPEN: frozenset({_S.WON, _S.LOST}),
    _S.WON: frozenset(),
    _S.LOST: frozenset(),
}
