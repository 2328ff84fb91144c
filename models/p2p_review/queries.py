"""Reads of reviews. They are public."""

from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.p2p_review.tables import p2p_reviews
from models.p2p_review.types import Review

_R = p2p_reviews.c


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the reviews that follow; None at the end."""

    reviews: list[Review]
    next_cursor: tuple[datetime, str] | None


async def of_subject(conn: AsyncConnection, user_id: str, *, limit: int, cursor: tuple[datetime, str] | None) -> Page:
    """What others said of a user, newest first."""
    statement = select(p2p_reviews).where(_R.subject_id == user_id).order_by(_R.created_at.desc(), _R.id.desc())
    if cursor is not None:
        statement = statement.where(tuple_(_R.created_at, _R.id) < tuple_(*cursor))
    found = [Review(**row._mapping) for row in await conn.execute(statement.limit(limit + 1))]
    page, more = found[:limit], len(found) > limit
    return Page(page, (page[-1].created_at, page[-1].id) if more else None)
