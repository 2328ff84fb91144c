"""P2P trades: opened by taking an order, ended by what the two say, or by the clock."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pagination
from api.auth import Caller
from api.deps import Deps, Post, Services
from api.ids import IdInPath, IdText
from api.p2p_trade_story import P2PWaiting, waiting
from api.p2p_trade_view import (
    EscrowShown,
    P2PTradeSummary,
    P2PTradeView,
    br_code_of,
    escrow_shown,
    read,
    summary,
    visible,
)
from api.problems import problems
from api.routes.quote import PlainAmount, positive
from api.sealed_once import SealedOnce, SealedOncePerKey
from models.assets import BRL, Asset
from models.errors import (
    DocumentMissing,
    Forbidden,
    IdempotencyMismatch,
    IllegalTransition,
    InsufficientFunds,
    InvalidInput,
    LimitExceeded,
    NotAnAmount,
    NotFound,
    PayloadTooLarge,
    PriceUnavailable,
    StaleVersion,
    TakeRefused,
    TooPrecise,
    UnknownAsset,
)
from models.ids import new_id
from models.network import queries as networks
from models.p2p_message import writes as chat
from models.p2p_order import queries as orders
from models.p2p_order.types import P2POrder, PriceKind, Settlement
from models.p2p_trade import queries, writes
from models.p2p_trade.party import Party
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import Command, P2PTrade, P2PTradeLine
from models.payment_method.types import MethodKind
from models.user.types import Actor
from payments import br_code

router = APIRouter(prefix="/api/v1/p2p/trades", tags=["p2p trades"])

_READS = problems(NotFound)
_COMMANDS = problems(PayloadTooLarge, Forbidden, NotFound, IllegalTransition, InvalidInput, IdempotencyMismatch)


class TradeRequest(BaseModel):
    """Name exactly one side: ``amount``, or the reais, ``pay_brl``. The other follows, in the maker's favour."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "order_id": "7c9e6679742540de944be07fc1f90ae7",
                    "order_version": 1,
                    "pay_brl": "1500.00",
                    "settlement": "direct",
                }
            ]
        },
    )

    order_id: IdText
    order_version: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="the version you read: with it, an order that was changed since is refused",
    )
    amount: PlainAmount | None = Field(default=None, examples=["0.1"], description="of the order's asset")
    pay_brl: PlainAmount | None = Field(
        default=None, examples=["1500.00"], description="the trade's reais, whichever side you are on"
    )
    settlement: Settlement
    payment_method_id: IdText | None = Field(
        default=None,
        description="where you sell, with `direct`: where you are paid, by one of the order's `method_kinds`",
    )
    payment_method_kind: MethodKind | None = Field(
        default=None, description="where you buy, with `direct`: which of the order's `method_kinds`; left out: any"
    )


class P2PTradePage(BaseModel):
    trades: list[P2PTradeSummary]
    next_cursor: str | None = Field(description="pass it back for the trades that follow; null at the end")


class P2PTradeLogLine(BaseModel):
    """``actor``: ``system``, the id of one of the two, or ``operator``."""

    version: int
    old_status: P2PTradeStatus | None
    new_status: P2PTradeStatus
    reason: str | None
    actor: str
    details: dict[str, JsonValue] = Field(description="evidence; empty for users")
    at: datetime


class P2PWhy(P2PWaiting):
    trade: P2PTradeView


@router.post(
    "",
    status_code=201,
    response_model=P2PTradeView,
    responses=problems(
        PayloadTooLarge,
        NotFound,
        InvalidInput,
        NotAnAmount,
        TooPrecise,
        UnknownAsset,
        LimitExceeded,
        TakeRefused,
        StaleVersion,
        IllegalTransition,
        InsufficientFunds,
        PriceUnavailable,
        DocumentMissing,
        IdempotencyMismatch,
    ),
)
async def create(
    body: TradeRequest, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """Take an order, or a part of it.

    With the answer, the seller's coins are held for the trade, and with settlement `balance` the buyer's reais too.
    Only then may the buyer pay: `payment` says where, and `deadline_at` until when.
    """
    if (body.amount is None) == (body.pay_brl is None):
        raise InvalidInput("name exactly one of amount and pay_brl", field="amount")
    trade_id, now = new_id(), datetime.now(UTC)
    async with services.engine.connect() as conn:
        seen = await orders.order(conn, body.order_id)
    asset = _asset(services, seen)
    # Asked before anything is locked: a slow market must hold up nobody.
    market = await services.feed.price(asset.symbol) if seen.price_kind is PriceKind.FLOATING else None
    wanted = writes.Take(
        caller.user_id,
        body.settlement,
        units=None if body.amount is None else positive(body.amount, asset, "amount"),
        centavos=None if body.pay_brl is None else positive(body.pay_brl, BRL, "pay_brl"),
        method_id=body.payment_method_id,
        method_kind=body.payment_method_kind,
    )
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        order = await orders.order(conn, body.order_id, lock=True)
        if body.order_version not in {None, order.version}:
            raise StaleVersion("the order was changed since you read it; read it again", field="order_version")
        done = await writes.accept(
            conn,
            trade_id=trade_id,
            order=order,
            asset=asset,
            wanted=wanted,
            market=market,
            rules=services.p2p,
            terms=await services.terms_now(conn),
            waits=services.waits,
            now=now,
        )
        await chat.greet(conn, services.box, trade_id, now=now)
        answer = await once.answer(conn, 201, await read(conn, trade_id, caller, services))
    answer.background = courier.soon(done.messages)
    return answer


@router.get("", responses=problems(InvalidInput))
async def list_own(
    services: Deps,
    caller: Caller,
    role: Annotated[Party | None, Query(description="only those in which you are this")] = None,
    status: Annotated[list[P2PTradeStatus] | None, Query(description="left out: all")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> P2PTradePage:
    """The caller's own trades, newest first."""
    after = pagination.decode(cursor)
    async with services.engine.connect() as conn:
        page = await queries.of_user(
            conn, caller.user_id, role=role, statuses=status or (), limit=limit, cursor=after
        )
        decimals = await networks.decimals(conn)
    return P2PTradePage(
        trades=[summary(trade, caller, decimals) for trade in page.trades],
        next_cursor=pagination.encode(page.next_cursor),
    )


@router.get("/{trade_id:id}", responses=_READS)
async def show(trade_id: IdInPath, services: Deps, caller: Caller) -> P2PTradeView:
    """One trade, to its two parties and to operators.

    | status | waits for |
    |---|---|
    | `open` | the buyer to pay |
    | `payment_sent` | the seller to confirm |
    | `disputed` | a ruling, or one of the two to give in |
    | `completed` | nobody: the coins are the buyer's |
    | `refunded`, `cancelled`, `expired` | nobody: the coins went back |
    | `split` | nobody: it was divided |
    """
    async with services.engine.connect() as conn:
        return await read(conn, trade_id, caller, services)


@router.post("/{trade_id:id}/payment-sent", response_model=P2PTradeView, responses=_COMMANDS)
async def payment_sent(
    trade_id: IdInPath, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """The buyer: say that you paid. With settlement `balance` this is the payment, and completes the trade."""
    return await _command(services, courier, caller, once, trade_id, Command.PAYMENT_SENT)


@router.post("/{trade_id:id}/undo-payment-sent", response_model=P2PTradeView, responses=_COMMANDS)
async def undo_payment_sent(
    trade_id: IdInPath, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """The buyer: take that word back. What was left of the time to pay runs on, a minute at least."""
    return await _command(services, courier, caller, once, trade_id, Command.UNDO_PAYMENT_SENT)


@router.post("/{trade_id:id}/confirm-payment", response_model=P2PTradeView, responses=_COMMANDS)
async def confirm_payment(
    trade_id: IdInPath, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """The seller: the reais arrived. Releases the coins for good."""
    return await _command(services, courier, caller, once, trade_id, Command.CONFIRM_PAYMENT)


@router.post("/{trade_id:id}/complete", response_model=P2PTradeView, responses=_COMMANDS)
async def complete(
    trade_id: IdInPath, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """The seller: release the coins. The same as `confirm-payment`."""
    return await _command(services, courier, caller, once, trade_id, Command.CONFIRM_PAYMENT)


@router.post("/{trade_id:id}/cancel", response_model=P2PTradeView, responses=_COMMANDS)
async def cancel(
    trade_id: IdInPath, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """The buyer: give up, at any time; what is held goes back. The seller: only where the buyer cannot be paying."""
    return await _command(services, courier, caller, once, trade_id, Command.CANCEL)


@router.get("/{trade_id:id}/escrow", responses=_READS)
async def escrow(trade_id: IdInPath, services: Deps, caller: Caller) -> list[EscrowShown]:
    """What is, or was, held for the trade: the seller's coins, and with `balance` the buyer's reais."""
    async with services.engine.connect() as conn:
        trade = await visible(conn, trade_id, caller)
        decimals = await networks.decimals(conn)
        return [escrow_shown(trade, leg, decimals) for leg in await queries.escrow(conn, trade_id)]


@router.get(
    "/{trade_id:id}/qr.svg",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}}, **_READS},
)
async def qr(trade_id: IdInPath, services: Deps, caller: Caller) -> Response:
    """The BR Code of the payment as a picture, for the buyer, as long as there is something to pay."""
    async with services.engine.connect() as conn:
        code = await br_code_of(conn, trade_id, caller, services)
    return Response(br_code.svg(code), media_type="image/svg+xml")


@router.get("/{trade_id:id}/audit-log", responses=_READS)
async def audit_log(trade_id: IdInPath, services: Deps, caller: Caller) -> list[P2PTradeLogLine]:
    """Everything that happened to the trade, oldest first. Lines are only ever added."""
    async with services.engine.connect() as conn:
        trade = await visible(conn, trade_id, caller)
        return [_line(line, trade, caller) for line in await queries.history(conn, trade_id)]


@router.get("/{trade_id:id}/why", responses=_READS)
async def why(trade_id: IdInPath, services: Deps, caller: Caller) -> P2PWhy:
    """In plain words: what the trade waits for, who must act, until when, what happens by itself next, and what the
    reader may do about it.
    """
    async with services.engine.connect() as conn:
        trade = await visible(conn, trade_id, caller)
        undone = await queries.undone(conn, trade_id)
        told = waiting(trade, trade.party(caller.user_id), undone=undone, now=datetime.now(UTC))
        return P2PWhy(**told.model_dump(), trade=await read(conn, trade_id, caller, services))


async def _command(
    services: Services, courier: Post, caller: Actor, once: SealedOnce, trade_id: str, order: Command
) -> JSONResponse:
    now = datetime.now(UTC)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        await _require_party(conn, trade_id, caller)
        done = await writes.command(conn, trade_id, order, user_id=caller.user_id, now=now)
        answer = await once.answer(conn, 200, await read(conn, trade_id, caller, services))
    answer.background = courier.soon(done.messages)
    return answer


async def _require_party(conn: AsyncConnection, trade_id: str, caller: Actor) -> None:
    """:raises NotFound: none, or other people's.
    :raises Forbidden: an operator, who sees it and is neither of the two.
    """
    if (await visible(conn, trade_id, caller)).party(caller.user_id) is None:
        raise Forbidden("only the two parties of a trade command it")


def _asset(services: Services, order: P2POrder) -> Asset:
    """:raises UnknownAsset: it is traded here no more."""
    found = services.catalogue.assets.get(order.asset_id)
    if found is None:
        raise UnknownAsset("the order's asset is not traded here any more", field="order_id")
    return found


def _line(line: P2PTradeLine, trade: P2PTrade, reader: Actor) -> P2PTradeLogLine:
    is_plain = reader.is_operator or line.actor in {"system", trade.buyer_id, trade.seller_id}
    return P2PTradeLogLine(
        version=line.version,
        old_status=line.old_status,
        new_status=line.new_status,
        reason=line.reason,
        actor=line.actor if is_plain else "operator",
        details=line.details if reader.is_operator else {},
        at=line.at,
    )
