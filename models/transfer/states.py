"""The states of one on-chain transfer.

::

    intended ──► signed ──► broadcast ◄──► mined ──► final
        │                       │            └────► failed   (reverted: fee spent, nothing moved)
        └► rejected             └► mined, final, failed
           (never signed)

``mined`` goes back to ``broadcast`` when a reorg drops its block.
"""

from enum import StrEnum


class TransferStatus(StrEnum):
    INTENDED = "intended"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    MINED = "mined"
    FINAL = "final"
    FAILED = "failed"
    REJECTED = "rejected"


_S = TransferStatus

NEXT: dict[TransferStatus, frozenset[TransferStatus]] = {
    _S.INTENDED: frozenset({_S.SIGNED, _S.REJECTED}),
    _S.SIGNED: frozenset({_S.BROADCAST}),
    _S.BROADCAST: frozenset({_S.MINED, _S.FINAL, _S.FAILED}),
    _S.MINED: frozenset({_S.BROADCAST, _S.FINAL, _S.FAILED}),
    _S.FINAL: frozenset(),
    _S.FAILED: frozenset(),
    _S.REJECTED: frozenset(),
}

ENDED = frozenset({_S.FINAL, _S.FAILED, _S.REJECTED})
IN_FLIGHT = frozenset({_S.SIGNED, _S.BROADCAST, _S.MINED})
