"""Move a trade as far as the clock demands, and say when to look again."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from models.p2p_order.types import Settlement
from models.p2p_trade import queries
from models.p2p_trade.rules import next_step, wakes_at
from models.p2p_trade.states import ENDED, P2PTradeStatus
from models.p2p_trade.steps import SYSTEM, take
from models.p2p_trade.types import P2PTrade, P2PTradeProgress

S = P2PTradeStatus

WAITS_FOR = {
    S.OPEN: "the buyer to pay",
    S.PAYMENT_SENT: "the seller to confirm the payment",
    S.DISPUTED: "a ruling, or the two parties",
}


async def advance(conn: AsyncConnection, trade_id: str, *, now: datetime) -> P2PTradeProgress:
    """Take every step that is due. Harmless to repeat.

    :raises NotFound: there is no such trade.
    """
    found = await queries.trade(conn, trade_id, lock=True)
    charge = await queries.charge_facts(conn, trade_id, now) if found.settlement is Settlement.CHARGE else None
    while (step := next_step(found, now, charge)) is not None:
        found = await take(conn, found, step, actor=SYSTEM, now=now)
    return _progress(found, now)


def _progress(trade: P2PTrade, now: datetime) -> P2PTradeProgress:
    if trade.status in ENDED:
        return P2PTradeProgress(trade.status, is_over=True)
    left = None if trade.deadline_at is None else (wakes_at(trade) - now).total_seconds()
    if left is not None and left <= 0:
        return P2PTradeProgress(trade.status, is_over=False, waits_for="the bank: was it paid in time?")
    return P2PTradeProgress(trade.status, is_over=False, waits_for=WAITS_FOR[trade.status], seconds_to_next=left)
