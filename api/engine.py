"""The one way in which anything of ours reaches Temporal: messages from the outbox, delivered at least once."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from models.outbox import Message, MessageKind

log = structlog.get_logger()
QUEUE = "settlement"


@dataclass(frozen=True, slots=True)
class Defaults:
    """This installation's terms and waits, as JSON, for messages whose writer could not know them."""

    terms: dict[str, JsonValue]
    waits: dict[str, JsonValue]


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
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def deliver(
    engine: AsyncEngine, client: Client, defaults: Defaults, *, most: int = 100, ids: Sequence[int] | None = None
) -> int:
    """Deliver due messages of the outbox (only ``ids``, if given), and say how many went out.

    What Temporal does not take now is tried again later, so a closed door loses nothing.
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
        await outbox.mark_sent(conn, sent)
        await outbox.postpone(conn, failed)
    return len(sent)


async def _send(client: Client, message: Message, defaults: Defaults) -> None:
    if message.kind is MessageKind.START:
        await start_once(client, message, defaults)
        return
    try:
        await client.get_workflow_handle(message.workflow_id).signal("look")
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def _pair(name: str, value: str | int) -> SearchAttributePair[Any]:
    if isinstance(value, int):
        return SearchAttributePair(SearchAttributeKey.for_int(name), value)
    return SearchAttributePair(SearchAttributeKey.for_keyword(name), value[:255])
