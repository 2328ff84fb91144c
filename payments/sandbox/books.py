"""The sandbox bank's own books, in one SQLite file: payouts, the account, its statement, its letters.

Each public method is one transaction, so the process may die between any two of them. The debit, the
new state and the webhook about it are one commit; a webhook (a *letter*) stays in the file until answered.
"""

import json
import secrets
import sqlite3
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from payments.sandbox.moods import BEFORE_ACCEPTING, Mood, Moods, parse_moods

ISPB = "99999004"
BANK_TIME = ZoneInfo("America/Sao_Paulo")
ALPHANUMERIC = string.ascii_letters + string.digits
DUE_AT_ONCE = 200
LETTER_COPIES = 3
LATE_LETTER_SECONDS = 0.3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    balance_centavos INTEGER NOT NULL,
    reserved_centavos INTEGER NOT NULL DEFAULT 0 CHECK (reserved_centavos BETWEEN 0 AND balance_centavos)
);
CREATE TABLE IF NOT EXISTS payouts (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    amount_centavos INTEGER NOT NULL CHECK (amount_centavos > 0),
    moods TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('processing', 'paid', 'rejected', 'returned', 'refused')),
    end_to_end_id TEXT UNIQUE,
    reason TEXT,
    created_at REAL NOT NULL,
    due REAL
);
CREATE INDEX IF NOT EXISTS payouts_due ON payouts (due) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS lines (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payout', 'return')),
    end_to_end_id TEXT NOT NULL UNIQUE,
    amount_centavos INTEGER NOT NULL,
    time REAL NOT NULL,
    UNIQUE (key, kind)
);
CREATE TABLE IF NOT EXISTS letters (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    fault TEXT,
    copies INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    UNIQUE (key, type)
);
CREATE INDEX IF NOT EXISTS letters_due ON letters (due) WHERE copies > 0;
CREATE TABLE IF NOT EXISTS spent_moods (key TEXT, mood TEXT, PRIMARY KEY (key, mood));
CREATE TABLE IF NOT EXISTS standing_moods (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    moods TEXT NOT NULL,
    remaining INTEGER NOT NULL,
    dark INTEGER NOT NULL
);
INSERT OR IGNORE INTO standing_moods VALUES (1, '', 0, 0);
"""


class InsufficientBalance(Exception):
    """The account cannot cover the payout now."""


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
        return cls(number, key, json.loads(content), amount, parse_moods(moods.split()), *rest)


@dataclass(frozen=True, slots=True)
class Letter:
    """One webhook on its way. ``copies``: how often it must still be answered with 2xx."""

    id: str
    key: str
    type: str
    body: str
    fault: str | None
    copies: int
    attempts: int
    due: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the statement; money out is negative."""

    number: int
    key: str
    kind: str
    end_to_end_id: str
    amount_centavos: int
    time: float


class Books:
    """All state of the bank. Times are unix seconds, amounts centavos."""

    def __init__(self, file: Path | str, *, opening_centavos: int, return_seconds: float) -> None:
        self._db = sqlite3.connect(file)
        self._return_seconds = return_seconds
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL keeps every commit through a killed process, which is what the sandbox promises.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO account (id, balance_centavos) VALUES (1, ?)", (opening_centavos,)
            )

    def close(self) -> None:
        self._db.close()

    def find(self, key: str) -> Payout | None:
        row = self._db.execute("SELECT * FROM payouts WHERE key = ?", (key,)).fetchone()
        return Payout.of(row) if row else None

    def payouts(self, limit: int) -> list[Payout]:
        rows = self._db.execute("SELECT * FROM payouts ORDER BY number LIMIT ?", (limit,))
        return [Payout.of(row) for row in rows]

    def balance(self) -> tuple[int, int]:
        """What is there, and the part of it that payouts in processing have not claimed."""
        balance, reserved = self._db.execute("SELECT balance_centavos, reserved_centavos FROM account").fetchone()
        return balance, balance - reserved

    def statement(self, day: date) -> list[Line]:
        start = datetime.combine(day, time.min, BANK_TIME)
        end = datetime.combine(day + timedelta(days=1), time.min, BANK_TIME)
        rows = self._db.execute(
            "SELECT * FROM lines WHERE time >= ? AND time < ? ORDER BY number",
            (start.timestamp(), end.timestamp()),
        )
        return [Line(*row) for row in rows]

    def accept(self, key: str, content: Mapping[str, str], moods: Moods, *, now: float, settle_at: float) -> Payout:
        """Record a payout and reserve its amount.

        :raises InsufficientBalance: the rest of the account is smaller than the amount.
        """
        amount = int(content["amount_centavos"])
        if amount > self.balance()[1]:
            raise InsufficientBalance
        with self._db:
            self._db.execute("UPDATE account SET reserved_centavos = reserved_centavos + ?", (amount,))
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

    def letters_due(self, now: float, limit: int) -> list[Letter]:
        rows = self._db.execute(
            "SELECT * FROM letters WHERE copies > 0 AND due <= ? ORDER BY due LIMIT ?", (now, limit)
        )
        return [Letter(*row) for row in rows]

    def has_letters_out(self, key: str) -> bool:
        query = "SELECT 1 FROM letters WHERE key = ? AND copies > 0"
        return self._db.execute(query, (key,)).fetchone() is not None

    def letter_answered(self, letter: Letter, *, was_last: bool) -> None:
        with self._db:
            self._db.execute(
                "UPDATE letters SET copies = ?, attempts = 0 WHERE id = ?",
                (0 if was_last else letter.copies - 1, letter.id),
            )

    def letter_failed(self, letter: Letter, *, retry_at: float) -> None:
        with self._db:
            self._db.execute(
                "UPDATE letters SET attempts = attempts + 1, due = ? WHERE id = ?", (retry_at, letter.id)
            )

    def resend_letters(self, key: str, *, now: float) -> int:
        """Every letter about this payout goes out once more, honest this time. Returns how many."""
        with self._db:
            return self._db.execute(
                "UPDATE letters SET copies = 1, fault = NULL, attempts = 0, due = ? WHERE key = ?", (now, key)
            ).rowcount

    def unspent_moods(self, key: str, asked: Moods) -> Moods:
        """``asked`` without those that keep the bank from accepting and have done so once for this key."""
        with self._db:
            return frozenset(
                mood
                for mood in asked
                if mood not in BEFORE_ACCEPTING
                or self._db.execute("INSERT OR IGNORE INTO spent_moods VALUES (?, ?)", (key, mood)).rowcount
            )

    def set_standing_moods(self, moods: Moods, count: int) -> None:
        with self._db:
            self._db.execute(
                "UPDATE standing_moods SET moods = ?, remaining = ?, dark = ?",
                (" ".join(moods - {Mood.DARK}), count, Mood.DARK in moods),
            )

    def take_standing_moods(self) -> Moods:
        """The moods set for the payouts to come; one payout fewer from now on."""
        with self._db:
            taken = self._db.execute(
                "UPDATE standing_moods SET remaining = remaining - 1 WHERE remaining > 0 RETURNING moods"
            ).fetchall()
        return parse_moods(taken[0][0].split()) if taken else frozenset()

    def go_dark(self) -> None:
        with self._db:
            self._db.execute("UPDATE standing_moods SET dark = 1")

    def is_dark(self) -> bool:
        return bool(self._db.execute("SELECT dark FROM standing_moods").fetchone()[0])

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
        amount = payout.amount_centavos
        self._db.execute("UPDATE account SET reserved_centavos = reserved_centavos - ?", (amount,))
        if Mood.REJECTED in moods:
            self._write(self._change(payout, "rejected", reason="AC03"), now)
            return
        end_to_end_id = _spi_id("E", now)
        due = now + self._return_seconds if Mood.RETURNED in moods else None
        paid = self._change(payout, "paid", end_to_end_id=end_to_end_id, due=due)
        self._book(paid, "payout", end_to_end_id, -amount, now)
        self._write(paid, now)
        if Mood.WEBHOOK_OUT_OF_ORDER in moods:
            self._write(payout, now, delay=LATE_LETTER_SECONDS)

    def _send_back(self, payout: Payout, now: float) -> Payout:
        returned = self._change(payout, "returned", end_to_end_id=payout.end_to_end_id, reason="MD06")
        self._book(returned, "return", _spi_id("D", now), payout.amount_centavos, now)
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

    def _book(self, payout: Payout, kind: str, end_to_end_id: str, amount: int, now: float) -> None:
        self._db.execute(
            "INSERT INTO lines (key, kind, end_to_end_id, amount_centavos, time) VALUES (?, ?, ?, ?, ?)",
            (payout.key, kind, end_to_end_id, amount, now),
        )
        self._db.execute("UPDATE account SET balance_centavos = balance_centavos + ?", (amount,))

    def _write(self, payout: Payout, now: float, *, delay: float = 0) -> None:
        moods = payout.moods
        event = f"payout.{payout.state}"
        body = {
            "type": event,
            "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
            "data": {
                "key": payout.key,
                "end_to_end_id": payout.end_to_end_id,
                "amount_centavos": str(payout.amount_centavos),
                "reason": payout.reason,
            },
        }
        fault = next((mood for mood in (Mood.WEBHOOK_FORGED, Mood.WEBHOOK_STALE) if mood in moods), None)
        copies = LETTER_COPIES if Mood.WEBHOOK_DUPLICATE in moods else 1
        if Mood.WEBHOOK_NEVER in moods:
            copies = 0
        self._db.execute(
            "INSERT INTO letters (id, key, type, body, fault, copies, due) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (f"msg_{uuid.uuid4().hex}", payout.key, event, json.dumps(body), fault, copies, now + delay),
        )


def _spi_id(kind: str, now: float) -> str:
    """An endToEndId (``E``) or return id (``D``): kind, ISPB, minute in UTC, 11 alphanumerics."""
    minute = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d%H%M")
    unique = "".join(secrets.choice(ALPHANUMERIC) for _ in range(11))
    return f"{kind}{ISPB}{minute}{unique}"
