"""The sandbox bank's HTTP door: submit, ask, compare books, and order bad weather."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from uvicorn.protocols.http.h11_impl import H11Protocol

from payments.sandbox.books import Books, InsufficientBalance, Line, Payout
from payments.sandbox.moods import Mood, Moods, UnknownMood, header_moods, parse_moods, tagged_moods
from payments.sandbox.webhooks import Courier

TICK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Options:
    """How this bank runs. ``hang_seconds``: how long a hanging answer takes."""

    database: Path
    webhook_url: str | None
    opening_centavos: int
    settle_seconds: float
    slow_seconds: float
    return_seconds: float
    hang_seconds: float


class PayoutRequest(BaseModel):
    """``POST /v1/payouts``. ``key``: the client's own, the same for ever for one payout."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,35}$")]
    amount_centavos: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,15}$")]
    pix_key: Annotated[str, Field(min_length=1, max_length=77)]
    pix_key_kind: Annotated[str, Field(pattern=r"^(cpf|cnpj|phone|email|evp)$")]
    holder_name: Annotated[str, Field(min_length=1, max_length=140)]
    holder_tax_id: Annotated[str, Field(pattern=r"^([0-9]{11}|[0-9A-Z]{12}[0-9]{2})$")]
    description: Annotated[str, Field(max_length=140)]


class MoodsRequest(BaseModel):
    """``PUT /sandbox/moods``: these moods for the next ``count`` payouts."""

    moods: list[str]
    count: Annotated[int, Field(ge=1, le=10_000)] = 1


class Problem(Exception):
    """An answer that is not 2xx. ``reason`` carries the code of a refusal."""

    def __init__(self, status: int, code: str, *, reason: str | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.reason = reason


class DroppableProtocol(H11Protocol):
    """HTTP/1.1 that lets a route reset its own connection: ``request.state.transport.abort()``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Bank:
    """The routes' common ground: the books, the weather, and what follows an acceptance."""

    def __init__(self, books: Books, options: Options) -> None:
        self.books = books
        self.options = options

    async def keep_time(self) -> None:
        """Settle what is due, until cancelled."""
        while True:
            self.books.advance(time.time())
            await asyncio.sleep(TICK_SECONDS)

    def submit(self, order: PayoutRequest, asked: Moods) -> tuple[Payout, bool]:
        """The payout of this key, and whether it is new. Does not wait, so submits never interleave.

        :raises Problem: another content under the same key, or any refusal.
        """
        content = order.model_dump()
        known = self.books.find(order.key)
        if known and known.content != content:
            raise Problem(409, "key_reused")
        if known and known.state == "refused":
            raise Problem(422, "payout_refused", reason=known.reason)
        if known:
            return known, False

        moods = self.books.unspent_moods(order.key, asked) | self.books.take_standing_moods()
        now = time.time()
        if Mood.DARK in moods:
            self.books.go_dark()
            raise Problem(503, "dark")
        if Mood.ERROR_500_BEFORE_ACCEPTING in moods:
            raise Problem(500, "internal_error")
        if Mood.NO_BALANCE in moods:
            raise Problem(409, "insufficient_provider_balance")
        if Mood.REFUSED in moods:
            self.books.refuse(order.key, content, moods, reason="BE01", now=now)
            raise Problem(422, "payout_refused", reason="BE01")
        try:
            payout = self.books.accept(order.key, content, moods, now=now, settle_at=now + self._delay(moods))
        except InsufficientBalance:
            raise Problem(409, "insufficient_provider_balance") from None
        return payout, True

    async def answer_badly(self, payout: Payout, request: Request) -> None:
        """What goes wrong between accepting a payout and saying so.

        :raises Problem: the answer is a gateway's.
        """
        if Mood.WEBHOOK_BEFORE_RESPONSE in payout.moods:
            await self._until_told(payout.key)
        if Mood.TIMEOUT_AFTER_ACCEPTING in payout.moods:
            await asyncio.sleep(self.options.hang_seconds)
        if Mood.DROP_CONNECTION_AFTER_ACCEPTING in payout.moods:
            request.state.transport.abort()
        if Mood.ERROR_504_AFTER_ACCEPTING in payout.moods:
            raise Problem(504, "gateway_timeout")

    def _delay(self, moods: Moods) -> float:
        if Mood.WEBHOOK_BEFORE_RESPONSE in moods:
            return 0
        return self.options.slow_seconds if Mood.SLOW in moods else self.options.settle_seconds

    async def _until_told(self, key: str) -> None:
        give_up = time.monotonic() + self.options.hang_seconds
        while time.monotonic() < give_up:
            payout = self.books.find(key)
            if payout and payout.state != "processing" and not self.books.has_letters_out(key):
                return
            await asyncio.sleep(TICK_SECONDS)


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
            courier = Courier(books, url=options.webhook_url, secret=webhook_secret)
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
    app.add_exception_handler(RequestValidationError, _invalid)
    app.include_router(v1, dependencies=[Depends(authenticated)])
    app.include_router(weather, dependencies=[Depends(authenticated)])
    app.include_router(health)
    return app


async def _bank(request: Request) -> Bank:
    bank: Bank = request.app.state.bank
    return bank


TheBank = Annotated[Bank, Depends(_bank)]


async def _lit_bank(bank: TheBank) -> Bank:
    if bank.books.is_dark():
        raise Problem(503, "dark")
    return bank


LitBank = Annotated[Bank, Depends(_lit_bank)]

health = APIRouter()
v1 = APIRouter(prefix="/v1")
weather = APIRouter(prefix="/sandbox")


@health.get("/healthz")
async def healthz(request: Request) -> JSONResponse:
    alive = not any(clock.done() for clock in request.app.state.clocks)
    return JSONResponse({"alive": alive}, 200 if alive else 503)


@v1.post("/payouts")
async def submit_payout(
    order: PayoutRequest, bank: LitBank, request: Request, x_sandbox_mood: Annotated[str, Header()] = ""
) -> JSONResponse:
    try:
        asked = header_moods(x_sandbox_mood)
    except UnknownMood:
        raise Problem(422, "unknown_mood") from None
    if order.pix_key_kind == "email":
        asked |= tagged_moods(order.pix_key)
    payout, is_new = bank.submit(order, asked)
    if is_new:
        await bank.answer_badly(payout, request)
    return JSONResponse(_view(payout), 201 if is_new else 200)


@v1.get("/payouts/{key}")
async def find_payout(key: str, bank: LitBank) -> dict[str, Any]:
    return _view(_found(bank.books.find(key)))


@v1.get("/payouts")
async def list_payouts(bank: LitBank, limit: Annotated[int, Query(ge=1, le=100_000)] = 1_000) -> dict[str, Any]:
    return {
        "payouts": [
            _view(payout) | {"pix_key": payout.content["pix_key"], "moods": sorted(payout.moods)}
            for payout in bank.books.payouts(limit)
        ]
    }


@v1.get("/balance")
async def show_balance(bank: LitBank) -> dict[str, str]:
    balance, available = bank.books.balance()
    return {"balance_centavos": str(balance), "available_centavos": str(available)}


@v1.get("/statement")
async def show_statement(day: date, bank: LitBank) -> dict[str, Any]:
    return {"lines": [_line(line) for line in bank.books.statement(day)]}


@weather.put("/moods")
async def set_moods(wanted: MoodsRequest, bank: TheBank) -> dict[str, Any]:
    try:
        moods = parse_moods(wanted.moods)
    except UnknownMood:
        raise Problem(422, "unknown_mood") from None
    bank.books.set_standing_moods(moods, wanted.count)
    return {"moods": sorted(moods), "count": wanted.count}


@weather.delete("/moods", status_code=204)
async def clear_moods(bank: TheBank) -> None:
    bank.books.set_standing_moods(frozenset(), 0)


@weather.post("/payouts/{key}/return")
async def return_payout(key: str, bank: TheBank) -> dict[str, Any]:
    _found(bank.books.find(key))
    returned = bank.books.send_back(key, now=time.time())
    if returned is None:
        raise Problem(409, "payout_not_paid")
    return _view(returned)


@weather.post("/webhooks/{key}/resend")
async def resend_webhooks(key: str, bank: TheBank) -> dict[str, int]:
    _found(bank.books.find(key))
    return {"letters": bank.books.resend_letters(key, now=time.time())}


def _found(payout: Payout | None) -> Payout:
    if payout is None:
        raise Problem(404, "payout_not_found")
    return payout


def _view(payout: Payout) -> dict[str, Any]:
    """What a client is told: no personal data."""
    return {
        "id": f"po_{payout.number}",
        "key": payout.key,
        "state": payout.state,
        "amount_centavos": str(payout.amount_centavos),
        "end_to_end_id": payout.end_to_end_id,
        "reason": payout.reason,
        "created_at": _time(payout.created_at),
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "id": f"ln_{line.number}",
        "key": line.key,
        "kind": line.kind,
        "end_to_end_id": line.end_to_end_id,
        "amount_centavos": str(line.amount_centavos),
        "time": _time(line.time),
    }


def _time(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat()


async def _problem(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, Problem)
    return JSONResponse({"code": problem.code, "reason": problem.reason}, problem.status)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Name the fields at fault; the values may be personal."""
    assert isinstance(error, RequestValidationError)
    fields = sorted({str(each["loc"][-1]) for each in error.errors()})
    return JSONResponse({"code": "invalid_request", "reason": ",".join(fields)}, 422)
