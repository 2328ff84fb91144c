"""Move a withdrawal as far as the payout's fate allows: row, history and postings in one database transaction."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.assets import BRL
from models.errors import Broken
from models.event.types import Event, EventKind
from models.event.writes import tell
from models.ledger.chart import Purpose, available, held, house
from models.ledger.post import post
from models.ledger.types import Kind, Transaction, move
from models.money import units_text
from models.payout import queries as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Payout
from models.pix_withdrawal import queries
from models.pix_withdrawal.rules import decide
from models.pix_withdrawal.states import ENDED, PixWithdrawalStatus
from models.pix_withdrawal.tables import pix_withdrawal_history, pix_withdrawals
from models.pix_withdrawal.types import PixWithdrawal, PixWithdrawalProgress, Step

S = PixWithdrawalStatus


async def advance(conn: AsyncConnection, withdrawal_id: str, *, now: datetime) -> PixWithdrawalProgress:
    """Take every step that the facts demand. Harmless to repeat.

    :raises NotFound: there is no such withdrawal.
    """
    found = await queries.withdrawal(conn, withdrawal_id, lock=True)
    payout = await payout_of(conn, withdrawal_id)
    while (step := decide(found.status, payout.status, is_late=now >= found.deadline_at)) is not None:
        found = await take(conn, found, step)
    return _progress(found, payout, now)


async def payout_of(conn: AsyncConnection, withdrawal_id: str) -> Payout:
    """:raises Broken: it has none; the two are written together."""
    payout = await payouts.payout(conn, withdrawal_id, lock=True)
    if payout is None:
        raise Broken(f"withdrawal {withdrawal_id} has no payout")
    return payout


async def take(conn: AsyncConnection, withdrawal: PixWithdrawal, step: Step) -> PixWithdrawal:
    """Change the state, with its line in the history and what it moves. ``withdrawal`` must be locked.

    :raises IllegalTransition: the picture in ``states.py`` has no such arrow.
    """
    transitions.check("pix_withdrawal", withdrawal.status, step.status)
    after = await write(conn, withdrawal, step)
    # After the row: the database lets a hold go only where the row says that nothing was paid.
    if (moved := _postings(withdrawal, step)) is not None:
        await post(conn, moved)
    return after


async def write(
    conn: AsyncConnection,
    withdrawal: PixWithdrawal,
    step: Step,
    *,
    actor: str = "system",
    details: Mapping[str, JsonValue] | None = None,
) -> PixWithdrawal:
    """Compare-and-set on (status, version), and the line that says so. The same state again is a note."""
    w = pix_withdrawals.c
    version = withdrawal.version + 1
    statement = (
        update(pix_withdrawals)
        .where(w.id == withdrawal.id, w.status == withdrawal.status, w.version == withdrawal.version)
        .values(status=step.status, reason=step.reason, version=version, updated_at=func.now())
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"withdrawal {withdrawal.id} changed while its row was locked")
    await log(conn, withdrawal.id, version, withdrawal.status, step, actor=actor, details=details)
    if step.status is not withdrawal.status:
        await tell(conn, changed(withdrawal.user_id, withdrawal.id, withdrawal.amount_centavos, step, version))
    return replace(withdrawal, status=step.status, reason=step.reason, version=version)


def changed(user_id: str, withdrawal_id: str, amount_centavos: int, step: Step, version: int) -> Event:
    """What the user is told of a step."""
    payload: dict[str, JsonValue] = {
        "withdrawal_id": withdrawal_id,
        "status": step.status,
        "reason": step.reason,
        "amount": units_text(amount_centavos, BRL.decimals),
        "version": version,
    }
    return Event(EventKind.WITHDRAWAL_STATUS_CHANGE, user_id, payload)


async def log(
    conn: AsyncConnection,
    withdrawal_id: str,
    version: int,
    before: PixWithdrawalStatus | None,
    step: Step,
    *,
    actor: str,
    details: Mapping[str, JsonValue] | None = None,
) -> None:
    await conn.execute(
        insert(pix_withdrawal_history).values(
            withdrawal_id=withdrawal_id,
            version=version,
            old_status=before,
            new_status=step.status,
            reason=step.reason,
            actor=actor,
            details=dict(details or {}),
        )
    )


def hold(withdrawal_id: str, user_id: str, amount_centavos: int) -> Transaction:
    """The reais are set aside before anybody is asked to pay them."""
    free, kept = available(user_id, BRL.id), held(user_id, BRL.id)
    return move(f"{withdrawal_id}/hold", Kind.HOLD, withdrawal_id, free, kept, amount_centavos)


def _postings(before: PixWithdrawal, step: Step) -> Transaction | None:
    free, kept = available(before.user_id, BRL.id), held(before.user_id, BRL.id)
    bank = house(Purpose.PIX_CLEARING, BRL.id)
    if step.status is S.COMPLETED:
        name, kind, source, target = "payout", Kind.PAYOUT, kept, bank
    elif step.status is S.REFUNDED and before.status is S.COMPLETED:
        name, kind, source, target = "payout-return", Kind.PAYOUT_RETURN, bank, free
    elif step.status is S.REFUNDED:
        name, kind, source, target = "release", Kind.RELEASE, kept, free
    else:
        return None
    return move(f"{before.id}/{name}", kind, before.id, source, target, before.amount_centavos)


def _progress(withdrawal: PixWithdrawal, payout: Payout, now: datetime) -> PixWithdrawalProgress:
    if withdrawal.status in ENDED:
        return PixWithdrawalProgress(withdrawal.status, is_over=True)
    if withdrawal.status is S.NEEDS_REVIEW:
        words = f"an operator, or {withdrawal.provider}: the payout is {payout.status}"
        return PixWithdrawalProgress(withdrawal.status, is_over=False, waits_for=words)
    said = "" if payout.status is not PayoutStatus.UNKNOWN or payout.reason is None else f" ({payout.reason})"
    words = f"{withdrawal.provider}: the payout is {payout.status}{said}"
    left = (withdrawal.deadline_at - now).total_seconds()
    return PixWithdrawalProgress(withdrawal.status, is_over=False, waits_for=words, seconds_to_deadline=left)
