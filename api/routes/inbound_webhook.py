"""What providers tell us: verified, stored, and only then answered. A webhook is a hint to look, never a fact."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Deps, Post, Services
from api.problems import problems
from models.charge import queries as charges
from models.charge.writes import start as start_charge
from models.charge.writes import workflow_id as charge_id
from models.errors import NotFound, PayloadTooLarge, WebhookRejected
from models.inbound_webhook import writes
from models.instant_trade.writes import return_message
from models.outbox import Message, look, put
from models.payout import queries as payouts
from models.pix_refund import queries as refunds
from models.pix_refund.writes import workflow_id as refund_id
from payments.protocol import ChargeEvent, PayoutEvent, PayoutState, RefundEvent, WebhookEvent

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

QUERY = "x-liquida-query"
"""Some providers prove themselves in the address; the route's own word for it, which no header can replace."""
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
    """Stored before it is answered; sent again, it changes nothing. Signed by the provider over its raw bytes."""
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
                messages += await _tell(conn, provider, event, services)
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


async def _tell(conn: AsyncConnection, provider: str, event: WebhookEvent, services: Services) -> list[int]:
    """Ring the bell of the workflow that waits for it; a fact that comes after its end starts one of its own."""
    if isinstance(event, PayoutEvent):
        return await put(conn, *await _of_payout(conn, provider, event))
    if isinstance(event, ChargeEvent):
        return await put(conn, *await _of_charge(conn, provider, event, services))
    if isinstance(event, RefundEvent) and event.key is not None:
        refund = await refunds.refund(conn, _plain(event.key))
        return [] if refund is None or refund.provider != provider else await put(conn, look(refund_id(refund.key)))
    return []


async def _of_payout(conn: AsyncConnection, provider: str, event: PayoutEvent) -> list[Message]:
    payout = await payouts.payout(conn, _plain(event.key))
    if payout is None or payout.provider != provider:
        return []
    returned = [return_message(payout.trade_id)] if event.state is PayoutState.RETURNED else []
    return [look(f"payout/{payout.key}"), *returned]


async def _of_charge(conn: AsyncConnection, provider: str, event: ChargeEvent, services: Services) -> list[Message]:
    """Half a watch after its time a charge's own workflow is still there for certain; later, nobody knows."""
    charge = await charges.charge(conn, _plain(event.key))
    if charge is None or charge.provider != provider:
        return []
    late_from = charge.accepts_until + timedelta(seconds=services.waits.charge_watch_seconds / 2)
    if datetime.now(UTC) < late_from:
        return [look(charge_id(charge.key))]
    return [start_charge(charge.key, again=hashlib.sha256(event.event_id.encode()).hexdigest()[:16])]


def _claim(event: WebhookEvent) -> str:
    if isinstance(event, PayoutEvent):
        return event.state
    return "charge" if isinstance(event, ChargeEvent) else "refund"


def _plain(text: str) -> str:
    """Providers' names as they are, or their hash where they are no names that a column takes."""
    return text if _PLAIN.fullmatch(text) else f"sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"
