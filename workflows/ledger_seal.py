"""Ledger seal: close the past, every minute. Started by the schedule ``ledger-seal``."""

from temporalio import workflow

from activities.ledger import LedgerActivities as Ledger
from workflows.options import SEAL


@workflow.defn(name="ledger-seal")
class LedgerSealWorkflow:
    @workflow.run
    async def run(self) -> None:
        """What cannot be sealed yet is left to the next run."""
        await workflow.execute_activity_method(Ledger.seal, **SEAL)
