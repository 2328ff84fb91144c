"""What was sent to the caller's endpoints, and sending it again."""

from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.auth import Caller
from api.deps import Deps, Post
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.problems import problems
from models.errors import IdempotencyMismatch, IllegalTransition, InvalidInput, NotFound, PayloadTooLarge
from models.event.types import EventKind
from models.webhook_delivery import queries, writes
from models.webhook_delivery.states import DeliveryStatus
from models.webhook_delivery.types import Attempt, WebhookDelivery

router = APIRouter(prefix="/api/v1/webhook-deliveries", tags=["webhooks"])


class WebhookAttemptView(BaseModel):
    round: int = Field(description="1, and one more for each time it was sent again")
    number: int = Field(description="in its round, from 1")
    at: datetime
    status_code: int | None = Field(description="of your answer; null: there was none", examples=[500])
    duration_ms: int
    error: str | None = Field(
        description="why it was not taken: `status`, `redirect`, `timeout`, `not_connected`, `connection_lost`, "
        "`tls_failed`, `name_not_found`, `address_not_public` or `unexpected` (a fault of ours); null: it was",
        examples=["status"],
    )


class WebhookDeliveryView(BaseModel):
    id: str = Field(
        description="the header `webhook-id` of every attempt", examples=["7c9e6679742540de944be07fc1f90ae7"]
    )
    endpoint_id: str
    event_id: str | None = Field(description="null: a ping", examples=["4711"])
    kind: EventKind
    status: DeliveryStatus
    attempts: list[WebhookAttemptView] = Field(description="oldest first")
    created_at: datetime
    updated_at: datetime


class WebhookDeliveryPage(BaseModel):
    deliveries: list[WebhookDeliveryView]
    next_cursor: str | None = Field(description="pass it back for the deliveries that follow; null at the end")


@router.get("/{delivery_id:id}", responses=problems(NotFound))
async def show(delivery_id: IdInPath, services: Deps, caller: Caller) -> WebhookDeliveryView:
    """One delivery, with every attempt."""
    async with services.engine.connect() as conn:
        found = await queries.delivery(conn, delivery_id, user_id=caller.user_id)
        return delivery_view(found, (await queries.attempts(conn, [found.id]))[found.id])


@router.post(
    "/{delivery_id:id}/redeliver",
    status_code=202,
    response_model=WebhookDeliveryView,
    responses=problems(PayloadTooLarge, NotFound, IllegalTransition, InvalidInput, IdempotencyMismatch),
)
async def redeliver(
    delivery_id: IdInPath, services: Deps, courier: Post, caller: Caller, once: OncePerKey
) -> JSONResponse:
    """Send it again, under the same `webhook-id`, with all attempts."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        sent, messages = await writes.redeliver(conn, delivery_id, services.sending, user_id=caller.user_id)
        attempts = await queries.attempts(conn, [sent.id])
        answer = await once.answer(conn, 202, delivery_view(sent, attempts[sent.id]))
    answer.background = courier.soon(messages)
    return answer


def delivery_view(found: WebhookDelivery, attempts: Sequence[Attempt]) -> WebhookDeliveryView:
    return WebhookDeliveryView(
        id=found.id,
        endpoint_id=found.endpoint_id,
        event_id=None if found.event_id is None else str(found.event_id),
        kind=found.kind,
        status=found.status,
        attempts=[
            WebhookAttemptView(
                round=one.round,
                number=one.number,
                at=one.at,
                status_code=one.status_code,
                duration_ms=one.duration_ms,
                error=one.error,
            )
            for one in attempts
        ],
        created_at=found.created_at,
        updated_at=found.updated_at,
    )
