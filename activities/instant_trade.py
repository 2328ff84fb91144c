"""A trade's own books: each call is one database transaction, harmless to repeat."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from models.deposit import returns
from models.deposit.types import CloseReturn
from models.instant_trade.advance import advance
from models.instant_trade.operate import operate
from models.instant_trade.types import Advance, Operation, Progress


class InstantTradeActivities:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn(name="instant_trade.advance")
    async def advance(self, order: Advance) -> Progress:
        """Move the trade as far as the facts in the database allow.

        :raises IllegalTransition: it was asked to cancel, but coins have moved or may move.
        """
        async with self._engine.begin() as conn:
            return await advance(conn, order, now=datetime.now(UTC))

    @activity.defn(name="instant_trade.operate")
    async def operate(self, operation: Operation) -> Progress:
        """Apply an operator's action and advance.

        :raises IllegalTransition: the trade's state does not ask for it.
        """
        async with self._engine.begin() as conn:
            return await operate(conn, operation, now=datetime.now(UTC))

    @activity.defn(name="instant_trade.close_return")
    async def close_return(self, order: CloseReturn) -> None:
        """Book the end of a deposit's return."""
        async with self._engine.begin() as conn:
            await returns.close(conn, order.return_id, returned=order.returned)
