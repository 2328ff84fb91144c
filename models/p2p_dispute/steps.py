"""One step of a dispute: row, history and events, in one database transaction. The trade's row is locked before.

Whoever touches a dispute locks its trade first, so the two never wait for each other crosswise.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.errors import Broken
from models.ids import new_id
from models.outbox import put
from models.p2p_dispute import messages
from models.p2p_dispute.states import P2PDisputeStatus
from models.p2p_dispute.tables import p2p_dispute_history, p2p_dispute_rulings, p2p_disputes
from models.p2p_dispute.types import FIRST_ROUND, DisputeReason, P2PDispute, RulingFate, Step
from models.p2p_trade.types import P2PTrade

SYSTEM = "system"
S = P2PDisputeStatus


async def begin(
    conn: AsyncConnection, trade: P2PTrade, *, opened_by: str | None, reason: DisputeReason, now: datetime
) -> tuple[P2PDispute, list[int]]:
    """A new dispute over ``trade``, which must be locked; and the outbox rows to deliver after the commit."""
    dispute = P2PDispute(
        id=new_id(),
        trade_id=trade.id,
        opened_by=opened_by,
        reason=reason,
        status=S.OPEN,
        version=1,
        round=FIRST_ROUND,
        ruling_id=None,
        buyer_accepted_at=None,
        seller_accepted_at=None,
        appealed_by=None,
        buyer_bps=None,
        deadline_at=None,
        ended_at=None,
        created_at=now,
        updated_at=now,
    )
    row = {name: getattr(dispute, name) for name in P2PDispute.__dataclass_fields__}
    await conn.execute(insert(p2p_disputes).values(row))
    await _log(conn, dispute, Step.OPENED, None, opened_by or SYSTEM, now, reason)
    await messages.told(conn, trade, dispute, Step.OPENED)
    return dispute, await put(conn, messages.start(dispute, trade))


async def take(
    conn: AsyncConnection,
    trade: P2PTrade,
    dispute: P2PDispute,
    step: Step,
    *,
    actor: str,
    now: datetime,
    status: P2PDisputeStatus | None = None,
    reason: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
    **columns: Any,
) -> P2PDispute:
    """Write one step down. Without ``status`` the state stays. ``columns``: what else of the row changes.

    :raises IllegalTransition: the picture in ``states.py`` has no such arrow.
    """
    after = replace(dispute, status=status or dispute.status, version=dispute.version + 1, updated_at=now, **columns)
    if after.status is not dispute.status:
        transitions.check("p2p_dispute", dispute.status, after.status)
    d = p2p_disputes.c
    statement = (
        update(p2p_disputes)
        .where(d.id == dispute.id, d.status == dispute.status, d.version == dispute.version)
        .values(status=after.status, version=after.version, updated_at=now, **columns)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"dispute {dispute.id} changed while its trade's row was locked")
    await _log(conn, after, step, dispute.status, actor, now, reason, details)
    await messages.told(conn, trade, after, step)
    return after


async def end(
    conn: AsyncConnection,
    trade: P2PTrade,
    dispute: P2PDispute,
    step: Step,
    *,
    status: P2PDisputeStatus,
    buyer_bps: int,
    actor: str,
    now: datetime,
    reason: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> P2PDispute:
    """The last step. A proposal that still waits is overtaken by it."""
    if dispute.status is S.PROPOSED and status is S.SETTLED:
        await decide(conn, dispute.ruling_id, RulingFate.OVERTAKEN, now=now)
    return await take(
        conn,
        trade,
        dispute,
        step,
        actor=actor,
        now=now,
        status=status,
        reason=reason,
        details={"buyer_bps": buyer_bps, **(details or {})},
        buyer_bps=buyer_bps,
        deadline_at=None,
        ended_at=now,
    )


async def decide(
    conn: AsyncConnection, ruling_id: str | None, fate: RulingFate, *, now: datetime, by: str | None = None
) -> None:
    """Say once what became of a proposed ruling."""
    r = p2p_dispute_rulings.c
    statement = (
        update(p2p_dispute_rulings)
        .where(r.id == ruling_id, r.fate.is_(None))
        .values(fate=fate, decided_by=by, decided_at=now)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"ruling {ruling_id} was decided before")


async def _log(
    conn: AsyncConnection,
    dispute: P2PDispute,
    step: Step,
    before: P2PDisputeStatus | None,
    actor: str,
    now: datetime,
    reason: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> None:
    await conn.execute(
        insert(p2p_dispute_history).values(
            dispute_id=dispute.id,
            version=dispute.version,
            step=step,
            old_status=before,
            new_status=dispute.status,
            reason=reason,
            actor=actor,
            details=dict(details or {}),
            at=now,
        )
    )
