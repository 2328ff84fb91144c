"""Our account at the sandbox bank: what is there, what of it is free, and the statement that explains it."""

import secrets
import sqlite3
import string
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ISPB = "99999004"
PAYERS_ISPB = "99999012"
BANK_TIME = ZoneInfo("America/Sao_Paulo")
ALPHANUMERIC = string.ascii_letters + string.digits

_BALANCE = """
SELECT balance_centavos, balance_centavos
    - (SELECT coalesce(sum(amount_centavos), 0) FROM payouts WHERE state = 'processing')
    - (SELECT coalesce(sum(amount_centavos), 0) FROM refunds WHERE state = 'processing')
    - (
        SELECT coalesce(sum(
            CASE blocked
                WHEN 1 THEN amount_centavos - refunded_centavos - taken_back_centavos
                ELSE disputed_centavos
            END
        ), 0)
        FROM receipts WHERE blocked = 1 OR disputed_centavos > 0
    )
FROM account
"""


class InsufficientBalance(Exception):
    """The account cannot cover it now."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the statement; money out is negative.

    ``kind`` and whose ``key``: ``payout`` and ``return`` the payout's, ``receipt`` and ``take_back`` the charge's,
    ``refund`` the refund's. A blocked receipt has its line when it comes in: it is in the balance, and not available.
    """

    number: int
    key: str
    kind: str
    end_to_end_id: str
    amount_centavos: int
    time: float


class Account:
    """``book`` is a part of its caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def balance(self) -> tuple[int, int]:
        """What is there, and the part of it that nothing holds: no payout or refund in processing, no block, no
        dispute. Either is below zero when the bank took back, or holds, what had been spent.
        """
        balance, available = self._db.execute(_BALANCE).fetchone()
        return balance, available

    def statement(self, day: date) -> list[Line]:
        start = datetime.combine(day, time.min, BANK_TIME)
        end = datetime.combine(day + timedelta(days=1), time.min, BANK_TIME)
        rows = self._db.execute(
            "SELECT * FROM lines WHERE time >= ? AND time < ? ORDER BY number",
            (start.timestamp(), end.timestamp()),
        )
        return [Line(*row) for row in rows]

    def check_covers(self, amount: int) -> None:
        """:raises InsufficientBalance: less is available."""
        if amount > self.balance()[1]:
            raise InsufficientBalance

    def book(self, key: str, kind: str, end_to_end_id: str, amount: int, now: float) -> None:
        """A line and the balance that follows from it."""
        self._db.execute(
            "INSERT INTO lines (key, kind, end_to_end_id, amount_centavos, time) VALUES (?, ?, ?, ?, ?)",
            (key, kind, end_to_end_id, amount, now),
        )
        self._db.execute("UPDATE account SET balance_centavos = balance_centavos + ?", (amount,))


def spi_id(kind: str, now: float, *, ispb: str = ISPB) -> str:
    """An endToEndId (``E``) or return id (``D``): kind, ISPB, minute in UTC, 11 alphanumerics."""
    minute = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d%H%M")
    unique = "".join(secrets.choice(ALPHANUMERIC) for _ in range(11))
    return f"{kind}{ispb}{minute}{unique}"
