"""The worker process: serves task queues until it is told to stop, and finishes what it has begun."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.worker import PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from liquida import database, wiring
from liquida.hold_keeper import keep_holds
from liquida.interceptors import LiquidaInterceptor
from liquida.relay import relay, tidy
from liquida.schedules import keep_schedules
from liquida.settings import Settings
from liquida.watchman import watch_breaks, watch_laws
from liquida.webhook_fan_out import fan_out
from workflows.charge import ChargeWorkflow
from workflows.deposit_return import DepositReturnWorkflow
from workflows.deposits import DepositsWorkflow
from workflows.dispute import DisputeWorkflow
from workflows.ledger_seal import LedgerSealWorkflow
from workflows.ledger_verify import LedgerVerifyWorkflow
from workflows.options import CHAIN, CUSTODY, PAYMENTS, SETTLEMENT
from workflows.otc_buy import OtcBuyWorkflow
from workflows.otc_sell import OtcSellWorkflow
from workflows.p2p_dispute import P2PDisputeWorkflow
from workflows.p2p_trade import P2PTradeWorkflow
from workflows.payout import PayoutWorkflow
from workflows.payout_return import PayoutReturnWorkflow
from workflows.pix_refund import PixRefundWorkflow
from workflows.pix_withdrawal import PixWithdrawalWorkflow
from workflows.pix_withdrawal_return import PixWithdrawalReturnWorkflow
from workflows.reconciliation import BankReconcileWorkflow, ReconcileWorkflow
from workflows.transfer import TransferWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow

log = structlog.get_logger()

QUEUES = (SETTLEMENT, CUSTODY, CHAIN, PAYMENTS)
WORKFLOWS = (
    OtcSellWorkflow,
    OtcBuyWorkflow,
    ChargeWorkflow,
    PixRefundWorkflow,
    PixWithdrawalWorkflow,
    PixWithdrawalReturnWorkflow,
    P2PTradeWorkflow,
    DisputeWorkflow,
    P2PDisputeWorkflow,
    TransferWorkflow,
    PayoutWorkflow,
    PayoutReturnWorkflow,
    DepositReturnWorkflow,
    DepositsWorkflow,
    LedgerSealWorkflow,
    LedgerVerifyWorkflow,
    BankReconcileWorkflow,
    ReconcileWorkflow,
    WebhookDeliveryWorkflow,
)

RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "activities",
        "asyncpg",
        "chains",
        "cryptography",
        "models",
        "orjson",
        "payments",
        "sqlalchemy",
        "structlog",
    )
)
"""The sandbox watches ``workflows``; everything it imports is loaded once and shared."""


@asynccontextmanager
async def serving(
    settings: Settings, client: Client, engine: AsyncEngine, queues: Sequence[str] = QUEUES
) -> AsyncIterator[asyncio.Future[None]]:
    """Serve these queues, and what belongs beside them, for the length of the block.

    The future given ends, with the fault, if something that runs beside the queues does.
    """
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(wiring.queue_parts(settings, queues, engine))
        beside = [action for part in parts.values() for action in part.beside]
        if SETTLEMENT in queues:
            await _watch_every_network(client, engine)
            await keep_schedules(client)
            defaults = wiring.defaults(settings)
            beside.append(lambda: relay(engine, client, defaults, every_seconds=settings.relay_seconds))
            beside.append(lambda: tidy(engine))
            sending = wiring.sending_plan(settings)
            beside.append(lambda: fan_out(engine, sending, every_seconds=settings.relay_seconds))
            beside.append(lambda: watch_laws(engine))
            beside.append(lambda: watch_breaks(engine, settings.break_alarm_hours))
            beside.append(lambda: keep_holds(engine))
        for queue, part in parts.items():
            await stack.enter_async_context(worker_for(client, queue, part))
        running = asyncio.ensure_future(_all(beside))
        stack.push_async_callback(_cancel, running)
        yield running


async def run(settings: Settings, queues: Sequence[str]) -> None:
    """``liquida worker``: until SIGTERM or SIGINT, then finish running activities and leave."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    client = await wiring.connect_temporal(settings, runtime=wiring.telemetry(settings))
    engine = database.engine(settings.database_url, pool=settings.database_pool)
    async with serving(settings, client, engine, queues) as beside:
        log.info("worker.started", queues=list(queues))
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        await asyncio.wait({stopping, beside}, return_when=asyncio.FIRST_COMPLETED)
        log.info("worker.stopping")
        if not stopping.done():
            await beside
    await engine.dispose()


def worker_for(client: Client, queue: str, part: wiring.QueueParts, *, more: Sequence[type] = ()) -> Worker:
    """One queue's worker, with the settings that every queue shares. ``more``: further workflows (benches)."""
    return Worker(
        client,
        task_queue=queue,
        workflows=(*WORKFLOWS, *more) if queue == SETTLEMENT else (),
        activities=part.activities,
        interceptors=[LiquidaInterceptor()],
        workflow_runner=RUNNER,
        max_cached_workflows=2000,
        max_concurrent_activities=100,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=3),
        graceful_shutdown_timeout=timedelta(seconds=20),
        max_eager_activity_reservations_per_workflow_task=8,
        max_heartbeat_throttle_interval=timedelta(seconds=2),
    )


async def _watch_every_network(client: Client, engine: AsyncEngine) -> None:
    """Watching moves no money, so a watch that somebody ended is simply started again."""
    for network in (await wiring.catalogue(engine)).networks.values():
        kind, named = SearchAttributeKey.for_keyword("Kind"), SearchAttributeKey.for_keyword("Network")
        await client.start_workflow(
            DepositsWorkflow.run,
            network.id,
            id=f"deposits/{network.id}",
            task_queue=SETTLEMENT,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"watches {network.name}",
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(kind, "deposits"), SearchAttributePair(named, network.id)]
            ),
        )


async def _all(actions: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    async with asyncio.TaskGroup() as group:
        for action in actions:
            group.create_task(action())
    await asyncio.Event().wait()


async def _cancel(running: asyncio.Future[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
