"""One attempt to hand an event to an endpoint, and its line in the log."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook
from temporalio import activity

from activities.webhook_endpoint import GONE, EndpointDoor
from models.secret_box import SecretBox
from models.webhook_delivery import queries, writes
from models.webhook_delivery.states import DeliveryStatus
from models.webhook_delivery.types import Attempt, AttemptNews, AttemptOrder, Parcel, Verdict

AT_ONCE_MOST = 20
AT_ONCE_MOST_EACH = 4
"""In one process, to all and to one endpoint: slow ones must not take the places of those who pay."""
USER_AGENT = "Liquida-Webhooks"


class WebhookDeliveryActivities:
    """:param disable_after: an endpoint that has taken nothing for so long is disabled."""

    def __init__(self, engine: AsyncEngine, box: SecretBox, door: EndpointDoor, *, disable_after: timedelta) -> None:
        self._engine = engine
        self._box = box
        self._door = door
        self._disable_after = disable_after
        self._out: Counter[str] = Counter()

    @activity.defn(name="webhook_delivery.attempt")
    async def attempt(self, order: AttemptOrder) -> AttemptNews:
        """Send it, unless it has arrived; a second call with the same number may send it again, under the same id."""
        now = datetime.now(UTC)
        async with self._engine.begin() as conn:
            delivery = await queries.delivery(conn, order.delivery_id)
            if delivery.status is not DeliveryStatus.PENDING or delivery.round != order.round:
                return AttemptNews(Verdict.OVER)
            parcel = await queries.parcel(conn, self._box, delivery, now=now)
            if parcel is None:
                await writes.give_up(conn, order.delivery_id, round_=order.round)
                return AttemptNews(Verdict.OVER)
        with self._place(parcel.endpoint_id) as is_free:
            return await self._send(order, parcel, now) if is_free else AttemptNews(Verdict.BUSY)

    async def _send(self, order: AttemptOrder, parcel: Parcel, now: datetime) -> AttemptNews:
        body = orjson.dumps(parcel.body)
        reply = await self._door.post(parcel.url, _headers(order.delivery_id, now, body, parcel.secrets), body)
        attempt = Attempt(
            delivery_id=order.delivery_id,
            round=order.round,
            number=order.number,
            at=now,
            status_code=reply.status_code,
            duration_ms=reply.duration_ms,
            error=reply.error,
        )
        async with self._engine.begin() as conn:
            status = await writes.record(
                conn,
                attempt,
                is_last=order.is_last,
                is_gone=reply.status_code == GONE,
                disable_after=self._disable_after,
            )
        is_over = status is not DeliveryStatus.PENDING
        return AttemptNews(Verdict.OVER if is_over else Verdict.AGAIN, reply.retry_after_seconds)

    @contextmanager
    def _place(self, endpoint_id: str) -> Iterator[bool]:
        if self._out.total() >= AT_ONCE_MOST or self._out[endpoint_id] >= AT_ONCE_MOST_EACH:
            yield False
            return
        self._out[endpoint_id] += 1
        try:
            yield True
        finally:
            self._out[endpoint_id] -= 1
            self._out += Counter()  # forgets who has none left


def _headers(delivery_id: str, now: datetime, body: bytes, secrets: tuple[str, ...]) -> dict[str, str]:
    signatures = (Webhook(secret).sign(delivery_id, now, body.decode()) for secret in secrets)
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
