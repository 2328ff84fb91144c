"""A P2P trade's own books: each call is one database transaction, harmless to repeat."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from models.p2p_trade.advance import advance
from models.p2p_trade.types import P2PTradeProgress


class P2PTradeActivities:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn(name="p2p_trade.advance")
    async def advance(self, trade_id: str) -> P2PTradeProgress:
        """Move the trade as far as the clock demands."""
        async with self._engine.begin() as conn:
            return await advance(conn, trade_id, now=datetime.now(UTC))
