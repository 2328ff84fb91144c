"""The children of a trade or withdrawal: each started once under its business id, each ringing when it has ended."""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.workflow import ParentClosePolicy

from models.instant_trade.types import Waits
from models.payout.types import PayoutInput
from models.transfer.types import TransferInput
from workflows.payout import PayoutWorkflow
from workflows.transfer import TransferWorkflow
from workflows.waiting import Bell


def transfer_input(key: str, waits: Waits) -> TransferInput:
    return TransferInput(key, waits.recheck_first_seconds, waits.recheck_most_seconds, waits.bump_after_seconds)


class Children:
    """What a child found out is in the database; its end only says "look".

    A child that fails is a fault of ours. It is started again at the next look, under the same id.
    """

    def __init__(self, provider: str, waits: Waits, bell: Bell) -> None:
        self._provider, self._waits = provider, waits
        self._bell = bell
        self._running: dict[str, asyncio.Task[Any]] = {}

    def transfer(self, key: str) -> None:
        """Send, or go on sending, the transfer of this operation key."""
        self._start(f"transfer/{key}", TransferWorkflow.run, transfer_input(key, self._waits))

    def pay_out(self, key: str) -> None:
        """Pay, or go on asking about, the payout of this key."""
        waits = self._waits
        order = PayoutInput(
            key,
            self._provider,
            waits.payout_poll_first_seconds,
            waits.payout_poll_most_seconds,
            waits.payout_resend_after_seconds,
        )
        self._start(f"payout/{key}", PayoutWorkflow.run, order)

    def _start(self, workflow_id: str, run: Any, order: TransferInput | PayoutInput) -> None:
        if workflow_id in self._running:
            return
        child = workflow.execute_child_workflow(
            run,
            order,
            id=workflow_id,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            parent_close_policy=ParentClosePolicy.ABANDON,
        )
        task = asyncio.create_task(child)
        task.add_done_callback(lambda ended: self._ended(workflow_id, ended))
        self._running[workflow_id] = task

    def _ended(self, workflow_id: str, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            workflow.logger.error("child.failed", extra={"child": workflow_id, "why": type(fault).__name__})
            del self._running[workflow_id]
            return
        self._bell.ring()
