"""Refunds over HTTP: submit, ask, list."""

import time
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from payments.sandbox.account import InsufficientBalance
from payments.sandbox.door import Bank, Centavos, Key, LitBank, Problem, asked_moods, iso
from payments.sandbox.moods import Mood, Moods, Queue
from payments.sandbox.refunds import Refund

router = APIRouter(prefix="/v1/refunds")


class RefundRequest(BaseModel):
    """``POST /v1/refunds``. ``end_to_end_id``: the receipt's."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    key: Key
    end_to_end_id: Annotated[str, Field(min_length=1, max_length=64)]
    amount_centavos: Centavos


@router.post("")
async def submit_refund(
    order: RefundRequest, bank: LitBank, request: Request, x_sandbox_mood: Annotated[str, Header()] = ""
) -> JSONResponse:
    refund, is_new = _submit(bank, order, asked_moods(x_sandbox_mood, Queue.REFUNDS))
    if is_new:
        if Mood.WEBHOOK_BEFORE_RESPONSE in refund.moods:
            await bank.until(lambda: _is_told(bank, refund))
        await bank.answer_badly(refund.moods, request)
    return JSONResponse(_view(refund), 201 if is_new else 200)


@router.get("/{key}")
async def find_refund(key: str, bank: LitBank) -> dict[str, Any]:
    refund = bank.books.refunds.find(key)
    if refund is None:
        raise Problem(404, "refund_not_found")
    return _view(refund)


@router.get("")
async def list_refunds(bank: LitBank, limit: Annotated[int, Query(ge=1, le=100_000)] = 1_000) -> dict[str, Any]:
    refunds = bank.books.refunds.first(limit)
    return {"refunds": [_view(refund) | {"moods": sorted(refund.moods)} for refund in refunds]}


def _submit(bank: Bank, order: RefundRequest, asked: Moods) -> tuple[Refund, bool]:
    """The refund of this key, and whether it is new. Does not wait, so submits never interleave.

    :raises Problem: another content under the same key, or any refusal.
    """
    refunds, content = bank.books.refunds, order.model_dump()
    known = refunds.find(order.key)
    if known and known.content != content:
        raise Problem(409, "key_reused")
    if known and known.state == "refused":
        raise Problem(422, "refund_refused", reason=known.reason)
    if known:
        return known, False

    moods = bank.moods(Queue.REFUNDS, order.key, asked)
    now = time.time()
    reason = "DT05" if Mood.REFUSED in moods else refunds.why_not(content)
    if reason is not None:
        refunds.refuse(order.key, content, moods, reason=reason, now=now)
        raise Problem(422, "refund_refused", reason=reason)
    try:
        return refunds.accept(order.key, content, moods, now=now, settle_at=now + bank.delay(moods)), True
    except InsufficientBalance:
        raise Problem(409, "insufficient_provider_balance") from None


def _is_told(bank: Bank, refund: Refund) -> bool:
    now = bank.books.refunds.find(refund.key)
    return now is not None and now.state != "processing" and not bank.books.letters.are_out(refund.about)


def _view(refund: Refund) -> dict[str, Any]:
    return {
        "id": f"rf_{refund.number}",
        "key": refund.key,
        "state": refund.state,
        "end_to_end_id": refund.end_to_end_id,
        "amount_centavos": str(refund.amount_centavos),
        "return_id": refund.return_id,
        "reason": refund.reason,
        "created_at": iso(refund.created_at),
    }
