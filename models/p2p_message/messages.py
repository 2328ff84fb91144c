"""What the parties are told of their chat."""

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from models.event.types import Event, EventKind
from models.event.writes import tell
from models.p2p_message.types import P2PMessage
from models.p2p_trade.types import P2PTrade


async def told(conn: AsyncConnection, trade: P2PTrade, message: P2PMessage) -> None:
    """Ids only: events are kept in clear and leave the house."""
    payload: dict[str, JsonValue] = {
        "trade_id": trade.id,
        "message_id": message.id,
        "number": message.number,
        "kind": message.kind,
        "sender_id": message.sender_id,
    }
    await tell(
        conn, *(Event(EventKind.P2P_MESSAGE, user, dict(payload)) for user in (trade.buyer_id, trade.seller_id))
    )
