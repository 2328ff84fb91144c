"""What befalls a receipt: a block ends, the bank takes it back, the payer's bank disputes it."""

import time
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from payments.sandbox.door import Bank, Centavos, Problem, TheBank, iso
from payments.sandbox.receipts import Receipt
from payments.sandbox.routes import dispute as disputes

ANSWER_SECONDS = 3 * 24 * 3600

router = APIRouter(prefix="/sandbox/receipts/{end_to_end_id}")


class TakeBackRequest(BaseModel):
    """Left out: all that is left of the receipt and not disputed."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    amount_centavos: Centavos | None = None


class DisputeRequest(TakeBackRequest):
    """``answer_seconds``: how long our side may be handed in."""

    answer_seconds: Annotated[float, Field(ge=0, le=365 * 24 * 3600)] = ANSWER_SECONDS


@router.post("/release")
async def release(end_to_end_id: str, bank: TheBank) -> dict[str, Any]:
    return view(bank.books.receipts.release(_found(bank, end_to_end_id), now=time.time()))


@router.post("/take-back")
async def take_back(end_to_end_id: str, bank: TheBank, wanted: TakeBackRequest | None = None) -> dict[str, Any]:
    receipt = _found(bank, end_to_end_id)
    return view(bank.books.receipts.take_back(receipt, _amount(wanted), now=time.time()))


@router.post("/dispute", status_code=201)
async def open_dispute(end_to_end_id: str, bank: TheBank, wanted: DisputeRequest | None = None) -> dict[str, Any]:
    now = time.time()
    answer_until = now + (wanted or DisputeRequest()).answer_seconds
    receipt = _found(bank, end_to_end_id)
    dispute = bank.books.disputes.open(receipt, _amount(wanted), answer_until=answer_until, now=now)
    return disputes.view(dispute)


def view(receipt: Receipt) -> dict[str, Any]:
    return {
        "end_to_end_id": receipt.end_to_end_id,
        "amount_centavos": str(receipt.amount_centavos),
        "time": iso(receipt.time),
        "payer_tax_id": receipt.payer_tax_id,
        "blocked": receipt.blocked,
        "taken_back_centavos": str(receipt.taken_back_centavos),
    }


def _amount(wanted: TakeBackRequest | None) -> int | None:
    return int(wanted.amount_centavos) if wanted and wanted.amount_centavos else None


def _found(bank: Bank, end_to_end_id: str) -> Receipt:
    receipt = bank.books.receipts.find(end_to_end_id)
    if receipt is None:
        raise Problem(404, "receipt_not_found")
    return receipt
