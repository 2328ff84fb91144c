"""What the two sides of a completed trade say of each other."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api import pagination
from api.auth import Caller
from api.deps import Deps
from api.idempotency import OncePerKey
from api.ids import IdInPath
from api.problems import problems
from api.wallets import require_user
from models.errors import (
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
)
from models.p2p_review import queries, writes
from models.p2p_review.types import WORDS_MOST, Review

router = APIRouter(prefix="/api/v1/p2p", tags=["p2p"])

_PLAIN = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
_WORDS = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"


class ReviewRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stars: int = Field(strict=True, ge=1, le=5)
    comment: str = Field(default="", max_length=WORDS_MOST, pattern=_PLAIN, description="public")


class ReplyRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reply: str = Field(min_length=1, max_length=WORDS_MOST, pattern=_WORDS, description="public, and final")


class ReviewView(BaseModel):
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    trade_id: str | None = Field(description="shown to the two sides of the trade only")
    author_id: str
    subject_id: str = Field(description="who is reviewed")
    stars: int
    comment: str
    reply: str | None
    created_at: datetime
    replied_at: datetime | None


class ReviewPage(BaseModel):
    reviews: list[ReviewView]
    next_cursor: str | None = Field(description="pass it back for the reviews that follow; null at the end")


@router.post(
    "/trades/{trade_id:id}/review",
    status_code=201,
    response_model=ReviewView,
    responses=problems(PayloadTooLarge, InvalidInput, NotFound, IllegalTransition, IdempotencyMismatch),
)
async def add(
    trade_id: IdInPath, body: ReviewRequest, services: Deps, caller: Caller, once: OncePerKey
) -> JSONResponse:
    """Review the other side of your completed trade, once."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        review = await writes.add(
            conn,
            trade_id=trade_id,
            author_id=caller.user_id,
            stars=body.stars,
            comment=body.comment.strip(),
        )
        return await once.answer(conn, 201, _view(review, caller.user_id))


@router.post(
    "/reviews/{review_id:id}/reply",
    response_model=ReviewView,
    responses=problems(PayloadTooLarge, InvalidInput, NotFound, IllegalTransition, IdempotencyMismatch),
)
async def reply(
    review_id: IdInPath, body: ReplyRequest, services: Deps, caller: Caller, once: OncePerKey
) -> JSONResponse:
    """Reply to a review of you, once."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        review = await writes.reply(
            conn, review_id=review_id, user_id=caller.user_id, words=body.reply.strip(), now=datetime.now(UTC)
        )
        return await once.answer(conn, 200, _view(review, caller.user_id))


@router.get("/users/{user_id:id}/reviews", responses=problems(InvalidInput, NotFound))
async def of_user(
    user_id: IdInPath,
    services: Deps,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> ReviewPage:
    """What others said of a user, newest first."""
    after = pagination.decode(cursor)
    async with services.engine.connect() as conn:
        await require_user(conn, user_id)
        page = await queries.of_subject(conn, user_id, limit=limit, cursor=after)
    return ReviewPage(
        reviews=[_view(review, caller.user_id) for review in page.reviews],
        next_cursor=pagination.encode(page.next_cursor),
    )


def _view(review: Review, reader: str) -> ReviewView:
    is_theirs = reader in {review.author_id, review.subject_id}
    return ReviewView(
        id=review.id,
        trade_id=review.trade_id if is_theirs else None,
        author_id=review.author_id,
        subject_id=review.subject_id,
        stars=review.stars,
        comment=review.comment,
        reply=review.reply,
        created_at=review.created_at,
        replied_at=review.replied_at,
    )
