"""Disputes as rows: kept once, moved on step by step, each step with its line of history; and who is told of them."""

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.dispute import queries
from models.dispute.states import DisputeStatus
from models.dispute.tables import pix_dispute_history, pix_disputes
from models.dispute.types import Claim, Dispute
from models.errors import Broken, IllegalTransition
from models.ids import new_id
from models.outbox import Message, MessageKind, look, put
from models.secret_box import SecretBox

WORKFLOW = "dispute"
SYSTEM = "system"
REASON_MOST = 64
REFUSAL_MOST = 100


def workflow_id(provider: str, dispute_id: str) -> str:
    """Providers choose their names freely, so the name's hash."""
    return f"{WORKFLOW}/{provider}/{hashlib.sha256(dispute_id.encode()).hexdigest()[:32]}"


def bells(provider: str, dispute_id: str, *, again: str = "") -> list[Message]:
    """Have a dispute looked at now, and looked after from now on.

    :param again: the occasion of another look at one that is decided, whose own workflow has ended.
    """
    own = workflow_id(provider, dispute_id)
    start = Message(
        MessageKind.START,
        f"{own}/{again}" if again else own,
        workflow=WORKFLOW,
        input={"provider": provider, "dispute_id": dispute_id},
        summary="a payer's bank claims a PIX back",
        attributes={"Kind": WORKFLOW},
    )
    return [start] if again else [start, look(own)]


async def keep(conn: AsyncConnection, claim: Claim) -> Dispute:
    """The dispute's row, new or known, locked. Its subject stays what it was when first kept."""
    row = {
        "id": new_id(),
        "provider": claim.provider,
        "dispute_id": claim.dispute_id,
        "receipt_id": claim.receipt_id,
        "amount_centavos": claim.amount_centavos,
        "answer_until": claim.answer_until,
        "reason": claim.reason and claim.reason[:REASON_MOST],
    }
    added = insert(pix_disputes).values(row).on_conflict_do_nothing(index_elements=["provider", "dispute_id"])
    is_new = (await conn.execute(added.returning(pix_disputes.c.id))).first() is not None
    found = await queries.by_name(conn, claim.provider, claim.dispute_id, lock=True)
    if found is None:
        raise Broken(f"a dispute at {claim.provider} was kept and is not there")
    if is_new:
        await _log(conn, found, "opened", None, SYSTEM, found.reason)
    elif claim.answer_until not in {None, found.answer_until}:
        return await step(conn, found, "window_moved", answer_until=claim.answer_until)
    return found


async def step(
    conn: AsyncConnection,
    dispute: Dispute,
    name: str,
    *,
    status: DisputeStatus | None = None,
    actor: str = SYSTEM,
    why: str | None = None,
    **columns: Any,
) -> Dispute:
    """Write one step of it. ``dispute`` must be locked.

    :raises IllegalTransition: the table does not allow the status.
    """
    after = status or dispute.status
    if after is not dispute.status:
        transitions.check("dispute", dispute.status, after)
    d = pix_disputes.c
    statement = (
        update(pix_disputes)
        .where(d.id == dispute.id, d.status == dispute.status, d.version == dispute.version)
        .values(status=after, version=dispute.version + 1, updated_at=func.clock_timestamp(), **columns)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"dispute {dispute.id} changed while its row was locked")
    known = {name: value for name, value in columns.items() if name in Dispute.__dataclass_fields__}
    moved = replace(dispute, status=after, version=dispute.version + 1, **known)
    await _log(conn, moved, name, dispute.status, actor, why)
    return moved


async def give_defence(
    conn: AsyncConnection,
    box: SecretBox,
    row_id: str,
    *,
    operator_id: str,
    statement: str,
    evidence: str,
    now: datetime,
) -> list[int]:
    """Store our side, and have it handed in; outbox rows. The same statement again changes nothing.

    :raises NotFound: there is no such dispute.
    :raises IllegalTransition: it is decided, its window is over, or another statement was given.
    """
    dispute = await queries.dispute(conn, row_id, lock=True)
    if dispute.defence_at is not None and dispute.defence_refusal is None:
        if await queries.defence(conn, box, row_id) == statement:
            return []
        raise IllegalTransition("another statement was given for this dispute")
    if dispute.status is not DisputeStatus.OPEN:
        raise IllegalTransition(f"the dispute is {dispute.status}")
    if dispute.answer_until is not None and now >= dispute.answer_until:
        raise IllegalTransition(f"the defence had to be given until {dispute.answer_until.isoformat()}")
    await step(
        conn,
        dispute,
        "defence_given",
        actor=operator_id,
        why=evidence,
        defence_sealed=box.seal(statement, place=queries.place(row_id)),
        defence_at=now,
        defence_by=operator_id,
        defence_evidence=evidence,
        defence_refusal=None,
    )
    return await put(conn, *bells(dispute.provider, dispute.dispute_id))


async def end_defence(conn: AsyncConnection, row_id: str, *, refusal: str | None) -> Dispute:
    """What the provider said to our side: it took it, or why not. Said before: nothing changes."""
    dispute = await queries.dispute(conn, row_id, lock=True)
    if not dispute.is_to_be_handed_in:
        return dispute
    if refusal is not None:
        return await step(conn, dispute, "defence_refused", why=refusal, defence_refusal=refusal[:REFUSAL_MOST])
    now = (await conn.execute(select(func.clock_timestamp()))).scalar_one()
    return await step(conn, dispute, "defended", defended_at=now)


async def _log(
    conn: AsyncConnection, dispute: Dispute, name: str, before: DisputeStatus | None, actor: str, why: str | None
) -> None:
    line = {
        "dispute": dispute.id,
        "version": dispute.version,
        "step": name,
        "old_status": before,
        "new_status": dispute.status,
        "actor": actor,
        "reason": why,
    }
    await conn.execute(plain_insert(pix_dispute_history).values(line))
