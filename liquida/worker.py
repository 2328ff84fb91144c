"""The worker process: serves task queues until it is told to stop, and finishes what it has begun."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from api.engine import Defaults, start_once
from liquida import database, wiring
from liquida.interceptors import LiquidaInterceptor
from liquida.relay import relay
from liquida.settings import Settings
from models.outbox import Message, MessageKind
from workflows.deposit_return import DepositReturnWorkflow
from workflows.deposits import DepositsWorkflow
from workflows.options import CHAIN, CUSTODY, PAYMENTS, SETTLEMENT
from workflows.otc_sell import OtcSellWorkflow
from workflows.payout import PayoutWorkflow
from workflows.payout_return import PayoutReturnWorkflow
from workflows.transfer import TransferWorkflow

log = structlog.get_logger()

QUEUES = (SETTLEMENT, CUSTODY, CHAIN, PAYMENTS)
WORKFLOWS = (
    OtcSellWorkflow,
    TransferWorkflow,
    PayoutWorkflow,
    PayoutReturnWorkflow,
    DepositReturnWorkflow,
    DepositsWorkflow,
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
) -> AsyncIterator[None]:
    """Serve these queues, and what belongs beside them, for the length of the block."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(wiring.queue_parts(settings, queues, engine))
        beside = [action for part in parts.values() for action in part.beside]
        if SETTLEMENT in queues:
            await _watch_every_network(client, engine, wiring.defaults(settings))
            beside.append(
                lambda: relay(engine, client, wiring.defaults(settings), every_seconds=settings.relay_seconds)
            )
        for queue, part in parts.items():
            await stack.enter_async_context(worker_for(client, queue, part))
        running = [asyncio.ensure_future(action()) for action in beside]
        stack.push_async_callback(_cancel, running)
        yield


async def run(settings: Settings, queues: Sequence[str]) -> None:
    """``liquida worker``: until SIGTERM or SIGINT, then finish running activities and leave."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    client = await wiring.connect_temporal(settings, runtime=wiring.telemetry(settings))
    engine = database.engine(settings.database_url, pool=settings.database_pool)
    async with serving(settings, client, engine, queues):
        log.info("worker.started", queues=list(queues))
        await stop.wait()
        log.info("worker.stopping")
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


async def _watch_every_network(client: Client, engine: AsyncEngine, defaults: Defaults) -> None:
    for network in (await wiring.catalogue(engine)).networks.values():
        watch = Message(
            MessageKind.START,
            f"deposits/{network.id}",
            workflow="deposits",
            input=network.id,
            summary=f"watches {network.name}",
            attributes={"Kind": "deposits", "Network": network.id},
        )
        await start_once(client, watch, defaults)


async def _cancel(running: Sequence[asyncio.Future[None]]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
