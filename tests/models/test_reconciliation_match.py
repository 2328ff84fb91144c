"""Which line is which movement: each rule by example, what holds for any books, and how often it is right."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reconciliation.match import FEE_MOST_CENTAVOS, match
from models.reconciliation.types import Break, Class, Comparison, Hint, Line, Movement, Window, bank_day
from tests.models.reconciliation_books import Author, classes, confusions, score, table

NOON = datetime(2026, 1, 7, 15, tzinfo=UTC)
WINDOW = Window(None, NOON + timedelta(days=9), timedelta(hours=2))
SEEDS = (11, 22, 33)
LEAST = 0.99


def line(name: str, key: str | None, end_to_end_id: str | None, amount: int = -100, **at: Any) -> Line:
    return Line(name, key, end_to_end_id, amount, NOON + timedelta(**at))


def movement(name: str, key: str | None, end_to_end_id: str | None, amount: int = -100, **at: Any) -> Movement:
    return Movement(name, "sandbox", key, end_to_end_id, amount, NOON + timedelta(**at))


def verdicts(*rows: Line | Movement, window: Window = WINDOW) -> dict[str, Class]:
    return classes(compare(*rows, window=window))


def compare(*rows: Line | Movement, window: Window = WINDOW) -> Comparison:
    lines = [row for row in rows if isinstance(row, Line)]
    return match(lines, [row for row in rows if isinstance(row, Movement)], window)


def pairs(found: Comparison) -> set[tuple[str, str]]:
    return {(pair.line.id, pair.movement.id) for pair in found.pairs}


class TestIdentity:
    @pytest.mark.parametrize(
        ("key", "end_to_end_id"), [("k", "E1"), ("k", None), (None, "E1"), ("other", "E1"), ("k", "E2")]
    )
    def test_is_the_key_or_else_the_end_to_end_id(self, key: str | None, end_to_end_id: str | None) -> None:
        said = verdicts(line("l", key, end_to_end_id), movement("m", "k", "E1"))

        assert {"l": Class.MATCHED, "m": Class.MATCHED} == said

    def test_has_a_direction(self) -> None:
        """A payout and its return share the key, and often the end-to-end id."""
        out, back = line("out", "k", "E1", -100), line("back", "k", "E1", 100, hours=1)

        found = compare(out, back, movement("paid", "k", "E1", -100), movement("returned", "k", "E1", 100, hours=1))

        assert {("out", "paid"), ("back", "returned")} == pairs(found)

    def test_is_the_key_before_the_end_to_end_id_where_money_leaves(self) -> None:
        found = compare(line("l", "k1", "E2"), movement("m1", "k1", "E1"), movement("m2", "k2", "E2"))

        assert {("l", "m1")} == pairs(found)

    def test_is_the_end_to_end_id_where_a_charge_is_paid_twice(self) -> None:
        rows = [line("l1", "k", "E1", 100), line("l2", "k", "E2", 100)]

        found = compare(*rows, movement("m2", "k", "E2", 100), movement("m1", "k", "E1", 100, hours=1))

        assert {("l1", "m1"), ("l2", "m2")} == pairs(found)

    def test_of_a_charge_leaves_the_nameless_line_what_the_named_ones_do_not_take(self) -> None:
        rows = [line("nameless", "k", None, 100), line("named", None, "E1", 100, hours=1)]

        found = compare(*rows, movement("m1", "k", "E1", 100), movement("m2", "k", "E2", 100))

        assert {("named", "m1"), ("nameless", "m2")} == pairs(found)

    def test_of_one_key_is_contradicted_by_other_end_to_end_ids_where_money_comes_in(self) -> None:
        said = verdicts(line("l", "k", "E1", 100), movement("m", "k", "E2", 100))

        assert {"l": Class.MISSING_IN_LEDGER, "m": Class.MISSING_AT_BANK} == said

    def test_of_a_return_is_known_by_its_own_id_or_by_the_payouts(self) -> None:
        said = verdicts(line("l", "k", "D1", 100), movement("m", "k", "E1", 100))

        assert {"l": Class.MATCHED, "m": Class.MATCHED} == said

    def test_is_never_amount_and_day_which_only_suggest(self) -> None:
        found = compare(line("l", "k1", "E1"), movement("m", "k2", "E2"), movement("other", "k3", "E3", -101))

        assert [] == found.pairs
        assert {"l": ("m",), "m": ("l",), "other": ()} == {name(each): each.suggestions for each in found.breaks}


class TestClass:
    def test_is_timing_for_a_pair_over_midnight_of_the_banks_time(self) -> None:
        before, after = timedelta(hours=11, minutes=59), timedelta(hours=12, minutes=1)

        found = compare(line("l", "k", None, minutes=719), movement("m", "k", None, minutes=721))

        assert (7, 8) == tuple(bank_day(NOON + each).day for each in (before, after))
        assert ([Class.TIMING], []) == ([pair.cls for pair in found.pairs], found.breaks)

    def test_is_amount_for_one_identity_and_two_amounts(self) -> None:
        (found,) = compare(line("l", "k", "E1", -107), movement("m", "k", "E1", -100)).breaks

        assert (Class.AMOUNT, -7) == (found.cls, found.amount_centavos)

    def test_is_duplicate_for_a_key_that_the_bank_paid_twice_though_as_two_pix(self) -> None:
        said = verdicts(line("l1", "k", "E1"), line("l2", "k", "E2", -200, hours=1), movement("m", "k", "E1"))

        assert {"l1": Class.MATCHED, "m": Class.MATCHED, "l2": Class.DUPLICATE} == said

    def test_is_duplicate_for_what_we_booked_twice(self) -> None:
        said = verdicts(line("l", "k", "E1"), movement("m1", "k", "E1"), movement("m2", "k", "E1", hours=1))

        assert Class.DUPLICATE == said["m2"]

    def test_is_duplicate_for_one_receipt_shown_twice_and_missing_for_another_receipt(self) -> None:
        rows = [
            line("l1", "k", "E1", 100),
            line("again", "k", "E1", 100, hours=1),
            line("l2", "k", "E2", 100, hours=2),
        ]

        found = compare(*rows, movement("m", "k", "E1", 100))

        assert {"again": Class.DUPLICATE, "l2": Class.MISSING_IN_LEDGER} == {name(b): b.cls for b in found.breaks}
        assert {"again": None, "l2": Hint.ANOTHER_OF_THIS_KEY} == {name(b): b.hint for b in found.breaks}

    def test_of_two_that_nobody_else_has_is_missing_for_the_first_and_duplicate_for_the_second(self) -> None:
        said = verdicts(line("l1", "k", "E1"), line("l2", "k", "E1", hours=1))

        assert {"l1": Class.MISSING_IN_LEDGER, "l2": Class.DUPLICATE} == said

    def test_of_several_left_over_is_missing_for_the_earliest_however_they_hang_together(self) -> None:
        paid = [line("paid", None, "E1", 100), movement("m", "k", "E1", 100)]

        said = verdicts(*paid, line("later", "k", "E5", 50, hours=5), line("earlier", None, "E5", 50, hours=3))

        assert (Class.MISSING_IN_LEDGER, Class.DUPLICATE) == (said["earlier"], said["later"])

    def test_is_missing_for_a_part_of_a_payout_that_came_back(self) -> None:
        """The books know no partial returns: the payout stays paid."""
        said = verdicts(line("out", "k", "E1"), line("part", "k", "D1", 40, hours=1), movement("m", "k", "E1"))

        assert Class.MISSING_IN_LEDGER == said["part"]

    def test_is_reversed_only_if_it_came_back_later_and_whole(self) -> None:
        whole = verdicts(line("out", "k", "E1"), line("back", "k", "E1", 100, hours=1))
        part = verdicts(line("out", "k", "E1"), line("back", "k", "E1", 99, hours=1))
        first = verdicts(line("back", "k", "E1", 100), line("out", "k", "E1", hours=1))

        assert {Class.REVERSED} == set(whole.values())
        assert {Class.MISSING_IN_LEDGER} == set(part.values()) == set(first.values())

    def test_is_no_reversal_of_a_payout_that_we_booked(self) -> None:
        said = verdicts(line("out", "k", "E1"), line("back", "k", "E1", 100, hours=1), movement("m", "k", "E1"))

        assert {"out": Class.MATCHED, "m": Class.MATCHED, "back": Class.MISSING_IN_LEDGER} == said

    def test_is_timing_for_a_lone_one_near_an_end_of_the_window(self) -> None:
        window = Window(NOON, NOON + timedelta(hours=10), timedelta(hours=2))
        ages = {name: {"hours": hours} for name, hours in (("first", 1), ("middle", 5), ("last", 9))}

        ours = verdicts(*(movement(name, name, None, **at) for name, at in ages.items()), window=window)
        banks = verdicts(*(line(name, name, None, **at) for name, at in ages.items()), window=window)

        assert {"first": Class.TIMING, "middle": Class.MISSING_AT_BANK, "last": Class.TIMING} == ours
        assert {"first": Class.TIMING, "middle": Class.MISSING_IN_LEDGER, "last": Class.TIMING} == banks

    def test_hints_at_a_fee_if_it_is_small_and_without_any_name(self) -> None:
        amounts = {"fee": -FEE_MOST_CENTAVOS, "large": -FEE_MOST_CENTAVOS - 1, "in": 5}

        found = compare(*(line(name, None, None, amount) for name, amount in amounts.items()))

        hints = {"fee": Hint.BANK_FEE, "large": Hint.NO_IDENTITY, "in": Hint.NO_IDENTITY}
        assert hints == {name(each): each.hint for each in found.breaks}

    def test_is_unexplained_for_a_posting_that_is_no_payments(self) -> None:
        said = verdicts(Movement("m", None, None, None, -100, NOON), line("l", None, None))

        assert {"m": Class.UNEXPLAINED, "l": Class.MISSING_IN_LEDGER} == said


NAMES = st.sampled_from([None, "a", "b", "c"])
IDS = st.sampled_from([None, "E1", "E2", "D1", "D2"])
AMOUNTS = st.sampled_from([-200, -100, 100, 200])
TIMES = st.integers(0, 60).map(lambda hours: NOON + timedelta(hours=hours))
LINES = st.lists(st.tuples(NAMES, IDS, AMOUNTS, TIMES), max_size=12).map(
    lambda rows: [Line(f"l{number}", *row) for number, row in enumerate(rows)]
)
MOVEMENTS = st.lists(
    st.tuples(st.sampled_from(["sandbox", "sandbox", "sandbox", None]), NAMES, IDS, AMOUNTS, TIMES), max_size=12
).map(lambda rows: [Movement(f"m{number}", *row) for number, row in enumerate(rows)])
SHORT = Window(NOON, NOON + timedelta(hours=60), timedelta(hours=2))


class TestAnyBooks:
    @given(LINES, MOVEMENTS)
    def test_are_accounted_for_row_by_row_and_once(self, lines: list[Line], movements: list[Movement]) -> None:
        found = match(lines, movements, SHORT)

        assert Counter(row.id for row in [*lines, *movements]) == Counter(_placed(found))

    @given(LINES, MOVEMENTS, st.randoms(use_true_random=False))
    def test_say_the_same_in_any_order(
        self, lines: list[Line], movements: list[Movement], pick: random.Random
    ) -> None:
        found = match(lines, movements, SHORT)

        pick.shuffle(lines)
        pick.shuffle(movements)

        assert found == match(lines, movements, SHORT)

    @given(LINES, MOVEMENTS, AMOUNTS, TIMES)
    def test_are_not_changed_by_a_pair_of_its_own_which_is_never_a_break(
        self, lines: list[Line], movements: list[Movement], amount: int, at: datetime
    ) -> None:
        found = match(lines, movements, SHORT)
        line_, ours = Line("new", "new", "E9", amount, at), Movement("ours", "sandbox", "new", "E9", amount, at)

        with_it = match([*lines, line_], [*movements, ours], SHORT)

        assert ("new", "ours") in pairs(with_it)
        assert (found.breaks, found.reversals) == (with_it.breaks, with_it.reversals)

    @given(st.lists(st.tuples(AMOUNTS, TIMES, st.sampled_from(["both", "key", "id"])), max_size=20))
    def test_that_both_sides_have_hold_no_break(self, rows: list[tuple[int, datetime, str]]) -> None:
        lines, movements = [], []
        for number, (amount, at, shown) in enumerate(rows):
            key, end_to_end_id = f"k{number}", f"E{number}"
            lines.append(
                Line(
                    f"l{number}",
                    None if shown == "id" else key,
                    None if shown == "key" else end_to_end_id,
                    amount,
                    at,
                )
            )
            movements.append(Movement(f"m{number}", "sandbox", key, end_to_end_id, amount, at))

        found = match(lines, movements, SHORT)

        assert ([], []) == (found.breaks, found.reversals)
        assert {(f"l{number}", f"m{number}") for number in range(len(rows))} == pairs(found)

    def test_with_one_key_for_thousands_take_no_longer_for_it(self) -> None:
        """A static charge is paid by whoever likes to, as often as they like."""
        count = 20_000
        lines = [line(f"l{number}", "static", f"E{number}", 1, seconds=number) for number in range(count)]
        booked = [movement(f"m{number}", "static", f"E{number}", 1, seconds=number) for number in range(0, count, 2)]

        found = match(lines, booked, WINDOW)

        assert count // 2 == len(found.pairs) == len(found.breaks)


class TestPrecisionAndRecall:
    """Of planted faults in books of a week, 10,500 events. What is measured is printed: see with ``-s``."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_are_99_in_100_for_every_class(self, seed: int) -> None:
        books = Author(seed).write()
        by_id = classes(match(books.lines, books.movements, books.window))

        scores = score(books.where(ambiguous=False), by_id)

        print()
        print("\n".join(table(scores, f"seed {seed}: rows with an identity")))
        print("\n".join(table(score(books.events, by_id, omniscient=True), "all rows, as it really was")))
        for (expected, said), count in sorted(confusions(books.events, by_id).items()):
            print(f"  {count} x {expected}: taken for {said}")
        assert set(Class) == {cls for cls, one in scores.items() if one.right > 20}
        assert {} == {
            cls: (one.precision, one.recall) for cls, one in scores.items() if min(one.precision, one.recall) < LEAST
        }

    def test_are_of_books_that_a_seed_writes_anew(self) -> None:
        first, second, other = (Author(seed, days=2, per_day=50).write() for seed in (1, 1, 2))

        assert (first.lines, first.movements) == (second.lines, second.movements)
        assert first.lines != other.lines


def name(found: Break) -> str:
    row = found.line or found.movement
    assert row is not None
    return row.id


def _placed(found: Comparison) -> Iterator[str]:
    for pair in found.pairs:
        yield from (pair.line.id, pair.movement.id)
    for reversal in found.reversals:
        yield from (reversal.out.id, reversal.back.id)
    for each in found.breaks:
        yield from (row.id for row in (each.line, each.movement) if row is not None)
