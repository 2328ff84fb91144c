"""Put somebody on one's block list, and take them off it. Trades that run go on."""

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import InvalidInput, LimitExceeded, NotFound
from models.p2p_block.tables import p2p_blocks
from models.p2p_block.types import BLOCKS_MOST, Block
from models.user import queries as user_queries
from models.user import writes as users

_B = p2p_blocks.c


async def add(conn: AsyncConnection, *, user_id: str, blocked_id: str) -> Block:
    """Harmless to repeat.

    :raises NotFound: there is no such user.
    :raises InvalidInput: it is the user.
    :raises LimitExceeded: the list is full.
    """
    if blocked_id == user_id:
        raise InvalidInput("this is yourself", field="user_id")
    if await user_queries.by_id(conn, blocked_id) is None:
        raise NotFound("there is no such user", field="user_id")
    await users.lock(conn, user_id)
    row = insert(p2p_blocks).values(user_id=user_id, blocked_id=blocked_id).on_conflict_do_nothing()
    await conn.execute(row)
    if (await conn.execute(select(func.count()).where(_B.user_id == user_id))).scalar_one() > BLOCKS_MOST:
        raise LimitExceeded(f"a block list has at most {BLOCKS_MOST} lines", field="user_id")
    kept = select(_B.blocked_id, _B.created_at).where(_B.user_id == user_id, _B.blocked_id == blocked_id)
    found = (await conn.execute(kept)).one()
    return Block(found.blocked_id, found.created_at)


async def remove(conn: AsyncConnection, *, user_id: str, blocked_id: str) -> None:
    """:raises NotFound: not on the list."""
    line = delete(p2p_blocks).where(_B.user_id == user_id, _B.blocked_id == blocked_id).returning(_B.blocked_id)
    if (await conn.execute(line)).first() is None:
        raise NotFound("this user is not on your block list", field="user_id")
