"""What others are told of orders."""

from sqlalchemy.ext.asyncio import AsyncConnection

from models.p2p_order.types import P2POrder


async def told(conn: AsyncConnection, order: P2POrder, *, is_new: bool) -> None:
    """Called with its new row, in the transaction that writes it: the place to tell it as an event."""
    del conn, order, is_new
