"""Reconciliation: compare the bank's statement with the ledger, day by day.

``reconcile/<provider>/<day>``: read the statement where the credentials are → compare it where the books are. A bank
that does not answer is asked again a few times; then the run says so, and the next one tries.

``bank-reconcile``, started by the schedule of that name: one such workflow after the other, for each provider and
each of the last days, so that what arrives late is still found.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

from activities.reconciliation import BankStatementActivities as BankStatement
from activities.reconciliation import ReconciliationActivities as Reconciliation
from models.reconciliation.types import Question, Reading, ReconcileInput, Result
from workflows.options import COMPARE, DATABASE, STATEMENT

KIND = "reconcile"


def reconcile_id(order: ReconcileInput) -> str:
    return f"{KIND}/{order.provider}/{order.day.isoformat()}"


def search_attributes() -> TypedSearchAttributes:
    return TypedSearchAttributes([SearchAttributePair(SearchAttributeKey.for_keyword("Kind"), KIND)])


@workflow.defn(name="reconcile")
class ReconcileWorkflow:
    @workflow.run
    async def run(self, order: ReconcileInput) -> Result:
        """What was found are rows; a difference is no failure of this workflow."""
        started_at = workflow.now()
        reading = await self._read(order)
        question = Question(order.provider, order.day, reading, workflow.info().run_id, started_at)
        return await workflow.execute_activity_method(Reconciliation.compare, question, **COMPARE)

    @staticmethod
    async def _read(order: ReconcileInput) -> Reading:
        reading: Reading = await workflow.execute_activity_method(BankStatement.read, order, **STATEMENT)
        for _ in range(order.tries - 1):
            if reading.read_at is not None:
                break
            await workflow.sleep(timedelta(seconds=order.pause_seconds))
            reading = await workflow.execute_activity_method(BankStatement.read, order, **STATEMENT)
        return reading


@workflow.defn(name="bank-reconcile")
class BankReconcileWorkflow:
    @workflow.run
    async def run(self) -> None:
        """One day that cannot be compared does not keep the others from it."""
        for order in await workflow.execute_activity_method(Reconciliation.due, **DATABASE):
            try:
                await workflow.execute_child_workflow(
                    ReconcileWorkflow.run,
                    order,
                    id=reconcile_id(order),
                    static_summary=f"{order.provider} {order.day.isoformat()}",
                    search_attributes=search_attributes(),
                )
            except WorkflowAlreadyStartedError:
                workflow.logger.info("reconciliation.already_running", extra={"workflow": reconcile_id(order)})
            except ChildWorkflowError as fault:
                workflow.logger.error(
                    "reconciliation.failed", extra={"workflow": reconcile_id(order), "why": str(fault.cause)}
                )
