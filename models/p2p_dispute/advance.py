"""Move a dispute as far as the clock demands, and say when to look again."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from models.p2p_dispute import queries, trade_books
from models.p2p_dispute.ending import close
from models.p2p_dispute.rules import before_proposal, due
from models.p2p_dispute.states import ENDED, P2PDisputeStatus
from models.p2p_dispute.steps import SYSTEM, decide, end, take
from models.p2p_dispute.types import P2PDispute, P2PDisputeProgress, RulingFate, Step
from models.p2p_trade.division import buyer_bps_of
from models.p2p_trade.states import ENDED as TRADE_ENDED
from models.p2p_trade.types import P2PTrade

S = P2PDisputeStatus

WAITS_FOR = {
    S.OPEN: "an arbiter, or the two parties",
    S.PROPOSED: "a second arbiter",
    S.RULED: "the end of the window for an appeal",
    S.APPEALED: "another arbiter",
}


async def advance(conn: AsyncConnection, dispute_id: str, *, now: datetime) -> P2PDisputeProgress:
    """Take every step that is due. Harmless to repeat.

    :raises NotFound: there is no such dispute.
    """
    trade = await trade_books.locked(conn, (await queries.dispute(conn, dispute_id)).trade_id)
    found = await queries.dispute(conn, dispute_id)
    while (step := due(found, now, trade_is_over=trade.status in TRADE_ENDED)) is not None:
        await _take(conn, trade, found, step, now)
        found = await queries.dispute(conn, dispute_id)
    return _progress(found, now)


async def _take(conn: AsyncConnection, trade: P2PTrade, dispute: P2PDispute, step: Step, now: datetime) -> None:
    if step is Step.CLOSED:
        await close(conn, trade, dispute, actor=SYSTEM, now=now)
    elif step is Step.PROPOSAL_EXPIRED:
        await decide(conn, dispute.ruling_id, RulingFate.EXPIRED, now=now)
        back = before_proposal(dispute)
        details = {"ruling_id": dispute.ruling_id}
        await take(
            conn,
            trade,
            dispute,
            step,
            actor=SYSTEM,
            now=now,
            status=back,
            details=details,
            ruling_id=None,
            deadline_at=None,
        )
    else:
        bps = buyer_bps_of(trade.status, trade.buyer_bps)
        await end(conn, trade, dispute, step, status=S.SETTLED, buyer_bps=bps, actor=SYSTEM, now=now)


def _progress(dispute: P2PDispute, now: datetime) -> P2PDisputeProgress:
    if dispute.status in ENDED:
        return P2PDisputeProgress(dispute.status, is_over=True)
    left = None if dispute.deadline_at is None else (dispute.deadline_at - now).total_seconds()
    return P2PDisputeProgress(dispute.status, False, WAITS_FOR[dispute.status], left)
