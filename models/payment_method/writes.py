"""Seal and keep where a user is paid by other users. Nothing changes under a payment that may be on its way."""

import hmac
import json
from typing import Any

from sqlalchemy import Row, any_, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.document import queries as documents
from models.errors import DocumentMissing, InUse, LimitExceeded, NotTheHolder
from models.ids import new_id
from models.p2p_order.states import OrderStatus
from models.p2p_order.tables import p2p_orders
from models.p2p_trade.tables import p2p_trades
from models.payment_method import queries
from models.payment_method.rules import METHODS_MOST
from models.payment_method.tables import payment_methods
from models.payment_method.types import MethodDraft, PaymentMethod
from models.secret_box import SecretBox, tax_id_fingerprint
from models.user import writes as users

_M = payment_methods.c


async def add(conn: AsyncConnection, box: SecretBox, *, user_id: str, draft: MethodDraft) -> PaymentMethod:
    """:raises DocumentMissing: no operator has verified the user's document yet.
    :raises NotTheHolder: the account belongs to somebody else.
    :raises LimitExceeded: the user has too many.
    """
    await users.lock(conn, user_id)
    fingerprint = await _own(conn, box, user_id, draft)
    live = select(func.count()).where(_M.user_id == user_id, _M.removed_at.is_(None))
    if (await conn.execute(live)).scalar_one() >= METHODS_MOST:
        raise LimitExceeded(f"you have {METHODS_MOST} payment methods; remove one first")
    row_id = new_id()
    row = await conn.execute(
        insert(payment_methods)
        .values(id=row_id, user_id=user_id, **_sealed(box, row_id, draft, fingerprint))
        .returning(payment_methods)
    )
    return queries.opened(box, row.one())


async def change(
    conn: AsyncConnection, box: SecretBox, *, method_id: str, user_id: str, draft: MethodDraft
) -> PaymentMethod:
    """Its label can always change; the account only while nothing has named it.

    :raises NotFound: not this user's, or removed.
    :raises InUse: a trade was or is to be paid there, or an order names it.
    :raises DocumentMissing: no operator has verified the user's document.
    :raises NotTheHolder: the account belongs to somebody else.
    """
    row = await queries.own_row(conn, method_id=method_id, user_id=user_id, lock=True)
    known = queries.opened(box, row)
    if (known.kind, known.details) == (draft.kind, draft.details):
        values: dict[str, Any] = {"label": draft.label}
    else:
        await _refuse_used(conn, row, "changed")
        if (await conn.execute(select(exists().where(p2p_trades.c.method_id == method_id)))).scalar_one():
            raise InUse("trades were paid there and remember it; add another payment method, and remove this one")
        values = _sealed(box, method_id, draft, await _own(conn, box, user_id, draft))
    changed = update(payment_methods).where(_M.id == method_id).values(values).returning(payment_methods)
    return queries.opened(box, (await conn.execute(changed)).one())


async def remove(conn: AsyncConnection, *, method_id: str, user_id: str) -> None:
    """The row stays, for the trades that were paid there.

    :raises NotFound: not this user's, or removed before.
    :raises InUse: a trade is to be paid there, or an order names it.
    """
    row = await queries.own_row(conn, method_id=method_id, user_id=user_id, lock=True)
    await _refuse_used(conn, row, "removed")
    await conn.execute(update(payment_methods).where(_M.id == method_id).values(removed_at=func.now()))


async def _refuse_used(conn: AsyncConnection, row: Row[Any], what: str) -> None:
    t, o = p2p_trades.c, p2p_orders.c
    live = select(exists().where(t.method_id == row.id, t.ended_at.is_(None)))
    if (await conn.execute(live)).scalar_one():
        raise InUse(f"a trade is to be paid there; it cannot be {what} before that trade has ended")
    named = select(o.id).where(o.user_id == row.user_id, o.status != OrderStatus.CLOSED, any_(o.method_ids) == row.id)
    order = (await conn.execute(named.limit(1))).scalar_one_or_none()
    if order is not None:
        raise InUse(f"your order {order} names it; take it out of the order, or close that, before it is {what}")


async def _own(conn: AsyncConnection, box: SecretBox, user_id: str, draft: MethodDraft) -> bytes:
    """The fingerprint of the user's verified tax id, which is also the holder's as far as the details tell."""
    document = await documents.fingerprint_of(conn, user_id)
    if document is None:
        raise DocumentMissing(
            f"your document is not verified yet; an operator does that: PUT /api/v1/users/{user_id}/document"
        )
    if draft.tax_id is not None and not hmac.compare_digest(document, tax_id_fingerprint(box, draft.tax_id)):
        raise NotTheHolder(
            "this CPF or CNPJ is not the one of your verified document; name an account of your own",
            field=draft.tax_id_field,
        )
    return document


def _sealed(box: SecretBox, row_id: str, draft: MethodDraft, fingerprint: bytes) -> dict[str, Any]:
    details = json.dumps(draft.details, ensure_ascii=False, sort_keys=True)
    return {
        "kind": draft.kind,
        "label": draft.label,
        "details_sealed": box.seal(details, place=queries.place(row_id)),
        "tax_id_fingerprint": fingerprint,
    }
