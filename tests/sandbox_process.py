"""The sandbox bank as a process of its own, to start, question, kill and start again."""

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Self

import httpx

from payments.sandbox.moods import Mood
from payments.sandbox_provider import SandboxProvider

ROOT = Path(__file__).parents[1]
START_SECONDS_MOST = 60


class SandboxProcess:
    """Use as a context manager, or call :meth:`start` and :meth:`stop`. A restart keeps port and books.

    :param options: further command line options, ``settle_seconds=0.05`` for ``--settle-seconds 0.05``.
    """

    def __init__(
        self, database: Path, *, webhook_url: str | None = None, port: int | None = None, **options: Any
    ) -> None:
        self.database = database
        self.webhook_url = webhook_url
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_key = secrets.token_urlsafe(24)
        self.webhook_secret = new_webhook_secret()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {self.api_key}"},
            timeout=30,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._client.close()

    def start(self) -> None:
        """Return when it answers."""
        command = [sys.executable, "-m", "payments.sandbox"]
        command += ["--port", str(self.port), "--database", str(self.database)]
        command += ["--webhook-url", self.webhook_url] if self.webhook_url else []
        for name, value in self._options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        environment = os.environ | {
            "LIQUIDA_SANDBOX_API_KEY": self.api_key,
            "LIQUIDA_SANDBOX_WEBHOOK_SECRET": self.webhook_secret,
        }
        log = self.database.with_suffix(".log")
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        if not eventually(self._is_up, seconds=START_SECONDS_MOST):
            self.kill()
            raise RuntimeError(f"the sandbox did not start: {log.read_text()[-2_000:]}")

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self._end(subprocess.Popen.kill)

    def stop(self) -> None:
        self._end(subprocess.Popen.terminate)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One authenticated call, whatever the answer."""
        return self._client.request(method, path, **more)

    def payouts(self) -> Any:
        """All payouts ever recorded, oldest first; ``amount_centavos`` is a string."""
        return self._get("/v1/payouts?limit=100000")["payouts"]

    def payout(self, key: str) -> Any:
        return self._get(f"/v1/payouts/{key}")

    def balance_centavos(self) -> int:
        return int(self._get("/v1/balance")["balance_centavos"])

    def statement(self, day: date) -> Any:
        return self._get(f"/v1/statement?day={day}")["lines"]

    def set_moods(self, *moods: Mood, count: int = 1) -> None:
        """For the next ``count`` new payouts, whoever sends them."""
        body = {"moods": [mood.value for mood in moods], "count": count}
        self.request("PUT", "/sandbox/moods", json=body).raise_for_status()

    def clear_moods(self) -> None:
        self.request("DELETE", "/sandbox/moods").raise_for_status()

    def send_back(self, key: str) -> None:
        """The receiving bank returns this paid payout now."""
        self.request("POST", f"/sandbox/payouts/{key}/return").raise_for_status()

    def resend_webhooks(self, key: str) -> None:
        self.request("POST", f"/sandbox/webhooks/{key}/resend").raise_for_status()

    def provider(self, *, timeout_seconds: float = 5) -> SandboxProvider:
        """A new adapter to this bank; the caller closes it."""
        return SandboxProvider(
            self.url,
            api_key=self.api_key,
            webhook_secrets=[self.webhook_secret],
            timeout_seconds=timeout_seconds,
        )

    def _get(self, path: str) -> Any:
        return self.request("GET", path).raise_for_status().json()

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"the sandbox ended: {self.database.with_suffix('.log').read_text()[-2_000:]}")
        try:
            return self._client.get("/healthz").is_success
        except httpx.HTTPError:
            return False

    def _end(self, how: Callable[["subprocess.Popen[bytes]"], None]) -> None:
        if self._process is None:
            return
        how(self._process)
        self._process.wait(timeout=30)
        self._process = None


def eventually(is_true: Callable[[], object], *, seconds: float = 10) -> bool:
    """Ask until it is so, or the time is over."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if is_true():
            return True
        time.sleep(0.02)
    return bool(is_true())


def new_webhook_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
