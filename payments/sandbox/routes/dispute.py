"""Disputes over HTTP: ask, defend; and the decision of the payer's bank."""

import time
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from payments.sandbox.disputes import Dispute
from payments.sandbox.door import Bank, LitBank, Problem, TheBank, iso

router = APIRouter()


class DefenseRequest(BaseModel):
    """``POST /v1/disputes/{id}/defense``. The same text twice counts once."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    statement: Annotated[str, Field(min_length=1, max_length=10_000)]


class DecisionRequest(BaseModel):
    """``POST /sandbox/disputes/{id}/decide``. ``lost``: the reais go back to the payer."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    outcome: Literal["won", "lost"]


@router.get("/v1/disputes/{dispute_id}")
async def find_dispute(dispute_id: str, bank: LitBank) -> dict[str, Any]:
    return view(_found(bank, dispute_id))


@router.post("/v1/disputes/{dispute_id}/defense")
async def defend(dispute_id: str, defense: DefenseRequest, bank: LitBank) -> dict[str, Any]:
    defended = bank.books.disputes.defend(_found(bank, dispute_id), defense.statement, now=time.time())
    if defended is None:
        raise Problem(422, "dispute_closed")
    return view(defended)


@router.post("/sandbox/disputes/{dispute_id}/decide")
async def decide(dispute_id: str, decision: DecisionRequest, bank: TheBank) -> dict[str, Any]:
    dispute = _found(bank, dispute_id)
    receipt = bank.books.receipts.find(dispute.end_to_end_id)
    assert receipt is not None
    return view(bank.books.disputes.decide(dispute, receipt, decision.outcome, now=time.time()))


def view(dispute: Dispute) -> dict[str, Any]:
    return {
        "id": dispute.id,
        "state": dispute.state,
        "end_to_end_id": dispute.end_to_end_id,
        "amount_centavos": str(dispute.amount_centavos),
        "answer_until": iso(dispute.answer_until),
        "reason": dispute.reason,
        "statements": dispute.statements,
    }


def _found(bank: Bank, dispute_id: str) -> Dispute:
    dispute = bank.books.disputes.find(dispute_id)
    if dispute is None:
        raise Problem(404, "dispute_not_found")
    return dispute
