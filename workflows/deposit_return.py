"""Deposit return: coins that came late, or beyond what was asked, go back to the refund address.

transfer → book. If the transfer turns out impossible the coins stay held and an operator is needed.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ChildWorkflowError

from activities.instant_trade import InstantTradeActivities as Books
from models.deposit.types import CloseReturn, ReturnInput
from models.instant_trade.types import Waits
from models.transfer.states import TransferStatus
from workflows.children import transfer_input
from workflows.options import DATABASE
from workflows.transfer import TransferWorkflow


@workflow.defn(name="deposit-return")
class DepositReturnWorkflow:
    @workflow.run
    async def run(self, order: ReturnInput) -> TransferStatus:
        key = f"return/{order.return_id}"
        status = await self._send(key, order.waits)
        close = CloseReturn(order.return_id, returned=status is TransferStatus.FINAL)
        await workflow.execute_activity_method(Books.close_return, close, **DATABASE)
        return status

    async def _send(self, key: str, waits: Waits) -> TransferStatus:
        """A child that fails is a fault of ours: it is started again, under the same id, once that may be mended."""
        while True:
            try:
                return await workflow.execute_child_workflow(
                    TransferWorkflow.run,
                    transfer_input(key, waits),
                    id=f"transfer/{key}",
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                )
            except ChildWorkflowError as fault:
                workflow.logger.error("child.failed", extra={"child": key, "why": type(fault.cause).__name__})
                await workflow.sleep(timedelta(seconds=waits.recheck_most_seconds))
