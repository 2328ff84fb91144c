"""What the bank's routes have in common: the books, the weather, refusals, and what goes wrong in an answer."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from pydantic import Field

from payments.sandbox.books import Books
from payments.sandbox.moods import Mood, Moods, Queue, UnknownMood, header_moods

TICK_SECONDS = 0.02

Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,35}$")]
"""The client's own, the same for ever for one payout, charge or refund."""
Centavos = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,15}$")]
Name = Annotated[str, Field(min_length=1, max_length=140)]
TaxId = Annotated[str, Field(pattern=r"^([0-9]{11}|[0-9A-Z]{12}[0-9]{2})$")]


@dataclass(frozen=True, slots=True)
class Options:
    """How this bank runs. ``hang_seconds``: how long a hanging answer takes."""

    database: Path
    webhook_url: str | None
    opening_centavos: int
    settle_seconds: float
    slow_seconds: float
    return_seconds: float
    hang_seconds: float


class Problem(Exception):
    """An answer that is not 2xx. ``reason`` carries the code of a refusal."""

    def __init__(self, status: int, code: str, *, reason: str | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.reason = reason


class Bank:
    """The routes' common ground: the books, the weather, and what follows an acceptance."""

    def __init__(self, books: Books, options: Options) -> None:
        self.books = books
        self.options = options

    async def keep_time(self) -> None:
        """Settle what is due, until cancelled."""
        while True:
            self.books.advance(time.time())
            await asyncio.sleep(TICK_SECONDS)

    def moods(self, queue: Queue, key: str, asked: Moods) -> Moods:
        """The moods of a submit that is new to the bank.

        :raises Problem: one of them keeps the bank from accepting.
        """
        weather = self.books.weather
        moods = weather.unspent(queue, key, asked) | weather.take_standing(queue)
        if Mood.DARK in moods:
            weather.go_dark()
            raise Problem(503, "dark")
        if Mood.ERROR_500_BEFORE_ACCEPTING in moods:
            raise Problem(500, "internal_error")
        if Mood.NO_BALANCE in moods:
            raise Problem(409, "insufficient_provider_balance")
        if Mood.LIMIT_REACHED in moods:
            raise Problem(409, "limit_reached")
        return moods

    def delay(self, moods: Moods) -> float:
        """Until what was accepted settles."""
        if Mood.WEBHOOK_BEFORE_RESPONSE in moods:
            return 0
        return self.options.slow_seconds if Mood.SLOW in moods else self.options.settle_seconds

    async def answer_badly(self, moods: Moods, request: Request) -> None:
        """What goes wrong between accepting and saying so.

        :raises Problem: the answer is a gateway's.
        """
        if Mood.TIMEOUT_AFTER_ACCEPTING in moods:
            await asyncio.sleep(self.options.hang_seconds)
        if Mood.DROP_CONNECTION_AFTER_ACCEPTING in moods:
            request.state.transport.abort()
        if Mood.ERROR_504_AFTER_ACCEPTING in moods:
            raise Problem(504, "gateway_timeout")

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until it is so, but no longer than a hanging answer takes."""
        give_up = time.monotonic() + self.options.hang_seconds
        while time.monotonic() < give_up:
            if is_true():
                return
            await asyncio.sleep(TICK_SECONDS)


async def _bank(request: Request) -> Bank:
    bank: Bank = request.app.state.bank
    return bank


TheBank = Annotated[Bank, Depends(_bank)]


async def _lit_bank(bank: TheBank) -> Bank:
    if bank.books.weather.is_dark():
        raise Problem(503, "dark")
    return bank


LitBank = Annotated[Bank, Depends(_lit_bank)]


def asked_moods(header: str, queue: Queue) -> Moods:
    """:raises Problem: a word that is no mood of this queue."""
    try:
        return header_moods(header, queue)
    except UnknownMood:
        raise Problem(422, "unknown_mood") from None


def iso(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat()
