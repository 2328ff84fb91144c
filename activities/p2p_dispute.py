"""The books of disputes between users: each call is one database transaction, harmless to repeat."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from models.p2p_dispute.advance import advance
from models.p2p_dispute.types import P2PDisputeProgress


class P2PDisputeActivities:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn(name="p2p_dispute.advance")
    async def advance(self, dispute_id: str) -> P2PDisputeProgress:
        """Move the dispute as far as its clock demands."""
        async with self._engine.begin() as conn:
            return await advance(conn, dispute_id, now=datetime.now(UTC))
