"""What custody may sign, read from the books and from nothing else.

Task queues have no access control: whoever asks for a signature only names a key. Everything that is
signed must follow from rows that the books wrote for their own reasons.
"""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.deposit.tables import deposit_returns
from models.errors import IntentMismatch
from models.instant_trade.tables import instant_trades, trade_outcomes
from models.transfer.types import Transfer, TransferPurpose
from models.wallet import allocate
from models.wallet.allocate import AddressRole
from models.wallet.tables import system_addresses

GAS_LIMIT_MOST = 1_000_000


async def check(
    conn: AsyncConnection, transfer: Transfer, *, fee_most: int, gas_limit: int, gas_price_most: int
) -> None:
    """Refuse what the books do not ask for.

    :param fee_most: the most the offered fee can cost, base units of the native coin.
    :param gas_price_most: the ceiling per unit of gas, base units of the native coin.
    :raises IntentMismatch: purpose, destination, amount or fee is not what the books say.
    """
    if gas_limit > GAS_LIMIT_MOST or fee_most > gas_limit * gas_price_most:
        raise IntentMismatch(f"{transfer.key}: the offered fee is above the ceiling")
    rule = {
        TransferPurpose.CUSTODY: _custody,
        TransferPurpose.DELIVERY: _delivery,
        TransferPurpose.GAS: _gas,
        TransferPurpose.REFUND: _refund,
        TransferPurpose.RETURN: _return,
    }[transfer.purpose]
    if not await rule(conn, transfer, gas_price_most):
        raise IntentMismatch(f"{transfer.key}: the books ask for no such {transfer.purpose} transfer")


async def _custody(conn: AsyncConnection, transfer: Transfer, _most: int) -> bool:
    t = instant_trades.c
    statement = select(t.id).where(
        t.id == transfer.trade_id,
        t.source_address_id == transfer.from_address_id,
        t.asset_id == transfer.asset_id,
        t.amount_units == transfer.amount_units,
        t.held_units == transfer.amount_units,
    )
    desk = await allocate.house(conn, transfer.network_id)
    return transfer.to_address == desk.address and (await conn.execute(statement)).first() is not None


async def _delivery(conn: AsyncConnection, transfer: Transfer, _most: int) -> bool:
    t, o = instant_trades.c, trade_outcomes.c
    statement = (
        select(t.id)
        .join(trade_outcomes, o.trade_id == t.id)
        .where(
            t.id == transfer.trade_id,
            t.operation == "buy",
            t.delivery_address == transfer.to_address,
            t.asset_id == transfer.asset_id,
            t.amount_units == transfer.amount_units,
            t.held_units == transfer.amount_units,
            o.outcome == "delivery",
            o.voided_at.is_(None),
        )
    )
    desk = await allocate.house(conn, transfer.network_id)
    return transfer.from_address_id == desk.id and (await conn.execute(statement)).first() is not None


async def _gas(conn: AsyncConnection, transfer: Transfer, gas_price_most: int) -> bool:
    a = system_addresses.c
    own = select(a.id).where(
        a.network_id == transfer.network_id, a.address == transfer.to_address, a.role != AddressRole.FREE
    )
    desk = await allocate.house(conn, transfer.network_id)
    return (
        transfer.from_address_id == desk.id
        and transfer.amount_units <= GAS_LIMIT_MOST * gas_price_most
        and (await conn.execute(own)).first() is not None
    )


async def _refund(conn: AsyncConnection, transfer: Transfer, _most: int) -> bool:
    t, o = instant_trades.c, trade_outcomes.c
    statement = (
        select(t.id)
        .join(trade_outcomes, o.trade_id == t.id)
        .where(
            t.id == transfer.trade_id,
            t.refund_address == transfer.to_address,
            t.asset_id == transfer.asset_id,
            t.held_units >= transfer.amount_units,
            o.outcome == "refund",
            o.voided_at.is_(None),
        )
    )
    return (await conn.execute(statement)).first() is not None


async def _return(conn: AsyncConnection, transfer: Transfer, _most: int) -> bool:
    t, r = instant_trades.c, deposit_returns.c
    statement = (
        select(r.id)
        .join(instant_trades, t.id == r.trade_id)
        .where(
            r.id == transfer.return_id,
            r.status == "pending",
            r.asset_id == transfer.asset_id,
            r.amount_units == transfer.amount_units,
            t.refund_address == transfer.to_address,
            t.source_address_id == transfer.from_address_id,
        )
    )
    return (await conn.execute(statement)).first() is not None
