"""A withdrawal's own books: each call is one database transaction, harmless to repeat."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from models.pix_withdrawal.advance import advance
from models.pix_withdrawal.types import PixWithdrawalProgress


class PixWithdrawalActivities:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn(name="pix_withdrawal.advance")
    async def advance(self, withdrawal_id: str) -> PixWithdrawalProgress:
        """Move the withdrawal as far as its payout's fate allows."""
        async with self._engine.begin() as conn:
            return await advance(conn, withdrawal_id, now=datetime.now(UTC))
