"""Breaks as rows: found, found again, cleared by a later run, and worked through by operators.

A break is known by its provider, class, line and movement, so the next run finds the same row. Nothing here touches
the ledger: a break is told, and a person decides.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, any_, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from models import transitions
from models.errors import IllegalTransition, NotFound
from models.ids import new_id
from models.reconciliation.states import LIVE, BreakStatus, Resolution
from models.reconciliation.tables import bank_lines, break_history, breaks
from models.reconciliation.types import Break, Class, bank_day

SYSTEM = "system"
LINE_GONE = "line_gone"
"""Why a break is cleared whose line the statement does not show any more."""

_B = breaks.c
_Identity = tuple[str | None, str, str | None, str | None]


async def keep(
    conn: AsyncConnection, provider: str, found: Sequence[Break], judged: Mapping[str, Class]
) -> tuple[int, int]:
    """Write what a run found of one provider: how many breaks opened, and how many were cleared.

    :param found: every break with a line or movement of the day.
    :param judged: what became of each line and movement that the run could judge, by its id. Their breaks that were
        not found again are cleared; those of others are left alone.
    """
    known = await _about(conn, provider, judged)
    rows = {_identity(provider, each): each for each in found}
    by_identity = {(row.provider, row._mapping["class"], row.line_id, row.ledger_key): row for row in known}
    over = [row for identity, row in by_identity.items() if row.status in LIVE and identity not in rows]
    await _see_again(
        conn, [(by_identity[identity], each) for identity, each in rows.items() if identity in by_identity]
    )
    reopened = [
        row.id for identity, row in by_identity.items() if identity in rows and row.status == BreakStatus.CLEARED
    ]
    await _move(conn, dict.fromkeys(reopened, "found_again"), BreakStatus.OPEN, owner_id=None, told_at=None)
    await _move(conn, {row.id: _fate(row, judged) for row in over}, BreakStatus.CLEARED)
    gone = await _of_gone_lines(conn, provider)
    await _move(conn, dict.fromkeys(gone, LINE_GONE), BreakStatus.CLEARED)
    new = {identity: each for identity, each in rows.items() if identity not in by_identity}
    await _open(conn, new, over)
    return len(new) + len(reopened), len(over) + len(gone)


async def acknowledge(conn: AsyncConnection, break_id: str, *, operator_id: str, take_over: bool = False) -> None:
    """Make the operator its owner. Their own already: nothing changes.

    :raises NotFound: there is no such break.
    :raises IllegalTransition: it has ended, or is somebody else's and ``take_over`` does not say so.
    """
    row = await _locked(conn, break_id)
    before = BreakStatus(row.status)
    if before is BreakStatus.ACKNOWLEDGED:
        if row.owner_id == operator_id:
            return
        if not take_over:
            raise IllegalTransition("another operator works on this break; take_over makes it yours")
    else:
        transitions.check("break", before, BreakStatus.ACKNOWLEDGED)
    await _step(conn, row, BreakStatus.ACKNOWLEDGED, operator_id, owner_id=operator_id)


async def resolve(
    conn: AsyncConnection, break_id: str, *, operator_id: str, resolution: Resolution, evidence: str
) -> None:
    """End it with what its owner found. Said again in the same words: nothing changes.

    :raises NotFound: there is no such break.
    :raises IllegalTransition: it is not acknowledged by this operator, or has ended.
    """
    row = await _locked(conn, break_id)
    if (row.status, row.owner_id, row.resolution, row.evidence) == (
        BreakStatus.RESOLVED,
        operator_id,
        resolution,
        evidence,
    ):
        return
    transitions.check("break", BreakStatus(row.status), BreakStatus.RESOLVED)
    if row.owner_id != operator_id:
        raise IllegalTransition("another operator works on this break; acknowledge it with take_over first")
    await _step(conn, row, BreakStatus.RESOLVED, operator_id, resolution=resolution, evidence=evidence)


async def tell(conn: AsyncConnection, *, older_than: datetime, limit: int) -> list[Row[Any]]:
    """Mark as told, and give, the oldest breaks that are open since before ``older_than`` and were not told yet.

    Those of class ``timing`` are no fault yet. Each is given once, unless the caller's transaction is undone.
    """
    due = (
        select(_B.id)
        .where(_B.status == BreakStatus.OPEN, _B["class"] != Class.TIMING)
        .where(_B.first_seen_at < older_than, _B.told_at.is_(None))
        .order_by(_B.first_seen_at, _B.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    told = update(breaks).where(_B.id.in_(due)).values(told_at=func.clock_timestamp())
    return list(await conn.execute(told.returning(breaks)))


def _identity(provider: str, each: Break) -> _Identity:
    """Who pays for an unexplained posting is not known: it is no provider's."""
    owner = None if each.cls is Class.UNEXPLAINED else provider
    line, movement = each.line, each.movement
    return owner, str(each.cls), None if line is None else line.id, None if movement is None else movement.id


def _one_of(column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
    return column == any_(literal(list(values), ARRAY(Text)))


async def _about(conn: AsyncConnection, provider: str, ids: Collection[str]) -> list[Row[Any]]:
    """All breaks about any of these lines and movements, ours until the transaction ends."""
    statement = (
        select(breaks)
        .where(or_(_B.provider == provider, _B.provider.is_(None)))
        .where(or_(_one_of(_B.line_id, ids), _one_of(_B.ledger_key, ids)))
        .order_by(_B.id)
        .with_for_update()
    )
    return list(await conn.execute(statement))


async def _of_gone_lines(conn: AsyncConnection, provider: str) -> list[str]:
    statement = (
        select(_B.id)
        .join(bank_lines, bank_lines.c.id == _B.line_id)
        .where(_B.provider == provider, _B.status.in_(LIVE), bank_lines.c.gone_at.is_not(None))
        .order_by(_B.id)
        .with_for_update(of=breaks)
    )
    return list((await conn.execute(statement)).scalars())


async def _see_again(conn: AsyncConnection, pairs: Sequence[tuple[Row[Any], Break]]) -> None:
    if not pairs:
        return
    seen = update(breaks).where(_one_of(_B.id, [row.id for row, _ in pairs]))
    await conn.execute(seen.values(last_seen_at=func.clock_timestamp()))
    for row, each in pairs:
        words = {"hint": each.hint, "suggestions": list(each.suggestions)}
        if (row.hint, row.suggestions) != (words["hint"], words["suggestions"]):
            await conn.execute(update(breaks).where(_B.id == row.id).values(words))


async def _open(conn: AsyncConnection, new: Mapping[_Identity, Break], over: Iterable[Row[Any]]) -> None:
    """A break that takes the place of another, such as of ``timing``, is as old as that."""
    ages: dict[str, datetime] = {}
    for row in over:
        for subject in filter(None, (row.line_id, row.ledger_key)):
            ages[subject] = min(ages.get(subject, row.first_seen_at), row.first_seen_at)
    rows: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    now = (await conn.execute(select(func.clock_timestamp()))).scalar_one()
    for (provider, cls, line_id, ledger_key), each in new.items():
        first = each.line or each.movement
        assert first is not None
        since = min([now, *(ages[subject] for subject in (line_id, ledger_key) if subject in ages)])
        row_id = new_id()
        opened = {
            "id": row_id,
            "provider": provider,
            "class": cls,
            "line_id": line_id,
            "ledger_key": ledger_key,
            "day": bank_day(first.time),
            "bank_centavos": each.line and each.line.amount_centavos,
            "ledger_centavos": each.movement and each.movement.amount_centavos,
            "hint": each.hint,
            "suggestions": list(each.suggestions),
            "first_seen_at": since,
            "last_seen_at": now,
        }
        rows.append(opened)
        entries.append({"break_id": row_id, "version": 1, "new_status": BreakStatus.OPEN, "actor": SYSTEM})
    if rows:
        await conn.execute(insert(breaks), rows)
        await conn.execute(insert(break_history), entries)


async def _move(conn: AsyncConnection, reasons: Mapping[str, str], after: BreakStatus, **columns: object) -> None:
    """Many at once, by the system, each for its reason."""
    if not reasons:
        return
    before = select(_B.id, _B.status).where(_one_of(_B.id, reasons)).cte("before")
    moved = (
        update(breaks)
        .where(_B.id == before.c.id)
        .values(status=after, version=_B.version + 1, updated_at=func.clock_timestamp(), **columns)
        .returning(_B.id, _B.version, before.c.status.label("old_status"))
    )
    entries = [
        {
            "break_id": row.id,
            "version": row.version,
            "old_status": row.old_status,
            "new_status": after,
            "actor": SYSTEM,
            "reason": reasons[row.id],
        }
        for row in await conn.execute(moved)
    ]
    await conn.execute(insert(break_history), entries)


async def _locked(conn: AsyncConnection, break_id: str) -> Row[Any]:
    row = (await conn.execute(select(breaks).where(_B.id == break_id).with_for_update())).first()
    if row is None:
        raise NotFound("there is no such break", field="break_id")
    return row


async def _step(conn: AsyncConnection, row: Row[Any], after: BreakStatus, actor: str, **columns: object) -> None:
    """One, by an operator. ``row`` must be locked."""
    values = {"status": after, "version": row.version + 1, "updated_at": func.clock_timestamp(), **columns}
    await conn.execute(update(breaks).where(_B.id == row.id).values(values))
    entry = {
        "break_id": row.id,
        "version": row.version + 1,
        "old_status": row.status,
        "new_status": after,
        "actor": actor,
        "reason": columns.get("resolution"),
        "evidence": columns.get("evidence"),
    }
    await conn.execute(insert(break_history).values(entry))


def _fate(row: Row[Any], judged: Mapping[str, Class]) -> str:
    """What its line, else its movement, is now."""
    return str(judged.get(row.line_id) or judged[row.ledger_key])
