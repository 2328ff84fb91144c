"""One provider's bank day: its lines and our movements, each with all that shares an identity with it on other days.

A day is judged with all of its counterparts in view, however far away they are. So two days never say different
things of the same line, and there is no edge at which a pair is cut in two.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import DateTime, Text, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.reconciliation import breaks
from models.reconciliation.match import match
from models.reconciliation.tables import reconciliations
from models.reconciliation.types import (
    Break,
    Class,
    Comparison,
    Line,
    Movement,
    Question,
    Result,
    Tally,
    Window,
    bank_hours,
)

_R = reconciliations.c
_NAMES = (bindparam("keys", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Text)))
_HOURS = (bindparam("start", type_=DateTime(timezone=True)), bindparam("after", type_=DateTime(timezone=True)))

_NAMED = "(key = ANY (:keys) OR end_to_end_id = ANY (:ids))"
_IN_DAY = "(recorded_at >= :start AND recorded_at < :after)"
_LINES = """
SELECT id, key, end_to_end_id, amount_centavos, time FROM bank_lines WHERE provider = :provider AND gone_at IS NULL"""
_LINES_OF_DAY = text(f"{_LINES} AND day = :day")
_LINES_ELSEWHERE = text(f"{_LINES} AND day <> :day AND {_NAMED}").bindparams(*_NAMES)
_MOVEMENTS = "SELECT ledger_key, provider, key, end_to_end_id, amount_centavos, recorded_at FROM bank_movements"
_MOVEMENTS_OF_DAY = text(f"""
{_MOVEMENTS} WHERE {_IN_DAY} AND (provider = :provider OR provider IS NULL)
""").bindparams(*_HOURS)
_MOVEMENTS_ELSEWHERE = text(f"{_MOVEMENTS} WHERE NOT {_IN_DAY} AND provider = :provider AND {_NAMED}").bindparams(
    *_HOURS, *_NAMES
)

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('reconcile/' || :provider, 0))")


@dataclass
class Rows:
    """What a day is judged by, by id. ``of_day``: the lines and movements that are the day's own."""

    lines: dict[str, Line] = field(default_factory=dict)
    movements: dict[str, Movement] = field(default_factory=dict)
    of_day: frozenset[str] = frozenset()


async def reconcile(conn: AsyncConnection, question: Question, *, tolerance: timedelta) -> Result:
    """Compare a day whose statement is stored, and write what came of it. Harmless to repeat.

    :param tolerance: how much later than one side the other may have it.
    """
    provider, day, reading = question.provider, question.day, question.reading
    if reading.read_at is None:
        await _record(conn, question, {}, None, None)
        return Result(provider, day, bank_answered=False, classes={})
    await conn.execute(_LOCK, {"provider": provider})
    rows = await _load(conn, provider, day)
    window = Window(None, reading.read_at, tolerance)
    found = await asyncio.to_thread(match, rows.lines.values(), rows.movements.values(), window)
    judged = _judged(found, rows.of_day)
    ours = [each for each in found.breaks if rows.of_day & _ids(each)]
    opened, cleared = await breaks.keep(conn, provider, ours, judged)
    classes = _tallies(rows, judged)
    closing = reading.balance_centavos
    if closing is None:
        closing = await _opening(conn, provider, day + timedelta(days=1))
    moved = sum(tally.bank_centavos for tally in classes.values())
    await _record(conn, question, classes, None if closing is None else closing - moved, closing)
    return Result(provider, day, bank_answered=True, classes=classes, opened=opened, cleared=cleared)


async def _load(conn: AsyncConnection, provider: str, day: date) -> Rows:
    start, after = bank_hours(day)
    lines_of_day = {"provider": provider, "day": day}
    movements_of_day = {"provider": provider, "start": start, "after": after}
    rows = Rows()
    new = _add(rows, await conn.execute(_LINES_OF_DAY, lines_of_day), Line)
    new += _add(rows, await conn.execute(_MOVEMENTS_OF_DAY, movements_of_day), Movement)
    rows.of_day = frozenset(rows.lines) | frozenset(rows.movements)
    asked_keys: set[str] = set()
    asked_ids: set[str] = set()
    while True:
        keys = {each.key for each in new if each.key} - asked_keys
        ids = {each.end_to_end_id for each in new if each.end_to_end_id} - asked_ids
        if not keys and not ids:
            return rows
        asked_keys |= keys
        asked_ids |= ids
        names = {"keys": list(keys), "ids": list(ids)}
        new = _add(rows, await conn.execute(_LINES_ELSEWHERE, lines_of_day | names), Line)
        new += _add(rows, await conn.execute(_MOVEMENTS_ELSEWHERE, movements_of_day | names), Movement)


def _add(rows: Rows, found: Iterable[Any], kind: Callable[..., Line | Movement]) -> list[Line | Movement]:
    """What is new among those found."""
    new: list[Line | Movement] = []
    for *names, amount, time in found:
        item = kind(*names, int(amount), time)
        if isinstance(item, Line):
            is_new = rows.lines.setdefault(item.id, item) is item
        else:
            is_new = rows.movements.setdefault(item.id, item) is item
        if is_new:
            new.append(item)
    return new


def _ids(each: Break) -> set[str]:
    return {row.id for row in (each.line, each.movement) if row is not None}


def _judged(found: Comparison, of_day: frozenset[str]) -> dict[str, Class]:
    """The class of each row that the day has a say in: its own, and those they belong to."""
    judged: dict[str, Class] = {}
    for pair in found.pairs:
        if pair.line.id in of_day or pair.movement.id in of_day:
            judged |= {pair.line.id: pair.cls, pair.movement.id: pair.cls}
    for reversal in found.reversals:
        if reversal.out.id in of_day or reversal.back.id in of_day:
            judged |= {reversal.out.id: Class.REVERSED, reversal.back.id: Class.REVERSED}
    for each in found.breaks:
        if ids := _ids(each):
            judged |= dict.fromkeys(ids if ids & of_day else (), each.cls)
    return judged


def _tallies(rows: Rows, judged: dict[str, Class]) -> dict[Class, Tally]:
    """The day's own rows, each counted once."""
    lines = dict.fromkeys(Class, 0)
    movements, bank, ledger = dict(lines), dict(lines), dict(lines)
    for row_id in rows.of_day:
        cls = judged[row_id]
        if row_id in rows.lines:
            lines[cls] += 1
            bank[cls] += rows.lines[row_id].amount_centavos
        else:
            movements[cls] += 1
            ledger[cls] += rows.movements[row_id].amount_centavos
    return {
        cls: Tally(lines[cls], movements[cls], bank[cls], ledger[cls])
        for cls in Class
        if lines[cls] or movements[cls]
    }


async def _opening(conn: AsyncConnection, provider: str, day: date) -> int | None:
    newest = (
        select(_R.opening_centavos)
        .where(_R.provider == provider, _R.day == day, _R.bank_answered)
        .order_by(_R.finished_at.desc())
        .limit(1)
    )
    return (await conn.execute(newest)).scalar_one_or_none()


async def _record(
    conn: AsyncConnection, question: Question, classes: dict[Class, Tally], opening: int | None, closing: int | None
) -> None:
    values = {
        "id": new_id(),
        "provider": question.provider,
        "day": question.day,
        "run": question.run,
        "bank_answered": question.reading.read_at is not None,
        "statement_read_at": question.reading.read_at,
        "lines": sum(tally.lines for tally in classes.values()),
        "lines_centavos": sum(tally.bank_centavos for tally in classes.values()),
        "movements": sum(tally.movements for tally in classes.values()),
        "movements_centavos": sum(tally.ledger_centavos for tally in classes.values()),
        "opening_centavos": opening,
        "closing_centavos": closing,
        "classes": {cls: _texts(tally) for cls, tally in classes.items()},
        "started_at": question.started_at,
        "finished_at": func.clock_timestamp(),
    }
    once = [_R.provider, _R.day, _R.run]
    await conn.execute(upsert(reconciliations).values(values).on_conflict_do_nothing(index_elements=once))


def _texts(tally: Tally) -> dict[str, object]:
    """Money as text: what reads JSON may round numbers."""
    values = asdict(tally)
    return {name: str(value) if name.endswith("centavos") else value for name, value in values.items()}
