"""Ledger verify: prove the books from the first row, every day. Started by the schedule ``ledger-verify``."""

from temporalio import workflow

from activities.ledger import LedgerActivities as Ledger
from workflows.options import VERIFY


@workflow.defn(name="ledger-verify")
class LedgerVerifyWorkflow:
    @workflow.run
    async def run(self) -> None:
        """Wrong books are no failure of this workflow: trying again would not mend them."""
        await workflow.execute_activity_method(Ledger.verify, **VERIFY)
