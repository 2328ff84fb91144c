"""One bank and one receiver for most tests, and new ones for those that kill or black them out."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from payments.sandbox_provider import SandboxProvider
from tests.payments.receiver import Receiver
from tests.sandbox_process import SandboxProcess

HANG_SECONDS = 3.0
FAST: dict[str, Any] = {
    "settle_seconds": 0.05,
    "slow_seconds": 1.0,
    "return_seconds": 0.2,
    "hang_seconds": HANG_SECONDS,
}


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[SandboxProcess]:
    database = tmp_path_factory.mktemp("sandbox") / "bank.sqlite"
    with SandboxProcess(database, webhook_url=receiver.url, **FAST) as running:
        yield running


@pytest.fixture
def own_receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def own_sandbox(tmp_path: Path, own_receiver: Receiver) -> Iterator[Callable[..., SandboxProcess]]:
    """Start a bank that no other test uses; keyword arguments are its options."""
    with ExitStack() as stack:

        def start(**options: Any) -> SandboxProcess:
            database = tmp_path / "bank.sqlite"
            bank = SandboxProcess(database, webhook_url=own_receiver.url, **{**FAST, **options})
            return stack.enter_context(bank)

        yield start


@pytest.fixture
async def provider(sandbox: SandboxProcess) -> AsyncIterator[SandboxProvider]:
    running = sandbox.provider(timeout_seconds=1.5)
    yield running
    await running.close()
