"""The one way in which anything of ours reaches Temporal: messages from the outbox, delivered at least once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from models import outbox
from models.errors import EngineUnavailable
from models.outbox import Message, MessageKind

log = structlog.get_logger()
QUEUE = "settlement"
RPC_TIMEOUT = timedelta(seconds=5)
AWAY = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
CONNECT_SECONDS_MOST = 3.0
SULK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Defaults:
    """This installation's terms and waits, as JSON, for messages whose writer could not know them."""

    terms: dict[str, JsonValue]
    waits: dict[str, JsonValue]


class LazyClient:
    """A Temporal client that connects when it is first needed, so that the API starts and accepts without it.

    Callers share one attempt; for a second after a failed one, all are refused without another.
    """

    def __init__(self, connect: Callable[[], Awaitable[Client]]) -> None:
        self._connect = connect
        self._client: Client | None = None
        self._lock = asyncio.Lock()
        self._refuse_until = 0.0

    async def __call__(self) -> Client:
        """:raises EngineUnavailable: no connection within three seconds."""
        if self._client is not None:
            return self._client
        async with self._lock:
            if self._client is None:
                self._client = await self._first()
        return self._client

    async def _first(self) -> Client:
        if time.monotonic() < self._refuse_until:
            raise EngineUnavailable("Temporal did not answer a moment ago; try again shortly")
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MOST):
                return await self._connect()
        except (RPCError, RuntimeError, OSError) as error:
            self._refuse_until = time.monotonic() + SULK_SECONDS
            log.warning("temporal.not_reached", error=type(error).__name__)
            raise EngineUnavailable("Temporal does not answer; try again shortly") from error


async def start_once(client: Client, message: Message, defaults: Defaults) -> bool:
    """Start the workflow unless this id ran before, running *or closed*. True if this call started it.

    Temporal's default starts a closed id again, and forgets it after the retention period: the rows in
    PostgreSQL are the lasting guard, this is the second one.
    """
    order = message.input
    if isinstance(order, dict):
        order = {"terms": defaults.terms, "waits": defaults.waits, **order}
    try:
        await client.start_workflow(
            message.workflow,
            order,
            id=message.workflow_id,
            task_queue=QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=message.summary or None,
            search_attributes=TypedSearchAttributes([_pair(*item) for item in message.attributes.items()]),
            rpc_timeout=RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def deliver(
    engine: AsyncEngine, client: Client, defaults: Defaults, *, most: int = 100, ids: Sequence[int] | None = None
) -> int:
    """Deliver due messages of the outbox (only ``ids``, if given), and say how many went out.

    What Temporal does not take now is tried again later, so a closed door loses nothing; where it does not
    answer at all, the rest of the batch is not tried, so that no row stays locked for long.
    """
    async with engine.begin() as conn:
        messages = await outbox.take(conn, most=most, ids=None if ids is None else list(ids))
        sent: list[int] = []
        failed: list[int] = []
        for message in messages:
            try:
                await _send(client, message, defaults)
                sent.append(message.id)
            except RPCError as error:
                log.warning("outbox.not_delivered", workflow_id=message.workflow_id, status=error.status.name)
                failed.append(message.id)
                if error.status in AWAY:
                    break
        await outbox.mark_sent(conn, sent)
        await outbox.postpone(conn, failed)
    return len(sent)


async def _send(client: Client, message: Message, defaults: Defaults) -> None:
    if message.kind is MessageKind.START:
        await start_once(client, message, defaults)
        return
    try:
        await client.get_workflow_handle(message.workflow_id).signal("look", rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def _pair(name: str, value: str | int) -> SearchAttributePair[Any]:
    if isinstance(value, int):
        return SearchAttributePair(SearchAttributeKey.for_int(name), value)
    return SearchAttributePair(SearchAttributeKey.for_keyword(name), value[:255])
