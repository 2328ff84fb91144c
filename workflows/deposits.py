"""Deposits: watch one network for ever. One workflow per network, ``deposits/<network>``."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.deposit import DepositActivities as Deposits
from workflows.options import WATCH

TURNS = 200
PAUSE = timedelta(seconds=30)
"""After a turn that failed for good: a fault of ours or of the set-up, which a person mends."""


@workflow.defn(name="deposits")
class DepositsWorkflow:
    @workflow.run
    async def run(self, network_id: str) -> None:
        """One fault must not end the watch: until it is mended, the next turn may still see other deposits."""
        for _ in range(TURNS):
            try:
                await workflow.execute_activity_method(Deposits.watch, network_id, **WATCH)
            except ActivityError as fault:
                workflow.logger.error("deposit.watch_failed", extra={"network": network_id, "why": str(fault.cause)})
                await workflow.sleep(PAUSE)
        workflow.continue_as_new(network_id)
