"""One step of a trade: row, history, postings, the order's amount and the events, in one database transaction.

Locks are taken in one order by everybody: the trade's row, or the order's and then the taker's; after it the order's;
then the ledger's, in its own order, in one call. Who opens a trade makes its row, and locks none that others know. So
nobody ever waits for somebody who waits for them.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.errors import Broken
from models.ledger.post import post
from models.ledger.types import Transaction
from models.p2p_dispute.follow import follow
from models.p2p_order import amounts
from models.p2p_trade import queries
from models.p2p_trade.division import buyer_bps_of, outcome
from models.p2p_trade.messages import told
from models.p2p_trade.rules import deadline_of, require_divisible
from models.p2p_trade.states import ENDED, P2PTradeStatus
from models.p2p_trade.tables import p2p_trade_history, p2p_trades
from models.p2p_trade.types import PIX_RECEIVED, P2PTrade, Step

SYSTEM = "system"
S = P2PTradeStatus
UNSOLD = frozenset({S.CANCELLED, S.EXPIRED, S.REFUNDED})
"""The order's amount rises again. After a split it does not: a part was traded, and the maker may offer anew."""


async def take(
    conn: AsyncConnection,
    trade: P2PTrade,
    step: Step,
    *,
    actor: str,
    now: datetime,
    buyer_bps: int | None = None,
    details: Mapping[str, JsonValue] | None = None,
    first: tuple[Transaction, ...] = (),
) -> P2PTrade:
    """Move ``trade``, which must be locked. The same state again is a note.

    :param buyer_bps: the buyer's part of a split. :param first: posted with the outcome, before it.
    :raises IllegalTransition: the picture in ``states.py`` has no such arrow.
    """
    if step.status is not trade.status:
        transitions.check("p2p_trade", trade.status, step.status)
    if step != PIX_RECEIVED:
        require_divisible(trade, buyer_bps_of(step.status, buyer_bps))
    after = await _write(conn, _after(trade, step, now, buyer_bps), before=trade)
    await log(conn, after, step, before=trade.status, actor=actor, details=details)
    if after.status in UNSOLD:
        await amounts.give_back(conn, after.order_id, after.units)
    if after.status in ENDED:
        posted = await post(conn, *first, outcome(after, after.status, buyer_bps))
        if not all(posted):
            raise Broken(f"trade {trade.id} had an outcome before it ended")
    await told(conn, after, step.reason)
    await follow(conn, trade.status, after, actor=actor, now=now)
    return after


async def complete_paid(
    conn: AsyncConnection, trade_id: str, end_to_end_id: str, paid: Transaction, *, now: datetime
) -> None:
    """The right payer's PIX of the right amount came in on the trade's charge; ``paid`` holds its reais for them.

    The trade must be locked, and in a state in which a payment still counts.
    """
    found = await queries.trade(conn, trade_id)
    details: dict[str, JsonValue] = {"end_to_end_id": end_to_end_id}
    await take(conn, found, PIX_RECEIVED, actor=SYSTEM, now=now, details=details, first=(paid,))


def _after(trade: P2PTrade, step: Step, now: datetime, buyer_bps: int | None) -> P2PTrade:
    if step.status is trade.status:
        return replace(trade, version=trade.version + 1, reminded_at=now)
    is_paid = step.status is S.PAYMENT_SENT
    is_undone = step.status is S.OPEN
    return replace(
        trade,
        status=step.status,
        reason=step.reason,
        version=trade.version + 1,
        buyer_bps=buyer_bps,
        deadline_at=deadline_of(trade, step.status, now),
        paid_at=now if is_paid else None if is_undone else trade.paid_at,
        reminded_at=None if is_paid or is_undone else trade.reminded_at,
        ended_at=now if step.status in ENDED else None,
    )


async def _write(conn: AsyncConnection, after: P2PTrade, *, before: P2PTrade) -> P2PTrade:
    t = p2p_trades.c
    changing = ("status", "reason", "version", "buyer_bps", "deadline_at", "paid_at", "reminded_at", "ended_at")
    statement = (
        update(p2p_trades)
        .where(t.id == before.id, t.status == before.status, t.version == before.version)
        .values({name: getattr(after, name) for name in changing} | {"updated_at": func.now()})
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"trade {before.id} changed while its row was locked")
    return after


async def log(
    conn: AsyncConnection,
    trade: P2PTrade,
    step: Step,
    *,
    before: P2PTradeStatus | None,
    actor: str,
    details: Mapping[str, JsonValue] | None = None,
) -> None:
    await conn.execute(
        insert(p2p_trade_history).values(
            trade_id=trade.id,
            version=trade.version,
            old_status=before,
            new_status=step.status,
            reason=step.reason,
            actor=actor,
            details=dict(details or {}),
        )
    )
