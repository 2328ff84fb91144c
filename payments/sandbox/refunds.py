"""Refunds (devolução) in the sandbox bank's books: parts of a receipt that we send back. They settle later."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from payments.sandbox.account import Account, spi_id
from payments.sandbox.letters import LATE_LETTER_SECONDS, Letters
from payments.sandbox.moods import Mood, Moods, stored_moods
from payments.sandbox.receipts import Receipts

DUE_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Refund:
    """One row of ``refunds``. ``end_to_end_id``: the receipt's; ``return_id``: its own, once the reais went."""

    number: int
    key: str
    content: dict[str, str]
    end_to_end_id: str
    amount_centavos: int
    moods: Moods
    state: str
    return_id: str | None
    reason: str | None
    created_at: float
    due: float | None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        number, key, content, end_to_end_id, amount, moods, *rest = row
        return cls(number, key, json.loads(content), end_to_end_id, amount, stored_moods(moods), *rest)

    @property
    def about(self) -> str:
        """What its letters are about."""
        return f"refunds/{self.key}"


class Refunds:
    """Each public method is one transaction. Times are unix seconds, amounts centavos."""

    def __init__(self, db: sqlite3.Connection, account: Account, receipts: Receipts, letters: Letters) -> None:
        self._db = db
        self._account = account
        self._receipts = receipts
        self._letters = letters

    def find(self, key: str) -> Refund | None:
        row = self._db.execute("SELECT * FROM refunds WHERE key = ?", (key,)).fetchone()
        return Refund.of(row) if row else None

    def first(self, limit: int) -> list[Refund]:
        rows = self._db.execute("SELECT * FROM refunds ORDER BY number LIMIT ?", (limit,))
        return [Refund.of(row) for row in rows]

    def why_not(self, content: Mapping[str, str]) -> str | None:
        """Why this can never be, today: ``not_found``, ``blocked`` (by a block or a dispute) or ``AM09``, more than
        is left of the receipt.
        """
        receipt = self._receipts.find(content["end_to_end_id"])
        amount = int(content["amount_centavos"])
        if receipt is None:
            return "not_found"
        if amount > receipt.left_centavos:
            return "AM09"
        if receipt.blocked or amount > receipt.undisputed_centavos:
            return "blocked"
        return None

    def accept(self, key: str, content: Mapping[str, str], moods: Moods, *, now: float, settle_at: float) -> Refund:
        """Record a refund that :meth:`why_not` has nothing against; from now on its amount is not available.

        :raises InsufficientBalance: the rest of the account is smaller than the amount.
        """
        self._account.check_covers(int(content["amount_centavos"]))
        with self._db:
            self._receipts.change(content["end_to_end_id"], refunded=int(content["amount_centavos"]))
            return self._record(key, content, moods, ("processing", None), now, settle_at)

    def refuse(self, key: str, content: Mapping[str, str], moods: Moods, *, reason: str, now: float) -> Refund:
        """Record a refund that will never be: the refusal has to outlive this answer."""
        with self._db:
            return self._record(key, content, moods, ("refused", reason), now, None)

    def advance(self, now: float) -> None:
        """Settle or reject every refund whose time has come."""
        rows = self._db.execute("SELECT * FROM refunds WHERE due <= ? ORDER BY due LIMIT ?", (now, DUE_AT_ONCE))
        due = [Refund.of(row) for row in rows]
        if not due:
            return
        with self._db:
            for refund in due:
                self._settle(refund, now)

    def _settle(self, refund: Refund, now: float) -> None:
        if Mood.REJECTED in refund.moods:
            self._receipts.change(refund.end_to_end_id, refunded=-refund.amount_centavos)
            self._write(self._change(refund, "rejected", reason="AC07"), now)
            return
        return_id = spi_id("D", now)
        self._account.book(refund.key, "refund", return_id, -refund.amount_centavos, now)
        self._write(self._change(refund, "refunded", return_id=return_id), now)
        if Mood.WEBHOOK_OUT_OF_ORDER in refund.moods:
            self._write(refund, now, delay=LATE_LETTER_SECONDS)

    def _record(
        self,
        key: str,
        content: Mapping[str, str],
        moods: Moods,
        state_and_reason: tuple[str, str | None],
        now: float,
        due: float | None,
    ) -> Refund:
        row = self._db.execute(
            "INSERT INTO refunds (key, content, end_to_end_id, amount_centavos, moods, state, reason, created_at,"
            " due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            (
                key,
                json.dumps(content),
                content["end_to_end_id"],
                int(content["amount_centavos"]),
                " ".join(sorted(moods)),
                *state_and_reason,
                now,
                due,
            ),
        ).fetchone()
        return Refund.of(row)

    def _change(
        self, refund: Refund, state: str, *, return_id: str | None = None, reason: str | None = None
    ) -> Refund:
        row = self._db.execute(
            "UPDATE refunds SET state = ?, return_id = ?, reason = ?, due = NULL WHERE key = ? RETURNING *",
            (state, return_id, reason, refund.key),
        ).fetchone()
        return Refund.of(row)

    def _write(self, refund: Refund, now: float, *, delay: float = 0) -> None:
        data = {
            "key": refund.key,
            "end_to_end_id": refund.end_to_end_id,
            "amount_centavos": str(refund.amount_centavos),
        }
        event = f"refund.{refund.state}"
        self._letters.write(refund.key, refund.about, event, data, refund.moods, now=now, delay=delay)
