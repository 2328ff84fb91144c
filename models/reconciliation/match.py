"""Which line of the bank's statement is which of our movements. A pure function: no clock, no database.

The rules, in order. *Direction* is the amount's sign; only lines and movements of one direction can be the same.

1.  *Identity* is our key, then the end-to-end id. What shares either, over any number of steps, is one group, and
    groups are settled one by one, so what happens in one never changes another.
2.  Out of our account a key names one payment for ever. So within a group: the same key and the same amount are a
    pair; then the same key; then the same end-to-end id and amount; then the same end-to-end id.
3.  Into our account a key may name many: a charge is paid twice, a payout comes back in parts. There the same key and
    end-to-end id are a pair first, then the same end-to-end id, then the same key and amount (of one day, then of
    any), then the same key. But two of one key whose end-to-end ids *contradict* each other are never one. Ids
    contradict if both are known, differ, and are of one kind: a payment's begins with ``E``, a return's with ``D``,
    and a return is known by either (SPI, ``pacs.008`` and ``pacs.004``).
4.  A pair of one amount is ``matched``, or ``timing`` if its bank days differ, and no break. Of two amounts it is the
    break ``amount``.
5.  What is left over and has the identity of one already placed is ``duplicate``: out of our account whatever its
    amount, because we never pay a key twice; into it, with the same end-to-end id, or without one and with the same
    amount. Of several left over, the earliest is the original. Another receipt of a key is no duplicate.
6.  A line out and a later line back of one identity and amount, both left over, undo each other: ``reversed``. That
    is how a bank shows a payout that failed at the receiving end, which our books rightly never had.
7.  What is then left is ``missing_in_ledger`` or ``missing_at_bank``; or ``timing``, while it is within the
    tolerance of an end of the window, because its other half may still come.
8.  Amount and day match nothing. Lone ones that agree in both are named to each other as suggestions.
9.  A movement without a provider is ``unexplained``: no identity of ours can be behind it.

Within a rule the earliest goes first, by time and then id. So the order of the inputs changes nothing.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from models.reconciliation.types import (
    Break,
    Class,
    Comparison,
    Hint,
    Line,
    Movement,
    Pair,
    Reversal,
    Window,
    bank_day,
)

FEE_MOST_CENTAVOS = 1_000
"""A line out without any identity and of at most this is probably the bank's fee: R$ 10."""

SUGGESTIONS_MOST = 5

Item = Line | Movement
_Same = Callable[[Item], Hashable | None]
I = TypeVar("I", Line, Movement)  # noqa: E741 an item of one side


def match(lines: Iterable[Line], movements: Iterable[Movement], window: Window) -> Comparison:
    """Compare the two sides by the rules above.

    :param lines: each with an ``id`` of its own.
    :param movements: likewise.
    """
    found = _Findings(window)
    known = sorted(movements, key=_place)
    found.unexplained = [each for each in known if each.provider is None]
    for group in _groups(sorted(lines, key=_place), [each for each in known if each.provider is not None]):
        found.settle(*group)
    return found.close()


def _place(item: Item) -> tuple[object, str]:
    return item.time, item.id


def _is_in(item: Item) -> bool:
    return item.amount_centavos > 0


def _groups(lines: Sequence[Line], movements: Sequence[Movement]) -> Iterator[tuple[list[Line], list[Movement]]]:
    """What shares an identity, over any number of steps; all of one direction, the earliest first."""
    for is_in in (False, True):
        items: list[Item] = [each for each in lines if _is_in(each) is is_in]
        items += [each for each in movements if _is_in(each) is is_in]
        by_key: dict[str, list[Item]] = {}
        by_id: dict[str, list[Item]] = {}
        for item in items:
            if item.key:
                by_key.setdefault(item.key, []).append(item)
            if item.end_to_end_id:
                by_id.setdefault(item.end_to_end_id, []).append(item)
        for group in _connected(items, by_key, by_id):
            if len(group) > 2:
                group.sort(key=_place)
            yield (
                [each for each in group if isinstance(each, Line)],
                [each for each in group if isinstance(each, Movement)],
            )


def _connected(
    items: Iterable[Item], by_key: dict[str, list[Item]], by_id: dict[str, list[Item]]
) -> Iterator[list[Item]]:
    """Both indexes are emptied on the way: a name that thousands share is walked once."""
    seen: set[int] = set()
    for first in items:
        if id(first) in seen:
            continue
        seen.add(id(first))
        group = [first]
        for item in group:
            for others in (by_key.pop(item.key or "", ()), by_id.pop(item.end_to_end_id or "", ())):
                for other in others:
                    if id(other) not in seen:
                        seen.add(id(other))
                        group.append(other)
        yield group


def _key(item: Item) -> Hashable | None:
    return item.key


def _key_and_amount(item: Item) -> Hashable | None:
    return None if item.key is None else (item.key, item.amount_centavos)


def _key_amount_and_day(item: Item) -> Hashable | None:
    return None if item.key is None else (item.key, item.amount_centavos, bank_day(item.time))


def _both(item: Item) -> Hashable | None:
    return None if item.key is None or item.end_to_end_id is None else (item.key, item.end_to_end_id)


def _both_and_amount(item: Item) -> Hashable | None:
    return None if _both(item) is None else (item.key, item.end_to_end_id, item.amount_centavos)


def _id(item: Item) -> Hashable | None:
    return item.end_to_end_id


def _id_and_amount(item: Item) -> Hashable | None:
    return None if item.end_to_end_id is None else (item.end_to_end_id, item.amount_centavos)


_OUT: tuple[tuple[_Same, bool], ...] = (
    (_both_and_amount, False),
    (_key_and_amount, False),
    (_key, False),
    (_id_and_amount, False),
    (_id, False),
)
_IN: tuple[tuple[_Same, bool], ...] = (
    (_both_and_amount, False),
    (_both, False),
    (_id_and_amount, False),
    (_id, False),
    (_key_amount_and_day, True),
    (_key_and_amount, True),
    (_key, True),
)
"""What makes two the same, strongest first, and whether their end-to-end ids must not contradict each other."""


def _kind(item: Item) -> str:
    """``E``, ``D``, another first letter, or nothing."""
    return (item.end_to_end_id or "")[:1].upper()


class _Findings:
    """What was found until now, and the lone ones that only the whole can judge."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._done = Comparison()
        self._lone_lines: list[tuple[Line, Hint | None]] = []
        self._lone_movements: list[tuple[Movement, Hint | None]] = []
        self.unexplained: list[Movement] = []

    def settle(self, lines: list[Line], movements: list[Movement]) -> None:
        """One group: its pairs, its duplicates, and who is left alone."""
        pairs = []
        if len(lines) == len(movements) == 1 and not _contradict(lines[0], movements[0]):
            pairs = [(lines.pop(), movements.pop())]
        elif lines and movements:
            for same, must_agree in _IN if _is_in(lines[0]) else _OUT:
                pairs += _join(lines, movements, same, must_agree=must_agree)
        for line, movement in pairs:
            if line.amount_centavos == movement.amount_centavos:
                self._done.pairs.append(Pair(line, movement))
            else:
                self._done.breaks.append(Break(Class.AMOUNT, line, movement))
        for line, hint in self._without_duplicates(lines, [line for line, _ in pairs]):
            self._lone_lines.append((line, hint))
        for movement, hint in self._without_duplicates(movements, [movement for _, movement in pairs]):
            self._lone_movements.append((movement, hint))

    def _without_duplicates(self, left: list[I], placed: Sequence[I]) -> Iterator[tuple[I, Hint | None]]:
        if not left:
            return
        known = _Known()
        for item in placed:
            known.add(item)
        for item in left:
            if known.has(item):
                line, movement = (item, None) if isinstance(item, Line) else (None, item)
                self._done.breaks.append(Break(Class.DUPLICATE, line, movement))
            else:
                yield item, Hint.ANOTHER_OF_THIS_KEY if known.has_key(item) else None
            known.add(item)

    def close(self) -> Comparison:
        """What is left alone, judged with the whole in view."""
        self._pair_reversals()
        by_amount: dict[tuple[object, int], list[str]] = defaultdict(list)
        for line, _ in self._lone_lines:
            by_amount[bank_day(line.time), line.amount_centavos].append(line.id)
        lone_movements = [*self._lone_movements, *((each, None) for each in self.unexplained)]
        by_amount_ours: dict[tuple[object, int], list[str]] = defaultdict(list)
        for movement, _ in lone_movements:
            by_amount_ours[bank_day(movement.time), movement.amount_centavos].append(movement.id)
        for line, hint in self._lone_lines:
            cls = Class.TIMING if self._window.excuses(line.time) else Class.MISSING_IN_LEDGER
            alike = by_amount_ours.get((bank_day(line.time), line.amount_centavos), [])
            self._done.breaks.append(Break(cls, line, None, hint or _hint(line), tuple(alike[:SUGGESTIONS_MOST])))
        for movement, hint in lone_movements:
            cls = Class.TIMING if self._window.excuses(movement.time) else Class.MISSING_AT_BANK
            cls = Class.UNEXPLAINED if movement.provider is None else cls
            alike = by_amount.get((bank_day(movement.time), movement.amount_centavos), [])
            self._done.breaks.append(Break(cls, None, movement, hint, tuple(alike[:SUGGESTIONS_MOST])))
        self._done.pairs.sort(key=lambda pair: _place(pair.line))
        self._done.reversals.sort(key=lambda reversal: _place(reversal.out))
        self._done.breaks.sort(key=lambda each: each.place)
        return self._done

    def _pair_reversals(self) -> None:
        """By key, then by end-to-end id; of several, the earliest with the earliest that came later."""
        for name in (_key, _id):
            back: dict[Hashable, deque[Line]] = defaultdict(deque)
            gone: set[str] = set()
            lone = sorted((line for line, _ in self._lone_lines), key=_place)
            for line in lone:
                if _is_in(line) and name(line) is not None:
                    back[name(line), line.amount_centavos].append(line)
            for out in lone:
                waiting = () if _is_in(out) or name(out) is None else back.get((name(out), -out.amount_centavos), ())
                later = next((line for line in waiting if line.time >= out.time), None)
                if later is not None:
                    back[name(out), later.amount_centavos].remove(later)
                    gone |= {out.id, later.id}
                    self._done.reversals.append(Reversal(out, later))
            if gone:
                self._lone_lines = [each for each in self._lone_lines if each[0].id not in gone]


class _Known:
    """The identities of what is placed already, on one side of one group."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._ids: set[str] = set()
        self._nameless: set[tuple[str, int]] = set()
        self._amounts: set[tuple[str, int]] = set()

    def add(self, item: Item) -> None:
        if item.end_to_end_id is not None:
            self._ids.add(item.end_to_end_id)
        if item.key is not None:
            self._keys.add(item.key)
            self._amounts.add((item.key, item.amount_centavos))
            if item.end_to_end_id is None:
                self._nameless.add((item.key, item.amount_centavos))

    def has_key(self, item: Item) -> bool:
        return item.key in self._keys

    def has(self, item: Item) -> bool:
        """Rule 5."""
        if item.end_to_end_id in self._ids:
            return True
        if item.key is None:
            return False
        if not _is_in(item):
            return item.key in self._keys
        seen = self._amounts if item.end_to_end_id is None else self._nameless
        return (item.key, item.amount_centavos) in seen


def _contradict(line: Line, movement: Movement) -> bool:
    """Rule 3, for the only two of a group: they share the key, or the end-to-end id, or both."""
    return (
        _is_in(line)
        and line.end_to_end_id != movement.end_to_end_id
        and _kind(line) == _kind(movement)
        and _kind(line) != ""
    )


def _join(
    lines: list[Line], movements: list[Movement], same: _Same, *, must_agree: bool
) -> Iterator[tuple[Line, Movement]]:
    """Pair what is the same, the earliest first, and take it out of both lists."""
    waiting: dict[tuple[Hashable, str], deque[Movement]] = defaultdict(deque)
    kinds: set[str] = set()
    for movement in movements:
        if (name := same(movement)) is not None:
            kind = _kind(movement) if must_agree else ""
            kinds.add(kind)
            waiting[name, kind].append(movement)
    if not waiting:
        return
    taken: set[int] = set()
    # Who contradicts somebody chooses before who fits anybody, and leaves the choosy ones to the others.
    for line in sorted(lines, key=lambda each: _kind(each) == "") if must_agree else lines:
        name = same(line)
        if name is None:
            continue
        for kind in sorted(kinds):
            if must_agree and kind == _kind(line) != "":
                continue
            if queue := waiting.get((name, kind)):
                movement = queue.popleft()
                taken |= {id(line), id(movement)}
                yield line, movement
                break
    lines[:] = [line for line in lines if id(line) not in taken]
    movements[:] = [movement for movement in movements if id(movement) not in taken]


def _hint(line: Line) -> Hint | None:
    if line.key is not None or line.end_to_end_id is not None:
        return None
    return Hint.BANK_FEE if -FEE_MOST_CENTAVOS <= line.amount_centavos < 0 else Hint.NO_IDENTITY
