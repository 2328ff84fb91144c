"""Commands to a running trade: the user's cancel, and what operators do with evidence when a provider is dark."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, Operator
from api.commands import Accepted, Command, command
from api.deps import Deps
from api.evidence import Evidence
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.problems import problems
from api.views import TradeView
from models.errors import (
    EngineUnavailable,
    Forbidden,
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
)
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Attestation, Decision, Nudge, Ruling

router = APIRouter(prefix="/api/v1/instant-trade/{trade_id:id}", tags=["commands to a trade"])

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": TradeView, "description": "Done: the trade as it is now"},
    202: {
        "model": Accepted,
        "description": "Not done within ten seconds: repeat it with the same key, or look at the trade",
        "headers": {"Location": {"schema": {"type": "string"}, "required": True}},
    },
}
_USER = problems(PayloadTooLarge, NotFound, IllegalTransition, InvalidInput, IdempotencyMismatch, EngineUnavailable)
_OPERATOR = problems(
    PayloadTooLarge,
    Forbidden,
    NotFound,
    IllegalTransition,
    InvalidInput,
    IdempotencyMismatch,
    EngineUnavailable,
)


class TransferRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    evidence: Evidence


class PaymentRequest(BaseModel):
    """``paid`` true: the reais have arrived. False: they never will, and the crypto, or the balance, goes back."""

    model_config = ConfigDict(extra="forbid")

    paid: bool
    end_to_end_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]{1,64}$", description="the PIX's own id")
    evidence: Evidence


class RulingRequest(BaseModel):
    """``complete``: the user keeps the reais. ``refund``: the crypto goes back."""

    model_config = ConfigDict(extra="forbid")

    ruling: Ruling
    evidence: Evidence


@router.post("/cancel", response_model=TradeView, responses={**_ANSWERS, **_USER})
async def cancel(trade_id: IdInPath, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """Stop the trade, as long as no coin has moved."""
    stop = Command("cancel", caller.user_id, goal=TradeStatus.CANCELLED)
    return await command(services, caller, once, trade_id, stop)


@router.post("/transfer", response_model=TradeView, responses={**_ANSWERS, **_OPERATOR})
async def transfer(
    trade_id: IdInPath, body: TransferRequest, services: Deps, caller: Operator, once: OncePerKey
) -> JSONResponse:
    """Operators: look after the trade's transfers now, and try a refund that definitely failed anew.

    A purchase takes it after its end, too, while the bank has refused to send back a payment that came then.
    """
    return await command(services, caller, once, trade_id, Command("transfer", Nudge(caller.user_id, body.evidence)))


@router.post("/confirm-payment", response_model=TradeView, responses={**_ANSWERS, **_OPERATOR})
async def confirm_payment(
    trade_id: IdInPath, body: PaymentRequest, services: Deps, caller: Operator, once: OncePerKey
) -> JSONResponse:
    """Operators: say with evidence what became of a payout whose provider cannot be asked."""
    word = Attestation(caller.user_id, body.paid, body.evidence, body.end_to_end_id)
    return await command(services, caller, once, trade_id, Command("confirm_payment", word))


@router.post("/complete", response_model=TradeView, responses={**_ANSWERS, **_OPERATOR})
async def complete(
    trade_id: IdInPath, body: RulingRequest, services: Deps, caller: Operator, once: OncePerKey
) -> JSONResponse:
    """Operators: rule on a trade in `needs_review`."""
    decision = Decision(caller.user_id, body.ruling, body.evidence)
    return await command(services, caller, once, trade_id, Command("complete", decision))
