"""Deliveries come from events, once each; are tried; and are sent again where their owner asks for it."""

from datetime import timedelta

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.errors import IllegalTransition
from models.event import queries as event_queries
from models.event.tables import events
from models.event.types import EventKind
from models.event.wake import wake
from models.ids import new_id
from models.outbox import put
from models.webhook_delivery import messages, queries
from models.webhook_delivery.states import DeliveryStatus
from models.webhook_delivery.tables import webhook_attempts, webhook_cursor, webhook_deliveries
from models.webhook_delivery.types import Attempt, SendingPlan, WebhookDelivery
from models.webhook_endpoint import queries as endpoint_queries
from models.webhook_endpoint import writes as endpoints
from models.webhook_endpoint.tables import webhook_endpoints
from models.webhook_endpoint.types import DisabledReason, WebhookEndpoint

_D = webhook_deliveries.c


async def fan_out(conn: AsyncConnection, plan: SendingPlan, *, most: int) -> bool:
    """Make a delivery, and its workflow's start, of each of the next events for each endpoint that wants it.

    The cursor moves in the caller's one transaction with them, so a crash neither loses nor doubles any. Of many at
    once, one works. Whoever follows events is woken by the same commit.
    :returns: whether there may be more to do at once.
    """
    cursor = select(webhook_cursor.c.event_id).with_for_update(skip_locked=True)
    after: int | None = (await conn.execute(cursor)).scalar_one_or_none()
    if after is None:
        return False
    until = await event_queries.horizon(conn)
    if until <= after:
        return False
    reached = min(until, after + most)
    await _make(conn, plan, after=after, until=reached)
    await conn.execute(update(webhook_cursor).values(event_id=reached))
    await wake(conn)
    return reached < until


async def ping(conn: AsyncConnection, to: WebhookEndpoint, plan: SendingPlan) -> tuple[WebhookDelivery, list[int]]:
    """A message of no event, to try an endpoint: one attempt. And the outbox rows to deliver after the commit."""
    row = {"id": new_id(), "endpoint_id": to.id, "kind": EventKind.PING}
    await conn.execute(insert(webhook_deliveries).values(row))
    once = SendingPlan((), plan.retry_after_most_seconds)
    sent = await put(conn, messages.start(row["id"], 1, once, user_id=to.user_id))
    return await queries.delivery(conn, row["id"]), sent


async def redeliver(
    conn: AsyncConnection, delivery_id: str, plan: SendingPlan, *, user_id: str
) -> tuple[WebhookDelivery, list[int]]:
    """Send it again, with all attempts; and the outbox rows to deliver after the commit.

    :raises NotFound: none, or somebody else's.
    :raises IllegalTransition: it is still being sent, or its endpoint is disabled.
    """
    found = await queries.delivery(conn, delivery_id, user_id=user_id, lock=True)
    to = await endpoint_queries.endpoint(conn, found.endpoint_id)
    if found.status is DeliveryStatus.PENDING:
        raise IllegalTransition("it is still being sent")
    if to.disabled_at is not None:
        raise IllegalTransition("its endpoint is disabled; enable it first")
    changed = await _move(conn, found, DeliveryStatus.PENDING, round_=found.round + 1)
    return changed, await put(conn, messages.start(found.id, changed.round, plan, user_id=user_id))


async def record(
    conn: AsyncConnection, attempt: Attempt, *, is_last: bool, is_gone: bool, disable_after: timedelta
) -> DeliveryStatus:
    """An attempt's end, once; the delivery's status afterwards. What another call recorded meanwhile stands."""
    found = await queries.delivery(conn, attempt.delivery_id, lock=True)
    row = {name: getattr(attempt, name) for name in Attempt.__dataclass_fields__}
    fresh = upsert(webhook_attempts).values(row).on_conflict_do_nothing().returning(webhook_attempts.c.id)
    is_fresh = (await conn.execute(fresh)).first() is not None
    if not is_fresh or found.status is not DeliveryStatus.PENDING or found.round != attempt.round:
        return found.status
    is_taken = attempt.error is None
    if found.kind is not EventKind.PING:
        await endpoints.note(conn, found.endpoint_id, is_taken=is_taken, now=attempt.at, disable_after=disable_after)
    if is_gone:
        await endpoints.disable(conn, found.endpoint_id, DisabledReason.GONE)
    if is_taken or is_last or is_gone:
        found = await _move(conn, found, DeliveryStatus.DELIVERED if is_taken else DeliveryStatus.FAILED)
    return found.status


async def give_up(conn: AsyncConnection, delivery_id: str, *, round_: int) -> None:
    """There is nowhere to send it any more."""
    found = await queries.delivery(conn, delivery_id, lock=True)
    if found.status is DeliveryStatus.PENDING and found.round == round_:
        await _move(conn, found, DeliveryStatus.FAILED)


async def _make(conn: AsyncConnection, plan: SendingPlan, *, after: int, until: int) -> None:
    e, w = events.c, webhook_endpoints.c
    statement = (
        select(e.id.label("event_id"), e.kind, w.id.label("endpoint_id"), w.user_id)
        .join(webhook_endpoints, or_(w.user_id == e.user_id, e.user_id.is_(None)))
        .where(e.id > after, e.id <= until, e.id > w.after_event, e.kind == func.any(w.kinds))
        .where(w.disabled_at.is_(None), w.removed_at.is_(None))
        .order_by(e.id, w.id)
    )
    wanted = [dict(row._mapping) | {"id": new_id()} for row in await conn.execute(statement)]
    if wanted:
        rows = [{name: value for name, value in row.items() if name != "user_id"} for row in wanted]
        await conn.execute(insert(webhook_deliveries).values(rows))
        await put(conn, *(messages.start(row["id"], 1, plan, user_id=row["user_id"]) for row in wanted))


async def _move(
    conn: AsyncConnection, found: WebhookDelivery, to: DeliveryStatus, *, round_: int | None = None
) -> WebhookDelivery:
    transitions.check("webhook_delivery", found.status, to)
    statement = (
        update(webhook_deliveries)
        .where(_D.id == found.id)
        .values(status=to, round=round_ or found.round, updated_at=func.now())
        .returning(*webhook_deliveries.columns)
    )
    return WebhookDelivery(**(await conn.execute(statement)).one()._mapping)
