"""Reads of payment methods. Their details are opened for their owner, and for the other side of a live trade."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.payment_method.tables import payment_methods
from models.payment_method.types import MethodKind, PaymentMethod
from models.secret_box import SecretBox

_M = payment_methods.c


def place(method_id: str) -> str:
    """Where the sealed details of a method open."""
    return f"payment_methods/{method_id}/details"


def opened(box: SecretBox, row: Row[Any]) -> PaymentMethod:
    details: dict[str, str] = json.loads(box.open(row.details_sealed, place=place(row.id)))
    return PaymentMethod(
        row.id, row.user_id, MethodKind(row.kind), row.label, details, row.created_at, row.removed_at
    )


async def clear(conn: AsyncConnection, box: SecretBox, method_id: str) -> PaymentMethod:
    """One method, removed or not, opened: for the other side of a live trade that names it, and nobody else.

    Its label is its owner's alone, and not to be shown with it.
    """
    return opened(box, (await conn.execute(select(payment_methods).where(_M.id == method_id))).one())


async def of_user(conn: AsyncConnection, box: SecretBox, user_id: str) -> list[PaymentMethod]:
    """Oldest first."""
    statement = (
        select(payment_methods).where(_M.user_id == user_id, _M.removed_at.is_(None)).order_by(_M.created_at, _M.id)
    )
    return [opened(box, row) for row in await conn.execute(statement)]


async def one(conn: AsyncConnection, box: SecretBox, *, method_id: str, user_id: str) -> PaymentMethod:
    """:raises NotFound: not this user's, or removed."""
    return opened(box, await own_row(conn, method_id=method_id, user_id=user_id))


async def own_row(conn: AsyncConnection, *, method_id: str, user_id: str, lock: bool = False) -> Row[Any]:
    """:param lock: nobody can begin to use it until the caller's transaction ends.
    :raises NotFound: not this user's, or removed.
    """
    statement = select(payment_methods).where(_M.id == method_id, _M.user_id == user_id, _M.removed_at.is_(None))
    # Not the weaker lock: a new trade's or order's look at the row must wait.
    row = (await conn.execute(statement.with_for_update() if lock else statement)).first()
    if row is None:
        raise NotFound("you have no payment method with this id; add it first", field="method_id")
    return row


async def require(
    conn: AsyncConnection, *, user_id: str, method_ids: Sequence[str], fingerprint: bytes | None, field: str
) -> list[MethodKind]:
    """The kinds of these methods, which stay as they are until the caller's transaction ends.

    :param fingerprint: of the user's verified tax id; methods of another holder count as absent.
    :raises NotFound: one of them is not this user's, or removed, or was added under another document.
    """
    statement = (
        select(_M.id, _M.kind, _M.tax_id_fingerprint)
        .where(_M.id.in_(method_ids), _M.user_id == user_id, _M.removed_at.is_(None))
        .order_by(_M.id)
        .with_for_update(read=True, key_share=True)
    )
    rows = (await conn.execute(statement)).all()
    if len(rows) != len(set(method_ids)) or any(row.tax_id_fingerprint != fingerprint for row in rows):
        raise NotFound("you have no payment method with this id that is in your own name", field=field)
    return [MethodKind(row.kind) for row in rows]
