"""Reads of the block list."""

from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.p2p_block.tables import p2p_blocks
from models.p2p_block.types import Block

_B = p2p_blocks.c


async def between(conn: AsyncConnection, one: str, other: str) -> bool:
    """Whether one of the two has blocked the other."""
    return bool((await conn.execute(select(either(one, other)))).scalar_one())


def either(one: str, other: ColumnElement[Any] | str) -> ColumnElement[bool]:
    """The same, as a condition on the rows of another statement."""
    return or_(
        exists().where(and_(_B.user_id == one, _B.blocked_id == other)),
        exists().where(and_(_B.user_id == other, _B.blocked_id == one)),
    )


async def of_user(conn: AsyncConnection, user_id: str) -> list[Block]:
    """Newest first."""
    statement = (
        select(_B.blocked_id.label("user_id"), _B.created_at)
        .where(_B.user_id == user_id)
        .order_by(_B.created_at.desc(), _B.blocked_id)
    )
    return [Block(**row._mapping) for row in await conn.execute(statement)]
