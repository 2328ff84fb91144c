"""One request, one effect: the lasting guard behind the ``Idempotency-Key`` header."""

import hashlib

from pydantic import JsonValue
from pydantic.dataclasses import dataclass
from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, String, Table, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.base import metadata, timestamp
from models.errors import IdempotencyMismatch

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", String(32), ForeignKey("users.id"), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("request_hash", LargeBinary(32), nullable=False, comment="SHA-256 of method, path and body"),
    Column("status", Integer, comment="null: accepted, its answer not known yet"),
    Column("answer", JSONB),
    timestamp("created_at"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: JsonValue


def request_hash(method: str, path: str, body: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), body))).digest()


async def claim(conn: AsyncConnection, *, user_id: str, key: str, request: bytes) -> Answer | None:
    """Take the key for this request, or find the first request's answer.

    A second request with the same key waits here until the first one's transaction ends.
    None: go on (first time, or the first one ended without a known answer).
    :raises IdempotencyMismatch: the key belongs to another request.
    """
    statement = (
        insert(idempotency_keys)
        .values(user_id=user_id, key=key, request_hash=request)
        .on_conflict_do_nothing()
        .returning(idempotency_keys.c.key)
    )
    if (await conn.execute(statement)).first() is not None:
        return None
    known = select(idempotency_keys).where(idempotency_keys.c.user_id == user_id, idempotency_keys.c.key == key)
    row = (await conn.execute(known)).one()
    if row.request_hash != request:
        raise IdempotencyMismatch("use a new Idempotency-Key for a new request", field="Idempotency-Key")
    return None if row.status is None else Answer(row.status, row.answer)


async def answer(conn: AsyncConnection, *, user_id: str, key: str, status: int, body: JsonValue) -> None:
    """Store what the first request was told, for every repetition of it."""
    await conn.execute(
        update(idempotency_keys)
        .where(idempotency_keys.c.user_id == user_id, idempotency_keys.c.key == key)
        .values(status=status, answer=body)
    )
