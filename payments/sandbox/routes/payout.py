"""Payouts over HTTP: submit, ask, list; and the receiving bank that sends one back."""

import time
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from payments.sandbox.account import InsufficientBalance
from payments.sandbox.door import Bank, Centavos, Key, LitBank, Name, Problem, TaxId, TheBank, asked_moods, iso
from payments.sandbox.moods import Mood, Moods, Queue, tagged_moods
from payments.sandbox.payouts import Payout

router = APIRouter()


class PayoutRequest(BaseModel):
    """``POST /v1/payouts``."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    key: Key
    amount_centavos: Centavos
    pix_key: Annotated[str, Field(min_length=1, max_length=77)]
    pix_key_kind: Annotated[str, Field(pattern=r"^(cpf|cnpj|phone|email|evp)$")]
    holder_name: Name
    holder_tax_id: TaxId
    description: Annotated[str, Field(max_length=140)]


@router.post("/v1/payouts")
async def submit_payout(
    order: PayoutRequest, bank: LitBank, request: Request, x_sandbox_mood: Annotated[str, Header()] = ""
) -> JSONResponse:
    asked = asked_moods(x_sandbox_mood, Queue.PAYOUTS)
    if order.pix_key_kind == "email":
        asked |= tagged_moods(order.pix_key)
    payout, is_new = _submit(bank, order, asked)
    if is_new:
        if Mood.WEBHOOK_BEFORE_RESPONSE in payout.moods:
            await bank.until(lambda: _is_told(bank, payout))
        await bank.answer_badly(payout.moods, request)
    return JSONResponse(_view(payout), 201 if is_new else 200)


@router.get("/v1/payouts/{key}")
async def find_payout(key: str, bank: LitBank) -> dict[str, Any]:
    return _view(_found(bank.books.payouts.find(key)))


@router.get("/v1/payouts")
async def list_payouts(bank: LitBank, limit: Annotated[int, Query(ge=1, le=100_000)] = 1_000) -> dict[str, Any]:
    return {
        "payouts": [
            _view(payout) | {"pix_key": payout.content["pix_key"], "moods": sorted(payout.moods)}
            for payout in bank.books.payouts.first(limit)
        ]
    }


@router.post("/sandbox/payouts/{key}/return")
async def return_payout(key: str, bank: TheBank) -> dict[str, Any]:
    _found(bank.books.payouts.find(key))
    returned = bank.books.payouts.send_back(key, now=time.time())
    if returned is None:
        raise Problem(409, "payout_not_paid")
    return _view(returned)


def _submit(bank: Bank, order: PayoutRequest, asked: Moods) -> tuple[Payout, bool]:
    """The payout of this key, and whether it is new. Does not wait, so submits never interleave.

    :raises Problem: another content under the same key, or any refusal.
    """
    payouts, content = bank.books.payouts, order.model_dump()
    known = payouts.find(order.key)
    if known and known.content != content:
        raise Problem(409, "key_reused")
    if known and known.state == "refused":
        raise Problem(422, "payout_refused", reason=known.reason)
    if known:
        return known, False

    moods = bank.moods(Queue.PAYOUTS, order.key, asked)
    now = time.time()
    if Mood.REFUSED in moods:
        payouts.refuse(order.key, content, moods, reason="BE01", now=now)
        raise Problem(422, "payout_refused", reason="BE01")
    try:
        return payouts.accept(order.key, content, moods, now=now, settle_at=now + bank.delay(moods)), True
    except InsufficientBalance:
        raise Problem(409, "insufficient_provider_balance") from None


def _is_told(bank: Bank, payout: Payout) -> bool:
    now = bank.books.payouts.find(payout.key)
    return now is not None and now.state != "processing" and not bank.books.letters.are_out(payout.about)


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
        "created_at": iso(payout.created_at),
    }
