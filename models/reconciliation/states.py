"""The states of a break.

::

    open ──► acknowledged ──► resolved
     ▲ │          │
     │ ▼          ▼
    cleared ◄─────┘

``acknowledged``: an operator owns it. ``resolved``: they said, with evidence, what it was; the end, even if the next
run finds it again. ``cleared``: a later run found that nothing is missing; it opens anew should that change.
"""

from enum import StrEnum


class BreakStatus(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    CLEARED = "cleared"


_S = BreakStatus

NEXT: dict[BreakStatus, frozenset[BreakStatus]] = {
    _S.OPEN: frozenset({_S.ACKNOWLEDGED, _S.CLEARED}),
    _S.ACKNOWLEDGED: frozenset({_S.RESOLVED, _S.CLEARED}),
    _S.CLEARED: frozenset({_S.OPEN}),
    _S.RESOLVED: frozenset(),
}

LIVE = frozenset({_S.OPEN, _S.ACKNOWLEDGED})
"""Somebody still has to do something, or to wait."""


class Resolution(StrEnum):
    """What an operator found.

    ``booked``: a correcting ledger transaction was posted. ``corrected_by_bank``: the bank booked it right or back.
    ``bank_fee``: the bank's charge. ``not_ours``: somebody else's use of the account. ``same_under_other_names``: its
    other half is there under an identity that nobody could match. ``written_off``: the difference stays.
    """

    BOOKED = "booked"
    CORRECTED_BY_BANK = "corrected_by_bank"
    BANK_FEE = "bank_fee"
    NOT_OURS = "not_ours"
    SAME_UNDER_OTHER_NAMES = "same_under_other_names"
    WRITTEN_OFF = "written_off"
