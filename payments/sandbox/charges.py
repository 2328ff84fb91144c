"""Charges in the sandbox bank's books: what we ask payers for, and the code they pay from."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from payments import br_code
from payments.sandbox.moods import Moods, stored_moods
from payments.sandbox.receipts import NotPossible

LOCATION = "pix.sandbox.example/qr/v2"
RECEIVER, CITY = "LIQUIDA SANDBOX", "SAO PAULO"


@dataclass(frozen=True, slots=True)
class Charge:
    """One row of ``charges``. Its expiry is no state (Bacen API Pix: it stays ``ATIVA``): it can still be paid.

    ``refused`` was never a charge; the row remembers only that this key got a no.
    """

    number: int
    key: str
    content: dict[str, Any]
    amount_centavos: int
    moods: Moods
    state: str
    reason: str | None
    br_code: str
    created_at: float
    expires_at: float

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        number, key, content, amount, moods, *rest = row
        return cls(number, key, json.loads(content), amount, stored_moods(moods), *rest)


class Charges:
    """Each public method is one transaction. Times are unix seconds, amounts centavos."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def find(self, key: str) -> Charge | None:
        row = self._db.execute("SELECT * FROM charges WHERE key = ?", (key,)).fetchone()
        return Charge.of(row) if row else None

    def first(self, limit: int) -> list[Charge]:
        rows = self._db.execute("SELECT * FROM charges ORDER BY number LIMIT ?", (limit,))
        return [Charge.of(row) for row in rows]

    def accept(self, key: str, content: Mapping[str, Any], moods: Moods, *, now: float) -> Charge:
        """Record a charge that can be paid from now on."""
        return self._record(key, content, moods, ("active", None), now)

    def refuse(self, key: str, content: Mapping[str, Any], moods: Moods, *, reason: str, now: float) -> Charge:
        """Record a charge that will never be: the refusal has to outlive this answer."""
        return self._record(key, content, moods, ("refused", reason), now)

    def remove(self, charge: Charge) -> Charge:
        """The bank takes the charge away; nobody can pay it any more (Bacen: ``REMOVIDA_PELO_PSP``).

        :raises NotPossible: it is paid, or removed.
        """
        if charge.state != "active":
            raise NotPossible("charge_not_active")
        with self._db:
            row = self._db.execute(
                "UPDATE charges SET state = 'removed' WHERE key = ? RETURNING *", (charge.key,)
            ).fetchone()
        return Charge.of(row)

    def _record(
        self,
        key: str,
        content: Mapping[str, Any],
        moods: Moods,
        state_and_reason: tuple[str, str | None],
        now: float,
    ) -> Charge:
        amount = int(content["amount_centavos"])
        code = br_code.encode(br_code.dynamic(f"{LOCATION}/{key}", RECEIVER, CITY, amount))
        with self._db:
            row = self._db.execute(
                "INSERT INTO charges (key, content, amount_centavos, moods, state, reason, br_code, created_at,"
                " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                (
                    key,
                    json.dumps(content),
                    amount,
                    " ".join(sorted(moods)),
                    *state_and_reason,
                    code,
                    now,
                    now + content["expires_seconds"],
                ),
            ).fetchone()
        return Charge.of(row)
