"""What happens by the calendar, without anybody asking: kept by Temporal, made once by the settlement worker."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from workflows.ledger_seal import LedgerSealWorkflow
from workflows.ledger_verify import LedgerVerifyWorkflow
from workflows.options import SETTLEMENT
from workflows.reconciliation import BankReconcileWorkflow

SEAL = "ledger-seal"
VERIFY = "ledger-verify"
RECONCILE = "bank-reconcile"

CATCH_UP = timedelta(minutes=1)
"""A run that was missed while Temporal was away is not made good after this: the next one does its work."""


async def keep_schedules(client: Client) -> None:
    """Make the schedules that are missing. One that is there stays as it is, paused ones too."""
    await _keep(client, SEAL, LedgerSealWorkflow.run, timedelta(minutes=1), "seals the ledger")
    await _keep(client, VERIFY, LedgerVerifyWorkflow.run, timedelta(days=1), "proves the ledger")
    await _keep(
        client, RECONCILE, BankReconcileWorkflow.run, timedelta(hours=1), "compares the banks with the ledger"
    )


async def _keep(client: Client, name: str, workflow: Any, every: timedelta, summary: str) -> None:
    kind = SearchAttributeKey.for_keyword("Kind")
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            workflow,
            id=name,
            task_queue=SETTLEMENT,
            static_summary=summary,
            typed_search_attributes=TypedSearchAttributes([SearchAttributePair(kind, name)]),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )
    with suppress(ScheduleAlreadyRunningError):
        await client.create_schedule(name, schedule)
