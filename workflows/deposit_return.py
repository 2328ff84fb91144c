"""Deposit return: coins that came late, or beyond what was asked, go back to the refund address.

transfer → book. If the transfer turns out impossible the coins stay held and an operator is needed.
"""

from temporalio import workflow

from activities.instant_trade import InstantTradeActivities as Books
from models.deposit.types import CloseReturn, ReturnInput
from models.transfer.states import TransferStatus
from workflows.children import transfer_input
from workflows.options import DATABASE
from workflows.transfer import TransferWorkflow


@workflow.defn(name="deposit-return")
class DepositReturnWorkflow:
    @workflow.run
    async def run(self, order: ReturnInput) -> TransferStatus:
        key = f"return/{order.return_id}"
        status = await workflow.execute_child_workflow(
            TransferWorkflow.run,
            transfer_input(key, order.waits),
            id=f"transfer/{key}",
        )
        close = CloseReturn(order.return_id, returned=status is TransferStatus.FINAL)
        await workflow.execute_activity_method(Books.close_return, close, **DATABASE)
        return status
