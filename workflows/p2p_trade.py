"""P2P trade: the clock of a trade between two users.

What the two order is done at the door, at once; here is only what happens by itself: the window that ends, the
reminder, the dispute that opens when nobody confirms. Each is decided in the books, by the row and the clock.
"""

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from activities.p2p_trade import P2PTradeActivities as Books
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import P2PTradeInput, P2PTradeProgress
from workflows.options import DATABASE
from workflows.waiting import Bell, Patience

STATUS = SearchAttributeKey.for_keyword("Status")


@workflow.defn(name="p2p-trade")
class P2PTradeWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()
        self._status = P2PTradeStatus.OPEN

    @workflow.run
    async def run(self, order: P2PTradeInput) -> P2PTradeStatus:
        patience = Patience(order.waits.recheck_first_seconds, order.waits.recheck_most_seconds)
        while True:
            progress: P2PTradeProgress = await workflow.execute_activity_method(
                Books.advance, order.trade_id, **DATABASE
            )
            self._show(progress)
            if progress.is_over:
                return progress.status
            # A dispute may take months, and every look is a part of the history.
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(order)
            if await self._bell.wait(patience.pause(progress.seconds_to_next)):
                patience.reset()

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()

    def _show(self, progress: P2PTradeProgress) -> None:
        workflow.set_current_details(f"{progress.status}; waits for {progress.waits_for or 'nobody'}")
        if progress.status is not self._status:
            workflow.upsert_search_attributes([STATUS.value_set(progress.status)])
            self._status = progress.status
