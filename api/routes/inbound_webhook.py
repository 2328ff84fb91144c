"""What providers tell us: verified, stored, and only then answered. A webhook is a hint to look, never a fact."""

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Deps, Post, Services
from api.problems import problems
from models.errors import NotFound, PayloadTooLarge, WebhookRejected
from models.inbound_webhook import writes
from models.instant_trade.writes import return_message
from models.outbox import look, put
from models.payout import queries as payouts
from models.payout.types import Payout
from models.payout.writes import learn_provider_id
from payments.protocol import ChargeEvent, DisputeEvent, PayoutEvent, PayoutState, RefundEvent, WebhookEvent

log = structlog.get_logger()
router = APIRouter(prefix="/webhooks", tags=["webhooks"])

QUERY = "x-liquida-query"
"""Some providers prove themselves in the address; the route's own word for it, which no header can replace."""
ALIASES = {"payment": "brl_code"}
"""Addresses that clients of older systems gave out."""
_PLAIN = re.compile(r"[!-~]{1,100}")


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
                messages += await _tell(conn, provider, event)
    answer = Received(events=len(events), new=new)
    return JSONResponse(answer.model_dump(), background=courier.soon(messages))


async def _keep(conn: AsyncConnection, services: Services, provider: str, event: WebhookEvent, body: bytes) -> bool:
    return await writes.keep(
        conn,
        services.box,
        provider=provider,
        event_id=_plain(event.event_id),
        key=_plain(event.key or ""),
        state=_claim(event),
        body=body,
    )


async def _tell(conn: AsyncConnection, provider: str, event: WebhookEvent) -> list[int]:
    """Ring the bell of the payout's workflow; a payout that came back after its end starts one of its own.

    Nobody waits for charges or refunds yet: they are kept.
    """
    if isinstance(event, RefundEvent):
        return await _tell_returned(conn, provider, event)
    if not isinstance(event, PayoutEvent):
        return []
    payout = await payouts.payout(conn, _plain(event.key), lock=event.provider_id is not None)
    if payout is None or payout.provider != provider:
        return []
    await _learn_name(conn, payout, event)
    messages = [look(f"payout/{payout.key}")]
    if event.state is PayoutState.RETURNED:
        messages.append(return_message(payout.trade_id))
    return await put(conn, *messages)


async def _learn_name(conn: AsyncConnection, payout: Payout, event: PayoutEvent) -> None:
    """Some providers can be asked by their own id alone, and their webhook may be the only one to tell it."""
    if event.provider_id is None or not _PLAIN.fullmatch(event.provider_id):
        return
    if not await learn_provider_id(conn, payout, event.provider_id):
        log.error("payout.named_twice", payout=payout.key, provider=payout.provider)


async def _tell_returned(conn: AsyncConnection, provider: str, event: RefundEvent) -> list[int]:
    """A payout that came back may be announced as a devolução of its PIX, without our key."""
    if event.end_to_end_id is None:
        return []
    payout = await payouts.by_end_to_end_id(conn, provider, _plain(event.end_to_end_id))
    return [] if payout is None else await put(conn, look(f"payout/{payout.key}"), return_message(payout.trade_id))


def _claim(event: WebhookEvent) -> str:
    if isinstance(event, PayoutEvent):
        return event.state
    if isinstance(event, DisputeEvent):
        return "dispute"
    return "charge" if isinstance(event, ChargeEvent) else "refund"


def _plain(text: str) -> str:
    """Providers' names as they are, or their hash where they are no names that a column takes."""
    return text if _PLAIN.fullmatch(text) else f"sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"
