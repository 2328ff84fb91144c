"""P2P dispute: the two of a trade disagree, from the opening to the end.

Everything is decided at the door. This is the clock: a proposal that no second arbiter took up expires; a ruling that
nobody appealed is carried out.
"""

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from activities.p2p_dispute import P2PDisputeActivities as Books
from models.p2p_dispute.states import P2PDisputeStatus
from models.p2p_dispute.types import P2PDisputeInput, P2PDisputeProgress
from workflows.options import DATABASE
from workflows.waiting import Bell, Patience

STATUS = SearchAttributeKey.for_keyword("Status")


@workflow.defn(name="p2p-dispute")
class P2PDisputeWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()
        self._status = P2PDisputeStatus.OPEN

    @workflow.run
    async def run(self, order: P2PDisputeInput) -> P2PDisputeStatus:
        patience = Patience(order.waits.recheck_first_seconds, order.waits.recheck_most_seconds)
        while True:
            progress: P2PDisputeProgress = await workflow.execute_activity_method(
                Books.advance, order.dispute_id, **DATABASE
            )
            self._show(progress)
            if progress.is_over:
                return progress.status
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(order)
            if await self._bell.wait(patience.pause(progress.seconds_to_next)):
                patience.reset()

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()

    def _show(self, progress: P2PDisputeProgress) -> None:
        workflow.set_current_details(f"{progress.status}; waits for {progress.waits_for or 'nobody'}")
        if progress.status is not self._status:
            workflow.upsert_search_attributes([STATUS.value_set(progress.status)])
            self._status = progress.status
