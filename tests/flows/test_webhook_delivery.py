"""A user's program is told of events through the whole system: fan-out, outbox, Temporal, HTTP."""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.webhook_delivery import AT_ONCE_MOST_EACH, WebhookDeliveryActivities
from activities.webhook_endpoint import EndpointDoor
from api.engine import Defaults, deliver
from liquida.stack.temporal import Temporal
from liquida.wiring import QueueParts
from liquida.worker import worker_for
from models.event.types import Event, EventKind
from models.event.writes import tell
from models.webhook_delivery import queries, writes
from models.webhook_delivery.states import DeliveryStatus
from models.webhook_delivery.types import Attempt, SendingPlan, WebhookDelivery
from models.webhook_endpoint import queries as endpoint_queries
from models.webhook_endpoint import writes as endpoints
from tests.flows.test_replay_and_privacy import RECORDED, replayer
from tests.models.world import BOX, World
from tests.payments.receiver import Received, Receiver
from workflows.options import PAYMENTS, SETTLEMENT

PLAN = SendingPlan((0.01,) * 9, 0.05)
SECONDS = 20


@dataclass
class Post:
    """A user with an endpoint, and all parts between an event and it."""

    world: World
    client: Client
    receiver: Receiver
    secret: str = ""
    endpoint_id: str = ""
    plan: SendingPlan = field(default_factory=lambda: PLAN)

    async def open(self) -> None:
        async with self.world.engine.begin() as conn:
            kinds = [EventKind.P2P_MESSAGE]
            found, self.secret = await endpoints.add(
                conn, BOX, user_id=self.world.user_id, url=self.receiver.url, kinds=kinds, description=""
            )
        self.endpoint_id = found.id

    async def say(self, name: str) -> WebhookDelivery:
        """Tell an event, and bring its delivery on its way."""
        async with self.world.engine.begin() as conn:
            await tell(conn, Event(EventKind.P2P_MESSAGE, self.world.user_id, {"key": name}))
        async with self.world.engine.begin() as conn:
            await writes.fan_out(conn, self.plan, most=500)
        await self.carry()
        async with self.world.engine.connect() as conn:
            page = await queries.of_endpoint(conn, self.endpoint_id, status=None, limit=1, cursor=None)
        return page.deliveries[0]

    async def carry(self) -> None:
        await deliver(self.world.engine, self.client, Defaults({}, {}))

    async def ended(self, delivery: WebhookDelivery) -> tuple[DeliveryStatus, list[Attempt]]:
        async def has_ended() -> bool:
            async with self.world.engine.connect() as conn:
                found = await queries.delivery(conn, delivery.id)
                return found.status is not DeliveryStatus.PENDING

        await eventually(has_ended)
        async with self.world.engine.connect() as conn:
            attempts = (await queries.attempts(conn, [delivery.id]))[delivery.id]
            return (await queries.delivery(conn, delivery.id)).status, attempts


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    give_up = time.monotonic() + SECONDS
    while not await holds():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)


@pytest.fixture
async def post(world: World, temporal_server: Temporal) -> AsyncIterator[Post]:
    client = await Client.connect(
        temporal_server.address, namespace="liquida", data_converter=pydantic_data_converter
    )
    door = EndpointDoor(allow_private=True, seconds_most=0.5)
    activities = WebhookDeliveryActivities(world.engine, BOX, door, disable_after=timedelta(days=5))
    with Receiver() as receiver:
        async with (
            worker_for(client, SETTLEMENT, QueueParts([])),
            worker_for(client, PAYMENTS, QueueParts([activities.attempt])),
        ):
            made = Post(world, client, receiver)
            await made.open()
            yield made


def failing(times: int, status: int = 500) -> Callable[[Received], int]:
    left = iter([status] * times)
    return lambda _: next(left, 200)


class TestDelivery:
    async def test_brings_an_event_with_a_signature_that_the_library_verifies(self, post: Post) -> None:
        delivery = await post.say("one")
        status, attempts = await post.ended(delivery)

        (got,) = post.receiver.received
        message: Any = Webhook(post.secret).verify(got.body, got.headers)
        assert ("p2p_message", {"key": "one"}, delivery.id) == (message["type"], message["data"], got.id)
        assert str(delivery.event_id) == message["id"]
        assert DeliveryStatus.DELIVERED is status
        assert [(1, 200, None)] == [(one.number, one.status_code, one.error) for one in attempts]
        with pytest.raises(WebhookVerificationError):
            Webhook(post.secret).verify(got.body + b" ", got.headers)

    async def test_is_tried_until_it_is_taken_always_under_one_id(self, post: Post) -> None:
        post.receiver.answer = failing(3)

        delivery = await post.say("one")
        status, attempts = await post.ended(delivery)

        assert (DeliveryStatus.DELIVERED, {delivery.id}) == (status, {one.id for one in post.receiver.received})
        assert [500, 500, 500, 200] == [one.status_code for one in attempts]
        assert 1 == len({one.body for one in post.receiver.received})

    async def test_gives_up_after_ten_attempts_and_is_sent_again_on_request(self, post: Post) -> None:
        post.receiver.answer = failing(10, 503)
        delivery = await post.say("one")
        failed, attempts = await post.ended(delivery)
        async with post.world.engine.begin() as conn:
            again, _ = await writes.redeliver(conn, delivery.id, PLAN, user_id=post.world.user_id)
        await post.carry()
        delivered, log = await post.ended(again)

        assert (DeliveryStatus.FAILED, list(range(1, 11))) == (failed, [one.number for one in attempts])
        assert DeliveryStatus.DELIVERED is delivered
        assert (2, 1, 200) == (log[-1].round, log[-1].number, log[-1].status_code)
        assert {delivery.id} == {one.id for one in post.receiver.received}

    async def test_is_tried_again_after_an_answer_that_came_too_late(self, post: Post) -> None:
        slow = iter([0.8])

        def answer(_: Received) -> int:
            time.sleep(next(slow, 0))
            return 200

        post.receiver.answer = answer

        _, attempts = await post.ended(await post.say("one"))

        assert ["timeout", None] == [one.error for one in attempts]

    async def test_waits_as_long_as_it_is_asked_to_within_reason(self, post: Post) -> None:
        post.plan = SendingPlan((0.01, 0.01), 0.4)
        post.receiver.answer = failing(1, 429)
        post.receiver.more = {"retry-after": "3600"}

        _, attempts = await post.ended(await post.say("one"))

        assert 0.4 <= (attempts[1].at - attempts[0].at).total_seconds() < 10

    async def test_to_an_endpoint_that_is_gone_ends_and_disables_it(self, post: Post) -> None:
        post.receiver.answer = failing(99, 410)

        status, attempts = await post.ended(await post.say("one"))

        async with post.world.engine.connect() as conn:
            found = await endpoint_queries.endpoint(conn, post.endpoint_id)
        assert (DeliveryStatus.FAILED, 1, "gone") == (status, len(attempts), found.disabled_reason)

    async def test_stops_where_its_endpoint_is_removed_meanwhile(self, post: Post) -> None:
        post.plan = SendingPlan((0.3,) * 9, 1)
        post.receiver.answer = failing(99)
        delivery = await post.say("one")

        async def is_tried() -> bool:
            return bool(post.receiver.received)

        await eventually(is_tried)
        async with post.world.engine.begin() as conn:
            await endpoints.remove(conn, post.endpoint_id, user_id=post.world.user_id)
        status, attempts = await post.ended(delivery)

        assert DeliveryStatus.FAILED is status
        assert len(attempts) < 10

    async def test_is_signed_with_both_secrets_for_a_day_after_a_rotation(self, post: Post) -> None:
        async with post.world.engine.begin() as conn:
            _, new = await endpoints.rotate(
                conn, BOX, post.endpoint_id, user_id=post.world.user_id, now=datetime.now(UTC)
            )
        await post.ended(await post.say("one"))

        (got,) = post.receiver.received
        for secret in (post.secret, new):
            Webhook(secret).verify(got.body, got.headers)
        assert 2 == len(got.headers["webhook-signature"].split())

    async def test_of_a_ping_is_tried_once(self, post: Post) -> None:
        post.receiver.answer = failing(9)
        async with post.world.engine.begin() as conn:
            to = await endpoint_queries.endpoint(conn, post.endpoint_id)
            ping, _ = await writes.ping(conn, to, PLAN)
        await post.carry()

        status, attempts = await post.ended(ping)

        (got,) = post.receiver.received
        assert (DeliveryStatus.FAILED, 1, "ping") == (status, len(attempts), got.type)

    async def test_to_a_slow_endpoint_takes_few_places_at_once(self, post: Post) -> None:
        now, most = 0, 0

        def answer(_: Received) -> int:
            nonlocal now, most
            now += 1
            most = max(most, now)
            time.sleep(0.2)
            now -= 1
            return 200

        post.receiver.answer = answer
        async with post.world.engine.begin() as conn:
            await tell(conn, *(Event(EventKind.P2P_MESSAGE, post.world.user_id, {}) for _ in range(11)))
        await post.say("the last one")
        async with post.world.engine.connect() as conn:
            page = await queries.of_endpoint(conn, post.endpoint_id, status=None, limit=100, cursor=None)
        statuses = [(await post.ended(delivery))[0] for delivery in page.deliveries]

        assert [DeliveryStatus.DELIVERED] * 12 == statuses
        assert 1 < most <= AT_ONCE_MOST_EACH

    async def test_leaves_a_history_that_replays_and_tells_nothing(self, post: Post) -> None:
        post.receiver.answer = failing(2)
        delivery = await post.say("a name that is nobody's business")
        await post.ended(delivery)
        handle = post.client.get_workflow_handle(f"webhook/{delivery.id}")
        assert 3 == await handle.result()

        history = await handle.fetch_history()

        await replayer().replay_workflow(history)
        told = history.to_json()
        for secret in ("nobody's business", post.receiver.url, post.secret):
            assert secret not in told
        if os.environ.get("LIQUIDA_RECORD_HISTORIES"):
            anonymous = re.sub(r'"\d+@[\w.-]+"', '"worker"', told)
            file: Path = RECORDED / "taken-at-last--webhook.json"
            file.write_text(json.dumps(json.loads(anonymous), indent=1) + "\n")
