"""Charges over HTTP: make, ask, list; and the payers who pay them."""

import asyncio
import time
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from payments.sandbox.charges import Charge
from payments.sandbox.door import Bank, Centavos, Key, LitBank, Name, Problem, TaxId, TheBank, asked_moods, iso
from payments.sandbox.moods import OF_WEBHOOKS, Mood, Moods, Queue, UnknownMood, parse_moods
from payments.sandbox.receipts import Payer, Receipt
from payments.sandbox.routes import receipt as receipts

router = APIRouter()


class ChargeRequest(BaseModel):
    """``POST /v1/charges``. The amount is what a BR Code can hold; the payer is named, and binds nobody."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    key: Key
    amount_centavos: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,11}$")]
    expires_seconds: Annotated[int, Field(strict=True, ge=1, le=10 * 365 * 24 * 3600)]
    payer_name: Name
    payer_tax_id: TaxId
    description: Annotated[str, Field(max_length=140)]


class PayRequest(BaseModel):
    """``POST /sandbox/charges/{key}/pay``. Left out: as the charge says. ``payer_tax_id`` null: nobody says who."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    amount_centavos: Centavos | None = None
    payer_tax_id: TaxId | None = None
    payer_name: Name | None = None
    moods: list[str] = []


@router.post("/v1/charges")
async def make_charge(
    order: ChargeRequest, bank: LitBank, request: Request, x_sandbox_mood: Annotated[str, Header()] = ""
) -> JSONResponse:
    charge, is_new = _make(bank, order, asked_moods(x_sandbox_mood, Queue.CHARGES))
    if is_new:
        if Mood.SLOW in charge.moods:
            await asyncio.sleep(bank.options.slow_seconds)
        await bank.answer_badly(charge.moods, request)
    return JSONResponse(_view(charge, bank.books.receipts.of_charge(charge.key)), 201 if is_new else 200)


@router.get("/v1/charges/{key}")
async def find_charge(key: str, bank: LitBank) -> dict[str, Any]:
    return _view(_found(bank, key), bank.books.receipts.of_charge(key))


@router.get("/v1/charges")
async def list_charges(bank: LitBank, limit: Annotated[int, Query(ge=1, le=100_000)] = 1_000) -> dict[str, Any]:
    """Refused ones too; they can be asked for nowhere else."""
    by_charge = bank.books.receipts.by_charge()
    return {
        "charges": [
            _view(charge, by_charge.get(charge.key, [])) | {"moods": sorted(charge.moods)}
            for charge in bank.books.charges.first(limit)
        ]
    }


@router.post("/sandbox/charges/{key}/pay", status_code=201)
async def pay_charge(key: str, bank: TheBank, wanted: PayRequest | None = None) -> dict[str, Any]:
    charge, wanted = _found(bank, key), wanted or PayRequest()
    moods = _moods_of_payment(bank, charge, wanted.moods)
    is_named = "payer_tax_id" not in wanted.model_fields_set
    receipt = bank.books.receipts.pay(
        key,
        int(wanted.amount_centavos or charge.amount_centavos),
        Payer(
            tax_id=charge.content["payer_tax_id"] if is_named else wanted.payer_tax_id,
            name=wanted.payer_name or charge.content["payer_name"],
        ),
        moods,
        now=time.time(),
    )
    if Mood.WEBHOOK_BEFORE_RESPONSE in moods:
        await bank.until(lambda: not bank.books.letters.are_out(receipt.about))
    return receipts.view(receipt)


@router.post("/sandbox/charges/{key}/remove")
async def remove_charge(key: str, bank: TheBank) -> dict[str, Any]:
    return _view(bank.books.charges.remove(_found(bank, key)), [])


def _make(bank: Bank, order: ChargeRequest, asked: Moods) -> tuple[Charge, bool]:
    """The charge of this key, and whether it is new. Does not wait, so submits never interleave.

    :raises Problem: another content under the same key, or any refusal.
    """
    charges, content = bank.books.charges, order.model_dump()
    known = charges.find(order.key)
    if known and known.content != content:
        raise Problem(409, "key_reused")
    if known and known.state == "refused":
        raise Problem(422, "charge_refused", reason=known.reason)
    if known:
        return known, False

    moods = bank.moods(Queue.CHARGES, order.key, asked)
    now = time.time()
    if Mood.REFUSED in moods:
        charges.refuse(order.key, content, moods, reason="CH11", now=now)
        raise Problem(422, "charge_refused", reason="CH11")
    return charges.accept(order.key, content, moods, now=now), True


def _moods_of_payment(bank: Bank, charge: Charge, asked: Iterable[str]) -> Moods:
    try:
        moods = parse_moods(asked, Queue.RECEIPTS)
    except UnknownMood:
        raise Problem(422, "unknown_mood") from None
    return moods | bank.books.weather.take_standing(Queue.RECEIPTS) | charge.moods & OF_WEBHOOKS


def _found(bank: Bank, key: str) -> Charge:
    """A refused charge never was."""
    charge = bank.books.charges.find(key)
    if charge is None or charge.state == "refused":
        raise Problem(404, "charge_not_found")
    return charge


def _view(charge: Charge, paid_by: Iterable[Receipt]) -> dict[str, Any]:
    """What a client is told: of personal data, only who paid."""
    return {
        "id": f"ch_{charge.number}",
        "key": charge.key,
        "state": charge.state,
        "amount_centavos": str(charge.amount_centavos),
        "br_code": charge.br_code,
        "expires_at": iso(charge.expires_at),
        "receipts": [receipts.view(receipt) for receipt in paid_by],
    }
