"""What a reconciliation compares, and what it can say. Amounts are centavos from the bank's side: in is positive."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from pydantic import dataclasses as wire

from models.money import Units

BANK_TIME = ZoneInfo("America/Sao_Paulo")


def bank_day(instant: datetime) -> date:
    """The day of the bank's calendar (America/Sao_Paulo) that an instant falls on."""
    return instant.astimezone(BANK_TIME).date()


def bank_hours(day: date) -> tuple[datetime, datetime]:
    """A bank day's first instant, and the first of the day after."""
    start, after = (datetime.combine(each, time.min, BANK_TIME) for each in (day, day + timedelta(days=1)))
    return start, after


class Class(StrEnum):
    """What became of a line and a movement. All but ``matched`` and ``reversed`` may be a break.

    ``timing``: both sides have it, on different bank days; or one side has it, so lately that the other may follow.
    ``amount``: the same identity, another amount.
    ``missing_in_ledger``: the bank has it, our books do not. ``missing_at_bank``: the other way round.
    ``duplicate``: one side has it twice.
    ``unexplained``: a posting on ``pix_clearing`` that no payout, receipt or refund of ours accounts for.
    ``reversed``: the bank's line out and back again, of which our books rightly have neither.
    """

    MATCHED = "matched"
    TIMING = "timing"
    AMOUNT = "amount"
    MISSING_IN_LEDGER = "missing_in_ledger"
    MISSING_AT_BANK = "missing_at_bank"
    DUPLICATE = "duplicate"
    UNEXPLAINED = "unexplained"
    REVERSED = "reversed"


BREAKS = tuple(cls for cls in Class if cls not in {Class.MATCHED, Class.REVERSED})
"""The classes that a break may have."""


class Hint(StrEnum):
    """What else can be said of a break, for the person who looks into it."""

    BANK_FEE = "bank_fee"
    NO_IDENTITY = "no_identity"
    ANOTHER_OF_THIS_KEY = "another_of_this_key"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bank's statement. ``id`` is unique among lines; ``key`` is ours, where the bank repeats it."""

    id: str
    key: str | None
    end_to_end_id: str | None
    amount_centavos: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Movement:
    """What one ledger transaction says happened at a bank account. ``id`` is its ledger key.

    ``provider``: None where nothing of ours explains it.
    """

    id: str
    provider: str | None
    key: str | None
    end_to_end_id: str | None
    amount_centavos: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """What is compared: instants in [``since``, ``until``).

    ``since`` None: every counterpart there is was looked for, so the beginning excuses nothing. ``tolerance``: how
    long after one side has it the other may take, and so how near an end of the window a lone one is no fault yet.
    """

    since: datetime | None
    until: datetime
    tolerance: timedelta

    def excuses(self, instant: datetime) -> bool:
        is_late = instant > self.until - self.tolerance
        return is_late or (self.since is not None and instant < self.since + self.tolerance)


@dataclass(frozen=True, slots=True)
class Pair:
    """One line and one movement that are the same: ``matched``, or ``timing`` where their bank days differ."""

    line: Line
    movement: Movement

    @property
    def cls(self) -> Class:
        is_one_day = bank_day(self.line.time) == bank_day(self.movement.time)
        return Class.MATCHED if is_one_day else Class.TIMING


@dataclass(frozen=True, slots=True)
class Reversal:
    """Two lines of the bank that undo each other: a payout that left and came back before we booked it as paid."""

    out: Line
    back: Line


@dataclass(frozen=True, slots=True)
class Break:
    """A difference. ``amount`` has both sides, every other class one.

    ``suggestions``: ids of lone ones on the other side with the same amount and bank day. They are no match: a person
    may find that they belong together.
    """

    cls: Class
    line: Line | None
    movement: Movement | None
    hint: Hint | None = None
    suggestions: tuple[str, ...] = ()

    @property
    def place(self) -> tuple[datetime, str, str]:
        """What breaks are ordered by."""
        first = self.line or self.movement
        assert first is not None
        return (
            first.time,
            "" if self.line is None else self.line.id,
            "" if self.movement is None else self.movement.id,
        )

    @property
    def amount_centavos(self) -> int:
        """How much more the bank's account has than our books say."""
        bank = 0 if self.line is None else self.line.amount_centavos
        return bank - (0 if self.movement is None else self.movement.amount_centavos)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every line and every movement, each in exactly one place."""

    pairs: list[Pair] = field(default_factory=list)
    reversals: list[Reversal] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)


@wire.dataclass(frozen=True, slots=True)
class ReconcileInput:
    """One provider's statement of one bank day. A bank that does not answer is asked ``tries`` times in all."""

    provider: str
    day: date
    tries: int = 3
    pause_seconds: float = 60


@wire.dataclass(frozen=True, slots=True)
class Reading:
    """What came of asking for a statement: that it is stored, never its lines.

    ``read_at``: just before the bank was asked; None: it did not answer. ``balance_centavos``: the account's, where
    it is known and did not change meanwhile.
    """

    read_at: datetime | None
    lines: int = 0
    balance_centavos: Units | None = None


@wire.dataclass(frozen=True, slots=True)
class Question:
    """Compare a day with what was read of it. ``run``: the name under which this is done once."""

    provider: str
    day: date
    reading: Reading
    run: str
    started_at: datetime


@wire.dataclass(frozen=True, slots=True)
class Tally:
    """One class, in one run: its rows of either side, and their sums."""

    lines: int = 0
    movements: int = 0
    bank_centavos: Units = 0
    ledger_centavos: Units = 0


@wire.dataclass(frozen=True, slots=True)
class Result:
    """What a run came to: each line and movement of the day in one class.

    ``bank_answered`` False: nothing was compared, so nothing is missing.
    """

    provider: str
    day: date
    bank_answered: bool
    classes: dict[Class, Tally]
    opened: int = 0
    cleared: int = 0
