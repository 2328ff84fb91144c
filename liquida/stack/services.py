"""Our own programs as parts of the embedded stack: the sandbox bank, the worker and the API."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from liquida.settings import Settings
from liquida.stack.ports import LOOPBACK, require_free
from liquida.stack.process import Process, Ready
from models.errors import StackUnavailable
from workflows.options import CHAIN, CUSTODY, PAYMENTS, SETTLEMENT

QUEUES = (SETTLEMENT, CUSTODY, CHAIN, PAYMENTS)
WEBHOOK_PATH = "/webhooks/sandbox"
READY_SECONDS = 60


class Service:
    """A program of ours, run by this Python.

    :param port: the port it will listen on and the setting that chooses it; None: it listens on none.
    """

    def __init__(
        self,
        name: str,
        process: Process,
        *,
        address: str,
        ready: Ready,
        port: tuple[int, str] | None = None,
    ) -> None:
        self.name = name
        self.process = process
        self.address = address
        self._ready = ready
        self._port = port

    async def start(self) -> None:
        """:raises StackUnavailable: its port is taken, or it does not come up."""
        await self.process.stop_leftover()
        if self._port is not None:
            number, setting = self._port
            require_free(number, part=self.name, setting=setting)
        await self.process.start(self._ready, ready_seconds=READY_SECONDS)

    async def stop(self) -> None:
        await self.process.stop()


def sandbox(settings: Settings, environment: Mapping[str, str]) -> Service:
    """The bank that stands in for a PIX provider; its books are ``state_dir/sandbox.db``."""
    url = f"http://{LOOPBACK}:{settings.sandbox_port}"
    arguments = ["payments.sandbox", "--host", LOOPBACK, "--port", str(settings.sandbox_port)]
    arguments += ["--database", str(settings.state_dir.absolute() / "sandbox.db")]
    arguments += ["--webhook-url", f"http://{LOOPBACK}:{settings.api_port}{WEBHOOK_PATH}"]
    return Service(
        "PIX sandbox",
        _python("sandbox", arguments, settings.state_dir, environment),
        address=url,
        ready=lambda: answers(f"{url}/healthz"),
        port=(settings.sandbox_port, "LIQUIDA_SANDBOX_PORT"),
    )


def worker(settings: Settings, environment: Mapping[str, str]) -> Service:
    """All queues in one process; ready when each is polled for work."""
    address = f"{LOOPBACK}:{settings.temporal_port}"
    return Service(
        "Worker",
        _python("worker", ["liquida", "worker"], settings.state_dir, environment, stop_seconds=30),
        address="queues " + ", ".join(QUEUES),
        ready=lambda: are_polled(address, settings.temporal_namespace, QUEUES),
    )


def api(settings: Settings, environment: Mapping[str, str]) -> Service:
    """Ready when it says so itself: with database and Temporal behind it."""
    url = f"http://{LOOPBACK}:{settings.api_port}"
    return Service(
        "API",
        _python("api", ["liquida", "api"], settings.state_dir, environment),
        address=f"{url}/docs",
        ready=lambda: answers(f"{url}/readyz"),
        port=(settings.api_port, "LIQUIDA_API_PORT"),
    )


async def migrate(settings: Settings, environment: Mapping[str, str]) -> None:
    """Run ``liquida migrate`` to its end.

    :raises StackUnavailable: it failed.
    """
    process = _python("migrate", ["liquida", "migrate"], settings.state_dir, environment)
    process.spawn()
    try:
        code = await process.ended()
    finally:
        await process.stop()
    if code != 0:
        raise StackUnavailable(
            f"liquida migrate failed (exit code {code}); its last words: {process.last_words()}; read {process.log}"
        )


async def answers(url: str) -> bool:
    """Whether a GET is answered with 2xx."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        try:
            return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False


async def are_polled(address: str, namespace: str, queues: tuple[str, ...]) -> bool:
    """Whether a worker asks for activities of every queue."""
    try:
        client = await Client.connect(address, namespace=namespace)
        for queue in queues:
            described = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=namespace,
                    task_queue=TaskQueue(name=queue),
                    task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                )
            )
            if not described.pollers:
                return False
    except (RPCError, RuntimeError):
        return False
    return True


def _python(
    name: str,
    arguments: list[str],
    state_dir: Path,
    environment: Mapping[str, str],
    *,
    stop_seconds: float = 15,
) -> Process:
    return Process(
        name,
        [sys.executable, "-m", *arguments],
        state_dir=state_dir.absolute(),
        environment={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        stop_seconds=stop_seconds,
    )
