"""Attachments of a P2P trade's chat. What comes from users is only ever handed out as a download."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from api.auth import Caller
from api.deps import Deps
from api.idempotency import Key, Once, once
from api.ids import IdInPath
from api.problems import problems
from api.routes.p2p_message import FileShown
from models.errors import (
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PayloadTooLarge,
    TooManyMessages,
)
from models.p2p_dispute.queries import visible_trade
from models.p2p_file import queries, writes
from models.p2p_file.rules import SUFFIX
from models.p2p_file.types import MediaType
from models.p2p_trade import queries as trades

router = APIRouter(prefix="/api/v1/p2p/trades", tags=["p2p chat"])

_BYTES: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MediaType}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-store",
}


async def once_by_party(request: Request, trade_id: IdInPath, services: Deps, caller: Caller, key: Key) -> Once:
    """Who may not attach to this trade learns it before a large body is read.

    :raises NotFound: there is no such trade, or it is not this user's.
    """
    async with services.engine.connect() as conn:
        await trades.trade(conn, trade_id, user_id=caller.user_id)
    return await once(request, caller, key)


@router.post(
    "/{trade_id:id}/files",
    status_code=201,
    response_model=FileShown,
    responses=problems(
        PayloadTooLarge,
        NotFound,
        IllegalTransition,
        InvalidInput,
        LimitExceeded,
        IdempotencyMismatch,
        TooManyMessages,
    ),
    openapi_extra={"requestBody": {"required": True, "content": _BYTES}},
)
async def attach(
    trade_id: IdInPath,
    request: Request,
    services: Deps,
    single: Annotated[Once, Depends(once_by_party)],
    content_type: Annotated[str, Header(max_length=200, include_in_schema=False)] = "",
) -> JSONResponse:
    """Attach a JPEG, PNG, WebP or PDF of at most 5 MiB: the file itself as the body, with its `Content-Type`.

    Its first bytes must say the same. A trade has at most 20 files. It is also a line of the chat.
    """
    body = await request.body()
    async with services.engine.begin() as conn:
        if (known := await single.claim(conn)) is not None:
            return known
        file = await writes.attach(
            conn,
            services.box,
            trade_id,
            user_id=single.user_id,
            body=body,
            said=content_type,
            rules=services.chat,
            now=datetime.now(UTC),
        )
        return await single.answer(conn, 201, FileShown.of(file))


@router.get(
    "/{trade_id:id}/files/{file_id:id}",
    response_class=Response,
    responses={200: {"description": "The file as it was attached", "content": _BYTES}, **problems(NotFound)},
)
async def download(trade_id: IdInPath, file_id: IdInPath, services: Deps, caller: Caller) -> Response:
    """An attachment's bytes, for the trade's two and, once there is a dispute, for arbiters."""
    async with services.engine.connect() as conn:
        await visible_trade(conn, trade_id, caller)
        found = await queries.opened(conn, services.box, trade_id, file_id)
    name = f'attachment; filename="{file_id}.{SUFFIX[found.file.media_type]}"'
    headers = {**_HEADERS, "Content-Disposition": name, "Content-Type": found.file.media_type}
    return Response(found.body, headers=headers)
