"""Make, change, pause and close an order. Trades that run keep the terms they were opened with."""

from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.assets import Asset
from models.document import queries as documents
from models.errors import IllegalTransition, LimitExceeded, StaleVersion
from models.ids import new_id
from models.money import units_text
from models.p2p_order import queries
from models.p2p_order.messages import told
from models.p2p_order.rules import check_terms
from models.p2p_order.states import OrderStatus
from models.p2p_order.tables import p2p_orders
from models.p2p_order.types import OrderTerms, P2POrder, P2PRules
from models.payment_method import queries as methods
from models.quote.types import Side
from models.secret_box import SecretBox
from models.user import writes as users

_O = p2p_orders.c


async def create(
    conn: AsyncConnection,
    box: SecretBox,
    *,
    user_id: str,
    side: Side,
    asset: Asset,
    terms: OrderTerms,
    rules: P2PRules,
) -> P2POrder:
    """:raises InvalidInput: the terms contradict each other.
    :raises LimitExceeded: they are outside the limits, or the user has too many orders.
    :raises NotFound: a payment method is not one of the user's own.
    """
    check_terms(terms, side, asset, rules)
    await users.lock(conn, user_id)
    live = select(func.count()).where(_O.user_id == user_id, _O.status != OrderStatus.CLOSED)
    if (await conn.execute(live)).scalar_one() >= rules.orders_most:
        raise LimitExceeded(f"you have {rules.orders_most} orders that are not closed; close one first")
    order_id = new_id()
    values = {
        "id": order_id,
        "user_id": user_id,
        "side": side,
        "asset_id": asset.id,
        "status": OrderStatus.ACTIVE,
        "available_units": terms.total_units,
        **await _terms(conn, box, order_id, user_id, terms),
    }
    row = await conn.execute(insert(p2p_orders).values(values).returning(p2p_orders))
    order = queries.of_row(row.one())
    await told(conn, order, is_new=True)
    return order


async def change(
    conn: AsyncConnection,
    box: SecretBox,
    *,
    order_id: str,
    user_id: str,
    version: int,
    asset: Asset,
    terms: OrderTerms,
    rules: P2PRules,
) -> P2POrder:
    """Replace all terms, under a new version.

    :param version: that the maker has seen.
    :raises NotFound: not this user's; or a payment method is not.
    :raises StaleVersion: it was changed since.
    :raises IllegalTransition: it is closed.
    :raises InvalidInput: the terms contradict each other.
    :raises LimitExceeded: they are outside the limits, or trades have more than the new total.
    """
    order = await queries.own(conn, order_id=order_id, user_id=user_id, lock=True)
    if order.version != version:
        raise StaleVersion(f"it is at version {order.version} now; read it, and send that version", field="version")
    if order.status is OrderStatus.CLOSED:
        raise IllegalTransition("it is closed")
    check_terms(terms, order.side, asset, rules)
    taken = order.total_units - order.available_units
    if terms.total_units < taken:
        least = units_text(taken, asset.decimals)
        raise LimitExceeded(f"{least} {asset.symbol} of it are in trades or were traded", field="amount")
    values = await _terms(conn, box, order_id, user_id, terms)
    return await _write(conn, order, values | {"available_units": terms.total_units - taken, "version": version + 1})


async def turn(conn: AsyncConnection, *, order_id: str, user_id: str, status: OrderStatus) -> P2POrder:
    """Pause, resume or close it. Harmless to repeat.

    :raises NotFound: not this user's; or resumed with a payment method that is not in the user's name any more.
    :raises IllegalTransition: it is closed.
    """
    order = await queries.own(conn, order_id=order_id, user_id=user_id, lock=True)
    if order.status is status:
        return order
    transitions.check("p2p_order", order.status, status)
    if status is OrderStatus.ACTIVE:
        await _kinds(conn, user_id, order.method_ids)
    return await _write(conn, order, {"status": status})


async def _write(conn: AsyncConnection, order: P2POrder, values: dict[str, Any]) -> P2POrder:
    row = await conn.execute(
        update(p2p_orders).where(_O.id == order.id).values(**values, updated_at=func.now()).returning(p2p_orders)
    )
    written = queries.of_row(row.one())
    await told(conn, written, is_new=False)
    return written


async def _terms(
    conn: AsyncConnection, box: SecretBox, order_id: str, user_id: str, terms: OrderTerms
) -> dict[str, Any]:
    """The columns, with the words for chats sealed as chats are."""
    values = {name: getattr(terms, name) for name in OrderTerms.__dataclass_fields__}
    words = values.pop("auto_reply")
    sealed = box.seal(words, place=queries.auto_reply_place(order_id)) if words else None
    kinds = await _kinds(conn, user_id, terms.method_ids) if terms.method_ids else list(terms.method_kinds)
    return values | {
        "settlements": list(terms.settlements),
        "method_ids": list(terms.method_ids),
        "method_kinds": sorted(set(kinds)),
        "auto_reply_sealed": sealed,
    }


async def _kinds(conn: AsyncConnection, user_id: str, method_ids: tuple[str, ...]) -> list[str]:
    """The kinds of the user's own methods. :raises NotFound: one of them is none."""
    if not method_ids:
        return []
    document = await documents.fingerprint_of(conn, user_id)
    found = await methods.require(
        conn, user_id=user_id, method_ids=method_ids, fingerprint=document, field="method_ids"
    )
    return [str(kind) for kind in found]
