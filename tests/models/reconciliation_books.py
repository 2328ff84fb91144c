"""Books with planted breaks: some days of a bank account, as the bank and as the ledger tell it, and what is true of it.

What happens at the account comes first: payouts, returns, receipts of charges (some paid twice), refunds, payouts that
failed after they left, fees. From each, both sides' rows are derived, with the habits of real providers: keys that the
statement does not repeat, end-to-end ids that are missing, returns under an id of their own. Then faults are planted,
each known by what it must be classed as. An *event* is what belongs together; inside it rows may be interchangeable, so
what is compared is how many of each class it came to.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from models.reconciliation.types import Class, Comparison, Line, Movement, Window, bank_day

PROVIDER = "sandbox"
START = datetime(2026, 1, 5, 3, tzinfo=UTC)
"""Midnight in America/Sao_Paulo."""
TOLERANCE = timedelta(hours=2)
AMOUNTS = 200
"""So few that amount and day fit many: whoever matches by them is wrong."""

FAULTS = {
    "delayed": 0.010,
    "amount": 0.010,
    "not_at_bank": 0.010,
    "not_in_ledger": 0.010,
    "twice_at_bank": 0.010,
    "twice_in_ledger": 0.005,
}
NO_KEY, NO_ID, NO_NAME = 0.20, 0.10, 0.002
"""Of the bank's lines. The last lose both: nobody can tell whose they are."""


@dataclass
class Event:
    """What happened, as rows of both sides and what they must be classed as.

    ``is_ambiguous``: the two sides share no identity, so the best that rules can say is that each misses the other.
    Then ``happened`` says what it really was; else it is the same.
    """

    lines: list[Line]
    movements: list[Movement]
    expected: Counter[Class] = field(default_factory=Counter)
    happened: Counter[Class] = field(default_factory=Counter)
    is_ambiguous: bool = False


@dataclass
class Books:
    events: list[Event]
    window: Window

    @property
    def lines(self) -> list[Line]:
        return [line for event in self.events for line in event.lines]

    @property
    def movements(self) -> list[Movement]:
        return [movement for event in self.events for movement in event.movements]

    def where(self, *, ambiguous: bool) -> Iterable[Event]:
        return (event for event in self.events if event.is_ambiguous is ambiguous)


@dataclass
class Score:
    """Of one class, counted in rows."""

    right: int = 0
    too_many: int = 0
    too_few: int = 0

    @property
    def precision(self) -> float:
        said = self.right + self.too_many
        return self.right / said if said else 1.0

    @property
    def recall(self) -> float:
        true = self.right + self.too_few
        return self.right / true if true else 1.0


def classes(found: Comparison) -> dict[str, Class]:
    """What each row was classed as, by its id."""
    by_id = {row.id: pair.cls for pair in found.pairs for row in (pair.line, pair.movement)}
    by_id |= {line.id: Class.REVERSED for pair in found.reversals for line in (pair.out, pair.back)}
    return by_id | {row.id: each.cls for each in found.breaks for row in (each.line, each.movement) if row}


def score(events: Iterable[Event], by_id: dict[str, Class], *, omniscient: bool = False) -> dict[Class, Score]:
    """How often each class was said where it was true; or, ``omniscient``, where it really was so."""
    scores = {cls: Score() for cls in Class}
    for event in events:
        said = Counter(by_id[row.id] for row in [*event.lines, *event.movements])
        true = event.happened if omniscient and event.is_ambiguous else event.expected
        for cls in Class:
            right = min(said[cls], true[cls])
            scores[cls].right += right
            scores[cls].too_many += said[cls] - right
            scores[cls].too_few += true[cls] - right
    return scores


def confusions(events: Iterable[Event], by_id: dict[str, Class]) -> Counter[tuple[str, str]]:
    """What was said of whole events that should have been something else."""
    found: Counter[tuple[str, str]] = Counter()
    for event in events:
        said = Counter(by_id[row.id] for row in [*event.lines, *event.movements])
        if said != event.expected:
            found[_words(event.expected), _words(said)] += 1
    return found


def table(scores: dict[Class, Score], title: str) -> list[str]:
    head = f"{title:34} {'rows':>7} {'precision':>10} {'recall':>8}"
    rows = [
        f"{cls:34} {one.right + one.too_few:>7} {one.precision:>10.4f} {one.recall:>8.4f}"
        for cls, one in scores.items()
        if one.right + one.too_few + one.too_many
    ]
    return [head, *rows]


def _words(counted: Counter[Class]) -> str:
    return " + ".join(f"{count} {cls}" for cls, count in sorted(counted.items()) if count)


class Author:
    """Writes books of ``days`` days with ``per_day`` events each; the same seed writes the same."""

    def __init__(self, seed: int, *, days: int = 7, per_day: int = 1_500) -> None:
        self._pick = random.Random(seed)
        self._days, self._per_day = days, per_day
        end = START + timedelta(days=days)
        self._window = Window(START, end, TOLERANCE)
        self._amounts = [self._pick.randrange(1_001, 500_000) for _ in range(AMOUNTS)]
        self._names = 0

    def write(self) -> Books:
        makers = {
            self._payout: 45,
            self._returned_payout: 8,
            self._charge: 30,
            self._refund: 12,
            self._failed_payout: 2,
            self._fee: 2,
            self._unexplained: 1,
        }
        kinds = self._pick.choices(list(makers), list(makers.values()), k=self._days * self._per_day)
        return Books([make() for make in kinds], self._window)

    # What happens at the account.

    def _payout(self) -> Event:
        key, paid, at = self._key(), self._id("E"), self._time()
        return self._spoil(self._pair(key, paid, paid, -self._amount(), at))

    def _returned_payout(self) -> Event:
        """One event each way; the return has an id of its own at some providers, and the payout's at others."""
        key, paid, at = self._key(), self._id("E"), self._time()
        amount = self._amount()
        back = self._id("D") if self._pick.random() < 0.7 else paid
        later = at + timedelta(seconds=self._pick.randrange(60, 40_000))
        rows = self._pair(key, paid, paid, -amount, at)
        if later < self._window.until - timedelta(minutes=5):
            more = self._pair(key, back, paid, amount, later)
            rows = Event(rows.lines + more.lines, rows.movements + more.movements)
        return self._spoil(rows)

    def _charge(self) -> Event:
        key, at = self._key(), self._time()
        first = self._id("E")
        rows = self._pair(key, first, first, self._amount(), at)
        if self._pick.random() < 0.1:
            again = self._id("E")
            amount = rows.lines[0].amount_centavos if self._pick.random() < 0.5 else self._amount()
            more = self._pair(key, again, again, amount, self._time())
            rows = Event(rows.lines + more.lines, rows.movements + more.movements)
        return self._spoil(rows)

    def _refund(self) -> Event:
        back = self._id("D")
        return self._spoil(self._pair(self._key(), back, back, -self._amount(), self._time()))

    def _failed_payout(self) -> Event:
        key, paid, at, amount = self._key(), self._id("E"), self._time(), self._amount()
        out = self._line(key, paid, -amount, at)
        back = self._line(key, paid, amount, min(at + timedelta(seconds=90), self._last()))
        return Event([out, back], [], Counter({Class.REVERSED: 2}))

    def _fee(self) -> Event:
        line = self._line(None, None, -self._pick.randrange(1, 900), self._time())
        return Event([line], [], Counter({self._lone(line, Class.MISSING_IN_LEDGER): 1}))

    def _unexplained(self) -> Event:
        sign = self._pick.choice((-1, 1))
        movement = Movement(self._name("m"), None, None, None, sign * self._amount(), self._time())
        return Event([], [movement], Counter({Class.UNEXPLAINED: 1}))

    # What goes wrong with it.

    def _spoil(self, event: Event) -> Event:
        """At most one fault, at one of the event's pairs; and then what the statement leaves out."""
        fault = self._pick.choices([*FAULTS, ""], [*FAULTS.values(), 1 - sum(FAULTS.values())])[0]
        number = self._pick.randrange(len(event.lines))
        pairs = list(zip(event.lines, event.movements, strict=True))
        done = Event([], [])
        for place, (line, movement) in enumerate(pairs):
            self._book(done, line, movement, fault if place == number else "")
        return done

    def _book(self, event: Event, line: Line, movement: Movement, fault: str) -> None:
        if fault == "delayed":
            line = replace(line, time=min(line.time + timedelta(hours=self._pick.uniform(6, 30)), self._last()))
        if fault == "amount":
            line = replace(line, amount_centavos=line.amount_centavos + self._pick.choice((-100, -1, 1, 9)))
        shown = self._shown(line)
        has_both = fault not in {"not_at_bank", "not_in_ledger"}
        is_known = shown.key is not None or (
            shown.end_to_end_id is not None and shown.end_to_end_id == movement.end_to_end_id
        )
        if fault != "not_at_bank":
            event.lines.append(shown)
        if fault != "not_in_ledger":
            event.movements.append(movement)
        happened = self._happened(shown, movement, fault)
        event.happened += happened
        if has_both and not is_known:
            event.is_ambiguous = True
            event.expected[self._lone(shown, Class.MISSING_IN_LEDGER)] += 1
            event.expected[self._lone(movement, Class.MISSING_AT_BANK)] += 1
        else:
            event.expected += happened
        if has_both and is_known and fault == "twice_at_bank":
            event.lines.append(self._again(shown))
            event.expected[Class.DUPLICATE] += 1
        if has_both and is_known and fault == "twice_in_ledger":
            event.movements.append(replace(movement, id=self._name("m"), time=self._soon(movement.time)))
            event.expected[Class.DUPLICATE] += 1

    def _happened(self, line: Line, movement: Movement, fault: str) -> Counter[Class]:
        if fault == "not_at_bank":
            return Counter({self._lone(movement, Class.MISSING_AT_BANK): 1})
        if fault == "not_in_ledger":
            return Counter({self._lone(line, Class.MISSING_IN_LEDGER): 1})
        if fault == "amount":
            return Counter({Class.AMOUNT: 2})
        is_one_day = bank_day(line.time) == bank_day(movement.time)
        return Counter({Class.MATCHED if is_one_day else Class.TIMING: 2})

    def _shown(self, line: Line) -> Line:
        """What the provider's statement says of it."""
        chance = self._pick.random()
        if chance < NO_NAME:
            return replace(line, key=None, end_to_end_id=None)
        if chance < NO_NAME + NO_KEY and line.end_to_end_id is not None:
            return replace(line, key=None)
        if chance < NO_NAME + NO_KEY + NO_ID and line.key is not None:
            return replace(line, end_to_end_id=None)
        return line

    def _again(self, line: Line) -> Line:
        """The same line once more; out of our account sometimes as a second PIX under the one key."""
        again = replace(line, id=self._name("l"), time=self._soon(line.time))
        is_second = line.amount_centavos < 0 and line.key is not None and self._pick.random() < 0.5
        return replace(again, end_to_end_id=self._id("E")) if is_second else again

    # Small things.

    def _pair(self, key: str, bank_id: str, our_id: str, amount: int, at: datetime) -> Event:
        """The bank first, the ledger soon after; of one in twenty we never learned the end-to-end id."""
        booked = min(at + timedelta(seconds=self._pick.expovariate(1 / 20)), self._last())
        known = our_id if self._pick.random() < 0.95 else None
        movement = Movement(self._name("m"), PROVIDER, key, known, amount, booked)
        return Event([self._line(key, bank_id, amount, at)], [movement])

    def _line(self, key: str | None, end_to_end_id: str | None, amount: int, at: datetime) -> Line:
        return Line(self._name("l"), key, end_to_end_id, amount, at)

    def _lone(self, row: Line | Movement, cls: Class) -> Class:
        return Class.TIMING if self._window.excuses(row.time) else cls

    def _time(self) -> datetime:
        return START + timedelta(seconds=self._pick.uniform(0, self._days * 86_400 - 600))

    def _soon(self, at: datetime) -> datetime:
        return min(at + timedelta(seconds=self._pick.uniform(0, 3_600)), self._last())

    def _last(self) -> datetime:
        return self._window.until - timedelta(microseconds=1)

    def _amount(self) -> int:
        return self._pick.choice(self._amounts)

    def _key(self) -> str:
        return f"{self._pick.getrandbits(128):032x}"

    def _id(self, kind: str) -> str:
        return f"{kind}{self._pick.getrandbits(122):031x}"

    def _name(self, side: str) -> str:
        self._names += 1
        return f"{side}{self._names}"


def by_class(found: Comparison) -> dict[Class, int]:
    """How many rows of either side each class has."""
    counted: dict[Class, int] = defaultdict(int)
    for cls in classes(found).values():
        counted[cls] += 1
    return counted
