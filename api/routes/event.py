"""What happened to the caller: as a stream that can be resumed, or page by page."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field, JsonValue

from api.auth import Caller
from api.deps import Deps, Hub
from api.event_stream import ServerSentEvents, decode
from api.problems import problems
from models.errors import InvalidInput, TooManyStreams
from models.event import queries
from models.event.types import EventKind, Told

router = APIRouter(prefix="/api/v1/events", tags=["events"])

STREAM = "text/event-stream"
_EXAMPLE = 'id: 4711\nevent: trade_status_change\ndata: {"id":"4711","type":"trade_status_change",...}\n\n'


class EventView(BaseModel):
    """``data`` has ids, states and amounts; its fields are those of ``type``. Ids grow, with gaps."""

    id: str = Field(examples=["4711"])
    type: EventKind
    timestamp: datetime
    data: dict[str, JsonValue] = Field(examples=[{"trade_id": "7c9e6679742540de944be07fc1f90ae7"}])


class EventPage(BaseModel):
    events: list[EventView] = Field(description="oldest first")
    next_cursor: str = Field(description="pass it back for the events that follow, now or later", examples=["4711"])


_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page, or the stream",
        "content": {STREAM: {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.get("", response_model=EventPage, responses={**_ANSWER, **problems(InvalidInput, TooManyStreams)})
async def events(
    request: Request,
    services: Deps,
    hub: Hub,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=500, description="of a page")] = 100,
    cursor: Annotated[str | None, Query(max_length=32, description="the id of the last event that you have")] = None,
    last_event_id: Annotated[str | None, Header(max_length=32, description="stronger than `cursor`")] = None,
) -> Response | EventPage:
    """Your own events and those for everybody, in the order in which they happened, none twice and none left out.

    With `Accept: text/event-stream`, a stream of server-sent events that goes on: from now, or after the cursor. It
    ends every quarter of an hour, and whenever a server is replaced; browsers resume by themselves, with
    `Last-Event-ID`. Otherwise, a page: from the first event, or after the cursor. The same events, in the same JSON,
    come by WebSocket from `/ws`.
    """
    given, field = (cursor, "cursor") if last_event_id is None else (last_event_id, "last-event-id")
    async with services.engine.connect() as conn:
        after = decode(given, last=await queries.last(conn), field=field)
        until = await queries.horizon(conn)
        if STREAM not in request.headers.get("accept", ""):
            found = await queries.page(conn, caller.user_id, after=after or 0, until=until, most=limit)
            return _page(found, after or 0)
    return ServerSentEvents(hub, hub.enter(caller.user_id), until if after is None else after)


def _page(found: list[Told], after: int) -> EventPage:
    return EventPage(
        events=[EventView.model_validate(one.message()) for one in found],
        next_cursor=str(found[-1].id if found else after),
    )
