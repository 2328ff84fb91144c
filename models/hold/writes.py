"""Holds are placed, released, captured, and expire. Each moves money by the ledger and its row in one transaction.

The row is locked before the ledger, everywhere. A database transaction that also posts other things touches its
holds first, or two of them may wait crosswise, and PostgreSQL ends one.

An operation is known by its ledger key: ``hold/<id>`` places, ``hold/<id>/<operation>`` releases or captures,
``hold/<id>/expiry`` ends. The same operation with the same content happens once.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import HoldExceeded, OperationKeyReused
from models.hold import queries
from models.hold.tables import holds
from models.hold.types import Hold
from models.ledger.chart import Account, Purpose, available, held
from models.ledger.post import post
from models.ledger.tables import ledger_accounts, ledger_postings, ledger_transactions
from models.ledger.types import Kind, Transaction, move

EXPIRY = "expiry"
EXPIRED = "the hold's time was over"

_H = holds.c


async def place(
    conn: AsyncConnection,
    *,
    hold_id: str,
    user_id: str,
    asset_id: str,
    units: int,
    reference: str,
    reason: str | None,
    expires_at: datetime | None = None,
) -> Hold:
    """Set ``units`` of the user's available balance aside.

    Placed before with the same content: the hold as it is now.
    :raises InsufficientFunds: the available balance is smaller.
    :raises OperationKeyReused: ``hold_id`` was placed before with other content.
    """
    row = {
        "id": hold_id,
        "user_id": user_id,
        "asset_id": asset_id,
        "amount_units": units,
        "reference": reference,
        "reason": reason,
        "expires_at": expires_at,
    }
    added = insert(holds).values(**row).on_conflict_do_nothing(index_elements=[_H.id]).returning(_H.id)
    is_new = (await conn.execute(added)).first() is not None
    placed = await queries.hold(conn, hold_id, lock=True)
    free, kept = available(user_id, asset_id), held(user_id, asset_id)
    moved = move(f"hold/{hold_id}", Kind.HOLD, reference, free, kept, units, reason=reason)
    if await post(conn, moved) != [is_new] or placed.expires_at != expires_at:
        raise OperationKeyReused(f"{moved.key} was placed before with other content")
    return placed


async def release(
    conn: AsyncConnection, hold_id: str, *, operation: str, units: int | None = None, reason: str | None = None
) -> Hold:
    """Give ``units`` (None: all that is left) back to the user's available balance.

    :raises NotFound: there is no such hold.
    :raises HoldExceeded: less is left.
    :raises OperationKeyReused: ``operation`` was another one before.
    """
    hold = await queries.hold(conn, hold_id, lock=True)
    to = available(hold.user_id, hold.asset_id)
    return await _spend(conn, hold, _named(operation), units, to, Kind.RELEASE, reason, _H.released_units)


async def capture(
    conn: AsyncConnection,
    hold_id: str,
    *,
    operation: str,
    units: int | None = None,
    to: Account,
    kind: Kind,
    reason: str | None = None,
) -> Hold:
    """Spend ``units`` (None: all that is left) to another account of the same asset.

    :raises NotFound: there is no such hold.
    :raises HoldExceeded: less is left.
    :raises OperationKeyReused: ``operation`` was another one before.
    """
    hold = await queries.hold(conn, hold_id, lock=True)
    if to == available(hold.user_id, hold.asset_id):
        raise ValueError("what goes back to its user is released, not captured")
    if to.owner is not None and to.purpose == Purpose.HELD:
        raise ValueError("captured money is free: hold it anew, so that it has a row that owns it")
    return await _spend(conn, hold, _named(operation), units, to, kind, reason, _H.captured_units)


async def expire(
    conn: AsyncConnection, now: datetime, limit: int, *, among: Collection[str] | None = None
) -> list[str]:
    """Release what is left of holds past their time, the longest overdue first; the ids of those that ended.

    Many may do so at once: what another has in hand is passed over.
    :param among: only of these.
    :raises LiquidaError: the ledger refuses one of them, so none has expired; the database transaction is void.
    """
    due = select(holds).where(_H.ended_at.is_(None), _H.expires_at <= now).order_by(_H.expires_at).limit(limit)
    if among is not None:
        due = due.where(_H.id.in_(among))
    found = [Hold(**row._mapping) for row in await conn.execute(due.with_for_update(skip_locked=True))]
    if not found:
        return []
    moves = [_back(hold) for hold in found]
    if not all(await post(conn, *moves)):
        raise OperationKeyReused("a hold that has not ended has an expiry in the ledger")
    ids = [hold.id for hold in found]
    ended = update(holds).where(_H.id.in_(ids))
    released = _H.amount_units - _H.captured_units
    await conn.execute(ended.values(released_units=released, ended_at=func.now()))
    return ids


def _back(hold: Hold) -> Transaction:
    kept, free = held(hold.user_id, hold.asset_id), available(hold.user_id, hold.asset_id)
    key = f"hold/{hold.id}/{EXPIRY}"
    return move(key, Kind.RELEASE, hold.reference, kept, free, hold.remaining_units, reason=EXPIRED)


def _named(operation: str) -> str:
    if operation == EXPIRY:
        raise ValueError(f"{EXPIRY} is the name of another operation")
    return operation


async def _spend(
    conn: AsyncConnection,
    hold: Hold,
    operation: str,
    units: int | None,
    to: Account,
    kind: Kind,
    reason: str | None,
    counter: ColumnElement[int],
) -> Hold:
    """Post, and let the row follow. A repetition is posted too, so that the ledger compares its content."""
    key = f"hold/{hold.id}/{operation}"
    earlier = await _posted(conn, key, hold)
    moving = units if units is not None else earlier or hold.remaining_units
    if earlier is None and not 0 < moving <= hold.remaining_units:
        left = hold.remaining_units
        raise HoldExceeded(f"{moving} base units asked of hold {hold.id}, {left} are left", field="amount")
    moved = move(key, kind, hold.reference, held(hold.user_id, hold.asset_id), to, moving, reason=reason)
    if await post(conn, moved) != [earlier is None]:
        raise OperationKeyReused(f"{key} was posted before with other content")
    if earlier is not None:
        return hold
    followed = (
        update(holds)
        .where(_H.id == hold.id)
        .values({counter: counter + moving})
        .values(ended_at=func.now() if moving == hold.remaining_units else None)
        .returning(holds)
    )
    return Hold(**(await conn.execute(followed)).one()._mapping)


async def _posted(conn: AsyncConnection, key: str, hold: Hold) -> int | None:
    """How much this operation took from the hold before; None: it did not happen yet."""
    statement = (
        select(ledger_postings.c.amount)
        .join(ledger_transactions, ledger_transactions.c.id == ledger_postings.c.transaction_id)
        .join(ledger_accounts, ledger_accounts.c.id == ledger_postings.c.account_id)
        .where(
            ledger_transactions.c.key == key,
            ledger_accounts.c.owner == hold.user_id,
            ledger_accounts.c.purpose == Purpose.HELD,
        )
    )
    units = (await conn.execute(statement)).scalar_one_or_none()
    return None if units is None else -units
