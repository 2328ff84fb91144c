"""Carry out a ruling: the dispute's end and the trade's one outcome, in one database transaction."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.outbox import look, put
from models.p2p_dispute import messages, trade_books
from models.p2p_dispute.states import P2PDisputeStatus
from models.p2p_dispute.steps import end
from models.p2p_dispute.tables import p2p_dispute_rulings
from models.p2p_dispute.types import P2PDispute, Step
from models.p2p_trade.types import P2PTrade


async def close(
    conn: AsyncConnection, trade: P2PTrade, dispute: P2PDispute, *, actor: str, now: datetime
) -> list[int]:
    """``trade`` must be locked, and ``dispute.ruling_id`` the ruling that stands; outbox rows.

    :raises IllegalTransition: the picture in ``states.py`` has no such arrow, or the trade is over.
    """
    r = p2p_dispute_rulings.c
    ruling = (await conn.execute(select(r.buyer_bps, r.reason).where(r.id == dispute.ruling_id))).one()
    details = {"dispute_id": dispute.id, "ruling_id": dispute.ruling_id}
    await end(
        conn,
        trade,
        dispute,
        Step.CLOSED,
        status=P2PDisputeStatus.CLOSED,
        buyer_bps=ruling.buyer_bps,
        actor=actor,
        now=now,
        reason=ruling.reason,
        details=details,
    )
    await trade_books.divide(
        conn, trade, ruling.buyer_bps, reason=f"ruled_{ruling.reason}", actor=actor, now=now, details=details
    )
    return await put(conn, look(messages.workflow_id(dispute.id)))
