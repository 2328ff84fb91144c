"""PIX refund: one devolução, from order to certainty.

send once → ask by our key until the provider says refunded or rejected. As with a payout, *unknown* is asked, never
guessed, and never sent under another key.
"""

from temporalio import workflow

from activities.pix_refund import PixRefundActivities as Refund
from models.pix_refund.states import KNOWN, RefundStatus
from models.pix_refund.types import RefundInput, RefundQuestion
from workflows.options import PAY
from workflows.waiting import Bell, Patience


@workflow.defn(name="pix-refund")
class PixRefundWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()

    @workflow.run
    async def run(self, order: RefundInput) -> RefundStatus:
        waits = order.waits
        question = RefundQuestion(order.key, waits.payout_resend_after_seconds)
        patience = Patience(waits.payout_poll_first_seconds, waits.payout_poll_most_seconds)
        status: RefundStatus = await workflow.execute_activity_method(Refund.settle, question, **PAY)
        while status not in KNOWN:
            workflow.set_current_details(f"{status}; asking again")
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(order)
            if await self._bell.wait(patience.pause()):
                patience.reset()
            status = await workflow.execute_activity_method(Refund.settle, question, **PAY)
        return status

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()
