"""One bank and one receiver for most tests, and new ones for those that kill or black them out."""

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """Start a server that gives every request one answer, slowly if ``seconds_per_byte``; returns its URL."""
    with ExitStack() as stack:

        def start(status: int, body: bytes, *, seconds_per_byte: float = 0) -> str:
            class Handler(BaseHTTPRequestHandler):
                def answer(self) -> None:
                    self.rfile.read(int(self.headers.get("content-length", 0)))
                    self.send_response(status)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    try:
                        for byte in body:
                            self.wfile.write(bytes([byte]))
                            time.sleep(seconds_per_byte)
                    except OSError:
                        return

                do_GET = do_POST = answer

                def log_message(self, *_: Any) -> None:
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., SandboxProvider]]:
    """Make adapters to any URL; they are closed at the end."""
    made: list[SandboxProvider] = []

    def make(url: str, **more: Any) -> SandboxProvider:
        made.append(SandboxProvider(url, api_key="any", **{"timeout_seconds": 1.0, **more}))
        return made[-1]

    yield make
    for each in made:
        await each.close()
