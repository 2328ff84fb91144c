"""The sandbox bank's file: against a plain-Python model of a bank, opened anew at any moment, and of version 0."""

import sqlite3
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payments.sandbox.account import BANK_TIME, InsufficientBalance
from payments.sandbox.books import Books
from payments.sandbox.moods import Mood, Queue
from payments.sandbox.receipts import NotPossible, Payer
from tests.payments.orders import as_json, charge_json, new_charge, new_order, new_refund, refund_json

OPENING_CENTAVOS = 2_000
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=BANK_TIME)
NOW = NOON.timestamp()
BAD_MOODS = st.sampled_from([frozenset(), frozenset({Mood.REJECTED})])
AMOUNTS = st.integers(1, 1_500)


def open_books(file: Path) -> Books:
    return Books(file, opening_centavos=OPENING_CENTAVOS, return_seconds=60)


@dataclass
class Came:
    """A receipt, as the model sees it. ``going``: refunds in processing, by key."""

    amount: int
    blocked: bool
    gone: int = 0
    going: dict[str, int] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        return self.amount - self.gone - sum(self.going.values())

    @property
    def free(self) -> int:
        return self.left - sum(self.claimed.values())

    @property
    def held(self) -> int:
        return self.left if self.blocked else sum(self.claimed.values())


class BankMachine(RuleBasedStateMachine):
    """Whoever pays, is paid, disputes or decides: the books say what the model says, and say it after a restart."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.file = Path(self.directory.name) / "bank.sqlite"
        self.books = open_books(self.file)
        self.now = NOW
        self.there = OPENING_CENTAVOS
        self.came: dict[str, Came] = {}
        self.paying: dict[str, tuple[int, bool]] = {}
        self.refused: set[str] = set()
        self.rejected: set[str] = set()
        self.lines: list[int] = []

    def teardown(self) -> None:
        self.books.close()
        self.directory.cleanup()

    @property
    def free(self) -> int:
        held = sum(came.held + sum(came.going.values()) for came in self.came.values())
        return self.there - held - sum(amount for amount, _ in self.paying.values())

    def move(self, amount: int) -> None:
        self.there += amount
        self.lines.append(amount)

    @initialize(amount=AMOUNTS)
    def charge(self, amount: int) -> None:
        order = new_charge(amount_centavos=amount)
        self.charge_key = order.key
        self.books.charges.accept(order.key, charge_json(order), frozenset(), now=self.now)

    @rule(amount=AMOUNTS, blocked=st.booleans())
    def receive(self, amount: int, blocked: bool) -> None:
        moods = frozenset({Mood.BLOCKED} if blocked else set())
        receipt = self.books.receipts.pay(self.charge_key, amount, Payer(None, "Ana"), moods, now=self.now)
        self.came[receipt.end_to_end_id] = Came(amount, blocked)
        self.move(amount)

    @rule(amount=AMOUNTS, moods=BAD_MOODS)
    def pay(self, amount: int, moods: frozenset[Mood]) -> None:
        order = new_order(amount_centavos=amount)
        try:
            self.books.payouts.accept(order.key, as_json(order), moods, now=self.now, settle_at=self.now + 10)
        except InsufficientBalance:
            assert amount > self.free
        else:
            assert amount <= self.free
            self.paying[order.key] = (amount, bool(moods))

    @precondition(lambda self: self.came)
    @rule(data=st.data(), amount=AMOUNTS, moods=BAD_MOODS)
    def refund(self, data: st.DataObject, amount: int, moods: frozenset[Mood]) -> None:
        end_to_end_id = self.one(data)
        came = self.came[end_to_end_id]
        order = new_refund(end_to_end_id, amount_centavos=amount)
        content = refund_json(order)
        expected = "AM09" if amount > came.left else "blocked" if came.blocked or amount > came.free else None
        assert expected == self.books.refunds.why_not(content)
        if expected is not None:
            self.books.refunds.refuse(order.key, content, moods, reason=expected, now=self.now)
            self.refused.add(order.key)
            return
        covered = amount <= self.free
        try:
            self.books.refunds.accept(order.key, content, moods, now=self.now, settle_at=self.now + 10)
        except InsufficientBalance:
            assert not covered
        else:
            assert covered
            came.going[order.key] = amount
            if moods:
                self.rejected.add(order.key)

    @precondition(lambda self: self.came)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        end_to_end_id = self.one(data)
        came = self.came[end_to_end_id]
        with self.refused_unless(came.blocked):
            self.books.receipts.release(self.found(end_to_end_id), now=self.now)
        came.blocked = False

    @precondition(lambda self: self.came)
    @rule(data=st.data(), amount=st.none() | AMOUNTS)
    def take_back(self, data: st.DataObject, amount: int | None) -> None:
        end_to_end_id = self.one(data)
        came = self.came[end_to_end_id]
        taken = came.free if amount is None else amount
        with self.refused_unless(0 < taken <= came.free):
            self.books.receipts.take_back(self.found(end_to_end_id), amount, now=self.now)
            came.gone += taken
            came.blocked = came.blocked and came.left > 0
            self.move(-taken)

    @precondition(lambda self: self.came)
    @rule(data=st.data(), amount=st.none() | AMOUNTS)
    def dispute(self, data: st.DataObject, amount: int | None) -> None:
        end_to_end_id = self.one(data)
        came = self.came[end_to_end_id]
        claimed = came.free if amount is None else amount
        with self.refused_unless(0 < claimed <= came.free):
            receipt = self.found(end_to_end_id)
            dispute = self.books.disputes.open(receipt, amount, answer_until=self.now, now=self.now)
            came.claimed[dispute.id] = claimed

    @precondition(lambda self: any(came.claimed for came in self.came.values()))
    @rule(data=st.data(), lost=st.booleans())
    def decide(self, data: st.DataObject, lost: bool) -> None:
        ids = [(e2e, each) for e2e, came in self.came.items() for each in came.claimed]
        end_to_end_id, dispute_id = data.draw(st.sampled_from(ids))
        dispute = self.books.disputes.find(dispute_id)
        assert dispute is not None
        came = self.came[end_to_end_id]

        outcome = "lost" if lost else "won"
        self.books.disputes.decide(dispute, self.found(end_to_end_id), outcome, now=self.now)

        amount = came.claimed.pop(dispute_id)
        if lost:
            came.gone += amount
            came.blocked = came.blocked and came.left > 0
            self.move(-amount)

    @rule()
    def settle(self) -> None:
        self.now += 11
        self.books.advance(self.now)
        for amount, is_rejected in self.paying.values():
            if not is_rejected:
                self.move(-amount)
        self.paying.clear()
        for came in self.came.values():
            for key, amount in came.going.items():
                if key not in self.rejected:
                    came.gone += amount
                    self.move(-amount)
            came.going.clear()

    @rule()
    def restart(self) -> None:
        self.books.close()
        self.books = open_books(self.file)

    @invariant()
    def is_what_the_model_says(self) -> None:
        lines = self.books.account.statement(NOON.date())
        assert (self.there, self.free) == self.books.account.balance()
        assert sorted(self.lines) == sorted(line.amount_centavos for line in lines)
        assert OPENING_CENTAVOS + sum(line.amount_centavos for line in lines) == self.there
        for end_to_end_id, came in self.came.items():
            receipt = self.found(end_to_end_id)
            assert (came.left, came.free, came.blocked) == (
                receipt.left_centavos,
                receipt.undisputed_centavos,
                receipt.blocked,
            )
        refused = {each.key for each in self.books.refunds.first(1_000) if each.state == "refused"}
        assert refused == self.refused

    def one(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(list(self.came)))

    def found(self, end_to_end_id: str) -> Any:
        receipt = self.books.receipts.find(end_to_end_id)
        assert receipt is not None
        return receipt

    @staticmethod
    def refused_unless(is_possible: bool) -> Any:
        return nullcontext() if is_possible else pytest.raises(NotPossible)


TestBank = BankMachine.TestCase
TestBank.settings = settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True)


VERSION_0 = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    balance_centavos INTEGER NOT NULL,
    reserved_centavos INTEGER NOT NULL DEFAULT 0 CHECK (reserved_centavos BETWEEN 0 AND balance_centavos)
);
CREATE TABLE payouts (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, content TEXT NOT NULL,
    amount_centavos INTEGER NOT NULL CHECK (amount_centavos > 0), moods TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('processing', 'paid', 'rejected', 'returned', 'refused')),
    end_to_end_id TEXT UNIQUE, reason TEXT, created_at REAL NOT NULL, due REAL
);
CREATE INDEX payouts_due ON payouts (due) WHERE due IS NOT NULL;
CREATE TABLE lines (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('payout', 'return')),
    end_to_end_id TEXT NOT NULL UNIQUE, amount_centavos INTEGER NOT NULL, time REAL NOT NULL, UNIQUE (key, kind)
);
CREATE TABLE letters (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL, fault TEXT,
    copies INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, UNIQUE (key, type)
);
CREATE INDEX letters_due ON letters (due) WHERE copies > 0;
CREATE TABLE spent_moods (key TEXT, mood TEXT, PRIMARY KEY (key, mood));
CREATE TABLE standing_moods (
    id INTEGER PRIMARY KEY CHECK (id = 1), moods TEXT NOT NULL, remaining INTEGER NOT NULL, dark INTEGER NOT NULL
);
INSERT INTO account VALUES (1, 900, 30);
INSERT INTO payouts VALUES (1, 'old', '{"amount_centavos": "100"}', 100, '', 'paid', 'E1', NULL, 1, NULL);
INSERT INTO payouts VALUES (2, 'now', '{"amount_centavos": "30"}', 30, '', 'processing', NULL, NULL, 1, 2);
INSERT INTO lines VALUES (1, 'old', 'payout', 'E1', -100, 1763733600);
INSERT INTO letters VALUES ('msg_1', 'old', 'payout.paid', '{}', NULL, 1, 3, 5);
INSERT INTO spent_moods VALUES ('old', 'dark');
INSERT INTO standing_moods VALUES (1, 'rejected slow', 2, 1);
"""


class TestFileOfVersion0:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "bank.sqlite"
        db = sqlite3.connect(path)
        db.executescript(VERSION_0)
        db.close()
        return path

    @pytest.mark.parametrize("times", [1, 2])
    def test_becomes_one_of_today_and_loses_nothing(self, file: Path, times: int) -> None:
        for _ in range(times):
            open_books(file).close()
        books = open_books(file)

        assert books.account.balance() == (900, 870)
        assert ["E1"] == [line.end_to_end_id for line in books.account.statement(_day(1_763_733_600))]
        (letter,) = books.letters.due(10, 10)
        assert ("msg_1", "old", "payout.paid", 3) == (letter.id, letter.key, letter.type, letter.attempts)
        old = books.payouts.find("old")
        assert old is not None
        assert books.letters.are_out(old.about)
        assert books.weather.is_dark()
        assert books.weather.take_standing(Queue.PAYOUTS) == {Mood.REJECTED, Mood.SLOW}
        assert books.weather.unspent(Queue.PAYOUTS, "old", frozenset({Mood.DARK})) == frozenset()
        books.advance(NOW)
        assert books.account.balance() == (870, 870)
        books.close()

    def test_takes_what_version_0_could_not(self, file: Path) -> None:
        books = open_books(file)
        order = new_charge()
        books.charges.accept(order.key, charge_json(order), frozenset(), now=NOW)

        for _ in range(2):
            books.receipts.pay(order.key, 1_000, Payer(None, "Ana"), frozenset(), now=NOW)

        assert books.account.balance() == (2_900, 2_870)
        books.close()


class TestReceipt:
    @pytest.fixture
    def books(self, tmp_path: Path) -> Any:
        books = open_books(tmp_path / "bank.sqlite")
        yield books
        books.close()

    @pytest.mark.parametrize("what", ["refunded", "taken_back", "disputed"])
    def test_is_never_given_away_twice_whatever_the_code_does(self, books: Books, what: str) -> None:
        order = new_charge()
        books.charges.accept(order.key, charge_json(order), frozenset(), now=NOW)
        receipt = books.receipts.pay(order.key, 1_000, Payer(None, "Ana"), frozenset(), now=NOW)
        change: Callable[..., Any] = books.receipts.change

        change(receipt.end_to_end_id, taken_back=999)

        with pytest.raises(sqlite3.IntegrityError):
            change(receipt.end_to_end_id, **{what: 2})


def _day(unix_seconds: float) -> Any:
    return datetime.fromtimestamp(unix_seconds, UTC).astimezone(BANK_TIME).date()
