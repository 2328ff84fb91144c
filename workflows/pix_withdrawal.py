"""PIX withdrawal: a user's reais leave for their own bank account.

The reais were held when it was accepted. payout → paid: completed; rejected: they are the user's again. What nobody
knows by the deadline is for an operator's evidence, while the provider goes on being asked.
"""

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from activities.pix_withdrawal import PixWithdrawalActivities as Books
from models.pix_withdrawal.states import PixWithdrawalStatus
from models.pix_withdrawal.types import PixWithdrawalInput, PixWithdrawalProgress
from workflows.children import Children
from workflows.options import DATABASE
from workflows.waiting import Bell, Patience

STATUS = SearchAttributeKey.for_keyword("Status")


@workflow.defn(name="pix-withdrawal")
class PixWithdrawalWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()
        self._status = PixWithdrawalStatus.PAYING_OUT

    @workflow.run
    async def run(self, order: PixWithdrawalInput) -> PixWithdrawalStatus:
        children = Children(order.terms.provider, order.waits, self._bell)
        patience = Patience(order.waits.recheck_first_seconds, order.waits.recheck_most_seconds)
        while True:
            progress: PixWithdrawalProgress = await workflow.execute_activity_method(
                Books.advance, order.withdrawal_id, **DATABASE
            )
            self._show(progress)
            if progress.is_over:
                return progress.status
            children.pay_out(order.withdrawal_id)
            if await self._bell.wait(patience.pause(progress.seconds_to_deadline)):
                patience.reset()

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()

    def _show(self, progress: PixWithdrawalProgress) -> None:
        workflow.set_current_details(f"{progress.status}; waits for {progress.waits_for or 'nobody'}")
        if progress.status is not self._status:
            workflow.upsert_search_attributes([STATUS.value_set(progress.status)])
            self._status = progress.status
