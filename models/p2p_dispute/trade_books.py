"""What a dispute does to its trade: it freezes it, and ends it. The one place that calls the trade's own books."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import IllegalTransition
from models.outbox import look, put
from models.p2p_dispute.rules import ALL_BPS
from models.p2p_trade import messages, queries
from models.p2p_trade.rules import Refusal, judge, refuse
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.steps import take
from models.p2p_trade.types import Command, P2PTrade, Step

S = P2PTradeStatus


async def locked(conn: AsyncConnection, trade_id: str, *, party: str | None = None) -> P2PTrade:
    """The trade, its row ours until the transaction ends.

    :param party: a user who must be one of the two.
    :raises NotFound: there is none, or it is not this user's.
    """
    return await queries.trade(conn, trade_id, user_id=party, lock=True)


def freezing(trade: P2PTrade, user_id: str) -> Step:
    """The step by which this party freezes the trade.

    :raises IllegalTransition: there is nothing to dispute yet, or not any more.
    """
    party = trade.party(user_id)
    assert party is not None
    found = judge(trade.status, Command.DISPUTE, party, trade.settlement)
    if isinstance(found, Refusal):
        raise refuse(found, trade.status)
    return found


async def freeze(conn: AsyncConnection, trade: P2PTrade, step: Step, *, actor: str, now: datetime) -> P2PTrade:
    after = await take(conn, trade, step, actor=actor, now=now)
    await put(conn, look(messages.workflow_id(trade.id)))
    return after


async def divide(
    conn: AsyncConnection,
    trade: P2PTrade,
    buyer_bps: int,
    *,
    reason: str,
    actor: str,
    now: datetime,
    details: Mapping[str, JsonValue],
) -> None:
    """The trade's one outcome: row, history and one ledger transaction. ``trade`` must be locked.

    :param reason: coded, at most 64 characters.
    :raises IllegalTransition: it is not in dispute any more.
    """
    if trade.status is not S.DISPUTED:
        raise IllegalTransition(f"the trade is {trade.status}, not in dispute")
    if buyer_bps in {0, ALL_BPS}:
        status = S.COMPLETED if buyer_bps else S.REFUNDED
        await take(conn, trade, Step(status, reason), actor=actor, now=now, details=details)
    else:
        step = Step(S.SPLIT, reason)
        await take(conn, trade, step, actor=actor, now=now, buyer_bps=buyer_bps, details=details)
    await put(conn, look(messages.workflow_id(trade.id)))
