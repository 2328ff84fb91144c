"""Deposits: watch one network for ever. One workflow per network, ``deposits/<network>``."""

from temporalio import workflow

from activities.deposit import DepositActivities as Deposits
from workflows.options import WATCH

TURNS = 200


@workflow.defn(name="deposits")
class DepositsWorkflow:
    @workflow.run
    async def run(self, network_id: str) -> None:
        for _ in range(TURNS):
            await workflow.execute_activity_method(Deposits.watch, network_id, **WATCH)
        workflow.continue_as_new(network_id)
