"""The account over HTTP: its balance and its statement."""

from datetime import date
from typing import Any

from fastapi import APIRouter

from payments.sandbox.door import LitBank, iso

router = APIRouter(prefix="/v1")


@router.get("/balance")
async def show_balance(bank: LitBank) -> dict[str, str]:
    balance, available = bank.books.account.balance()
    return {"balance_centavos": str(balance), "available_centavos": str(available)}


@router.get("/statement")
async def show_statement(day: date, bank: LitBank) -> dict[str, Any]:
    lines = bank.books.account.statement(day)
    return {
        "lines": [
            {
                "id": f"ln_{line.number}",
                "key": line.key,
                "kind": line.kind,
                "end_to_end_id": line.end_to_end_id,
                "amount_centavos": str(line.amount_centavos),
                "time": iso(line.time),
            }
            for line in lines
        ]
    }
