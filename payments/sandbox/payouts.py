"""Payouts in the sandbox bank's books."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from payments.sandbox.account import Account, spi_id
from payments.sandbox.letters import LATE_LETTER_SECONDS, Letters
from payments.sandbox.moods import Mood, Moods, stored_moods

DUE_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Payout:
    """One row of ``payouts``. ``due``: when it next changes by itself, in unix seconds."""

    number: int
    key: str
    content: dict[str, str]
    amount_centavos: int
    moods: Moods
    state: str
    end_to_end_id: str | None
    reason: str | None
    created_at: float
    due: float | None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        number, key, content, amount, moods, *rest = row
        return cls(number, key, json.loads(content), amount, stored_moods(moods), *rest)

    @property
    def about(self) -> str:
        """What its letters are about."""
        return f"payouts/{self.key}"


class Payouts:
    """Each public method is one transaction. Times are unix seconds, amounts centavos."""

    def __init__(self, db: sqlite3.Connection, account: Account, letters: Letters, *, return_seconds: float) -> None:
        self._db = db
        self._account = account
        self._letters = letters
        self._return_seconds = return_seconds

    def find(self, key: str) -> Payout | None:
        row = self._db.execute("SELECT * FROM payouts WHERE key = ?", (key,)).fetchone()
        return Payout.of(row) if row else None

    def first(self, limit: int) -> list[Payout]:
        rows = self._db.execute("SELECT * FROM payouts ORDER BY number LIMIT ?", (limit,))
        return [Payout.of(row) for row in rows]

    def accept(self, key: str, content: Mapping[str, str], moods: Moods, *, now: float, settle_at: float) -> Payout:
        """Record a payout; from now on its amount is not available.

        :raises InsufficientBalance: the rest of the account is smaller than the amount.
        """
        self._account.check_covers(int(content["amount_centavos"]))
        with self._db:
            return self._record(key, content, moods, ("processing", None), now, settle_at)

    def refuse(self, key: str, content: Mapping[str, str], moods: Moods, *, reason: str, now: float) -> Payout:
        """Record a payout that will never be: the refusal has to outlive this answer."""
        with self._db:
            return self._record(key, content, moods, ("refused", reason), now, None)

    def advance(self, now: float) -> None:
        """Settle, reject or return every payout whose time has come."""
        rows = self._db.execute("SELECT * FROM payouts WHERE due <= ? ORDER BY due LIMIT ?", (now, DUE_AT_ONCE))
        due = [Payout.of(row) for row in rows]
        if not due:
            return
        with self._db:
            for payout in due:
                if payout.state == "paid":
                    self._send_back(payout, now)
                else:
                    self._settle(payout, now)

    def send_back(self, key: str, *, now: float) -> Payout | None:
        """The receiving bank returns a paid payout; ``None`` if it is not in the state ``paid``."""
        payout = self.find(key)
        if payout is None or payout.state != "paid":
            return None
        with self._db:
            return self._send_back(payout, now)

    def _record(
        self,
        key: str,
        content: Mapping[str, str],
        moods: Moods,
        state_and_reason: tuple[str, str | None],
        now: float,
        due: float | None,
    ) -> Payout:
        amount = int(content["amount_centavos"])
        row = self._db.execute(
            "INSERT INTO payouts (key, content, amount_centavos, moods, state, reason, created_at, due)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            (key, json.dumps(content), amount, " ".join(sorted(moods)), *state_and_reason, now, due),
        ).fetchone()
        return Payout.of(row)

    def _settle(self, payout: Payout, now: float) -> None:
        moods = payout.moods
        if Mood.REJECTED in moods:
            self._write(self._change(payout, "rejected", reason="AC03"), now)
            return
        end_to_end_id = spi_id("E", now)
        due = now + self._return_seconds if Mood.RETURNED in moods else None
        paid = self._change(payout, "paid", end_to_end_id=end_to_end_id, due=due)
        self._account.book(paid.key, "payout", end_to_end_id, -payout.amount_centavos, now)
        self._write(paid, now)
        if Mood.WEBHOOK_OUT_OF_ORDER in moods:
            self._write(payout, now, delay=LATE_LETTER_SECONDS)

    def _send_back(self, payout: Payout, now: float) -> Payout:
        returned = self._change(payout, "returned", end_to_end_id=payout.end_to_end_id, reason="MD06")
        self._account.book(returned.key, "return", spi_id("D", now), payout.amount_centavos, now)
        self._write(returned, now)
        return returned

    def _change(
        self,
        payout: Payout,
        state: str,
        *,
        end_to_end_id: str | None = None,
        reason: str | None = None,
        due: float | None = None,
    ) -> Payout:
        row = self._db.execute(
            "UPDATE payouts SET state = ?, end_to_end_id = ?, reason = ?, due = ? WHERE key = ? RETURNING *",
            (state, end_to_end_id, reason, due, payout.key),
        ).fetchone()
        return Payout.of(row)

    def _write(self, payout: Payout, now: float, *, delay: float = 0) -> None:
        data = {
            "key": payout.key,
            "end_to_end_id": payout.end_to_end_id,
            "amount_centavos": str(payout.amount_centavos),
            "reason": payout.reason,
        }
        event = f"payout.{payout.state}"
        self._letters.write(payout.key, payout.about, event, data, payout.moods, now=now, delay=delay)
