"""Reads of transfers."""

from collections.abc import Iterable

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.transfer.states import IN_FLIGHT, TransferStatus
from models.transfer.tables import transfer_attempts, transfer_transactions
from models.transfer.types import Attempt, Transfer
from models.wallet.tables import system_addresses

_T = transfer_transactions


def _transfers() -> Select[tuple[object, ...]]:
    own = [column for column in _T.columns if column.name in Transfer.__dataclass_fields__]
    return select(
        *own, system_addresses.c.address.label("from_address"), system_addresses.c.index.label("from_index")
    ).join(system_addresses, system_addresses.c.id == _T.c.from_address_id)


async def transfer(conn: AsyncConnection, key: str, *, lock: bool = False) -> Transfer:
    """The transfer of this key; with ``lock``, its row is ours until the transaction ends."""
    statement = _transfers().where(_T.c.key == key)
    if lock:
        statement = statement.with_for_update(of=_T, key_share=True)
    return Transfer(**(await conn.execute(statement)).one()._mapping)


async def of_trade(conn: AsyncConnection, trade_id: str) -> list[Transfer]:
    """Oldest first; gas top-ups included."""
    statement = _transfers().where(_T.c.trade_id == trade_id).order_by(_T.c.created_at, _T.c.key)
    return [Transfer(**row._mapping) for row in await conn.execute(statement)]


async def in_flight(conn: AsyncConnection, network_id: str) -> list[Transfer]:
    """Signed and not yet final, in the order their nonces must be mined."""
    statement = (
        _transfers()
        .where(_T.c.network_id == network_id, _T.c.status.in_(IN_FLIGHT))
        .order_by(_T.c.from_address_id, _T.c.nonce)
    )
    return [Transfer(**row._mapping) for row in await conn.execute(statement)]


async def attempts(conn: AsyncConnection, keys: Iterable[str]) -> dict[str, list[Attempt]]:
    """All signed attempts of these transfers, oldest first."""
    a = transfer_attempts.c
    age = func.extract("epoch", func.now() - func.coalesce(a.broadcast_at, a.signed_at))
    statement = (
        select(a.key, a.attempt, a.txid, a.fee, a.raw, age.label("age"))
        .where(a.key.in_(list(keys)))
        .order_by(a.key, a.attempt)
    )
    found: dict[str, list[Attempt]] = {}
    for row in await conn.execute(statement):
        found.setdefault(row.key, []).append(Attempt(row.key, row.attempt, row.txid, row.fee, row.raw, int(row.age)))
    return found


async def ours(conn: AsyncConnection, txids: Iterable[str]) -> set[str]:
    """Which of these transactions we signed ourselves."""
    statement = select(transfer_attempts.c.txid).where(transfer_attempts.c.txid.in_(list(txids)))
    return set((await conn.execute(statement)).scalars())


async def status(conn: AsyncConnection, key: str) -> TransferStatus:
    return TransferStatus((await conn.execute(select(_T.c.status).where(_T.c.key == key))).scalar_one())
