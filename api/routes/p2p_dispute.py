"""What the two of a P2P trade do when they disagree."""

from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from api import evidence_pack
from api.auth import Caller
from api.deps import Deps, Post
from api.ids import IdInPath
from api.p2p_dispute_views import FileIds, P2PDisputeView, StatementRequest, StatementText, for_party
from api.problems import problems
from api.sealed_once import SealedOncePerKey
from models.errors import (
    EvidenceUnavailable,
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PayloadTooLarge,
)
from models.p2p_dispute import queries, writes
from models.p2p_dispute.types import DisputeReason
from models.p2p_trade import queries as trades
from models.p2p_trade.types import P2PTrade

router = APIRouter(prefix="/api/v1/p2p/trades/{trade_id:id}/dispute", tags=["p2p dispute"])

_WRITES = problems(PayloadTooLarge, NotFound, IllegalTransition, InvalidInput, LimitExceeded, IdempotencyMismatch)


class DisputeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[
        DisputeReason,
        Field(description="`not_confirmed_in_time` is the system's own", examples=[DisputeReason.PAID_NOT_RELEASED]),
    ]
    statement: StatementText
    file_ids: FileIds = []

    @model_validator(mode="after")
    def _is_a_partys(self) -> Self:
        if self.reason is DisputeReason.NOT_CONFIRMED_IN_TIME:
            raise ValueError("reason must be a party's own")
        return self


class SettleRequest(BaseModel):
    """Exactly one of the two."""

    model_config = ConfigDict(extra="forbid")

    buyer_bps: int | None = Field(
        default=None, ge=1, le=9_999, examples=[5000], description="a proposal: the buyer's part, in basis points"
    )
    concede: bool = Field(default=False, description="give in: all goes to the other party, at once")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.concede is (self.buyer_bps is not None):
            raise ValueError("either propose buyer_bps, or concede")
        return self


@router.post("", status_code=201, response_model=P2PDisputeView, responses=_WRITES)
async def open_dispute(
    trade_id: IdInPath, body: DisputeRequest, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """Open a dispute, once the buyer has said that they paid. What is held stays held until it ends."""
    async with services.engine.begin() as conn:
        await _own(conn, trade_id, caller.user_id)
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await writes.open_dispute(
            conn,
            services.box,
            trade_id,
            user_id=caller.user_id,
            reason=body.reason,
            statement=body.statement,
            file_ids=body.file_ids,
            now=datetime.now(UTC),
        )
        view = await for_party(conn, await _own(conn, trade_id, caller.user_id), services)
        reply = await once.answer(conn, 201, view)
    reply.background = courier.soon(messages)
    return reply


@router.get("", responses=problems(NotFound))
async def show(trade_id: IdInPath, services: Deps, caller: Caller) -> P2PDisputeView:
    """The dispute over a trade of yours: what both said, what was proposed and ruled, and every step."""
    async with services.engine.connect() as conn:
        return await for_party(conn, await _own(conn, trade_id, caller.user_id), services)


@router.post("/statements", status_code=201, response_model=P2PDisputeView, responses=_WRITES)
async def state(
    trade_id: IdInPath, body: StatementRequest, services: Deps, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """Say more. What was said stays: nothing is changed or deleted."""
    async with services.engine.begin() as conn:
        trade = await _own(conn, trade_id, caller.user_id)
        if (known := await once.claim(conn)) is not None:
            return known
        await writes.state(
            conn,
            services.box,
            trade_id,
            user_id=caller.user_id,
            statement=body.statement,
            file_ids=body.file_ids,
            now=datetime.now(UTC),
        )
        return await once.answer(conn, 201, await for_party(conn, trade, services))


@router.post("/settle", status_code=201, response_model=P2PDisputeView, responses=_WRITES)
async def settle(
    trade_id: IdInPath, body: SettleRequest, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """Propose a split, in the place of your earlier proposals; or concede, which ends the dispute at once."""
    messages: list[int] = []
    async with services.engine.begin() as conn:
        trade = await _own(conn, trade_id, caller.user_id)
        if (known := await once.claim(conn)) is not None:
            return known
        now = datetime.now(UTC)
        if body.buyer_bps is None:
            messages = await writes.concede(conn, trade_id, user_id=caller.user_id, now=now)
        else:
            await writes.offer(conn, trade_id, user_id=caller.user_id, buyer_bps=body.buyer_bps, now=now)
        reply = await once.answer(conn, 201, await for_party(conn, trade, services))
    reply.background = courier.soon(messages)
    return reply


@router.post("/settle/{proposal_id:id}/accept", response_model=P2PDisputeView, responses=_WRITES)
async def accept_proposal(
    trade_id: IdInPath,
    proposal_id: IdInPath,
    services: Deps,
    courier: Post,
    caller: Caller,
    once: SealedOncePerKey,
) -> JSONResponse:
    """Take exactly this proposal of the other party: it is carried out at once."""
    async with services.engine.begin() as conn:
        trade = await _own(conn, trade_id, caller.user_id)
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await writes.accept_offer(
            conn, trade_id, proposal_id, user_id=caller.user_id, now=datetime.now(UTC)
        )
        reply = await once.answer(conn, 200, await for_party(conn, trade, services))
    reply.background = courier.soon(messages)
    return reply


@router.post("/accept-ruling", response_model=P2PDisputeView, responses=_WRITES)
async def accept_ruling(
    trade_id: IdInPath, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """Accept the ruling, and give up your appeal. Once both do, it is carried out at once."""
    async with services.engine.begin() as conn:
        trade = await _own(conn, trade_id, caller.user_id)
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await writes.accept_ruling(conn, trade_id, user_id=caller.user_id, now=datetime.now(UTC))
        reply = await once.answer(conn, 200, await for_party(conn, trade, services))
    reply.background = courier.soon(messages)
    return reply


@router.post("/appeal", response_model=P2PDisputeView, responses=_WRITES)
async def appeal(
    trade_id: IdInPath, body: StatementRequest, services: Deps, courier: Post, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """Have other arbiters decide anew, once in a dispute and within the ruling's window. Their ruling is final."""
    arrived = datetime.now(UTC)
    async with services.engine.begin() as conn:
        trade = await _own(conn, trade_id, caller.user_id)
        if (known := await once.claim(conn)) is not None:
            return known
        messages = await writes.appeal(
            conn,
            services.box,
            trade_id,
            user_id=caller.user_id,
            statement=body.statement,
            file_ids=body.file_ids,
            now=arrived,
        )
        reply = await once.answer(conn, 200, await for_party(conn, trade, services))
    reply.background = courier.soon(messages)
    return reply


@router.get(
    "/evidence-pack",
    response_class=Response,
    responses={**evidence_pack.CONTENT, **problems(NotFound, EvidenceUnavailable)},
)
async def pack(trade_id: IdInPath, services: Deps, caller: Caller) -> Response:
    """Everything said, attached, decided and told by the bank: hash-chained, signed, to be verified offline."""
    async with services.engine.connect() as conn:
        await conn.execution_options(isolation_level="REPEATABLE READ")
        trade = await _own(conn, trade_id, caller.user_id)
        dispute = await queries.require_of_trade(conn, trade_id)
        return await evidence_pack.respond(conn, services, trade, dispute)


async def _own(conn: AsyncConnection, trade_id: str, user_id: str) -> P2PTrade:
    """:raises NotFound: there is no such trade, or it is not this user's."""
    return await trades.trade(conn, trade_id, user_id=user_id)
