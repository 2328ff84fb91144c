"""What providers tell us: verified, stored, and only then answered. A webhook is a hint to look, never a fact."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Deps, Post, Services
from api.inbound_webhook import bells, claim, plain
from api.problems import problems
from models.errors import NotFound, PayloadTooLarge, WebhookRejected
from models.inbound_webhook import writes
from models.outbox import put
from payments.protocol import WebhookEvent

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

QUERY = "x-liquida-query"
"""Some providers prove themselves in the address; the route's own word for it, which no header can replace."""
ALIASES = {"payment": "brl_code"}
"""Addresses that clients of older systems gave out."""


class Received(BaseModel):
    """``new``: events that were not known before. The provider need not care."""

    events: int
    new: int


@router.post(
    "/{provider}",
    response_model=Received,
    responses=problems(NotFound, WebhookRejected, PayloadTooLarge),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    },
)
async def receive(
    provider: Annotated[str, Path(examples=["sandbox"])],
    request: Request,
    services: Deps,
    courier: Post,
) -> JSONResponse:
    """Stored before it is answered; sent again, it changes nothing. Signed by the provider over its raw bytes.

    What is about nothing of ours is stored and answered 200 as well. `payment` is another name of `brl_code`.
    """
    provider = ALIASES.get(provider, provider)
    if provider not in services.webhooks:
        raise NotFound("there is no such provider")
    body = await request.body()
    headers = {**request.headers, QUERY: request.url.query}
    events = services.webhooks[provider](headers, body, now=datetime.now(UTC))
    new, messages = 0, []
    async with services.engine.begin() as conn:
        for event in events:
            if await _keep(conn, services, provider, event, body):
                new += 1
                messages += await put(conn, *await bells(conn, provider, event))
    answer = Received(events=len(events), new=new)
    return JSONResponse(answer.model_dump(), background=courier.soon(messages))


async def _keep(conn: AsyncConnection, services: Services, provider: str, event: WebhookEvent, body: bytes) -> bool:
    return await writes.keep(
        conn,
        services.box,
        provider=provider,
        event_id=plain(event.event_id),
        key=plain(event.key or ""),
        state=claim(event),
        body=body,
    )
