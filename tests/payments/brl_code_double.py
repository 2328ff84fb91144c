"""A gateway of the "BRL Code" kind, in this process: books in memory, real HTTP on a loopback port.

It checks every request against the one description there is and keeps each violation. Like the real one, which
says nothing of it, it takes a repeated ``external_id`` for a new payment: ``times_paid`` counts them.
"""

import asyncio
import hashlib
import hmac
import json
import re
import threading
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from payments.sandbox.app import DroppableProtocol

API_KEY = "brl-code-api-key-of-the-double"
SECRET = "brl-code-webhook-secret-of-the-double"
WEBHOOK_URL = "https://desk.example/webhooks/brl_code"
AMOUNT = re.compile(rb'"amount":(\d+\.\d{2})[,}]')
HANG_SECONDS = 5.0


class Fault(StrEnum):
    """``*_BEFORE``: nothing was done. ``*_AFTER``: it was done, and the answer is lost or spoiled."""

    HANG_BEFORE = "hang_before"
    ERROR_BEFORE = "error_before"
    DROP_BEFORE = "drop_before"
    HANG_AFTER = "hang_after"
    ERROR_AFTER = "error_after"
    DROP_AFTER = "drop_after"
    GARBAGE_AFTER = "garbage_after"


class CreatePayload(BaseModel):
    """``POST /payments/create``, with nothing added."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    amount: Annotated[float, Field(gt=0)]
    pix_key: Annotated[str, Field(min_length=1, max_length=77)]
    description: str
    external_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")]
    webhook_url: Annotated[str, Field(pattern=r"^https?://.+/webhooks/(brl_code|payment)$")]
    due_date: str


@dataclass
class Gateway:
    """Start it with ``with``. Its books are plain attributes: tests read and change them.

    ``says``: what a step answers whatever it is asked, having done nothing. ``view``: fields that its look-up
    shows otherwise (None leaves one out).
    """

    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    times_paid: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    amounts: dict[str, bytes] = field(default_factory=dict)
    says: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    view: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def __enter__(self) -> Self:
        config = uvicorn.Config(
            self._app(), port=0, http=DroppableProtocol, log_level="critical", access_log=False, lifespan="off"
        )
        config.timeout_graceful_shutdown = 1
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            threading.Event().wait(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def reset(self) -> None:
        """New books, good weather."""
        vars(self).update(vars(type(self)()))

    def fail(self, step: str, *faults: Fault) -> None:
        """The next calls of this step go wrong so, one each."""
        self.faults[step].extend(faults)

    def payment_of(self, external_id: str) -> dict[str, Any]:
        """The newest payment of this key."""
        return [each for each in self.payments.values() if each["external_id"] == external_id][-1]

    def settle(self, external_id: str, status: str = "confirmed") -> None:
        self.payment_of(external_id)["status"] = status

    def webhook(self, external_id: str, event: str, *, secret: str = SECRET, **changes: Any) -> tuple[bytes, str]:
        """A signed body about the newest payment of this key, and its signature; a change to None leaves out."""
        payment = self.payment_of(external_id)
        body = {"event": event, **payment, "timestamp": datetime.now(UTC).isoformat()} | changes
        return sign({name: value for name, value in body.items() if value is not None}, secret)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/payments/create", self._door("create", self._create), methods=["POST"]),
                Route("/payments/{id}", self._door("find", self._find), methods=["GET"]),
            ]
        )

    def _door(self, step: str, handler: Any) -> Any:
        async def answer(request: Request) -> Response:
            self.calls.append(step)
            body = await request.body()
            if request.headers.get("authorization") != f"Bearer {API_KEY}":
                return JSONResponse({"error": "invalid api key"}, 401)
            if request.method == "GET" and body:
                self.violations.append("a GET with a body")
            fault = self.faults[step].popleft() if self.faults[step] else None
            if fault and fault.endswith("before"):
                return await self._spoil(fault, request)
            if step in self.says:
                status, text = self.says[step]
                return Response(text, status, media_type="application/json")
            result: Response = handler(request, body)
            return await self._spoil(fault, request) if fault else result

        return answer

    async def _spoil(self, fault: Fault, request: Request) -> Response:
        match fault.partition("_")[0]:
            case "hang":
                for _ in range(int(HANG_SECONDS / 0.05)):
                    if await request.is_disconnected():
                        break
                    await asyncio.sleep(0.05)
            case "drop":
                request.state.transport.abort()
            case "garbage":
                return Response(b'{"payment_id": "pay_', media_type="application/json")
        return JSONResponse({"error": "internal error"}, 504)

    def _create(self, request: Request, body: bytes) -> Response:
        if request.headers.get("content-type") != "application/json":
            self.violations.append("content-type")
        try:
            order = CreatePayload.model_validate_json(body)
            date.fromisoformat(order.due_date)
        except (ValidationError, ValueError) as error:
            self.violations.append(f"create: {error}")
            return JSONResponse({"error": "invalid payment"}, 400)
        written = AMOUNT.search(body)
        if written is None:
            self.violations.append("create: the amount is no number of two decimals")
            return JSONResponse({"error": "invalid amount"}, 400)
        payment_id = f"pay_{uuid.uuid4().hex[:16]}"
        self.times_paid[order.external_id] += 1
        self.amounts[order.external_id] = written[1]
        self.payments[payment_id] = {
            "payment_id": payment_id,
            "external_id": order.external_id,
            "amount": order.amount,
            "status": "pending",
        }
        return JSONResponse({"payment_id": payment_id, "status": "pending"}, 201)

    def _find(self, request: Request, _: bytes) -> Response:
        payment = self.payments.get(request.path_params["id"])
        if payment is None:
            return JSONResponse({"error": "payment not found"}, 404)
        shown = payment | self.view
        return JSONResponse({name: value for name, value in shown.items() if value is not None})


def sign(body: dict[str, Any], secret: str = SECRET) -> tuple[bytes, str]:
    raw = json.dumps(body).encode()
    return raw, hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
