"""The sandbox bank as one ASGI application: its routes, its clocks, and how it says no."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from payments.sandbox.books import Books
from payments.sandbox.door import Bank, Options, Problem
from payments.sandbox.receipts import NotPossible
from payments.sandbox.routes import account, charge, dispute, payout, receipt, refund, weather
from payments.sandbox.webhooks import Courier

ROUTES = (payout, charge, receipt, refund, dispute, account, weather)


class DroppableProtocol(H11Protocol):
    """HTTP/1.1 that lets a route reset its own connection: ``request.state.transport.abort()``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def create_app(options: Options, *, api_key: str, webhook_secret: str) -> FastAPI:
    """The bank as an ASGI application. Its clocks run while it is up."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        books = Books(
            options.database,
            opening_centavos=options.opening_centavos,
            return_seconds=options.return_seconds,
        )
        bank = app.state.bank = Bank(books, options)
        clocks = app.state.clocks = [asyncio.create_task(bank.keep_time())]
        if options.webhook_url:
            courier = Courier(books.letters, url=options.webhook_url, secret=webhook_secret)
            clocks.append(asyncio.create_task(courier.run()))
        yield
        for clock in clocks:
            clock.cancel()
        await asyncio.gather(*clocks, return_exceptions=True)
        books.close()

    async def authenticated(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(f"Bearer {api_key}".encode(), authorization.encode()):
            raise Problem(401, "unauthorized")

    app = FastAPI(title="PIX sandbox bank", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(NotPossible, _not_possible)
    app.add_exception_handler(RequestValidationError, _invalid)
    for routes in ROUTES:
        app.include_router(routes.router, dependencies=[Depends(authenticated)])
    app.include_router(health)
    return app


health = APIRouter()


@health.get("/healthz")
async def healthz(request: Request) -> JSONResponse:
    alive = not any(clock.done() for clock in request.app.state.clocks)
    return JSONResponse({"alive": alive}, 200 if alive else 503)


async def _problem(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, Problem)
    return JSONResponse({"code": problem.code, "reason": problem.reason}, problem.status)


async def _not_possible(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NotPossible)
    return JSONResponse({"code": error.code, "reason": None}, 409)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Name the fields at fault; the values may be personal."""
    assert isinstance(error, RequestValidationError)
    fields = sorted({str(each["loc"][-1]) for each in error.errors()})
    return JSONResponse({"code": "invalid_request", "reason": ",".join(fields)}, 422)
