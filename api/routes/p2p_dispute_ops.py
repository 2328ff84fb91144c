"""Disputes between users, for the arbiters who decide them, and for those who look on."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api import evidence_pack, pagination
from api.auth import Arbiter, DisputeReader
from api.deps import Deps, Post, Services
from api.evidence import Reason
from api.ids import IdInPath, IdText
from api.p2p_dispute_views import P2PDisputePage, P2PDisputeRecord, P2PDisputeSummary, StatementText, for_arbiter
from api.problems import problems
from api.sealed_once import SealedOncePerKey
from models.errors import (
    EvidenceUnavailable,
    Forbidden,
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
)
from models.p2p_dispute import queries, ruling
from models.p2p_dispute.states import ENDED, P2PDisputeStatus
from models.p2p_dispute.types import DisputeReason, RulingOrder, RulingReason
from models.user.types import Actor, Role

router = APIRouter(prefix="/api/v1/ops/p2p-disputes", tags=["p2p dispute"])

HOURS_MOST = 24 * 365 * 10
LIVE = sorted(set(P2PDisputeStatus) - ENDED)
_READS = problems(Forbidden, NotFound)
_WRITES = problems(PayloadTooLarge, Forbidden, NotFound, IllegalTransition, InvalidInput, IdempotencyMismatch)


class RulingRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    buyer_bps: int = Field(
        ge=0,
        le=10_000,
        examples=[10_000],
        description="the buyer's part of the coins in basis points: 10000 is all to the buyer, 0 all to the seller",
    )
    reason: RulingReason
    text: StatementText


class ApproveRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ruling_id: IdText = Field(description="the proposal that you have read")


class RejectRequest(ApproveRequest):
    why: Reason


@router.get("", responses=problems(Forbidden, InvalidInput))
async def disputes_found(
    services: Deps,
    caller: DisputeReader,
    state: Annotated[list[P2PDisputeStatus] | None, Query(description="left out: all that have not ended")] = None,
    reason: Annotated[DisputeReason | None, Query()] = None,
    older_than: Annotated[
        float | None, Query(ge=0, le=HOURS_MOST, examples=[24], description="hours since it was opened")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> P2PDisputePage:
    """Arbiters: disputes between users, the oldest first, but those over trades of your own."""
    now = datetime.now(UTC)
    async with services.engine.connect() as conn:
        page = await queries.page(
            conn,
            caller.user_id,
            limit=limit,
            states=LIVE if state is None else state,
            reason=reason,
            opened_before=None if older_than is None else now - timedelta(hours=older_than),
            cursor=pagination.decode(cursor),
        )
    return P2PDisputePage(
        disputes=[P2PDisputeSummary.of(each, now) for each in page.disputes],
        next_cursor=pagination.encode(page.next_cursor),
    )


@router.get("/{dispute_id:id}", responses=_READS)
async def dispute_found(dispute_id: IdInPath, services: Deps, caller: DisputeReader) -> P2PDisputeRecord:
    """Arbiters: one dispute, with the chat, statements, proposals, rulings, the bank's words and every step."""
    async with services.engine.connect() as conn:
        return await _shown(conn, dispute_id, services, caller)


@router.post("/{dispute_id:id}/rule", response_model=P2PDisputeRecord, responses=_WRITES)
async def rule(
    dispute_id: IdInPath, body: RulingRequest, services: Deps, courier: Post, caller: Arbiter, once: SealedOncePerKey
) -> JSONResponse:
    """Arbiters: rule. Above a limit it is a proposal, for another arbiter to approve.

    A first ruling is carried out when its window of appeal is over; one after an appeal, at once.
    """
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await ruling.rule(
            conn,
            services.box,
            dispute_id,
            RulingOrder(body.buyer_bps, body.reason, body.text),
            arbiter_id=caller.user_id,
            rules=services.p2p_disputes,
            now=datetime.now(UTC),
        )
        reply = await once.answer(conn, 200, await _shown(conn, dispute_id, services, caller))
    reply.background = courier.soon(messages)
    return reply


@router.post("/{dispute_id:id}/approve", response_model=P2PDisputeRecord, responses=_WRITES)
async def approve(
    dispute_id: IdInPath, body: ApproveRequest, services: Deps, courier: Post, caller: Arbiter, once: SealedOncePerKey
) -> JSONResponse:
    """Arbiters: approve exactly this proposal of another arbiter."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await ruling.approve(
            conn,
            services.box,
            dispute_id,
            body.ruling_id,
            arbiter_id=caller.user_id,
            rules=services.p2p_disputes,
            now=datetime.now(UTC),
        )
        reply = await once.answer(conn, 200, await _shown(conn, dispute_id, services, caller))
    reply.background = courier.soon(messages)
    return reply


@router.post("/{dispute_id:id}/reject", response_model=P2PDisputeRecord, responses=_WRITES)
async def reject(
    dispute_id: IdInPath, body: RejectRequest, services: Deps, courier: Post, caller: Arbiter, once: SealedOncePerKey
) -> JSONResponse:
    """Arbiters: reject a proposal, or take your own back. One no is enough."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await ruling.reject(
            conn,
            services.box,
            dispute_id,
            body.ruling_id,
            arbiter_id=caller.user_id,
            why=body.why,
            now=datetime.now(UTC),
        )
        reply = await once.answer(conn, 200, await _shown(conn, dispute_id, services, caller))
    reply.background = courier.soon(messages)
    return reply


@router.get(
    "/{dispute_id:id}/evidence-pack",
    response_class=Response,
    responses={**evidence_pack.CONTENT, **problems(Forbidden, NotFound, EvidenceUnavailable)},
)
async def pack(dispute_id: IdInPath, services: Deps, caller: DisputeReader) -> Response:
    """Arbiters: the same pack that the parties get."""
    async with services.engine.connect() as conn:
        await conn.execution_options(isolation_level="REPEATABLE READ")
        trade, found = await queries.for_reader(conn, dispute_id, caller.user_id)
        return await evidence_pack.respond(conn, services, trade, found)


async def _shown(conn: AsyncConnection, dispute_id: str, services: Services, reader: Actor) -> P2PDisputeRecord:
    trade, found = await queries.for_reader(conn, dispute_id, reader.user_id)
    is_admin = reader.role is Role.ADMIN
    return await for_arbiter(conn, trade, found, services, datetime.now(UTC), is_admin=is_admin)
