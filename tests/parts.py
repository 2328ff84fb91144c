"""The real parts that tests run on: PostgreSQL, Temporal and an EVM node, each on a free port of its own.

As fixtures (``tests/conftest.py`` makes them known to all), once per session::

    async def test_x(postgres_server: Postgres, temporal_server: Temporal, evm_node: EvmNode) -> None: ...

or by hand, to start, kill and restart: ``async with start_postgres(tmp_path) as postgres: postgres.url()``.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

import pytest

from liquida.stack import evm_node as evm
from liquida.stack.evm_node import EvmNode
from liquida.stack.ports import free_port
from liquida.stack.postgres import Postgres, create_database, drop_database
from liquida.stack.temporal import Temporal

__all__ = [
    "create_database",
    "drop_database",
    "free_port",
    "start_anvil",
    "start_postgres",
    "start_temporal",
]

STATE_DIR = Path(__file__).parents[1] / ".liquida"


class Part(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


P = TypeVar("P", bound=Part)


def start_postgres(directory: Path, *, durable: bool = False) -> AbstractAsyncContextManager[Postgres]:
    """``.url()`` is the database ``liquida``; ``.admin_url`` goes to :func:`create_database`."""
    return _running(Postgres(directory, port=free_port(), durable=durable))


def start_temporal(
    directory: Path, *, namespace: str = "liquida", in_memory: bool = True
) -> AbstractAsyncContextManager[Temporal]:
    """``.address`` is ``host:port``; the namespace has our search attributes."""
    return _running(Temporal(directory, port=free_port(), namespace=namespace, in_memory=in_memory))


@asynccontextmanager
async def start_anvil(
    directory: Path,
    *,
    block_time: float | None = None,
    mining: bool = True,
    chain_id: int = evm.CHAIN_ID,
    in_memory: bool = True,
) -> AsyncIterator[EvmNode]:
    """``.address`` is the RPC URL. ``block_time`` in seconds; None: a block per transaction."""
    node = EvmNode(
        directory,
        program=await evm.install(STATE_DIR),
        port=free_port(),
        chain_id=chain_id,
        block_seconds=block_time,
        mining=mining,
        in_memory=in_memory,
    )
    async with _running(node) as running:
        yield running


@pytest.fixture(scope="session")
def parts_directory() -> Iterator[Path]:
    """Not pytest's own: that one is closed to the system user whom PostgreSQL runs as under root."""
    with TemporaryDirectory(prefix="liquida-parts-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
async def postgres_server(parts_directory: Path) -> AsyncIterator[Postgres]:
    async with start_postgres(parts_directory) as postgres:
        yield postgres


@pytest.fixture(scope="session")
async def temporal_server(parts_directory: Path) -> AsyncIterator[Temporal]:
    async with start_temporal(parts_directory) as temporal:
        yield temporal


@pytest.fixture(scope="session")
async def evm_node(parts_directory: Path) -> AsyncIterator[EvmNode]:
    async with start_anvil(parts_directory) as node:
        yield node


@asynccontextmanager
async def _running(part: P) -> AsyncIterator[P]:
    try:
        await part.start()
        yield part
    finally:
        await part.stop()
