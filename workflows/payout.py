"""Payout: one PIX out, from order to certainty.

send once → ask by our key until the provider says paid, returned or rejected. *Unknown* is asked, never guessed, and
never sent under another key. One that must wait, for the morning or for money in our account, says so. How long all
that may take is the trade's to decide: this workflow never gives up.
"""

from datetime import timedelta

from temporalio import workflow

from activities.pix import PixActivities as Pix
from models.payout.states import KNOWN, PayoutStatus
from models.payout.types import PayoutInput, PayoutProgress, PayoutQuestion
from workflows.options import PAY
from workflows.waiting import Bell, Patience


@workflow.defn(name="payout")
class PayoutWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()

    @workflow.run
    async def run(self, order: PayoutInput) -> PayoutStatus:
        question = PayoutQuestion(order.key, order.resend_after_seconds)
        patience = Patience(order.poll_first_seconds, order.poll_most_seconds)
        progress: PayoutProgress = await workflow.execute_activity_method(Pix.settle, question, **PAY)
        while progress.status not in KNOWN:
            workflow.set_current_details(f"{progress.status} at {order.provider}; waits for {progress.waits_for}")
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(order)
            pause = (
                patience.pause() if progress.seconds_to_next is None else timedelta(seconds=progress.seconds_to_next)
            )
            if await self._bell.wait(pause):
                patience.reset()
            progress = await workflow.execute_activity_method(Pix.settle, question, **PAY)
        return progress.status

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()
