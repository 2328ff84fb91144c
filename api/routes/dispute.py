"""Disputes (MED): claims of payers' banks on PIX that we received, for the operators who defend them."""

from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pagination
from api.auth import Operator
from api.deps import Deps, Post, Services
from api.evidence import Evidence
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.problems import problems
from api.views import REAIS, reais, temporal_ui
from models.charge import queries as charges
from models.dispute import queries, writes
from models.dispute.states import DisputeStatus
from models.dispute.types import Cover, Dispute, Entry
from models.errors import Forbidden, IdempotencyMismatch, IllegalTransition, InvalidInput, NotFound, PayloadTooLarge
from models.instant_trade import queries as trades
from models.instant_trade.states import TradeStatus
from models.ledger import queries as ledger
from models.receipt import queries as receipts
from models.receipt.states import ReceiptStatus

router = APIRouter(prefix="/api/v1/ops/disputes", tags=["dispute"])

STATEMENT_MOST = 10_000
_READS = problems(Forbidden, NotFound)
_WRITES = problems(PayloadTooLarge, Forbidden, NotFound, IllegalTransition, InvalidInput, IdempotencyMismatch)


class DefenceShown(BaseModel):
    """Our side. The statement itself is sealed and not shown again."""

    given_at: datetime
    given_by: str = Field(description="the operator's user id")
    evidence: str = Field(examples=["ticket 4711"])
    handed_in_at: datetime | None = Field(description="when the provider took it")
    refusal: str | None = Field(examples=["dispute_closed"], description="why the provider did not take it")


class DisputeSummary(BaseModel):
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    provider: str = Field(examples=["sandbox"])
    dispute_id: str = Field(examples=["dp_12"], description="the provider's own name for it")
    receipt_id: str = Field(examples=["0f8fad5bd9cb469fa16570867728950e"])
    state: DisputeStatus
    amount: str = Field(examples=["145.12"], description="reais that are claimed, as the provider says")
    cover: Cover | None = Field(
        description="`reserve`: reais set aside; `pending`: they were credited to nobody; `nothing`: nothing is "
        "left to be claimed; null: the receipt is just being sent back, so it is not known yet"
    )
    covered: str = Field(examples=["145.12"], description="of the claim, what there was to be claimed")
    from_user: str = Field(examples=["100.00"], description="of that, what came from the user's free balance")
    from_house: str = Field(examples=["45.12"], description="of that, what came from the desk")
    reserved: str = Field(examples=["145.12"], description="what is set aside now; 0.00 once it is decided")
    taken: str = Field(examples=["0.00"], description="what went back to the payer when it was lost")
    answer_until: datetime | None = Field(description="the end of our window; null: the provider does not say")
    reason: str | None = Field(examples=["FR01"], description="the provider's code")
    defence: DefenceShown | None
    created_at: datetime | None
    updated_at: datetime | None


class DisputeEntryShown(BaseModel):
    step: str = Field(examples=["reserved"])
    old_state: DisputeStatus | None
    new_state: DisputeStatus
    actor: str = Field(examples=["system"], description="`system`, or an operator's id")
    reason: str | None = Field(description="evidence, or the provider's code")
    at: datetime

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            step=entry.step,
            old_state=entry.old_status,
            new_state=entry.new_status,
            actor=entry.actor,
            reason=entry.reason,
            at=entry.at,
        )


class DisputedReceiptShown(BaseModel):
    """The PIX that is claimed back."""

    end_to_end_id: str = Field(examples=["E1234567820260105120012345678901"])
    user_id: str
    charge_key: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    amount: str = REAIS
    taken_back: str = Field(examples=["0.00"], description="of it, what the bank took back and is booked")
    state: ReceiptStatus
    received_at: datetime


class DisputedTradeShown(BaseModel):
    """The purchase that it paid for."""

    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    reference: str = Field(examples=["OTC-2026-000123"])
    status: TradeStatus
    delivery_address: str | None


class DisputePostingShown(BaseModel):
    key: str = Field(examples=["dispute/7c9e6679742540de944be07fc1f90ae7/open"])
    purpose: str = Field(examples=["pix_reserve"])
    owner: str | None = Field(description="a user's id; null: the house")
    amount: str = Field(examples=["-145.12"], description="reais, signed as in the ledger")


class DisputeShown(DisputeSummary):
    receipt: DisputedReceiptShown
    trade: DisputedTradeShown | None = Field(description="null: it was paid into the user's balance")
    postings: list[DisputePostingShown] = Field(description="what the ledger says of it, oldest first")
    history: list[DisputeEntryShown] = Field(description="oldest first")
    workflow_id: str = Field(examples=["dispute/sandbox/0f8fad5bd9cb469fa16570867728950e"])
    temporal_ui: str


class DisputePage(BaseModel):
    disputes: list[DisputeSummary] = Field(description="oldest first")
    next_cursor: str | None = Field(description="pass it back for the disputes that follow; null at the end")


class DefendRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    statement: str = Field(
        min_length=1,
        max_length=STATEMENT_MOST,
        pattern=r"^[^\x00]+$",
        description="plain text for the payer's bank; kept sealed. Names nobody beyond what the bank must know",
        examples=["The PIX paid order OTC-2026-000123; the coins were delivered to the address the user named."],
    )
    evidence: Evidence


@router.get("", responses=problems(Forbidden, InvalidInput))
async def disputes_found(
    services: Deps,
    _caller: Operator,
    state: Annotated[list[DisputeStatus] | None, Query(description="left out: `open`")] = None,
    provider: Annotated[str | None, Query(max_length=32, examples=["sandbox"])] = None,
    defended: Annotated[bool | None, Query(description="whether an operator has given a defence")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> DisputePage:
    """Operators: what payers' banks claim back, the oldest first."""
    async with services.engine.connect() as conn:
        page = await queries.page(
            conn,
            limit=limit,
            states=[DisputeStatus.OPEN] if state is None else state,
            provider=provider,
            defended=defended,
            cursor=pagination.decode(cursor),
        )
    return DisputePage(
        disputes=[DisputeSummary(**_summary(each)) for each in page.disputes],
        next_cursor=pagination.encode(page.next_cursor),
    )


@router.get("/{dispute_id:id}", responses=_READS)
async def dispute(dispute_id: IdInPath, services: Deps, _caller: Operator) -> DisputeShown:
    """Operators: one dispute, with the receipt, what it paid for, what is set aside, and every step."""
    async with services.engine.connect() as conn:
        return await _shown(conn, dispute_id, services)


@router.post("/{dispute_id:id}/defend", response_model=DisputeShown, responses=_WRITES)
async def defend(
    dispute_id: IdInPath,
    body: DefendRequest,
    services: Deps,
    courier: Post,
    caller: Operator,
    once: OncePerKey,
) -> JSONResponse:
    """Operators: give our side of an open dispute, once. It is stored, then handed in to the provider.

    The same statement again changes nothing; another one is refused, unless the provider refused the first. Refused
    with 409 when the dispute is decided or its window is over.
    """
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await writes.give_defence(
            conn,
            services.box,
            dispute_id,
            operator_id=caller.user_id,
            statement=body.statement,
            evidence=body.evidence,
            now=datetime.now(UTC),
        )
        reply = await once.answer(conn, 200, await _shown(conn, dispute_id, services))
    reply.background = courier.soon(messages)
    return reply


async def _shown(conn: AsyncConnection, dispute_id: str, services: Services) -> DisputeShown:
    found = await queries.dispute(conn, dispute_id)
    receipt = await receipts.receipt(conn, found.receipt_id)
    charge = await charges.charge(conn, receipt.charge_key)
    trade_id = None if charge is None else charge.trade_id
    trade = None if trade_id is None else await trades.trade(conn, trade_id)
    postings = await ledger.postings_of(conn, [trade_id or receipt.charge_key])
    workflow = writes.workflow_id(found.provider, found.dispute_id)
    return DisputeShown(
        **_summary(found),
        receipt=DisputedReceiptShown(
            end_to_end_id=receipt.end_to_end_id,
            user_id=receipt.user_id,
            charge_key=receipt.charge_key,
            amount=reais(receipt.amount_centavos),
            taken_back=reais(receipt.taken_back_centavos),
            state=receipt.status,
            received_at=receipt.received_at,
        ),
        trade=None
        if trade is None
        else DisputedTradeShown(
            id=trade.id, reference=trade.reference, status=trade.status, delivery_address=trade.delivery_address
        ),
        postings=[
            DisputePostingShown(key=p.key, purpose=p.purpose, owner=p.owner, amount=reais(p.amount_units))
            for p in postings
            if p.key.startswith(f"dispute/{found.id}/")
        ],
        history=[DisputeEntryShown.of(entry) for entry in await queries.history(conn, dispute_id)],
        workflow_id=workflow,
        temporal_ui=temporal_ui(workflow, services),
    )


def _summary(found: Dispute) -> dict[str, object]:
    is_reserved = found.cover is Cover.RESERVE and found.status is DisputeStatus.OPEN
    return {
        "id": found.id,
        "provider": found.provider,
        "dispute_id": found.dispute_id,
        "receipt_id": found.receipt_id,
        "state": found.status,
        "amount": reais(found.amount_centavos),
        "cover": found.cover,
        "covered": reais(found.covered_centavos),
        "from_user": reais(found.from_user_centavos),
        "from_house": reais(found.from_house_centavos),
        "reserved": reais(found.covered_centavos if is_reserved else 0),
        "taken": reais(found.taken_centavos),
        "answer_until": found.answer_until,
        "reason": found.reason,
        "defence": None
        if found.defence_at is None
        else DefenceShown(
            given_at=found.defence_at,
            given_by=found.defence_by or "",
            evidence=found.defence_evidence or "",
            handed_in_at=found.defended_at,
            refusal=found.defence_refusal,
        ),
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }
