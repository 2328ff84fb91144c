"""The lines of banks' statements as rows: each kept as the bank first showed it, and known when it shows no more."""

import hashlib
from collections.abc import Iterable
from datetime import date
from typing import Any

from pydantic.dataclasses import dataclass
from sqlalchemy import BigInteger, BindParameter, DateTime, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from models.reconciliation.types import Line

_ARRAYS: list[BindParameter[Any]] = [
    *(bindparam(name, type_=ARRAY(Text)) for name in ("ids", "line_ids", "keys", "end_to_end_ids")),
    bindparam("amounts", type_=ARRAY(BigInteger)),
    bindparam("times", type_=ARRAY(DateTime(timezone=True))),
]

_GONE = text("""
UPDATE bank_lines AS b SET gone_at = clock_timestamp()
    WHERE b.provider = :provider AND b.gone_at IS NULL
      AND (b.day = :day OR b.line_id IN (SELECT unnest(:line_ids)))
      AND b.id NOT IN (SELECT unnest(:ids))
    RETURNING b.line_id
""").bindparams(*_ARRAYS[:2])

_KEEP = text("""
INSERT INTO bank_lines AS b (id, provider, line_id, day, key, end_to_end_id, amount_centavos, time)
    SELECT l.id, :provider, l.line_id, :day, l.key, l.end_to_end_id, l.amount, l.time
        FROM unnest(:ids, :line_ids, :keys, :end_to_end_ids, :amounts, :times)
            AS l(id, line_id, key, end_to_end_id, amount, time)
    ON CONFLICT (id) DO UPDATE SET gone_at = NULL, day = excluded.day
        WHERE b.gone_at IS NOT NULL OR b.day <> excluded.day
""").bindparams(*_ARRAYS)


@dataclass(frozen=True, slots=True)
class Stored:
    """``changed``: lines, by the bank's ids, that it now shows with another content. ``vanished``: that it hides."""

    lines: int
    changed: list[str]
    vanished: list[str]


async def store(conn: AsyncConnection, *, provider: str, day: date, lines: Iterable[Line]) -> Stored:
    """Write down a day's statement, whole. Harmless to repeat.

    :param lines: ``id`` is the provider's own. The same line twice is one; two lines of one id are two.
    """
    shown = _numbered(lines)
    rows = [(_row_id(provider, name, line), name, line) for name, line in shown.items()]
    columns: dict[str, Any] = {
        "provider": provider,
        "day": day,
        "ids": [row_id for row_id, _, _ in rows],
        "line_ids": [name for _, name, _ in rows],
        "keys": [line.key or None for _, _, line in rows],
        "end_to_end_ids": [line.end_to_end_id or None for _, _, line in rows],
        "amounts": [line.amount_centavos for _, _, line in rows],
        "times": [line.time for _, _, line in rows],
    }
    names = {name: columns[name] for name in ("provider", "day", "ids", "line_ids")}
    gone = sorted((await conn.execute(_GONE, names)).scalars())
    await conn.execute(_KEEP, columns)
    return Stored(len(rows), [name for name in gone if name in shown], [name for name in gone if name not in shown])


def _numbered(lines: Iterable[Line]) -> dict[str, Line]:
    """By the provider's id; a second content under the same id gets a number behind it."""
    found: dict[str, Line] = {}
    for line in sorted(set(lines), key=lambda each: (each.time, each.id, repr(_content(each)))):
        number, name = 1, line.id
        while name in found:
            number += 1
            name = f"{line.id}#{number}"
        found[name] = line
    return found


def _content(line: Line) -> tuple[object, ...]:
    return line.key or None, line.end_to_end_id or None, line.amount_centavos, line.time.timestamp()


def _row_id(provider: str, name: str, line: Line) -> str:
    return hashlib.sha256(repr((provider, name, *_content(line))).encode()).hexdigest()[:32]
