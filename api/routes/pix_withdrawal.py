"""Reais out of a user's balance, to an account of their own."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pagination
from api.auth import Caller, Operator
from api.deps import Deps, Post, Services
from api.idempotency import OncePerKey
from api.ids import IdInPath, IdText
from api.problems import problems
from api.routes.instant_trade_command import PaymentRequest
from api.routes.quote import PlainAmount, positive
from api.views import REAIS, reais, temporal_ui
from models.assets import BRL
from models.errors import (
    DocumentMissing,
    Forbidden,
    IdempotencyMismatch,
    IllegalTransition,
    InsufficientFunds,
    InvalidInput,
    KeyTooNew,
    LimitExceeded,
    NotAnAmount,
    NotFound,
    NotTheHolder,
    PayloadTooLarge,
    TooPrecise,
)
from models.ids import new_id
from models.instant_trade.types import Attestation
from models.payout import queries as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Payout
from models.pix_withdrawal import queries, writes
from models.pix_withdrawal.messages import workflow_id
from models.pix_withdrawal.states import PixWithdrawalStatus
from models.pix_withdrawal.types import PixWithdrawal, PixWithdrawalLine
from models.user.types import Actor

router = APIRouter(prefix="/api/v1/wallet/pix/withdrawals", tags=["reais"])


class PixWithdrawalRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    amount: PlainAmount = Field(examples=["150.00"], description="reais, exact to the centavo")
    bank_data_id: IdText | None = Field(
        default=None, description="where the reais go (`POST /api/v1/bank-data`); without it, to your primary"
    )


class PixWithdrawalView(BaseModel):
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    status: PixWithdrawalStatus
    reason: str | None = Field(description="why it is in this status, where that is not plain", examples=[None])
    amount: str = REAIS
    bank_data_id: str
    payout_status: PayoutStatus
    payout_reason: str | None = Field(description="the bank's own word, where it gave one")
    end_to_end_id: str | None = Field(description="the PIX's own id, once it has one")
    created_at: datetime
    updated_at: datetime
    workflow_id: str = Field(examples=["pix-withdrawal/7c9e6679742540de944be07fc1f90ae7"])
    temporal_ui: str | None = Field(description="operators only")


class PixWithdrawalPage(BaseModel):
    withdrawals: list[PixWithdrawalView]
    next_cursor: str | None = Field(description="pass it back for the withdrawals that follow; null at the end")


class PixWithdrawalLogLine(BaseModel):
    """``actor``: ``system``, a user's id, or ``operator`` where an operator's id is not the reader's to know."""

    version: int
    old_status: PixWithdrawalStatus | None
    new_status: PixWithdrawalStatus
    reason: str | None
    actor: str
    details: dict[str, JsonValue] = Field(description="evidence; empty for users")
    at: datetime


@router.post(
    "",
    status_code=201,
    response_model=PixWithdrawalView,
    responses=problems(
        PayloadTooLarge,
        NotFound,
        InvalidInput,
        NotAnAmount,
        TooPrecise,
        LimitExceeded,
        DocumentMissing,
        NotTheHolder,
        KeyTooNew,
        InsufficientFunds,
        IdempotencyMismatch,
    ),
)
async def create(
    body: PixWithdrawalRequest, services: Deps, courier: Post, caller: Caller, once: OncePerKey
) -> JSONResponse:
    """Pay reais of your balance to your own account, by PIX.

    They are held at once. If the bank refuses the PIX, or the receiving bank gives it back, they are your balance
    again: `refunded`. `needs_review`: the bank has not said in time what became of it, and they stay held.
    """
    centavos, withdrawal_id, now = positive(body.amount, BRL, "amount"), new_id(), datetime.now(UTC)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await writes.accept(
            conn,
            box=services.box,
            withdrawal_id=withdrawal_id,
            user_id=caller.user_id,
            bank_data_id=body.bank_data_id,
            amount_centavos=centavos,
            pix_limits=services.pix_limits,
            new_key=services.new_key,
            terms=await services.terms_now(conn),
            waits=services.waits,
            now=now,
        )
        answer = await once.answer(conn, 201, await _read(conn, withdrawal_id, caller, services))
    answer.background = courier.soon(messages)
    return answer


@router.get("", responses=problems(InvalidInput))
async def list_own(
    services: Deps,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> PixWithdrawalPage:
    """The caller's own withdrawals, newest first."""
    after = pagination.decode(cursor)
    async with services.engine.connect() as conn:
        page = await queries.of_user(conn, caller.user_id, limit=limit, cursor=after)
        paid = await payouts.of_withdrawals(conn, [one.id for one in page.withdrawals])
    return PixWithdrawalPage(
        withdrawals=[_view(one, paid[one.id], caller, services) for one in page.withdrawals],
        next_cursor=pagination.encode(page.next_cursor),
    )


@router.get("/{withdrawal_id:id}", responses=problems(NotFound))
async def show(withdrawal_id: IdInPath, services: Deps, caller: Caller) -> PixWithdrawalView:
    """One withdrawal."""
    async with services.engine.connect() as conn:
        return await _read(conn, withdrawal_id, caller, services)


@router.get("/{withdrawal_id:id}/audit-log", responses=problems(NotFound))
async def audit_log(withdrawal_id: IdInPath, services: Deps, caller: Caller) -> list[PixWithdrawalLogLine]:
    """Everything that happened to the withdrawal, oldest first. Lines are only ever added."""
    async with services.engine.connect() as conn:
        await _visible(conn, withdrawal_id, caller)
        return [_line(line, caller) for line in await queries.history(conn, withdrawal_id)]


@router.post(
    "/{withdrawal_id:id}/confirm-payment",
    response_model=PixWithdrawalView,
    responses=problems(PayloadTooLarge, Forbidden, NotFound, IllegalTransition, InvalidInput, IdempotencyMismatch),
)
async def confirm_payment(
    withdrawal_id: IdInPath,
    body: PaymentRequest,
    services: Deps,
    courier: Post,
    caller: Operator,
    once: OncePerKey,
) -> JSONResponse:
    """Operators: say with evidence what became of a payout whose provider cannot be asked.

    That it was paid can be said at any time; that it never will be, only in `needs_review`.
    """
    word = Attestation(caller.user_id, body.paid, body.evidence, body.end_to_end_id)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await writes.attest(conn, withdrawal_id, word, now=datetime.now(UTC))
        answer = await once.answer(conn, 200, await _read(conn, withdrawal_id, caller, services))
    answer.background = courier.soon(messages)
    return answer


async def _visible(conn: AsyncConnection, withdrawal_id: str, actor: Actor) -> PixWithdrawal:
    """:raises NotFound: none, or somebody else's; operators see all."""
    return await queries.withdrawal(conn, withdrawal_id, user_id=None if actor.is_operator else actor.user_id)


async def _read(conn: AsyncConnection, withdrawal_id: str, actor: Actor, services: Services) -> PixWithdrawalView:
    found = await _visible(conn, withdrawal_id, actor)
    payout = (await payouts.of_withdrawals(conn, [found.id]))[found.id]
    return _view(found, payout, actor, services)


def _view(found: PixWithdrawal, payout: Payout, actor: Actor, services: Services) -> PixWithdrawalView:
    workflow = workflow_id(found.id)
    return PixWithdrawalView(
        id=found.id,
        status=found.status,
        reason=found.reason,
        amount=reais(found.amount_centavos),
        bank_data_id=found.bank_data_id,
        payout_status=payout.status,
        payout_reason=payout.reason,
        end_to_end_id=payout.end_to_end_id,
        created_at=found.created_at,
        updated_at=found.updated_at,
        workflow_id=workflow,
        temporal_ui=temporal_ui(workflow, services) if actor.is_operator else None,
    )


def _line(line: PixWithdrawalLine, reader: Actor) -> PixWithdrawalLogLine:
    is_plain = reader.is_operator or line.actor in {"system", reader.user_id}
    return PixWithdrawalLogLine(
        version=line.version,
        old_status=line.old_status,
        new_status=line.new_status,
        reason=line.reason,
        actor=line.actor if is_plain else "operator",
        details=line.details if reader.is_operator else {},
        at=line.at,
    )
