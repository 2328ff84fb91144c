"""What a trade's own steps mean for its dispute: one opens with the trade's, and none outlives it.

Called by ``models/p2p_trade/steps.py`` for each step; this module and those it imports know no writes of trades.
"""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from models.outbox import look, put
from models.p2p_dispute import messages, queries
from models.p2p_dispute.states import ENDED, P2PDisputeStatus
from models.p2p_dispute.steps import SYSTEM, begin, end
from models.p2p_dispute.types import DisputeReason, Step
from models.p2p_trade.division import buyer_bps_of
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import P2PTrade


async def follow(
    conn: AsyncConnection, before: P2PTradeStatus, after: P2PTrade, *, actor: str, now: datetime
) -> None:
    """``after`` must be locked. Commands of disputes write their own row first; then nothing is left to do here."""
    if after.status is P2PTradeStatus.DISPUTED and before is not after.status:
        if await queries.of_trade(conn, after.id) is None:
            by_system = actor == SYSTEM
            reason = DisputeReason.NOT_CONFIRMED_IN_TIME if by_system else DisputeReason.OTHER
            await begin(conn, after, opened_by=None if by_system else actor, reason=reason, now=now)
    elif before is P2PTradeStatus.DISPUTED and after.status is not before:
        found = await queries.of_trade(conn, after.id)
        if found is None or found.status in ENDED:
            return
        step = Step.CONCEDED if after.party(actor) is not None else Step.ENDED_WITH_TRADE
        bps = buyer_bps_of(after.status, after.buyer_bps)
        status = P2PDisputeStatus.SETTLED
        await end(conn, after, found, step, status=status, buyer_bps=bps, actor=actor, now=now, reason=after.reason)
        await put(conn, look(messages.workflow_id(found.id)))
