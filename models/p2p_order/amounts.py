"""What is available of an order: it falls when a trade opens, rises where one ends unsold, and everybody is told."""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.p2p_order import queries
from models.p2p_order.messages import told
from models.p2p_order.states import OrderStatus
from models.p2p_order.tables import p2p_orders

_O = p2p_orders.c


async def reserve(conn: AsyncConnection, order_id: str, units: int) -> bool:
    """Whether so much was left, and the order can be taken: the one check, under the lock of its row."""
    statement = (
        update(p2p_orders)
        .where(_O.id == order_id, _O.status == OrderStatus.ACTIVE, _O.available_units >= units)
        .values(available_units=_O.available_units - units)
        .returning(p2p_orders)
    )
    row = (await conn.execute(statement)).first()
    if row is None:
        return False
    await told(conn, queries.of_row(row), is_new=False)
    return True


async def give_back(conn: AsyncConnection, order_id: str, units: int) -> None:
    """Also to an order that is paused or closed."""
    statement = (
        update(p2p_orders)
        .where(_O.id == order_id)
        .values(available_units=_O.available_units + units)
        .returning(p2p_orders)
    )
    row = (await conn.execute(statement)).one()
    await told(conn, queries.of_row(row), is_new=False)
