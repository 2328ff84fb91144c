"""Reads of deliveries and their attempts."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import JsonValue
from pydantic.dataclasses import dataclass
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.event.tables import events
from models.event.types import EventKind, Told
from models.secret_box import SecretBox
from models.webhook_delivery.states import DeliveryStatus
from models.webhook_delivery.tables import webhook_attempts, webhook_deliveries
from models.webhook_delivery.types import Attempt, Parcel, WebhookDelivery
from models.webhook_endpoint import queries as endpoints
from models.webhook_endpoint.tables import webhook_endpoints

_D = webhook_deliveries.c
_A = webhook_attempts.c
_ATTEMPT = tuple(column for column in _A if column.name in Attempt.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the deliveries that follow; None at the end."""

    deliveries: list[WebhookDelivery]
    next_cursor: tuple[datetime, str] | None


async def delivery(
    conn: AsyncConnection, delivery_id: str, *, user_id: str | None = None, lock: bool = False
) -> WebhookDelivery:
    """One delivery; with ``user_id``, only if its endpoint is that user's and still there.

    :raises NotFound: none, or somebody else's.
    """
    statement = select(webhook_deliveries).where(_D.id == delivery_id)
    if user_id is not None:
        e = webhook_endpoints.c
        statement = statement.join(webhook_endpoints).where(e.user_id == user_id, e.removed_at.is_(None))
    if lock:
        statement = statement.with_for_update(of=webhook_deliveries)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("there is no such webhook delivery", field="delivery_id")
    return WebhookDelivery(**row._mapping)


async def of_endpoint(
    conn: AsyncConnection,
    endpoint_id: str,
    *,
    status: DeliveryStatus | None,
    limit: int,
    cursor: tuple[datetime, str] | None,
) -> Page:
    """Newest first."""
    statement = select(webhook_deliveries).where(_D.endpoint_id == endpoint_id)
    if status is not None:
        statement = statement.where(_D.status == status)
    if cursor is not None:
        statement = statement.where(tuple_(_D.created_at, _D.id) < tuple_(*cursor))
    statement = statement.order_by(_D.created_at.desc(), _D.id.desc()).limit(limit + 1)
    found = [WebhookDelivery(**row._mapping) for row in await conn.execute(statement)]
    page, more = found[:limit], len(found) > limit
    return Page(page, (page[-1].created_at, page[-1].id) if more else None)


async def attempts(conn: AsyncConnection, delivery_ids: Sequence[str]) -> dict[str, list[Attempt]]:
    """Of each delivery, oldest first."""
    found: dict[str, list[Attempt]] = {delivery_id: [] for delivery_id in delivery_ids}
    statement = select(*_ATTEMPT).where(_A.delivery_id.in_(delivery_ids)).order_by(_A.round, _A.number)
    for row in await conn.execute(statement):
        found[row.delivery_id].append(Attempt(**row._mapping))
    return found


async def parcel(conn: AsyncConnection, box: SecretBox, given: WebhookDelivery, *, now: datetime) -> Parcel | None:
    """What to send; None: its endpoint is disabled or removed."""
    try:
        to = await endpoints.endpoint(conn, given.endpoint_id)
    except NotFound:
        return None
    if to.disabled_at is not None and given.kind is not EventKind.PING:
        return None
    body = await _body(conn, given)
    return Parcel(to.id, to.url, body, tuple(await endpoints.secrets(conn, box, to.id, now=now)))


async def _body(conn: AsyncConnection, given: WebhookDelivery) -> dict[str, JsonValue]:
    if given.event_id is None:
        at = given.created_at.isoformat()
        return {"id": given.id, "type": given.kind, "timestamp": at, "data": {"endpoint_id": given.endpoint_id}}
    row = (await conn.execute(select(events).where(events.c.id == given.event_id))).one()
    return Told(**row._mapping).message()
