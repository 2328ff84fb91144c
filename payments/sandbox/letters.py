"""Webhooks on their way (*letters*): written together with what they tell, kept in the file until answered."""

import json
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from payments.sandbox.moods import Mood, Moods

LETTER_COPIES = 3
LATE_LETTER_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Letter:
    """One webhook on its way. ``copies``: how often it must still be answered with 2xx.

    ``key``: whose letters it is resent with. ``about``: the one thing it tells of; one letter of a type about each.
    """

    id: str
    key: str
    about: str
    type: str
    body: str
    fault: str | None
    copies: int
    attempts: int
    due: float


class Letters:
    """``write`` is a part of its caller's transaction; the others are transactions of their own."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def write(
        self,
        key: str,
        about: str,
        event: str,
        data: Mapping[str, str | None],
        moods: Moods,
        *,
        now: float,
        delay: float = 0,
    ) -> None:
        body = {"type": event, "timestamp": datetime.fromtimestamp(now, UTC).isoformat(), "data": data}
        fault = next((mood for mood in (Mood.WEBHOOK_FORGED, Mood.WEBHOOK_STALE) if mood in moods), None)
        copies = LETTER_COPIES if Mood.WEBHOOK_DUPLICATE in moods else 1
        if Mood.WEBHOOK_NEVER in moods:
            copies = 0
        self._db.execute(
            "INSERT INTO letters (id, key, about, type, body, fault, copies, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (f"msg_{uuid.uuid4().hex}", key, about, event, json.dumps(body), fault, copies, now + delay),
        )

    def due(self, now: float, limit: int) -> list[Letter]:
        rows = self._db.execute(
            "SELECT * FROM letters WHERE copies > 0 AND due <= ? ORDER BY due LIMIT ?", (now, limit)
        )
        return [Letter(*row) for row in rows]

    def are_out(self, about: str) -> bool:
        query = "SELECT 1 FROM letters WHERE about = ? AND copies > 0"
        return self._db.execute(query, (about,)).fetchone() is not None

    def answered(self, letter: Letter, *, was_last: bool) -> None:
        with self._db:
            self._db.execute(
                "UPDATE letters SET copies = ?, attempts = 0 WHERE id = ?",
                (0 if was_last else letter.copies - 1, letter.id),
            )

    def failed(self, letter: Letter, *, retry_at: float) -> None:
        with self._db:
            self._db.execute(
                "UPDATE letters SET attempts = attempts + 1, due = ? WHERE id = ?", (retry_at, letter.id)
            )

    def resend(self, key: str, *, now: float) -> int:
        """Every letter of this key goes out once more, honest this time. Returns how many."""
        with self._db:
            return self._db.execute(
                "UPDATE letters SET copies = 1, fault = NULL, attempts = 0, due = ? WHERE key = ?", (now, key)
            ).rowcount
