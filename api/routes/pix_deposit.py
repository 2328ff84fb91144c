"""Reais into a user's balance: a PIX that the user pays."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pagination
from api.auth import Caller
from api.deps import Deps, Post
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.problems import problems
from api.routes.quote import PlainAmount, positive
from api.views import PaymentShown, read_payments
from models.assets import BRL
from models.charge.types import Charge
from models.errors import (
    DocumentMissing,
    IdempotencyMismatch,
    InvalidInput,
    LimitExceeded,
    NotAnAmount,
    NotFound,
    PayloadTooLarge,
    TooPrecise,
)
from models.ids import new_id
from models.pix_deposit import queries, writes
from models.pix_deposit.rules import status_of
from models.pix_deposit.states import PixDepositStatus
from models.user.types import Actor
from payments import br_code

router = APIRouter(prefix="/api/v1/wallet/pix/deposits", tags=["reais"])


class PixDepositRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    amount: PlainAmount = Field(examples=["150.00"], description="reais, exact to the centavo")


class PixDepositView(BaseModel):
    """``blocked``: paid, and under the receiving bank's precautionary block, which ends within 72 hours."""

    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    status: PixDepositStatus
    payment: PaymentShown
    created_at: datetime


class PixDepositPage(BaseModel):
    deposits: list[PixDepositView]
    next_cursor: str | None = Field(description="pass it back for the deposits that follow; null at the end")


@router.post(
    "",
    status_code=201,
    response_model=PixDepositView,
    responses=problems(
        PayloadTooLarge, InvalidInput, NotAnAmount, TooPrecise, LimitExceeded, DocumentMissing, IdempotencyMismatch
    ),
)
async def create(
    body: PixDepositRequest, services: Deps, courier: Post, caller: Caller, once: OncePerKey
) -> JSONResponse:
    """Ask for a PIX to pay; what you pay becomes your balance.

    `payment` shows it as soon as the bank has made it: look at the deposit again until `br_code` is there. Pay it
    yourself and in full, once, before it expires: any other payment goes back to its payer.
    """
    centavos, key, now = positive(body.amount, BRL, "amount"), new_id(), datetime.now(UTC)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await writes.accept(
            conn,
            key=key,
            user_id=caller.user_id,
            amount_centavos=centavos,
            pix_limits=services.pix_limits,
            terms=await services.terms_now(conn),
            waits=services.waits,
            now=now,
        )
        answer = await once.answer(conn, 201, await _read(conn, key, caller))
    answer.background = courier.soon(messages)
    return answer


@router.get("", responses=problems(InvalidInput))
async def list_own(
    services: Deps,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> PixDepositPage:
    """The caller's own deposits, newest first."""
    after = pagination.decode(cursor)
    async with services.engine.connect() as conn:
        page = await queries.of_user(conn, caller.user_id, limit=limit, cursor=after)
        payments = await read_payments(conn, page.deposits)
    return PixDepositPage(
        deposits=[_view(charge, payments[charge.key]) for charge in page.deposits],
        next_cursor=pagination.encode(page.next_cursor),
    )


@router.get("/{deposit_id:id}", responses=problems(NotFound))
async def show(deposit_id: IdInPath, services: Deps, caller: Caller) -> PixDepositView:
    """One deposit, with every payment of it and what became of that."""
    async with services.engine.connect() as conn:
        return await _read(conn, deposit_id, caller)


@router.get(
    "/{deposit_id:id}/qr.svg",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}}, **problems(NotFound)},
)
async def qr(deposit_id: IdInPath, services: Deps, caller: Caller) -> Response:
    """The deposit's BR Code as a picture, once the bank has made it."""
    async with services.engine.connect() as conn:
        found = await _visible(conn, deposit_id, caller)
    if found.br_code is None:
        raise NotFound("this deposit has no BR Code, or not yet")
    return Response(br_code.svg(found.br_code), media_type="image/svg+xml")


async def _visible(conn: AsyncConnection, deposit_id: str, actor: Actor) -> Charge:
    """:raises NotFound: none, or somebody else's; operators see all."""
    return await queries.deposit(conn, deposit_id, user_id=None if actor.is_operator else actor.user_id)


async def _read(conn: AsyncConnection, deposit_id: str, actor: Actor) -> PixDepositView:
    found = await _visible(conn, deposit_id, actor)
    return _view(found, (await read_payments(conn, [found]))[found.key])


def _view(charge: Charge, payment: PaymentShown) -> PixDepositView:
    assert charge.created_at is not None
    return PixDepositView(
        id=charge.key,
        status=status_of(charge, [receipt.status for receipt in payment.receipts]),
        payment=payment,
        created_at=charge.created_at,
    )
