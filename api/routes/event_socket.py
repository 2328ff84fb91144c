"""The events of ``GET /api/v1/events`` by WebSocket: one JSON text for each.

A token never stands in the address, which proxies log. Browsers cannot send headers here, so they say it first.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import orjson
import structlog
from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocketDisconnect

from api.auth import actor_of
from api.deps import Deps, Hub, Services
from api.event_hub import EventHub, Reader
from api.event_stream import decode, follow, text
from api.problems import problem
from models.errors import DatabaseUnavailable, LiquidaError, Unauthenticated
from models.event import queries
from models.user.types import Actor

log = structlog.get_logger()
router = APIRouter()

GOING_AWAY = 1001
REFUSED = 4000
"""And the problem's HTTP status: 4401 who are you, 4422 not a cursor, 4429 too many streams, 4503 try again."""
CLOSE_SECONDS_MOST = 1.0


class _First(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: str


@router.websocket("/ws")
async def socket(websocket: WebSocket, services: Deps, hub: Hub) -> None:
    """Refused before it opens where a header says who; by its code where the first message does."""
    says_first = "authorization" not in websocket.headers
    if says_first:
        await websocket.accept()
    try:
        actor = await (_by_message(websocket, services, hub) if says_first else _by_header(websocket, services))
        after = await _start(services, websocket.query_params.get("cursor"))
        reader = hub.enter(actor.user_id)
    except LiquidaError as error:
        await _refuse(websocket, type(error), error.detail)
        return
    except (SQLAlchemyError, OSError) as error:
        log.warning("event_socket.database_unavailable", error=type(error).__name__)
        await _refuse(websocket, DatabaseUnavailable, "the database does not answer; try again shortly")
        return
    except WebSocketDisconnect:
        return
    try:
        if not says_first:
            await websocket.accept()
        await _serve(websocket, hub, reader, after)
    finally:
        hub.leave(reader)


async def _by_header(websocket: WebSocket, services: Services) -> Actor:
    scheme, _, credentials = websocket.headers["authorization"].partition(" ")
    return await actor_of(services, credentials.strip() if scheme.lower() == "bearer" else "")


async def _by_message(websocket: WebSocket, services: Services, hub: EventHub) -> Actor:
    """:raises Unauthenticated: the first message did not come in time, or is no token."""
    try:
        async with asyncio.timeout(hub.rules.first_message_seconds):
            message = await websocket.receive()
    except TimeoutError:
        raise Unauthenticated("send the header Authorization, or the message {token: ...} first") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    try:
        token = _First.model_validate_json(message.get("text") or b"").token
    except ValidationError:
        raise Unauthenticated("the first message is not of the form {token: ...}") from None
    return await actor_of(services, token)


async def _start(services: Services, cursor: str | None) -> int:
    async with services.engine.connect() as conn:
        given = decode(cursor, last=await queries.last(conn), field="cursor")
        return await queries.horizon(conn) if given is None else given


async def _refuse(websocket: WebSocket, kind: type[LiquidaError], detail: str) -> None:
    if websocket.application_state.name == "CONNECTED":
        with suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(REFUSED + kind.status, kind.type)
    else:
        await websocket.send_denial_response(problem(websocket, kind, detail))


async def _serve(websocket: WebSocket, hub: EventHub, reader: Reader, after: int) -> None:
    """Until the client leaves, stops reading, its time is over, or the process closes."""
    sending = asyncio.ensure_future(_send(websocket, hub, reader, after))
    leaving = asyncio.ensure_future(_until_it_leaves(websocket))
    patience = hub.rules.life_seconds + hub.rules.heartbeat_seconds
    try:
        await asyncio.wait({sending, leaving}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        has_left = leaving.done()
    finally:
        for task in (sending, leaving):
            task.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)
    if not has_left:
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS_MOST):
                await websocket.close(GOING_AWAY, "resume with your cursor")


async def _send(websocket: WebSocket, hub: EventHub, reader: Reader, after: int) -> None:
    """The first message says where the stream begins, so that a client can resume even before its first event."""
    ready = {"id": str(after), "type": "ready", "timestamp": datetime.now(UTC).isoformat(), "data": {}}
    try:
        await websocket.send_text(orjson.dumps(ready).decode())
        async for page in follow(hub, reader, after):
            for one in page:
                await websocket.send_text(text(one))
    except (SQLAlchemyError, OSError, WebSocketDisconnect) as error:
        log.info("event_socket.ended", error=type(error).__name__)


async def _until_it_leaves(websocket: WebSocket) -> None:
    """What it says meanwhile is read and forgotten."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
