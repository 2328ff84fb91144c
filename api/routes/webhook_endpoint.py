"""Where the caller's own programs are told of events."""

from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api import pagination
from api.auth import Caller
from api.deps import Deps, Post
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.problems import problems
from api.routes.webhook_delivery import WebhookDeliveryPage, WebhookDeliveryView, delivery_view
from models.errors import (
    IdempotencyMismatch,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PayloadTooLarge,
)
from models.event.types import EventKind
from models.webhook_delivery import queries as deliveries
from models.webhook_delivery import writes as delivery_writes
from models.webhook_delivery.states import DeliveryStatus
from models.webhook_endpoint import queries, writes
from models.webhook_endpoint.rules import URL_LENGTH_MOST, require_url
from models.webhook_endpoint.types import DisabledReason, WebhookEndpoint

router = APIRouter(prefix="/api/v1/webhook-endpoints", tags=["webhooks"])

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=URL_LENGTH_MOST,
        examples=["https://example.com/liquida"],
        description="https, on the public internet. Redirects are not followed",
    ),
]
Kinds = Annotated[
    list[EventKind],
    Field(min_length=1, max_length=len(EventKind), examples=[["trade_status_change"]], description="of events"),
]
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["bookkeeping"])]


class WebhookEndpointRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Url
    kinds: Kinds
    description: Description = ""


class WebhookEndpointChange(BaseModel):
    """What is left out stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    kinds: Kinds | None = None
    description: Description | None = None
    is_enabled: bool | None = Field(
        default=None, description="what happens while it is off is not sent; `GET /api/v1/events` has it"
    )


class WebhookEndpointView(BaseModel):
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    url: str
    kinds: list[EventKind]
    description: str
    is_enabled: bool
    disabled_reason: DisabledReason | None
    failing_since: datetime | None = Field(description="of failures that nothing taken has interrupted")
    old_secret_until: datetime | None = Field(description="until then, the secret before signs as well")
    secret: str | None = Field(
        description="`whsec_...`, shown once: when it is made, and not in a repeated answer. Lost: rotate it",
        examples=["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="],
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, found: WebhookEndpoint, *, secret: str | None = None) -> Self:
        return cls(
            id=found.id,
            url=found.url,
            kinds=found.kinds,
            description=found.description,
            is_enabled=found.disabled_at is None,
            disabled_reason=found.disabled_reason,
            failing_since=found.failing_since,
            old_secret_until=found.old_secret_until,
            secret=secret,
            created_at=found.created_at,
            updated_at=found.updated_at,
        )


class WebhookEndpointList(BaseModel):
    endpoints: list[WebhookEndpointView] = Field(description="oldest first")


@router.post(
    "",
    status_code=201,
    response_model=WebhookEndpointView,
    responses=problems(PayloadTooLarge, InvalidInput, LimitExceeded, IdempotencyMismatch),
)
async def create(body: WebhookEndpointRequest, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """Have events sent to a URL of yours, from now on, in Standard Webhooks form (standardwebhooks.com).

    Each is tried at least ten times in 75 hours, until you answer 2xx within 15 seconds; 410 disables the endpoint,
    and so do five days of failures. A message may come twice (`webhook-id` tells), and out of order (`id` tells).
    """
    url = require_url(body.url, allow_private=services.allow_private_webhooks)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        found, secret = await writes.add(
            conn, services.box, user_id=caller.user_id, url=url, kinds=body.kinds, description=body.description
        )
        await once.answer(conn, 201, WebhookEndpointView.of(found))
    return _with_secret(found, secret, 201)


@router.get("")
async def list_own(services: Deps, caller: Caller) -> WebhookEndpointList:
    """The caller's endpoints."""
    async with services.engine.connect() as conn:
        found = await queries.of_user(conn, caller.user_id)
    return WebhookEndpointList(endpoints=[WebhookEndpointView.of(one) for one in found])


@router.get("/{endpoint_id:id}", responses=problems(NotFound))
async def show(endpoint_id: IdInPath, services: Deps, caller: Caller) -> WebhookEndpointView:
    """One endpoint."""
    async with services.engine.connect() as conn:
        return WebhookEndpointView.of(await queries.endpoint(conn, endpoint_id, user_id=caller.user_id))


@router.patch("/{endpoint_id:id}", responses=problems(PayloadTooLarge, NotFound, InvalidInput))
async def change(
    endpoint_id: IdInPath, body: WebhookEndpointChange, services: Deps, caller: Caller
) -> WebhookEndpointView:
    """Change what is named, or switch it off and on."""
    columns = body.model_dump(exclude_none=True, exclude={"is_enabled"})
    if body.url is not None:
        columns["url"] = require_url(body.url, allow_private=services.allow_private_webhooks)
    if body.kinds is not None:
        columns["kinds"] = sorted(set(body.kinds))
    async with services.engine.begin() as conn:
        found = await writes.change(conn, endpoint_id, user_id=caller.user_id, **columns)
        if body.is_enabled is not None:
            found = await writes.switch(conn, endpoint_id, user_id=caller.user_id, is_enabled=body.is_enabled)
    return WebhookEndpointView.of(found)


@router.delete("/{endpoint_id:id}", status_code=204, responses=problems(NotFound))
async def remove(endpoint_id: IdInPath, services: Deps, caller: Caller) -> Response:
    """Nothing more is sent there."""
    async with services.engine.begin() as conn:
        await writes.remove(conn, endpoint_id, user_id=caller.user_id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id:id}/rotate-secret",
    response_model=WebhookEndpointView,
    responses=problems(PayloadTooLarge, NotFound, InvalidInput, IdempotencyMismatch),
)
async def rotate_secret(endpoint_id: IdInPath, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """Get a new secret. For 24 hours, each message is signed with the one before as well."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        found, secret = await writes.rotate(
            conn, services.box, endpoint_id, user_id=caller.user_id, now=datetime.now(UTC)
        )
        await once.answer(conn, 200, WebhookEndpointView.of(found))
    return _with_secret(found, secret, 200)


@router.post(
    "/{endpoint_id:id}/test",
    status_code=202,
    response_model=WebhookDeliveryView,
    responses=problems(PayloadTooLarge, NotFound, InvalidInput, IdempotencyMismatch),
)
async def test(
    endpoint_id: IdInPath, services: Deps, courier: Post, caller: Caller, once: OncePerKey
) -> JSONResponse:
    """Send a `ping`, once, whatever the endpoint's kinds, and even while it is switched off."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        to = await queries.endpoint(conn, endpoint_id, user_id=caller.user_id)
        sent, messages = await delivery_writes.ping(conn, to, services.sending)
        answer = await once.answer(conn, 202, delivery_view(sent, []))
    answer.background = courier.soon(messages)
    return answer


@router.get("/{endpoint_id:id}/deliveries", responses=problems(NotFound, InvalidInput))
async def list_deliveries(
    endpoint_id: IdInPath,
    services: Deps,
    caller: Caller,
    status: DeliveryStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> WebhookDeliveryPage:
    """What was sent there, or is to be, with every attempt; newest first."""
    after = pagination.decode(cursor)
    async with services.engine.connect() as conn:
        await queries.endpoint(conn, endpoint_id, user_id=caller.user_id)
        page = await deliveries.of_endpoint(conn, endpoint_id, status=status, limit=limit, cursor=after)
        attempts = await deliveries.attempts(conn, [one.id for one in page.deliveries])
    return WebhookDeliveryPage(
        deliveries=[delivery_view(one, attempts[one.id]) for one in page.deliveries],
        next_cursor=pagination.encode(page.next_cursor),
    )


def _with_secret(found: WebhookEndpoint, secret: str, status: int) -> JSONResponse:
    """The one answer that shows it. What is stored under the Idempotency-Key does not."""
    view = WebhookEndpointView.of(found, secret=secret)
    return JSONResponse(view.model_dump(mode="json"), status, headers={"Cache-Control": "no-store"})
