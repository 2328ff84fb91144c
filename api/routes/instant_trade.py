"""Instant trades: made of a quote, read, listed, explained."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pagination
from api.auth import Caller
from api.deps import Deps, Post, Services
from api.idempotency import OncePerKey
from api.ids import IdInPath, IdText
from api.problems import problems
from api.views import TradeSummary, TradeView, read_payment, read_trade, trade_summary, visible
from api.why import WhyView, explain
from models.errors import (
    DocumentMissing,
    IdempotencyMismatch,
    InsufficientFunds,
    InvalidInput,
    KeyTooNew,
    NodeUnavailable,
    NotFound,
    NotTheHolder,
    PayloadTooLarge,
    PurchasesUnavailable,
    QuoteExpired,
    QuoteUsed,
)
from models.ids import new_id
from models.instant_trade import buy_writes, queries, writes
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import HistoryEntry
from models.quote import writes as quotes
from models.quote.types import Quote, Side
from models.user.types import Actor
from payments import br_code

router = APIRouter(prefix="/api/v1/instant-trade", tags=["instant trade"])


class CreateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    quote_id: IdText
    bank_data_id: IdText | None = Field(
        default=None,
        description="of a sale: where the reais go (`POST /api/v1/bank-data`); without it, to your primary",
    )


class TradePage(BaseModel):
    trades: list[TradeSummary]
    next_cursor: str | None = Field(description="pass it back for the trades that follow; null at the end")


class LogLine(BaseModel):
    """``actor``: ``system``, a user's id, or ``operator`` where an operator's id is not the reader's to know."""

    version: int
    old_status: TradeStatus | None
    new_status: TradeStatus
    reason: str | None
    actor: str
    details: dict[str, JsonValue] = Field(description="evidence and amounts; empty for users")
    at: datetime


@router.post(
    "/create",
    status_code=201,
    response_model=TradeView,
    responses=problems(
        PayloadTooLarge,
        NotFound,
        InvalidInput,
        IdempotencyMismatch,
        QuoteExpired,
        QuoteUsed,
        PurchasesUnavailable,
        DocumentMissing,
        NotTheHolder,
        KeyTooNew,
        InsufficientFunds,
        NodeUnavailable,
    ),
)
async def create(
    body: CreateRequest, services: Deps, courier: Post, caller: Caller, once: OncePerKey
) -> JSONResponse:
    """Make a trade of a quote.

    With funding `deposit`, send `amount` to `deposit_address` before the deposit window ends. With `custody`, the
    coins are held at once and move by themselves. What is accepted here is carried out, whatever breaks meanwhile.

    Of a purchase, `payment` shows the PIX to pay as soon as the bank has made it: look at the trade again until
    `br_code` is there. Pay it yourself and in full, once; any other payment goes back to its payer.

    The reais go to an account of your own: its holder's CPF or CNPJ must be the one of your verified document
    (`GET /api/v1/users/me/document`). A new PIX key receives little until its `usable_from`.
    """
    trade_id, now = new_id(), datetime.now(UTC)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        quote = await quotes.use(conn, quote_id=body.quote_id, user_id=caller.user_id, now=now)
        messages = await _accept(conn, services, quote, trade_id, body.bank_data_id, now)
        answer = await once.answer(conn, 201, await read_trade(conn, trade_id, caller, services))
    answer.background = courier.soon(messages)
    return answer


async def _accept(
    conn: AsyncConnection, services: Services, quote: Quote, trade_id: str, bank_data_id: str | None, now: datetime
) -> list[int]:
    waits = services.waits
    if quote.operation is Side.BUY:
        if bank_data_id is not None:
            raise InvalidInput(
                "leave bank_data_id out of a purchase: a PIX goes back to its payer", field="bank_data_id"
            )
        terms = await services.purchase_terms_now(conn)
        return await buy_writes.accept(conn, quote, trade_id=trade_id, terms=terms, waits=waits, now=now)
    return await writes.accept(
        conn,
        quote,
        box=services.box,
        trade_id=trade_id,
        bank_data_id=bank_data_id,
        new_key=services.new_key,
        terms=await services.terms_now(conn),
        waits=waits,
        now=now,
    )


@router.get("/history/my-trades", responses=problems(InvalidInput))
async def my_trades(
    services: Deps,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> TradePage:
    """The caller's own trades, newest first."""
    after = pagination.decode(cursor)
    async with services.engine.connect() as conn:
        page = await queries.trades_of(conn, caller.user_id, limit=limit, cursor=after)
    trades = [trade_summary(trade) for trade in page.trades]
    return TradePage(trades=trades, next_cursor=pagination.encode(page.next_cursor))


@router.get("/{trade_id:id}", responses=problems(NotFound))
async def show(trade_id: IdInPath, services: Deps, caller: Caller) -> TradeView:
    """One trade. Its `status` says who is being waited for.

    | status | waits for | was called, in older systems |
    |---|---|---|
    | `awaiting_deposit` | the user | `pending_transfer` |
    | `transferring` | the chain | `transfer_pending` |
    | `confirming` | the chain | `transfer_confirmed` |
    | `paying_out` | the bank | `payment_pending`, `payment_sent`, `payment_confirmed` |
    | `awaiting_payment` | the user | `pending_payment` |
    | `confirming_payment` | the bank | `pending_payment` |
    | `delivering` | the chain | `transfer_pending`, `transfer_confirmed` |
    | `completed` | nobody | `completed` |
    | `cancelled`, `expired` | nobody | the same |
    | `refunding`, `refunded` | the chain, or the bank; nobody | `failed`, `timeout` |
    | `needs_review` | an operator | `payment_failed` |
    """
    async with services.engine.connect() as conn:
        return await read_trade(conn, trade_id, caller, services)


@router.get(
    "/{trade_id:id}/qr.svg",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}}, **problems(NotFound)},
)
async def qr(trade_id: IdInPath, services: Deps, caller: Caller) -> Response:
    """The BR Code of a purchase as a picture, once the bank has made it."""
    async with services.engine.connect() as conn:
        payment = await read_payment(conn, await visible(conn, trade_id, caller))
    if payment is None or payment.br_code is None:
        raise NotFound("this trade has no BR Code, or not yet")
    return Response(br_code.svg(payment.br_code), media_type="image/svg+xml")


@router.get("/{trade_id:id}/audit-log", responses=problems(NotFound))
async def audit_log(trade_id: IdInPath, services: Deps, caller: Caller) -> list[LogLine]:
    """Everything that happened to the trade, oldest first. Lines are only ever added."""
    async with services.engine.connect() as conn:
        await visible(conn, trade_id, caller)
        return [_line(entry, caller) for entry in await queries.history(conn, trade_id)]


@router.get("/{trade_id:id}/why", responses=problems(NotFound))
async def why(trade_id: IdInPath, services: Deps, caller: Caller) -> WhyView:
    """In plain words: what the trade waits for, who must act, until when, and what happens by itself next.

    And in the same answer all there is to know: the quote's parts, transactions, deposits, returns, ledger
    postings, the payout with its endToEndId, the provider's webhooks, locks, and every identifier.
    """
    async with services.engine.connect() as conn:
        return await explain(conn, await visible(conn, trade_id, caller), caller, services)


def _line(entry: HistoryEntry, reader: Actor) -> LogLine:
    is_plain = reader.is_operator or entry.actor in {"system", reader.user_id}
    return LogLine(
        version=entry.version,
        old_status=entry.old_status,
        new_status=entry.new_status,
        reason=entry.reason,
        actor=entry.actor if is_plain else "operator",
        details=entry.details if reader.is_operator else {},
        at=entry.at,
    )
