"""Who reads events in this process, and the one look at the database that wakes them."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from models.errors import TooManyStreams
from models.event import queries
from models.event.types import Told
from models.event.wake import listening

log = structlog.get_logger()

READERS_ASKED_MOST = 1_000
"""With events for more users than that at once, everybody looks."""
RECONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class StreamRules:
    """``poll_seconds``: how late an event is at most where nobody wakes the readers.

    ``life_seconds``: a stream ends then, and its client resumes with a credential that is checked anew.
    ``per_user``: open at once, in each process. ``page``: events read at once, and so held for a slow reader.
    """

    heartbeat_seconds: float = 15
    poll_seconds: float = 5
    life_seconds: float = 15 * 60
    first_message_seconds: float = 5
    per_user: int = 10
    page: int = 100


class Reader:
    """One open stream of a user's."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.bell = asyncio.Event()


class EventHub:
    """Runs while there are readers, over one connection of its own for all of them."""

    def __init__(self, engine: AsyncEngine, rules: StreamRules) -> None:
        self.rules = rules
        self.is_closing = False
        self.horizon = 0
        self._engine = engine
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._readers: dict[str, set[Reader]] = defaultdict(set)
        self._look_now = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        """With those that have stopped looking and only tidy up."""

    def enter(self, user_id: str) -> Reader:
        """:raises TooManyStreams: the user reads too many already. Who enters must :meth:`leave`."""
        if len(self._readers[user_id]) >= self.rules.per_user:
            raise TooManyStreams(f"at most {self.rules.per_user} at once; close one, or resume it instead")
        reader = Reader(user_id)
        self._readers[user_id].add(reader)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
            self._tasks.add(self._running)
            self._running.add_done_callback(self._tasks.discard)
        return reader

    def leave(self, reader: Reader) -> None:
        self._readers[reader.user_id].discard(reader)
        if not self._readers[reader.user_id]:
            del self._readers[reader.user_id]

    async def page(self, user_id: str, *, after: int, until: int) -> list[Told]:
        """A page of events; the connection is given back before anybody waits for its reader."""
        if until <= after:
            return []
        async with self._reads.connect() as conn:
            return await queries.page(conn, user_id, after=after, until=until, most=self.rules.page)

    async def now(self) -> int:
        """The horizon, asked anew."""
        async with self._reads.connect() as conn:
            return await queries.horizon(conn)

    async def close(self) -> None:
        """End every stream, and take no more looks."""
        self.is_closing = True
        self._ring(reader for readers in self._readers.values() for reader in readers)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        listening_too = asyncio.create_task(self._listen())
        try:
            while self._readers:
                self._look_now.clear()
                try:
                    await self._look()
                except (SQLAlchemyError, OSError) as error:
                    log.warning("event_hub.database_unavailable", error=type(error).__name__)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.rules.poll_seconds):
                        await self._look_now.wait()
        finally:
            # Before anything is awaited: who enters while this tidies up needs a new one.
            self._running = None
            listening_too.cancel()
            await asyncio.gather(listening_too, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                async with listening(self._engine, self._look_now.set) as lost:
                    self._look_now.set()
                    await lost.wait()
            except (SQLAlchemyError, OSError) as error:
                log.warning("event_hub.not_listening", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _look(self) -> None:
        async with self._reads.connect() as conn:
            until = await queries.horizon(conn)
            if until <= self.horizon:
                return
            users = None
            if self.horizon > 0 and until - self.horizon <= READERS_ASKED_MOST:
                users = await queries.readers(conn, after=self.horizon, until=until)
        self.horizon = until
        for user_id in list(self._readers) if users is None else users & self._readers.keys():
            self._ring(self._readers[user_id])

    @staticmethod
    def _ring(readers: Iterable[Reader]) -> None:
        for reader in readers:
            reader.bell.set()
