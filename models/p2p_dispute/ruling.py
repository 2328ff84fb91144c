"""What arbiters do: rule, approve, reject. Above a limit a ruling needs two of them, and the database says so too."""

from datetime import datetime, timedelta

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.outbox import look, put
from models.p2p_dispute import messages, queries, trade_books
from models.p2p_dispute.ending import close
from models.p2p_dispute.rules import before_proposal, require_decision, require_in_time, require_ruling
from models.p2p_dispute.states import P2PDisputeStatus
from models.p2p_dispute.steps import decide, take
from models.p2p_dispute.tables import p2p_dispute_rulings
from models.p2p_dispute.types import (
    APPEAL_ROUND,
    DisputeRules,
    P2PDispute,
    RulingFate,
    RulingOrder,
    RulingReason,
    Step,
)
from models.p2p_trade.rules import require_divisible
from models.p2p_trade.types import P2PTrade
from models.secret_box import SecretBox

S = P2PDisputeStatus


async def rule(
    conn: AsyncConnection,
    box: SecretBox,
    dispute_id: str,
    order: RulingOrder,
    *,
    arbiter_id: str,
    rules: DisputeRules,
    now: datetime,
) -> list[int]:
    """An arbiter's ruling, or proposal of one where the trade is worth too much for one arbiter; outbox rows.

    A first ruling waits for its window of appeal; one after an appeal is carried out at once.
    :raises NotFound: there is no such dispute.
    :raises Forbidden: a party, or one who had a hand in the ruling that was appealed.
    :raises IllegalTransition: no ruling is asked for, or this trade is not divided by words.
    """
    trade, dispute = await _entered(conn, dispute_id)
    require_ruling(trade, dispute, await queries.rulings(conn, box, dispute_id), arbiter_id)
    require_divisible(trade, order.buyer_bps)
    needs_second = trade.total_centavos > rules.alone_most_centavos
    ruling_id = new_id()
    await conn.execute(
        insert(p2p_dispute_rulings).values(
            id=ruling_id,
            dispute_id=dispute_id,
            version=dispute.version + 1,
            round=dispute.round,
            buyer_bps=order.buyer_bps,
            reason=order.reason,
            text_sealed=box.seal(order.text, place=queries.ruling_place(ruling_id)),
            proposed_by=arbiter_id,
            needs_second=needs_second,
            fate=None if needs_second else RulingFate.ALONE,
            decided_at=None if needs_second else now,
            at=now,
        )
    )
    if not needs_second:
        return await _stand(conn, trade, dispute, ruling_id, order.reason, arbiter_id, rules, now)
    await take(
        conn,
        trade,
        dispute,
        Step.RULING_PROPOSED,
        actor=arbiter_id,
        now=now,
        status=S.PROPOSED,
        details={"ruling_id": ruling_id},
        ruling_id=ruling_id,
        deadline_at=now + timedelta(seconds=rules.proposal_seconds),
    )
    return await put(conn, look(messages.workflow_id(dispute_id)))


async def approve(
    conn: AsyncConnection,
    box: SecretBox,
    dispute_id: str,
    ruling_id: str,
    *,
    arbiter_id: str,
    rules: DisputeRules,
    now: datetime,
) -> list[int]:
    """The second arbiter's yes to exactly this ruling; outbox rows.

    :raises NotFound: there is no such dispute.
    :raises Forbidden: a party, the proposer, or one who had a hand in the ruling that was appealed.
    :raises IllegalTransition: this ruling does not wait, or its time is over.
    """
    trade, dispute = await _entered(conn, dispute_id)
    known = await queries.rulings(conn, box, dispute_id)
    ruling = require_decision(trade, dispute, known, arbiter_id, ruling_id, yes=True)
    require_in_time(dispute, now)
    await decide(conn, ruling_id, RulingFate.APPROVED, now=now, by=arbiter_id)
    return await _stand(conn, trade, dispute, ruling_id, ruling.reason, arbiter_id, rules, now)


async def reject(
    conn: AsyncConnection,
    box: SecretBox,
    dispute_id: str,
    ruling_id: str,
    *,
    arbiter_id: str,
    why: str,
    now: datetime,
) -> list[int]:
    """One no is enough: the dispute waits for a ruling again. The proposer may take a proposal back so; outbox rows.

    :raises NotFound: there is no such dispute.
    :raises Forbidden: a party, or one who had a hand in the ruling that was appealed.
    :raises IllegalTransition: this ruling does not wait, or its time is over.
    """
    trade, dispute = await _entered(conn, dispute_id)
    require_decision(trade, dispute, await queries.rulings(conn, box, dispute_id), arbiter_id, ruling_id, yes=False)
    require_in_time(dispute, now)
    await decide(conn, ruling_id, RulingFate.REJECTED, now=now, by=arbiter_id)
    await take(
        conn,
        trade,
        dispute,
        Step.RULING_REJECTED,
        actor=arbiter_id,
        now=now,
        status=before_proposal(dispute),
        details={"ruling_id": ruling_id, "why": why},
        ruling_id=None,
        deadline_at=None,
    )
    return await put(conn, look(messages.workflow_id(dispute_id)))


async def _stand(
    conn: AsyncConnection,
    trade: P2PTrade,
    dispute: P2PDispute,
    ruling_id: str,
    reason: RulingReason,
    arbiter_id: str,
    rules: DisputeRules,
    now: datetime,
) -> list[int]:
    """The ruling stands: the first one until it is appealed, the second one for good."""
    details = {"ruling_id": ruling_id}
    if dispute.round == APPEAL_ROUND:
        dispute = await take(
            conn,
            trade,
            dispute,
            Step.RULED,
            actor=arbiter_id,
            now=now,
            reason=reason,
            details=details,
            ruling_id=ruling_id,
        )
        return await close(conn, trade, dispute, actor=arbiter_id, now=now)
    await take(
        conn,
        trade,
        dispute,
        Step.RULED,
        actor=arbiter_id,
        now=now,
        status=S.RULED,
        reason=reason,
        details=details,
        ruling_id=ruling_id,
        deadline_at=now + timedelta(seconds=rules.appeal_seconds),
    )
    return await put(conn, look(messages.workflow_id(dispute.id)))


async def _entered(conn: AsyncConnection, dispute_id: str) -> tuple[P2PTrade, P2PDispute]:
    """The trade, locked, and its dispute as it is then.

    :raises NotFound: there is no such dispute.
    """
    trade = await trade_books.locked(conn, (await queries.dispute(conn, dispute_id)).trade_id)
    return trade, await queries.dispute(conn, dispute_id)
