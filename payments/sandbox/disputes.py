"""Disputes (MED) in the sandbox bank's books: a payer's bank claims a receipt, or a part of it, back."""

import sqlite3
from dataclasses import dataclass
from typing import Any, Self

from payments.sandbox.account import Account, spi_id
from payments.sandbox.letters import Letters
from payments.sandbox.receipts import NotPossible, Receipt, Receipts

FRAUD = "FR01"


@dataclass(frozen=True, slots=True)
class Dispute:
    """One row of ``disputes``. ``statements``: how many different texts were handed in for our defence."""

    number: int
    end_to_end_id: str
    amount_centavos: int
    state: str
    reason: str
    answer_until: float
    statements: int

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        return cls(*row)

    @property
    def id(self) -> str:
        return f"dp_{self.number}"


class Disputes:
    """Each public method is one transaction. Times are unix seconds, amounts centavos."""

    def __init__(self, db: sqlite3.Connection, account: Account, receipts: Receipts, letters: Letters) -> None:
        self._db = db
        self._account = account
        self._receipts = receipts
        self._letters = letters

    def find(self, dispute_id: str) -> Dispute | None:
        row = self._db.execute(
            "SELECT disputes.*, (SELECT count(*) FROM dispute_statements WHERE dispute = number)"
            " FROM disputes WHERE 'dp_' || number = ?",
            (dispute_id,),
        ).fetchone()
        return Dispute.of(row) if row else None

    def open(self, receipt: Receipt, amount: int | None = None, *, answer_until: float, now: float) -> Dispute:
        """From now on the claimed amount is not available, spent or not.

        :param amount: all that is left and undisputed, if None.
        :raises NotPossible: less than that is left.
        """
        amount = receipt.undisputed_centavos if amount is None else amount
        if not 0 < amount <= receipt.undisputed_centavos:
            raise NotPossible("more_than_is_left")
        with self._db:
            self._receipts.change(receipt.end_to_end_id, disputed=amount)
            row = self._db.execute(
                "INSERT INTO disputes (end_to_end_id, amount_centavos, state, reason, answer_until)"
                " VALUES (?, ?, 'open', ?, ?) RETURNING *, 0",
                (receipt.end_to_end_id, amount, FRAUD, answer_until),
            ).fetchone()
            dispute = Dispute.of(row)
            self._write(dispute, receipt, "opened", now)
        return dispute

    def decide(self, dispute: Dispute, receipt: Receipt, outcome: str, *, now: float) -> Dispute:
        """``won``: the amount is ours to spend again. ``lost``: it goes back to the payer.

        :raises NotPossible: it is decided.
        """
        if dispute.state != "open":
            raise NotPossible("dispute_decided")
        amount = dispute.amount_centavos
        with self._db:
            if outcome == "lost":
                self._account.book(receipt.charge_key, "take_back", spi_id("D", now), -amount, now)
                self._receipts.change(
                    receipt.end_to_end_id,
                    disputed=-amount,
                    taken_back=amount,
                    unblock=amount == receipt.left_centavos,
                )
            else:
                self._receipts.change(receipt.end_to_end_id, disputed=-amount)
            self._db.execute("UPDATE disputes SET state = ? WHERE number = ?", (outcome, dispute.number))
            self._write(dispute, receipt, outcome, now)
        decided = self.find(dispute.id)
        assert decided is not None
        return decided

    def defend(self, dispute: Dispute, statement: str, *, now: float) -> Dispute | None:
        """Keep our side; None if it is too late. A statement that is there already stays, whatever the time."""
        known = self._db.execute(
            "SELECT 1 FROM dispute_statements WHERE dispute = ? AND statement = ?", (dispute.number, statement)
        ).fetchone()
        if not known and (dispute.state != "open" or now > dispute.answer_until):
            return None
        with self._db:
            self._db.execute("INSERT OR IGNORE INTO dispute_statements VALUES (?, ?)", (dispute.number, statement))
        return self.find(dispute.id)

    def _write(self, dispute: Dispute, receipt: Receipt, event: str, now: float) -> None:
        data = {
            "id": dispute.id,
            "end_to_end_id": dispute.end_to_end_id,
            "amount_centavos": str(dispute.amount_centavos),
        }
        about = f"disputes/{dispute.id}"
        self._letters.write(dispute.id, about, f"dispute.{event}", data, receipt.moods, now=now)
