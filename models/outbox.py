"""The outbox: messages to Temporal, committed together with the rows they are about.

The relay (``liquida/relay.py``) delivers them, in order of their ids where it can, at least once.
"""

from dataclasses import field
from datetime import timedelta
from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass
from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    String,
    Table,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from models.base import metadata, timestamp

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("workflow_id", String(200), nullable=False),
    Column("body", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    timestamp("created_at"),
    timestamp("due_at"),
    timestamp("sent_at", nullable=True),
    Index("ix_outbox_unsent", "id", postgresql_where=text("sent_at IS NULL")),
)


class MessageKind(StrEnum):
    START = "start"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Message:
    """``START``: run ``workflow`` with ``input`` under ``workflow_id``, once for ever. ``LOOK``: a fact changed.

    ``attributes``: Temporal search attributes. All of it is readable to operators: ids and amounts only.
    """

    kind: MessageKind
    workflow_id: str
    workflow: str = ""
    input: JsonValue = None
    summary: str = ""
    attributes: dict[str, str | int] = field(default_factory=dict)
    id: int = 0


def look(workflow_id: str) -> Message:
    return Message(MessageKind.LOOK, workflow_id)


async def put(conn: AsyncConnection, *messages: Message) -> list[int]:
    """Write messages into the caller's transaction; their ids, for an eager delivery after its commit."""
    if not messages:
        return []
    rows = [
        {
            "kind": message.kind,
            "workflow_id": message.workflow_id,
            "body": {
                "workflow": message.workflow,
                "input": message.input,
                "summary": message.summary,
                "attributes": message.attributes,
            },
        }
        for message in messages
    ]
    result = await conn.execute(insert(outbox).values(rows).returning(outbox.c.id))
    return [int(row.id) for row in result]


async def take(conn: AsyncConnection, *, most: int, ids: list[int] | None = None) -> list[Message]:
    """Lock up to ``most`` due messages that nobody else is delivering, oldest first."""
    statement = (
        select(outbox.c.id, outbox.c.kind, outbox.c.workflow_id, outbox.c.body)
        .where(outbox.c.sent_at.is_(None), outbox.c.due_at <= func.now())
        .order_by(outbox.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    if ids is not None:
        statement = statement.where(outbox.c.id.in_(ids))
    return [
        Message(kind=row.kind, workflow_id=row.workflow_id, id=row.id, **row.body)
        for row in (await conn.execute(statement)).all()
    ]


async def mark_sent(conn: AsyncConnection, ids: list[int]) -> None:
    if ids:
        await conn.execute(update(outbox).where(outbox.c.id.in_(ids)).values(sent_at=func.now()))


async def postpone(conn: AsyncConnection, ids: list[int]) -> None:
    """Try these again later: 1 s, doubled each time, at most a minute."""
    if ids:
        seconds = func.least(60, func.power(2, func.least(outbox.c.attempts, 6)))
        delay = seconds * text("interval '1 second'")
        await conn.execute(
            update(outbox)
            .where(outbox.c.id.in_(ids))
            .values(attempts=outbox.c.attempts + 1, due_at=func.now() + delay)
        )


async def waiting(conn: AsyncConnection) -> tuple[int, float]:
    """How many messages are not delivered yet, and the age of the oldest in seconds."""
    age = func.extract("epoch", func.now() - func.min(outbox.c.created_at))
    statement = select(func.count(), func.coalesce(age, 0)).where(outbox.c.sent_at.is_(None))
    count, seconds = (await conn.execute(statement)).one()
    return int(count), float(seconds)


async def forget(conn: AsyncConnection, *, older_than: timedelta) -> int:
    """Delete messages delivered longer ago than that; how many."""
    limit = func.now() - bindparam("age", older_than)
    result = await conn.execute(outbox.delete().where(outbox.c.sent_at < limit))
    return result.rowcount
