"""Reads of deposits and of how far a chain was read."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.deposit.tables import chain_blocks, deposit_returns, deposits
from models.deposit.types import BlockMark, DepositView, ReturnView


async def marks(conn: AsyncConnection, network_id: str) -> list[BlockMark]:
    """The last blocks that were read, newest first; the newest is the cursor."""
    statement = (
        select(chain_blocks.c.height, chain_blocks.c.hash)
        .where(chain_blocks.c.network_id == network_id)
        .order_by(chain_blocks.c.height.desc())
    )
    return [BlockMark(row.height, row.hash) for row in await conn.execute(statement)]


async def of_trade(conn: AsyncConnection, trade_id: str) -> list[DepositView]:
    c = deposits.c
    statement = (
        select(c.txid, c.asset_id, c.amount_units, c.block_height, c.block_time, c.status, c.booked_to)
        .where(c.trade_id == trade_id)
        .order_by(c.block_height, c.id)
    )
    return [DepositView(**row._mapping) for row in await conn.execute(statement)]


async def returns_of_trade(conn: AsyncConnection, trade_id: str) -> list[ReturnView]:
    c = deposit_returns.c
    statement = select(c.id, c.amount_units, c.reason, c.status).where(c.trade_id == trade_id).order_by(c.created_at)
    return [ReturnView(**row._mapping) for row in await conn.execute(statement)]
