"""What came in: each PIX that paid a charge, and what the bank does to it without our asking."""

import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Self

from payments.sandbox.account import PAYERS_ISPB, Account, spi_id
from payments.sandbox.letters import Letters
from payments.sandbox.moods import Mood, Moods, stored_moods

LATE_PAID_SECONDS = 1.0
"""Long enough for the next call to overtake it on a busy machine."""


class NotPossible(Exception):
    """Not in the present state. ``code`` is the answer's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Receipt:
    """One row of ``receipts``. ``refunded_centavos`` counts refunds in processing, ``disputed_centavos`` open
    disputes.
    """

    number: int
    charge_key: str
    end_to_end_id: str
    amount_centavos: int
    payer_tax_id: str | None
    payer_name: str
    moods: Moods
    blocked: bool
    refunded_centavos: int
    taken_back_centavos: int
    disputed_centavos: int
    time: float

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        number, charge_key, end_to_end_id, amount, tax_id, name, moods, blocked, *rest = row
        return cls(number, charge_key, end_to_end_id, amount, tax_id, name, stored_moods(moods), bool(blocked), *rest)

    @property
    def about(self) -> str:
        """What its letters are about."""
        return f"receipts/{self.end_to_end_id}"

    @property
    def left_centavos(self) -> int:
        """Of it, what has not gone back to its payer."""
        return self.amount_centavos - self.refunded_centavos - self.taken_back_centavos

    @property
    def undisputed_centavos(self) -> int:
        return self.left_centavos - self.disputed_centavos


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays. ``tax_id`` None: the bank does not say."""

    tax_id: str | None
    name: str


class Receipts:
    """Each public method is one transaction but ``change``, which is a part of its caller's."""

    def __init__(self, db: sqlite3.Connection, account: Account, letters: Letters) -> None:
        self._db = db
        self._account = account
        self._letters = letters

    def find(self, end_to_end_id: str) -> Receipt | None:
        row = self._db.execute("SELECT * FROM receipts WHERE end_to_end_id = ?", (end_to_end_id,)).fetchone()
        return Receipt.of(row) if row else None

    def of_charge(self, key: str) -> list[Receipt]:
        rows = self._db.execute("SELECT * FROM receipts WHERE charge_key = ? ORDER BY number", (key,))
        return [Receipt.of(row) for row in rows]

    def by_charge(self) -> dict[str, list[Receipt]]:
        """Every receipt there is, in order, by its charge's key."""
        found: dict[str, list[Receipt]] = defaultdict(list)
        for row in self._db.execute("SELECT * FROM receipts ORDER BY number"):
            receipt = Receipt.of(row)
            found[receipt.charge_key].append(receipt)
        return found

    def pay(self, charge_key: str, amount: int, payer: Payer, moods: Moods, *, now: float) -> Receipt:
        """A payer pays a charge, for the first time or again. It is in the balance at once, blocked or not.

        :raises NotPossible: there is no such charge to be paid any more.
        """
        with self._db:
            paid = self._db.execute(
                "UPDATE charges SET state = 'paid' WHERE key = ? AND state IN ('active', 'paid')", (charge_key,)
            ).rowcount
            if not paid:
                raise NotPossible("charge_not_payable")
            row = self._db.execute(
                "INSERT INTO receipts (charge_key, end_to_end_id, amount_centavos, payer_tax_id, payer_name, moods,"
                " blocked, time) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                (
                    charge_key,
                    spi_id("E", now, ispb=PAYERS_ISPB),
                    amount,
                    payer.tax_id,
                    payer.name,
                    " ".join(sorted(moods)),
                    Mood.BLOCKED in moods,
                    now,
                ),
            ).fetchone()
            receipt = Receipt.of(row)
            self._account.book(charge_key, "receipt", receipt.end_to_end_id, amount, now)
            delay = LATE_PAID_SECONDS if Mood.WEBHOOK_OUT_OF_ORDER in moods else 0
            told = 0 if receipt.blocked else amount
            self._write(receipt, "charge.paid", told, about=receipt.about, now=now, delay=delay)
        return receipt

    def release(self, receipt: Receipt, *, now: float) -> Receipt:
        """The block ends; what is left of the receipt becomes available.

        :raises NotPossible: it is not blocked.
        """
        if not receipt.blocked:
            raise NotPossible("receipt_not_blocked")
        with self._db:
            released = self.change(receipt.end_to_end_id, unblock=True)
            self._write(released, "charge.released", released.left_centavos, about=released.about, now=now)
        return released

    def take_back(self, receipt: Receipt, amount: int | None = None, *, now: float) -> Receipt:
        """The bank returns the receipt, or a part of it, to its payer, from an account that may be empty.

        :param amount: all that is left and undisputed, if None. A block ends with the last of it.
        :raises NotPossible: less than that is left.
        """
        amount = receipt.undisputed_centavos if amount is None else amount
        if not 0 < amount <= receipt.undisputed_centavos:
            raise NotPossible("more_than_is_left")
        with self._db:
            return_id = spi_id("D", now)
            self._account.book(receipt.charge_key, "take_back", return_id, -amount, now)
            taken = self.change(receipt.end_to_end_id, taken_back=amount, unblock=amount == receipt.left_centavos)
            self._write(taken, "charge.taken_back", amount, about=f"take_backs/{return_id}", now=now)
        return taken

    def change(
        self,
        end_to_end_id: str,
        *,
        refunded: int = 0,
        taken_back: int = 0,
        disputed: int = 0,
        unblock: bool = False,
    ) -> Receipt:
        """Add to its sums."""
        row = self._db.execute(
            "UPDATE receipts SET refunded_centavos = refunded_centavos + ?,"
            " taken_back_centavos = taken_back_centavos + ?, disputed_centavos = disputed_centavos + ?,"
            " blocked = blocked AND NOT ? WHERE end_to_end_id = ? RETURNING *",
            (refunded, taken_back, disputed, unblock, end_to_end_id),
        ).fetchone()
        return Receipt.of(row)

    def _write(self, receipt: Receipt, event: str, amount: int, *, about: str, now: float, delay: float = 0) -> None:
        data = {
            "key": receipt.charge_key,
            "end_to_end_id": receipt.end_to_end_id,
            "amount_centavos": str(amount),
        }
        self._letters.write(receipt.charge_key, about, event, data, receipt.moods, now=now, delay=delay)
