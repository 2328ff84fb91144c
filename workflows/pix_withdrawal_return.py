"""PIX withdrawal return: the receiving bank gave a paid withdrawal back.

look at the provider → the reais are the user's balance again. Nobody has to rule: they never were anybody else's.
A finished withdrawal takes no signals, so this story has a workflow of its own.
"""

from datetime import timedelta

from temporalio import workflow

from activities.pix import PixActivities as Pix
from activities.pix_withdrawal import PixWithdrawalActivities as Books
from models.payout.states import PayoutStatus
from models.pix_withdrawal.types import PixWithdrawalInput, PixWithdrawalProgress
from workflows.options import DATABASE, PAY
from workflows.waiting import Bell, Patience


@workflow.defn(name="pix-withdrawal-return")
class PixWithdrawalReturnWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()

    @workflow.run
    async def run(self, order: PixWithdrawalInput) -> PayoutStatus:
        """The provider's own look-up decides, and may be slower than its webhook."""
        patience = Patience(order.waits.recheck_first_seconds, order.waits.recheck_most_seconds)
        until = workflow.now() + timedelta(seconds=order.terms.payout_deadline_seconds)
        while True:
            status: PayoutStatus = await workflow.execute_activity_method(
                Pix.check_return, order.withdrawal_id, **PAY
            )
            workflow.set_current_details(f"the payout is {status}; waits for the provider to say that it came back")
            if status is PayoutStatus.RETURNED:
                _: PixWithdrawalProgress = await workflow.execute_activity_method(
                    Books.advance, order.withdrawal_id, **DATABASE
                )
            if status in {PayoutStatus.RETURNED, PayoutStatus.REJECTED} or workflow.now() >= until:
                return status
            if await self._bell.wait(patience.pause()):
                patience.reset()

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()
