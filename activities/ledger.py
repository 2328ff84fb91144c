"""The ledger's own upkeep: seal what is past, and prove all of it again."""

import asyncio
import time

from pydantic.dataclasses import dataclass
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from models.ledger import seal as seals
from models.ledger.seal import Seal
from models.ledger.verify import Verdict
from models.ledger.verify import verify as examine

PATIENCE_SECONDS = 10
"""How long a sealer waits for those who began to post before it."""

_FIRST_SECONDS, _MOST_SECONDS = 0.01, 0.5


@dataclass(frozen=True, slots=True)
class Sealed:
    """``sealed``: how many seals were made now. ``last``: the newest one. ``waits``: nothing could be sealed yet."""

    sealed: int
    last: Seal | None
    waits: bool = False


class LedgerActivities:
    """:param patience_seconds: for how long a sealer waits for others."""

    def __init__(self, engine: AsyncEngine, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._engine = engine
        self._patience_seconds = patience_seconds

    @activity.defn(name="ledger.seal")
    async def seal(self) -> Sealed:
        """Seal what was posted until now. Its log line is an anchor outside the database."""
        done = await seal_now(self._engine, patience_seconds=self._patience_seconds)
        if done.waits:
            activity.logger.warning("ledger.seal_waits", extra={"after_seconds": self._patience_seconds})
        elif done.sealed and done.last is not None:
            activity.logger.info(
                "ledger.sealed",
                extra={"seals": done.sealed, "number": done.last.number, "hash": done.last.hash},
            )
        return done

    @activity.defn(name="ledger.verify")
    async def verify(self) -> Verdict:
        """Prove the books from the first row; what is wrong is an error in the log, for a person."""
        async with self._engine.connect() as conn:
            verdict = await examine(conn, lambda _done, _total: None)
        facts = {"transactions": verdict.transactions, "postings": verdict.postings, "anchor": verdict.anchor}
        if verdict.is_clean:
            activity.logger.info("ledger.verified", extra=facts)
        else:
            first, *more = verdict.findings
            activity.logger.error(
                "ledger.verify_failed", extra=facts | {"count": verdict.bad, "first": first, "more": more[:19]}
            )
        return verdict


async def seal_now(engine: AsyncEngine, *, patience_seconds: float = PATIENCE_SECONDS) -> Sealed:
    """The three steps of sealing, each committed before the next. Harmless to repeat, and beside another sealer."""
    async with engine.begin() as conn:
        await seals.announce(conn)
    async with engine.begin() as conn:
        await seals.mark_horizon(conn)
    give_up, pause = time.monotonic() + patience_seconds, _FIRST_SECONDS
    while True:
        async with engine.begin() as conn:
            made = await seals.seal(conn)
            last = await seals.last(conn)
        if made is not None or time.monotonic() >= give_up:
            return Sealed(made or 0, last, waits=made is None)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _MOST_SECONDS)
