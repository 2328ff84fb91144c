"""What others are told of orders: everybody sees the market move."""

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from models.event.types import Event, EventKind
from models.event.writes import tell
from models.p2p_order.types import P2POrder


async def told(conn: AsyncConnection, order: P2POrder, *, is_new: bool) -> None:
    """Called with its new row, in the transaction that writes it."""
    kind = EventKind.P2P_AD_CREATED if is_new else EventKind.P2P_AD_CHANGED
    payload: dict[str, JsonValue] = {
        "order_id": order.id,
        "side": str(order.side),
        "asset": order.asset_id,
        "status": str(order.status),
        "version": order.version,
        "available_units": str(order.available_units),
    }
    await tell(conn, Event(kind, None, payload))
