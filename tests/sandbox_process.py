"""The sandbox bank as a process of its own, to start, question, kill and start again."""

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from types import EllipsisType
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

    def charges(self) -> Any:
        """All charges ever recorded, oldest first, each with its receipts."""
        return self._get("/v1/charges?limit=100000")["charges"]

    def charge(self, key: str) -> Any:
        return self._get(f"/v1/charges/{key}")

    def refunds(self) -> Any:
        """All refunds ever recorded, refused ones too, oldest first."""
        return self._get("/v1/refunds?limit=100000")["refunds"]

    def refund(self, key: str) -> Any:
        return self._get(f"/v1/refunds/{key}")

    def find_dispute(self, dispute_id: str) -> Any:
        return self._get(f"/v1/disputes/{dispute_id}")

    def balance_centavos(self) -> int:
        return int(self._get("/v1/balance")["balance_centavos"])

    def available_centavos(self) -> int:
        """The balance without what payouts, refunds, blocks and disputes hold."""
        return int(self._get("/v1/balance")["available_centavos"])

    def statement(self, day: date) -> Any:
        return self._get(f"/v1/statement?day={day}")["lines"]

    def lines(self, day: date, *kinds: str) -> Any:
        """The statement's lines of these kinds; of every kind, if none is named."""
        return [line for line in self.statement(day) if not kinds or line["kind"] in kinds]

    def pay(
        self,
        key: str,
        *,
        amount_centavos: int | None = None,
        payer_tax_id: str | EllipsisType | None = ...,
        payer_name: str | None = None,
        moods: Iterable[Mood] = (),
    ) -> Any:
        """A payer pays this charge; the receipt.

        :param amount_centavos: None: what the charge asks for.
        :param payer_tax_id: left out: the named payer's; None: the bank does not say whose.
        """
        body: dict[str, Any] = {"payer_name": payer_name, "moods": [mood.value for mood in moods]}
        if amount_centavos is not None:
            body["amount_centavos"] = str(amount_centavos)
        if payer_tax_id is not ...:
            body["payer_tax_id"] = payer_tax_id
        return self._post(f"/sandbox/charges/{key}/pay", body)

    def remove(self, key: str) -> Any:
        """The bank takes this unpaid charge away."""
        return self._post(f"/sandbox/charges/{key}/remove", {})

    def release(self, end_to_end_id: str) -> Any:
        """The precautionary block of this receipt ends; the receipt."""
        return self._post(f"/sandbox/receipts/{end_to_end_id}/release", {})

    def take_back(self, end_to_end_id: str, *, amount_centavos: int | None = None) -> Any:
        """The bank returns this receipt, or a part of it, to its payer; the receipt."""
        return self._post(f"/sandbox/receipts/{end_to_end_id}/take-back", _amount(amount_centavos))

    def dispute(
        self, end_to_end_id: str, *, amount_centavos: int | None = None, answer_seconds: float | None = None
    ) -> Any:
        """The payer's bank disputes this receipt, or a part of it; the dispute."""
        more = {} if answer_seconds is None else {"answer_seconds": answer_seconds}
        return self._post(f"/sandbox/receipts/{end_to_end_id}/dispute", _amount(amount_centavos) | more)

    def decide(self, dispute_id: str, outcome: str) -> Any:
        """``won`` or ``lost``; the dispute."""
        return self._post(f"/sandbox/disputes/{dispute_id}/decide", {"outcome": outcome})

    def set_moods(self, *moods: Mood, count: int = 1, for_: str = "payouts") -> None:
        """For the next ``count`` new payouts, charges, receipts or refunds, whoever sends them."""
        body = {"moods": [mood.value for mood in moods], "count": count, "for": for_}
        self.request("PUT", "/sandbox/moods", json=body).raise_for_status()

    def clear_moods(self) -> None:
        self.request("DELETE", "/sandbox/moods").raise_for_status()

    def send_back(self, key: str) -> None:
        """The receiving bank returns this paid payout now."""
        self.request("POST", f"/sandbox/payouts/{key}/return").raise_for_status()

    def resend_webhooks(self, key: str) -> None:
        """``key``: a payout's, a charge's (with its receipts), a refund's, or a dispute's id."""
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

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self.request("POST", path, json=body).raise_for_status().json()

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


def _amount(centavos: int | None) -> dict[str, Any]:
    return {} if centavos is None else {"amount_centavos": str(centavos)}


def new_webhook_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
