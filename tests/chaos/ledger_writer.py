"""A process that posts to the ledger without pause and writes down what it tries and what it is told.

``python -m tests.chaos.ledger_writer``: ``BOOKS`` is the database, ``USERS`` their ids, ``JOURNAL`` the file, which
gets a line before each call and one after it. It goes on, with new keys, whatever happens to the database, until
there is a file of the journal's name and ``.stop``.
"""

import asyncio
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.database import engine as make_engine
from models.ledger.chart import Account, Purpose, house
from models.ledger.post import post, post_alone
from models.ledger.types import Kind, Transaction, move

WRITERS = 8
ASSET = "BRL"
PURPOSES = (Purpose.AVAILABLE, "escrow")
"""Not ``held``: that one belongs to the rows of holds and trades."""
TRIED, TOLD, FAILED = "tried", "told", "failed"


@dataclass
class Journal:
    """``tried``: calls by number, each with all of its transactions. ``failed``: what was raised by those not told."""

    tried: dict[str, list[Transaction]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """Its last line may be half written."""
        journal = cls()
        for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
            if line.endswith("\n"):
                word, call, what = json.loads(line)
                if word == TRIED:
                    journal.tried[call] = [_transaction(*one) for one in what]
                elif word == TOLD:
                    journal.told.add(call)
                else:
                    journal.failed[call] = what
        return journal


def _transaction(key: str, source: Sequence[str], target: Sequence[str], units: int) -> Transaction:
    return move(key, Kind.TRANSFER, "chaos", Account(*source), Account(*target), units)


async def write(books: AsyncEngine, users: list[str], path: Path, number: int) -> None:
    pick = random.Random(number)
    places = [Account(ASSET, purpose, user) for user in users for purpose in PURPOSES]
    places += [house(Purpose.DESK, ASSET)]
    with path.open("a", buffering=1) as journal:
        calls = 0
        while not path.with_suffix(".stop").exists():
            calls += 1
            call = f"{number}/{calls}"
            what = []
            for part in range(pick.randint(1, 3)):
                ends = [(a.asset, a.purpose, a.owner) for a in pick.sample(places, 2)]
                what.append((f"{call}/{part}", *ends, pick.randint(1, 99)))
            journal.write(json.dumps((TRIED, call, what)) + "\n")
            try:
                await say(books, [_transaction(*one) for one in what], is_alone=pick.random() < 0.7)
            except Exception as error:
                journal.write(json.dumps((FAILED, call, type(error).__name__)) + "\n")
                await asyncio.sleep(0.1)
            else:
                journal.write(json.dumps((TOLD, call, None)) + "\n")


async def say(books: AsyncEngine, transactions: list[Transaction], *, is_alone: bool) -> None:
    if is_alone:
        await post_alone(books, *transactions)
        return
    async with books.begin() as conn:
        await post(conn, *transactions)


async def main() -> None:
    users, path = os.environ["USERS"].split(), Path(os.environ["JOURNAL"])
    books = make_engine(os.environ["BOOKS"], pool=WRITERS)
    await asyncio.gather(*(write(books, users, path, number) for number in range(WRITERS)))
    await books.dispose()


if __name__ == "__main__":
    asyncio.run(main())
