"""Differences between the banks and the ledger, for the operators who work through them."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pagination
from api.auth import Operator
from api.deps import Deps
from api.evidence import Evidence
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.instants import DayIfAny, bank_date
from api.problems import problems
from api.views import reais
from models.errors import Forbidden, IdempotencyMismatch, IllegalTransition, InvalidInput, NotFound, PayloadTooLarge
from models.reconciliation import breaks, queries
from models.reconciliation.queries import BankSide, BreakView, Entry, LedgerSide
from models.reconciliation.states import LIVE, BreakStatus, Resolution
from models.reconciliation.types import Class, Hint

router = APIRouter(prefix="/api/v1/ops/breaks", tags=["reconciliation"])

HOURS_MOST = 24 * 3_660
_READS = problems(Forbidden, NotFound)
_WRITES = problems(PayloadTooLarge, Forbidden, NotFound, IllegalTransition, InvalidInput, IdempotencyMismatch)
_AMOUNT = Field(examples=["-145.12"], description="reais, signed as the bank sees it: money in is positive")


class BankLineShown(BaseModel):
    """A line of the statement."""

    id: str = Field(examples=["line-4711"], description="the bank's own")
    key: str | None = Field(
        examples=["7c9e6679742540de944be07fc1f90ae7"], description="ours, where the bank repeats it"
    )
    end_to_end_id: str | None = Field(examples=["E1234567820260105120012345678901"])
    amount: str = _AMOUNT
    time: datetime

    @classmethod
    def of(cls, side: BankSide) -> Self:
        return cls(
            id=side.id,
            key=side.key,
            end_to_end_id=side.end_to_end_id,
            amount=reais(side.amount_centavos),
            time=side.time,
        )


class MovementShown(BaseModel):
    """What the ledger says happened at the bank account."""

    ledger_key: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7/payout"])
    reference: str = Field(
        examples=["7c9e6679742540de944be07fc1f90ae7"], description="what it belongs to: a trade's id"
    )
    key: str | None = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    end_to_end_id: str | None = Field(examples=["E1234567820260105120012345678901"])
    amount: str = _AMOUNT
    time: datetime

    @classmethod
    def of(cls, side: LedgerSide) -> Self:
        return cls(
            ledger_key=side.ledger_key,
            reference=side.reference,
            key=side.key,
            end_to_end_id=side.end_to_end_id,
            amount=reais(side.amount_centavos),
            time=side.time,
        )


class SuggestionShown(BaseModel):
    """Of the same amount and bank day, and as lonely. Perhaps its other half, perhaps not."""

    side: Literal["bank", "ledger"] = Field(examples=["ledger"])
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7/payout"], description="a line's id or a ledger key")


class BreakSummary(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    provider: str | None = Field(examples=["sandbox"], description="null: no source of ours explains the posting")
    cls: Class = Field(serialization_alias="class", examples=[Class.MISSING_IN_LEDGER])
    day: date = Field(description="in the bank's time (America/Sao_Paulo)")
    amount: str = Field(examples=["-145.12"], description="reais: how much more the bank has than the ledger says")
    state: BreakStatus
    age_hours: float = Field(ge=0, examples=[5.5], description="since it was first seen, until it ended")
    owner_id: str | None = Field(description="the operator who works on it")
    hint: Hint | None = Field(description="`bank_fee`: small, out, and without any identity")
    suggestions: list[SuggestionShown]
    bank: BankLineShown | None
    ledger: MovementShown | None
    resolution: Resolution | None
    evidence: str | None
    first_seen_at: datetime
    last_seen_at: datetime


class HistoryEntryShown(BaseModel):
    old_state: BreakStatus | None
    new_state: BreakStatus
    actor: str = Field(examples=["system"], description="`system`, or an operator's id")
    reason: str | None = Field(
        examples=["matched"], description="a resolution; of `cleared`, what a later run found instead"
    )
    evidence: str | None
    at: datetime

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            old_state=entry.old_status,
            new_state=entry.new_status,
            actor=entry.actor,
            reason=entry.reason,
            evidence=entry.evidence,
            at=entry.at,
        )


class BreakShown(BreakSummary):
    history: list[HistoryEntryShown] = Field(description="oldest first")


class BreakPage(BaseModel):
    breaks: list[BreakSummary] = Field(description="oldest first")
    next_cursor: str | None = Field(description="pass it back for the breaks that follow; null at the end")


class AcknowledgeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    take_over: bool = Field(default=False, description="although it is another operator's")


class ResolveRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Resolution
    evidence: Evidence


@router.get("", responses=problems(Forbidden, InvalidInput))
async def breaks_found(
    services: Deps,
    _caller: Operator,
    provider: Annotated[str | None, Query(max_length=32, examples=["sandbox"])] = None,
    cls: Annotated[Class | None, Query(alias="class")] = None,
    state: Annotated[list[BreakStatus] | None, Query(description="left out: `open` and `acknowledged`")] = None,
    day: DayIfAny = None,
    older_than: Annotated[
        float | None, Query(ge=0, le=HOURS_MOST, examples=[4], description="hours since it was first seen")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> BreakPage:
    """Operators: what differs between the banks' statements and the ledger, the oldest first."""
    before = None if older_than is None else datetime.now(UTC) - timedelta(hours=older_than)
    async with services.engine.connect() as conn:
        page = await queries.page(
            conn,
            limit=limit,
            states=LIVE if state is None else state,
            provider=provider,
            cls=cls,
            day=bank_date(day, "day"),
            first_seen_before=before,
            cursor=pagination.decode(cursor),
        )
    return BreakPage(
        breaks=[BreakSummary(**_summary(each)) for each in page.breaks],
        next_cursor=pagination.encode(page.next_cursor),
    )


@router.get("/{break_id:id}", responses=_READS)
async def break_found(break_id: IdInPath, services: Deps, _caller: Operator) -> BreakShown:
    """Operators: one break with both its sides and everything that happened to it."""
    async with services.engine.connect() as conn:
        return await _shown(conn, break_id)


@router.post("/{break_id:id}/acknowledge", response_model=BreakShown, responses=_WRITES)
async def acknowledge(
    break_id: IdInPath, body: AcknowledgeRequest, services: Deps, caller: Operator, once: OncePerKey
) -> JSONResponse:
    """Operators: make a break yours."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        await breaks.acknowledge(conn, break_id, operator_id=caller.user_id, take_over=body.take_over)
        return await once.answer(conn, 200, await _shown(conn, break_id))


@router.post("/{break_id:id}/resolve", response_model=BreakShown, responses=_WRITES)
async def resolve(
    break_id: IdInPath, body: ResolveRequest, services: Deps, caller: Operator, once: OncePerKey
) -> JSONResponse:
    """Operators: end a break of yours with what you found. It moves no money: to correct is a posting of its own."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        await breaks.resolve(
            conn, break_id, operator_id=caller.user_id, resolution=body.reason, evidence=body.evidence
        )
        return await once.answer(conn, 200, await _shown(conn, break_id))


async def _shown(conn: AsyncConnection, break_id: str) -> BreakShown:
    found = await queries.one(conn, break_id)
    entries = await queries.history(conn, break_id)
    return BreakShown(**_summary(found), history=[HistoryEntryShown.of(entry) for entry in entries])


def _summary(found: BreakView) -> dict[str, object]:
    return {
        "id": found.id,
        "provider": found.provider,
        "cls": found.cls,
        "day": found.day,
        "amount": reais(found.amount_centavos),
        "state": found.status,
        "age_hours": round(found.age_hours, 2),
        "owner_id": found.owner_id,
        "hint": found.hint,
        "suggestions": [SuggestionShown(side=each.side, id=each.id) for each in found.suggestions],
        "bank": None if found.bank is None else BankLineShown.of(found.bank),
        "ledger": None if found.ledger is None else MovementShown.of(found.ledger),
        "resolution": found.resolution,
        "evidence": found.evidence,
        "first_seen_at": found.first_seen_at,
        "last_seen_at": found.last_seen_at,
    }
