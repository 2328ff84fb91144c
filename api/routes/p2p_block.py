"""Whom a user does not trade with. The other one is not told."""

from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller
from api.deps import Deps
from api.idempotency import OncePerKey
from api.ids import IdInPath, IdText
from api.problems import problems
from models.errors import IdempotencyMismatch, InvalidInput, LimitExceeded, NotFound, PayloadTooLarge
from models.p2p_block import queries, writes
from models.p2p_block.types import Block

router = APIRouter(prefix="/api/v1/p2p/blocks", tags=["p2p"])


class BlockRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user_id: IdText = Field(description="whom to block")


class BlockView(BaseModel):
    user_id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"], description="who is blocked")
    created_at: datetime


@router.get("")
async def mine(services: Deps, caller: Caller) -> list[BlockView]:
    """The caller's block list, newest first."""
    async with services.engine.connect() as conn:
        return [_view(block) for block in await queries.of_user(conn, caller.user_id)]


@router.post(
    "",
    status_code=201,
    response_model=BlockView,
    responses=problems(PayloadTooLarge, InvalidInput, NotFound, LimitExceeded, IdempotencyMismatch),
)
async def add(body: BlockRequest, services: Deps, caller: Caller, once: OncePerKey) -> JSONResponse:
    """Neither of the two sees or takes the other's orders any more. Trades that run go on."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        block = await writes.add(conn, user_id=caller.user_id, blocked_id=body.user_id)
        return await once.answer(conn, 201, _view(block))


@router.delete("/{user_id:id}", status_code=204, responses=problems(NotFound))
async def remove(user_id: IdInPath, services: Deps, caller: Caller) -> None:
    """Take a user off the caller's block list."""
    async with services.engine.begin() as conn:
        await writes.remove(conn, user_id=caller.user_id, blocked_id=user_id)


def _view(block: Block) -> BlockView:
    return BlockView(user_id=block.user_id, created_at=block.created_at)
