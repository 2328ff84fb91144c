"""What the two parties do with their dispute: open it, state, settle, accept a ruling, appeal.

Each command is one database transaction. The trade's row is locked first; whoever comes second learns why it is late.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import IllegalTransition, LimitExceeded, NotFound
from models.ids import new_id
from models.outbox import look, put
from models.p2p_dispute import messages, queries, trade_books
from models.p2p_dispute.ending import close
from models.p2p_dispute.rules import conceded_bps, has_accepted, require_live, require_open_window
from models.p2p_dispute.states import P2PDisputeStatus
from models.p2p_dispute.steps import begin, end, take
from models.p2p_dispute.tables import p2p_dispute_offers, p2p_dispute_statements
from models.p2p_dispute.types import (
    APPEAL_ROUND,
    OFFERS_MOST,
    STATEMENTS_MOST,
    DisputeReason,
    P2PDispute,
    Step,
)
from models.p2p_file import queries as files
from models.p2p_trade.rules import require_divisible
from models.p2p_trade.types import P2PTrade, Party
from models.secret_box import SecretBox

S = P2PDisputeStatus


async def open_dispute(
    conn: AsyncConnection,
    box: SecretBox,
    trade_id: str,
    *,
    user_id: str,
    reason: DisputeReason,
    statement: str,
    file_ids: Sequence[str],
    now: datetime,
) -> list[int]:
    """A party's. The trade is frozen with it; outbox rows.

    :raises NotFound: there is no such trade of this user, or no such file of the trade.
    :raises IllegalTransition: nobody says yet that anything was paid, or it is over or in dispute.
    """
    trade = await trade_books.locked(conn, trade_id, party=user_id)
    step = trade_books.freezing(trade, user_id)
    dispute, started = await begin(conn, trade, opened_by=user_id, reason=reason, now=now)
    await _keep_statement(conn, box, dispute, user_id, statement, file_ids, now, version=dispute.version)
    await trade_books.freeze(conn, trade, step, actor=user_id, now=now)
    return started


async def state(
    conn: AsyncConnection,
    box: SecretBox,
    trade_id: str,
    *,
    user_id: str,
    statement: str,
    file_ids: Sequence[str],
    now: datetime,
) -> None:
    """A party's further statement.

    :raises NotFound: there is no such trade of this user, or it has no dispute, or no such file.
    :raises IllegalTransition: the dispute is over.
    :raises LimitExceeded: the party said as much as it may.
    """
    trade, dispute, _ = await _entered(conn, trade_id, user_id)
    after = dispute.version + 1
    statement_id = await _keep_statement(conn, box, dispute, user_id, statement, file_ids, now, version=after)
    await take(conn, trade, dispute, Step.STATED, actor=user_id, now=now, details={"statement_id": statement_id})


async def offer(conn: AsyncConnection, trade_id: str, *, user_id: str, buyer_bps: int, now: datetime) -> str:
    """A party's proposal to settle, in the place of its earlier ones; its id.

    :param buyer_bps: 1 to 9999; giving in altogether is :func:`concede`.
    :raises NotFound: there is no such trade of this user, or it has no dispute.
    :raises IllegalTransition: the dispute is over, or this trade is not divided by words.
    :raises LimitExceeded: the party made as many as it may.
    """
    trade, dispute, _ = await _entered(conn, trade_id, user_id)
    require_divisible(trade, buyer_bps)
    made = [each for each in await queries.offers(conn, dispute.id) if each.user_id == user_id]
    if len(made) >= OFFERS_MOST:
        raise LimitExceeded(f"a party makes at most {OFFERS_MOST} proposals")
    offer_id = new_id()
    await conn.execute(
        insert(p2p_dispute_offers).values(
            id=offer_id,
            dispute_id=dispute.id,
            version=dispute.version + 1,
            user_id=user_id,
            buyer_bps=buyer_bps,
            at=now,
        )
    )
    details: dict[str, JsonValue] = {"offer_id": offer_id, "buyer_bps": buyer_bps}
    await take(conn, trade, dispute, Step.SETTLEMENT_OFFERED, actor=user_id, now=now, details=details)
    return offer_id


async def accept_offer(
    conn: AsyncConnection, trade_id: str, offer_id: str, *, user_id: str, now: datetime
) -> list[int]:
    """Take the other party's proposal, exactly as it stands: it is carried out at once; outbox rows.

    :raises NotFound: there is no such trade of this user, it has no dispute, or the other made no such proposal.
    :raises IllegalTransition: the dispute is over, or the other party has proposed something else since.
    """
    trade, dispute, _ = await _entered(conn, trade_id, user_id)
    theirs = [each for each in await queries.offers(conn, dispute.id) if each.user_id != user_id]
    chosen = next((each for each in theirs if each.id == offer_id), None)
    if chosen is None:
        raise NotFound("the other party made no such proposal", field="proposal_id")
    if chosen.is_overtaken:
        raise IllegalTransition("this was proposed before the last ruling or appeal; it may be proposed anew")
    if chosen != theirs[-1]:
        raise IllegalTransition("the other party has proposed something else since")
    return await _settle(conn, trade, dispute, Step.SETTLED, chosen.buyer_bps, user_id, now, offer_id)


async def concede(conn: AsyncConnection, trade_id: str, *, user_id: str, now: datetime) -> list[int]:
    """Give in: all goes to the other party, at once; outbox rows.

    :raises NotFound: there is no such trade of this user, or it has no dispute.
    :raises IllegalTransition: the dispute is over.
    """
    trade, dispute, party = await _entered(conn, trade_id, user_id)
    return await _settle(conn, trade, dispute, Step.CONCEDED, conceded_bps(party), user_id, now)


async def accept_ruling(conn: AsyncConnection, trade_id: str, *, user_id: str, now: datetime) -> list[int]:
    """Say that one will not appeal. Once both do, the ruling is carried out at once; outbox rows.

    :raises NotFound: there is no such trade of this user, or it has no dispute.
    :raises IllegalTransition: there is no ruling to accept, its window is over, or this party has accepted it.
    """
    trade, dispute, party = await _entered(conn, trade_id, user_id)
    require_open_window(dispute, now)
    if has_accepted(dispute, party):
        raise IllegalTransition("you have accepted the ruling")
    at: dict[str, Any] = {f"{party}_accepted_at": now}
    dispute = await take(conn, trade, dispute, Step.RULING_ACCEPTED, actor=user_id, now=now, **at)
    if not all(has_accepted(dispute, each) for each in Party):
        return []
    return await close(conn, trade, dispute, actor=user_id, now=now)


async def appeal(
    conn: AsyncConnection,
    box: SecretBox,
    trade_id: str,
    *,
    user_id: str,
    statement: str,
    file_ids: Sequence[str],
    now: datetime,
) -> list[int]:
    """Have another arbiter decide anew, once in a dispute; outbox rows.

    :param now: when the appeal arrived, so that waiting for the row makes nobody late.
    :raises NotFound: there is no such trade of this user, it has no dispute, or no such file.
    :raises IllegalTransition: there is no ruling to appeal, its window is over, or this party has accepted it.
    :raises LimitExceeded: the party said as much as it may.
    """
    trade, dispute, party = await _entered(conn, trade_id, user_id)
    require_open_window(dispute, now)
    if has_accepted(dispute, party):
        raise IllegalTransition("you have accepted the ruling")
    after = dispute.version + 1
    statement_id = await _keep_statement(conn, box, dispute, user_id, statement, file_ids, now, version=after)
    await take(
        conn,
        trade,
        dispute,
        Step.APPEALED,
        actor=user_id,
        now=now,
        status=S.APPEALED,
        details={"statement_id": statement_id},
        round=APPEAL_ROUND,
        appealed_by=user_id,
        deadline_at=None,
    )
    return await put(conn, look(messages.workflow_id(dispute.id)))


async def _entered(conn: AsyncConnection, trade_id: str, user_id: str) -> tuple[P2PTrade, P2PDispute, Party]:
    """The trade, locked, its dispute, and which of the two the user is.

    :raises NotFound: there is no such trade of this user, or it has no dispute.
    :raises IllegalTransition: the dispute is over.
    """
    trade = await trade_books.locked(conn, trade_id, party=user_id)
    dispute = await queries.require_of_trade(conn, trade_id)
    require_live(dispute)
    party = trade.party(user_id)
    assert party is not None
    return trade, dispute, party


async def _settle(
    conn: AsyncConnection,
    trade: P2PTrade,
    dispute: P2PDispute,
    step: Step,
    buyer_bps: int,
    user_id: str,
    now: datetime,
    offer_id: str | None = None,
) -> list[int]:
    details: dict[str, JsonValue] = {"dispute_id": dispute.id}
    if offer_id is not None:
        details["offer_id"] = offer_id
    status = S.SETTLED
    await end(conn, trade, dispute, step, status=status, buyer_bps=buyer_bps, actor=user_id, now=now, details=details)
    reason = "conceded" if step is Step.CONCEDED else "settled"
    await trade_books.divide(conn, trade, buyer_bps, reason=reason, actor=user_id, now=now, details=details)
    return await put(conn, look(messages.workflow_id(dispute.id)))


async def _keep_statement(
    conn: AsyncConnection,
    box: SecretBox,
    dispute: P2PDispute,
    user_id: str,
    text: str,
    file_ids: Sequence[str],
    now: datetime,
    *,
    version: int,
) -> str:
    """:param version: of the dispute, once it has this statement."""
    if await queries.statements_by(conn, dispute.id, user_id) >= STATEMENTS_MOST:
        raise LimitExceeded(f"a party makes at most {STATEMENTS_MOST} statements")
    await files.require_all(conn, dispute.trade_id, file_ids)
    row_id = new_id()
    await conn.execute(
        insert(p2p_dispute_statements).values(
            id=row_id,
            dispute_id=dispute.id,
            version=version,
            user_id=user_id,
            text_sealed=box.seal(text, place=queries.statement_place(row_id)),
            file_ids=list(dict.fromkeys(file_ids)),
            at=now,
        )
    )
    return row_id
