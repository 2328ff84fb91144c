"""Which moods are set for what is to come, which have had their day, and whether the bank is dark."""

import sqlite3

from payments.sandbox.moods import BEFORE_ACCEPTING, Mood, Moods, Queue, stored_moods


class Weather:
    """Each method is one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def unspent(self, queue: Queue, key: str, asked: Moods) -> Moods:
        """``asked`` without those that keep the bank from accepting and have done so once for this key."""
        with self._db:
            return frozenset(
                mood
                for mood in asked
                if mood not in BEFORE_ACCEPTING
                or self._db.execute("INSERT OR IGNORE INTO spent_moods VALUES (?, ?, ?)", (queue, key, mood)).rowcount
            )

    def set_standing(self, queue: Queue, moods: Moods, count: int) -> None:
        """``DARK`` among them begins now and for everybody; the others wait for the next of their queue."""
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO standing_moods VALUES (?, ?, ?)",
                (queue, " ".join(sorted(moods - {Mood.DARK})), count),
            )
            if Mood.DARK in moods:
                self._db.execute("UPDATE sky SET dark = 1")

    def take_standing(self, queue: Queue) -> Moods:
        """The moods set for the next of this queue; one fewer from now on."""
        with self._db:
            taken = self._db.execute(
                "UPDATE standing_moods SET remaining = remaining - 1 WHERE queue = ? AND remaining > 0"
                " RETURNING moods",
                (queue,),
            ).fetchall()
        return stored_moods(taken[0][0]) if taken else frozenset()

    def clear(self) -> None:
        with self._db:
            self._db.execute("DELETE FROM standing_moods")
            self._db.execute("UPDATE sky SET dark = 0")

    def go_dark(self) -> None:
        with self._db:
            self._db.execute("UPDATE sky SET dark = 1")

    def is_dark(self) -> bool:
        return bool(self._db.execute("SELECT dark FROM sky").fetchone()[0])
