"""Transfer: one payment on chain, from intent to finality.

prepare a fee → (top up gas) → sign → broadcast → look until final. A transfer that is stuck gets a higher fee
under the same nonce, so at most one of its attempts can ever be mined.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.workflow import ParentClosePolicy

from activities.chain import ChainActivities as Chain
from activities.custody import CustodyActivities as Custody
from models.transfer.states import ENDED, TransferStatus
from models.transfer.types import Prepared, TransferInput
from workflows.options import READ, SEND, SIGN
from workflows.waiting import Bell, Patience

WAITING_TO_BE_MINED = {TransferStatus.INTENDED, TransferStatus.SIGNED, TransferStatus.BROADCAST}


@workflow.defn(name="transfer")
class TransferWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()

    @workflow.run
    async def run(self, order: TransferInput) -> TransferStatus:
        status = await self._send(order)
        patience = Patience(order.recheck_first_seconds, order.recheck_most_seconds)
        sent_at = workflow.now()
        while status not in ENDED:
            workflow.set_current_details(f"{status}; looking again when the chain moves")
            if await self._bell.wait(patience.pause()):
                patience.reset()
            status = await workflow.execute_activity_method(Chain.observe, order.key, **READ)
            stuck = workflow.now() - sent_at > timedelta(seconds=order.bump_after_seconds)
            if status in WAITING_TO_BE_MINED and stuck:
                status = await self._send(order)
                sent_at = workflow.now()
        return status

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()

    async def _send(self, order: TransferInput) -> TransferStatus:
        """Offer, sign and hand in. The second time, if the fee on offer is higher, it is a replacement."""
        prepared: Prepared = await workflow.execute_activity_method(Chain.prepare, order.key, **READ)
        if prepared.gas_key is not None:
            await self._top_up(prepared.gas_key, order)
            prepared = await workflow.execute_activity_method(Chain.prepare, order.key, **READ)
        if prepared.status in ENDED or prepared.gas_key is not None:
            return prepared.status
        await workflow.execute_activity_method(Custody.sign, order.key, **SIGN)
        status: TransferStatus = await workflow.execute_activity_method(Chain.broadcast, order.key, **SEND)
        return status

    async def _top_up(self, gas_key: str, order: TransferInput) -> None:
        workflow.set_current_details(f"waiting for gas: {gas_key}")
        await workflow.execute_child_workflow(
            TransferWorkflow.run,
            TransferInput(gas_key, order.recheck_first_seconds, order.recheck_most_seconds, order.bump_after_seconds),
            id=f"transfer/{gas_key}",
            parent_close_policy=ParentClosePolicy.ABANDON,
        )
