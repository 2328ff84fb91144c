"""Around every request: a limit to its body, its time and outcome measured, its unforeseen failure answered."""

import re
import time
from typing import cast

import structlog
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.problems import failed, problem
from models.errors import PayloadTooLarge
from models.p2p_file.types import FILE_BYTES_MOST

log = structlog.get_logger()

BODY_BYTES_MOST = 64 * 1024
_FILE_PATH = re.compile(r"/api/v1/p2p/trades/[0-9a-f]{32}/files")


def bytes_most(request: Request) -> int:
    """How large this request's body may be: files are larger than anything else."""
    is_file = request.method == "POST" and _FILE_PATH.fullmatch(request.scope["path"]) is not None
    return FILE_BYTES_MOST if is_file else BODY_BYTES_MOST


class BodyLimit:
    """Refuses bodies above 64 KiB (files: 5 MiB), before reading them where their length is announced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        most = bytes_most(request)
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced[:12]) > most:
            await problem(request, PayloadTooLarge, f"send at most {most} bytes")(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise HTTPException(PayloadTooLarge.status)  # the one class that FastAPI lets through here
            return message

        await self._app(scope, counted, send)


class Watch:
    """Outermost: counts and times each request, and turns what nobody caught into an answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                elapsed = time.perf_counter() - began
                self._metrics.observe(scope["method"], _template(scope), status, elapsed)
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            # Whoever hung up amid the body hears no answer; it is no fault of ours, and nothing was done.
            log.info("request.abandoned")
        except Exception as error:  # noqa: BLE001 the last catch of all
            answer = failed(Request(scope), error)
            if not status:
                await answer(scope, receive, noted)


def _template(scope: Scope) -> str:
    """The route's own text, ids left out, so that the number of series stays small."""
    route = scope.get("route")
    return cast("str", getattr(route, "path_format", "none"))
