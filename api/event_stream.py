"""A user's events, followed from a cursor for as long as the client stays, and as server-sent events."""

import asyncio
import re
from collections.abc import AsyncIterator

import orjson
import structlog
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.event_hub import EventHub, Reader
from models.errors import InvalidInput
from models.event.types import Told

log = structlog.get_logger()

_CURSOR = re.compile(r"[0-9]{1,18}")
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Proxies that keep an answer to themselves until it ends would keep a stream for ever."""
RETRY = "retry: 1000\n"


def decode(cursor: str | None, *, last: int, field: str) -> int | None:
    """:raises InvalidInput: not a cursor that we gave out."""
    if cursor is None:
        return None
    if not _CURSOR.fullmatch(cursor) or int(cursor) > last:
        raise InvalidInput("send the id of an event that you got, or nothing", field=field)
    return int(cursor)


async def follow(hub: EventHub, reader: Reader, after: int) -> AsyncIterator[list[Told]]:
    """Pages of events after that cursor, as they come; an empty one now and then, when there is nothing to tell.

    Ends when its time is over or the process closes: the client then resumes. While it waits, and while its
    client reads slowly, it holds one page and no connection.
    """
    rules = hub.rules
    clock = asyncio.get_running_loop()
    end = clock.time() + rules.life_seconds
    until = await hub.now()
    while not hub.is_closing and clock.time() < end:
        reader.bell.clear()
        until = max(until, hub.horizon)
        page = await hub.page(reader.user_id, after=after, until=until)
        if page:
            after = page[-1].id
            yield page
        if len(page) == rules.page:
            continue
        try:
            async with asyncio.timeout(min(rules.heartbeat_seconds, max(0, end - clock.time()))):
                await reader.bell.wait()
        except TimeoutError:
            yield []


def text(told: Told) -> str:
    """An event's JSON, in one line."""
    return orjson.dumps(told.message()).decode()


class ServerSentEvents(StreamingResponse):
    """The stream, until its client leaves, its time is over, or the process closes."""

    media_type = "text/event-stream"

    def __init__(self, hub: EventHub, reader: Reader, after: int) -> None:
        self._hub = hub
        self._reader = reader
        self._events = _encoded(hub, reader, after)
        super().__init__(self._events, headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streaming = asyncio.ensure_future(self.stream_response(send))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        patience = self._hub.rules.life_seconds + self._hub.rules.heartbeat_seconds
        try:
            await asyncio.wait({streaming, leaving}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if streaming.done():
                streaming.result()
            elif not leaving.done():
                raise ClientDisconnect  # it has stopped reading: nothing more can be said to it
        finally:
            for task in (streaming, leaving):
                task.cancel()
            await asyncio.gather(streaming, leaving, return_exceptions=True)
            self._hub.leave(self._reader)


async def _encoded(hub: EventHub, reader: Reader, after: int) -> AsyncIterator[str]:
    # An id without data moves the client's cursor, so that it can resume even before its first event.
    yield f"{RETRY}id: {after}\n\n"
    try:
        async for page in follow(hub, reader, after):
            yield "".join(f"id: {one.id}\nevent: {one.kind}\ndata: {text(one)}\n\n" for one in page) or ":\n\n"
    except (SQLAlchemyError, OSError) as error:
        log.warning("event_stream.ended", error=type(error).__name__)
