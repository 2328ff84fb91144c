"""Coins of a trade that are to go back outside it: a deposit that came late, or more than was asked."""

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.deposit.tables import deposit_returns
from models.ids import new_id
from models.instant_trade import queries as trades
from models.instant_trade.moment import require
from models.instant_trade.types import Trade
from models.ledger.chart import available, custody, held
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.outbox import Message, MessageKind, put
from models.quote.rules import gross
from models.transfer import writes as transfers
from models.transfer.types import Intent, TransferPurpose

WORKFLOW = "deposit-return"


def is_dust(trade: Trade, units: int) -> bool:
    """Whether sending it back would cost more than it is worth, at the trade's own price."""
    return gross(units, trade.price, trade.asset_decimals) < trade.return_min_centavos


async def give_back(conn: AsyncConnection, trade: Trade, units: int, reason: str) -> None:
    """Send ``units``, now in the user's ``held`` account, back on chain; dust goes to ``available`` instead."""
    return_id = new_id()
    dust = is_dust(trade, units)
    await conn.execute(
        insert(deposit_returns).values(
            id=return_id,
            trade_id=trade.id,
            asset_id=trade.asset_id,
            amount_units=units,
            reason=reason,
            status="credited" if dust else "pending",
        )
    )
    if dust:
        source, target = held(trade.user_id, trade.asset_id), available(trade.user_id, trade.asset_id)
        await post(conn, move(f"return/{return_id}", Kind.CREDIT, trade.id, source, target, units))
        return
    await transfers.intend(
        conn,
        Intent(
            key=f"return/{return_id}",
            purpose=TransferPurpose.RETURN,
            network_id=trade.network_id,
            asset_id=trade.asset_id,
            from_address_id=trade.source_address_id,
            to_address=require(trade.refund_address),
            amount_units=units,
            trade_id=trade.id,
            return_id=return_id,
        ),
    )
    start = Message(
        MessageKind.START,
        f"{WORKFLOW}/{return_id}",
        workflow=WORKFLOW,
        input={"return_id": return_id},
        summary=f"{reason} deposit of {trade.reference}",
        attributes={
            "Kind": WORKFLOW,
            "UserId": trade.user_id,
            "Network": trade.network_id,
            "Reference": trade.reference,
        },
    )
    await put(conn, start)


async def close(conn: AsyncConnection, return_id: str, *, returned: bool) -> None:
    """Book the end of a return, once. Not returned: the coins stay held and an operator is needed."""
    statement = (
        select(deposit_returns)
        .where(deposit_returns.c.id == return_id, deposit_returns.c.status == "pending")
        .with_for_update()
    )
    row = (await conn.execute(statement)).first()
    if row is None:
        return
    await conn.execute(
        update(deposit_returns)
        .where(deposit_returns.c.id == return_id)
        .values(status="returned" if returned else "needs_review", ended_at=func.now())
    )
    if returned:
        await _book_departure(conn, row.trade_id, return_id, row.asset_id, row.amount_units)


async def _book_departure(conn: AsyncConnection, trade_id: str, return_id: str, asset_id: str, units: int) -> None:
    trade = await trades.trade(conn, trade_id)
    source, target = held(trade.user_id, asset_id), custody(trade.network_id, asset_id)
    await post(conn, move(f"return/{return_id}", Kind.REFUND, trade.id, source, target, units))
