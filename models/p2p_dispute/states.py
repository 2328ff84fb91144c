"""The states of one dispute between the two of a P2P trade. What they trade over is held from the first to the end.

::

    open ◄──► proposed ──► ruled ──► closed
     └──────────────────────▲ │        ▲ ▲
                              ▼        │ │
                           appealed ───┘ │
                              ▲          │
                              └► proposed ┘        every state but closed ──► settled

``proposed``: a ruling on much money waits for a second arbiter; a no, or none in time, leads back to where it came
from. ``ruled``: the ruling is carried out when the window for an appeal is over, or both accept it. ``appealed``: the
next ruling, by others, is final. ``closed``: the ruling was carried out. ``settled``: the two agreed, or one gave in.
"""

from enum import StrEnum


class P2PDisputeStatus(StrEnum):
    OPEN = "open"
    PROPOSED = "proposed"
    RULED = "ruled"
    APPEALED = "appealed"
    CLOSED = "closed"
    SETTLED = "settled"


_S = P2PDisputeStatus

NEXT: dict[P2PDisputeStatus, frozenset[P2PDisputeStatus]] = {
    _S.OPEN: frozenset({_S.PROPOSED, _S.RULED, _S.SETTLED}),
    _S.PROPOSED: frozenset({_S.OPEN, _S.APPEALED, _S.RULED, _S.CLOSED, _S.SETTLED}),
    _S.RULED: frozenset({_S.APPEALED, _S.CLOSED, _S.SETTLED}),
    _S.APPEALED: frozenset({_S.PROPOSED, _S.CLOSED, _S.SETTLED}),
    _S.CLOSED: frozenset(),
    _S.SETTLED: frozenset(),
}

ENDED = frozenset({_S.CLOSED, _S.SETTLED})
"""The trade has ended with it."""
UNDECIDED = frozenset({_S.OPEN, _S.APPEALED})
"""An arbiter must rule."""
