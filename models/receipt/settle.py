"""Decide the fate of what came in on a charge, and carry it out: one database transaction."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge.types import Charge
from models.dispute import queries as disputes
from models.instant_trade import queries as trades
from models.instant_trade.states import TradeStatus
from models.instant_trade.writes import workflow_id
from models.outbox import Message, look
from models.p2p_trade import queries as p2p_trades
from models.p2p_trade.messages import workflow_id as p2p_workflow_id
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.steps import complete_paid
from models.quote.types import Side
from models.receipt import queries, rules, writes
from models.receipt.states import ReceiptStatus
from models.receipt.types import Payer, Receipt

S = ReceiptStatus
OPEN = frozenset({S.BLOCKED, S.RECEIVED})
"""Its fate is not decided yet."""


async def settle(conn: AsyncConnection, charge: Charge, *, known_by: datetime, now: datetime) -> list[Receipt]:
    """Credit or send back every receipt that is ours to decide on; all receipts of the charge afterwards.

    What pays for a P2P trade completes it in the same transaction: the reais are never anywhere between the two.

    :param known_by: of a receipt first seen after this the payer may still become known: it waits. One that its
        payer's bank disputes waits for the decision.

    Harmless to repeat. The trade must have been locked before ``charge`` was, as :func:`lock_trade` does.
    """
    found = await queries.of_charge(conn, charge.key)
    is_paid = any(receipt.status is S.CREDITED for receipt in found)
    status = await _trade_status(conn, charge)
    is_decided = charge.trade_id is not None and await trades.outcome(conn, charge.trade_id) is not None
    for receipt in found:
        if receipt.status is not S.RECEIVED:
            continue
        if receipt.payer is Payer.UNKNOWN and receipt.created_at is not None and receipt.created_at > known_by:
            continue
        if await disputes.open_claims(conn, receipt.id):
            continue
        reason = rules.refund_reason(receipt, charge, trade=status, is_paid=is_paid, is_decided=is_decided)
        if reason is None:
            if charge.p2p_trade_id is None:
                await writes.credit(conn, charge, receipt)
            else:
                paid = await writes.credit_only(conn, charge, receipt)
                await complete_paid(conn, charge.p2p_trade_id, receipt.end_to_end_id, paid, now=now)
            is_paid = True
        else:
            await writes.begin_refund(conn, charge, receipt, reason)
    return await queries.of_charge(conn, charge.key)


async def lock_trade(conn: AsyncConnection, charge: Charge) -> None:
    """The trade's row before the charge's: whoever needs both takes them in this order."""
    if charge.trade_id is not None:
        await trades.trade(conn, charge.trade_id, lock=True)
    if charge.p2p_trade_id is not None:
        await p2p_trades.trade(conn, charge.p2p_trade_id, lock=True)


def bell(charge: Charge) -> list[Message]:
    """Has what the charge pays for look at it; nobody waits for a deposit."""
    if charge.trade_id is not None:
        return [look(workflow_id(charge.trade_id, Side.BUY))]
    return [] if charge.p2p_trade_id is None else [look(p2p_workflow_id(charge.p2p_trade_id))]


async def _trade_status(conn: AsyncConnection, charge: Charge) -> TradeStatus | P2PTradeStatus | None:
    if charge.p2p_trade_id is not None:
        return (await p2p_trades.trade(conn, charge.p2p_trade_id)).status
    return None if charge.trade_id is None else (await trades.trade(conn, charge.trade_id)).status
