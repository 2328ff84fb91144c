"""Deposits as blocks come, go and become final."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.deposit.tables import chain_blocks, deposits
from models.deposit.types import BlockMark, Found
from models.event.types import Event, EventKind
from models.event.writes import tell
from models.instant_trade.advance import receive
from models.instant_trade.writes import workflow_id
from models.ledger.chart import Purpose, available, custody, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.money import units_text
from models.network.tables import assets
from models.outbox import look, put
from models.wallet.allocate import AddressRole
from models.wallet.tables import system_addresses

KEPT_BLOCKS = 512
"""How far back a reorg can be recognised by hash."""


async def rewind(conn: AsyncConnection, network_id: str, height: int) -> int:
    """A reorg: forget the blocks above ``height``; deposits in them are orphaned until seen again. How many were."""
    await conn.execute(
        delete(chain_blocks).where(chain_blocks.c.network_id == network_id, chain_blocks.c.height > height)
    )
    d = deposits.c
    orphaned = await conn.execute(
        update(deposits)
        .where(d.network_id == network_id, d.status == "seen", d.block_height > height)
        .values(status="orphaned")
        .returning(d.id, d.trade_id)
    )
    rows = orphaned.all()
    await _tell_users(conn, [row.id for row in rows])
    await _tell(conn, [row.trade_id for row in rows])
    return len(rows)


async def record(conn: AsyncConnection, network_id: str, blocks: Iterable[BlockMark], found: Iterable[Found]) -> None:
    """Write blocks read and deposits found in them, and move the cursor, in one transaction.

    A deposit seen again after a reorg is all that the new block says, its amount too: the same transaction
    may do something else in another block.
    """
    trades: list[str | None] = []
    changed: list[int] = []
    for deposit in found:
        row = {**asdict(deposit), "network_id": network_id, "status": "seen"}
        again = (
            insert(deposits)
            .values(row)
            .on_conflict_do_update(
                index_elements=["network_id", "txid", "log_index"],
                set_=row,
                where=deposits.c.status != "final",
            )
            .returning(deposits.c.id)
        )
        changed += (await conn.execute(again)).scalars()
        trades.append(deposit.trade_id)
    for block in blocks:
        mark = {"network_id": network_id, "height": block.height, "hash": block.hash}
        await conn.execute(
            insert(chain_blocks)
            .values(mark)
            .on_conflict_do_update(index_elements=["network_id", "height"], set_={"hash": block.hash})
        )
    newest = select(func.max(chain_blocks.c.height)).where(chain_blocks.c.network_id == network_id).scalar_subquery()
    old = chain_blocks.c.height < newest - KEPT_BLOCKS
    await conn.execute(delete(chain_blocks).where(chain_blocks.c.network_id == network_id, old))
    await _tell_users(conn, changed)
    await _tell(conn, trades)


async def final_ids(conn: AsyncConnection, network_id: str, *, height: int) -> list[int]:
    """Deposits not booked yet whose block is at or below ``height``."""
    d = deposits.c
    statement = (
        select(d.id).where(d.network_id == network_id, d.status == "seen", d.block_height <= height).order_by(d.id)
    )
    return list((await conn.execute(statement)).scalars())


async def book(conn: AsyncConnection, deposit_id: int) -> None:
    """Book one final deposit, once, to whom its address belongs."""
    d, a = deposits.c, system_addresses.c
    statement = (
        select(deposits, a.role, a.user_id)
        .join(system_addresses, a.id == d.address_id)
        .where(d.id == deposit_id, d.status == "seen")
        .with_for_update(of=deposits)
    )
    row = (await conn.execute(statement)).first()
    if row is None:
        return
    if row.role == AddressRole.TRADE and row.trade_id is not None:
        booked_to = await receive(
            conn,
            row.trade_id,
            row.amount_units,
            network_id=row.network_id,
            asset_id=row.asset_id,
            block_time=row.block_time,
            deposit_id=deposit_id,
        )
    else:
        target = {
            AddressRole.USER: available(row.user_id, row.asset_id),
            AddressRole.HOUSE: house(Purpose.DESK, row.asset_id),
        }.get(row.role, house(Purpose.SUSPENSE, row.asset_id))
        coins = custody(row.network_id, row.asset_id)
        key = f"deposit/{deposit_id}"
        await post(conn, move(key, Kind.DEPOSIT, key, coins, target, row.amount_units))
        booked_to = Purpose(target.purpose)
    await conn.execute(
        update(deposits).where(d.id == deposit_id).values(status="final", booked_to=booked_to, final_at=func.now())
    )
    await _tell_users(conn, [deposit_id])


async def _tell(conn: AsyncConnection, trades: Iterable[str | None]) -> None:
    await put(conn, *(look(workflow_id(trade_id)) for trade_id in sorted({t for t in trades if t})))


async def _tell_users(conn: AsyncConnection, deposit_ids: Sequence[int]) -> None:
    """Whose address it is, is told. Nobody else: an event of no user would be everybody's."""
    if not deposit_ids:
        return
    d = deposits.c
    statement = (
        select(deposits, system_addresses.c.user_id, assets.c.symbol, assets.c.decimals)
        .join(system_addresses, system_addresses.c.id == d.address_id)
        .join(assets, assets.c.id == d.asset_id)
        .where(d.id.in_(deposit_ids), system_addresses.c.user_id.is_not(None))
        .order_by(d.id)
    )
    rows = (await conn.execute(statement)).all()
    await tell(conn, *(Event(EventKind.DEPOSIT_STATUS_CHANGE, row.user_id, _payload(row)) for row in rows))


def _payload(row: Row[Any]) -> dict[str, JsonValue]:
    return {
        "deposit_id": str(row.id),
        "txid": row.txid,
        "trade_id": row.trade_id,
        "asset": row.symbol,
        "network": row.network_id,
        "status": row.status,
        "amount": units_text(row.amount_units, row.decimals),
    }
