"""Reads of breaks and reconciliations, for operators and for gauges."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Literal

from pydantic import JsonValue
from pydantic.dataclasses import dataclass
from sqlalchemy import Date, DateTime, Integer, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.money import Units
from models.reconciliation.states import BreakStatus, Resolution
from models.reconciliation.types import BREAKS, Class, Hint, Tally

AGES = ("hour", "day", "week", "older")
"""By which gauges tell breaks apart: younger than an hour, a day, a week, or not."""


@dataclass(frozen=True, slots=True)
class BankSide:
    """The line of a break. ``id`` is the provider's own."""

    id: str
    key: str | None
    end_to_end_id: str | None
    amount_centavos: Units
    time: datetime


@dataclass(frozen=True, slots=True)
class LedgerSide:
    """The movement of a break, its amount from the bank's side. ``reference``: what it belongs to: a trade's id."""

    ledger_key: str
    reference: str
    key: str | None
    end_to_end_id: str | None
    amount_centavos: Units
    time: datetime


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A lone one of the other side with the same amount and day; ``id`` as in its side's own."""

    side: Literal["bank", "ledger"]
    id: str


@dataclass(frozen=True, slots=True)
class BreakView:
    """One break as operators read it."""

    id: str
    provider: str | None
    cls: Class
    day: date
    bank: BankSide | None
    ledger: LedgerSide | None
    hint: Hint | None
    suggestions: list[Suggestion]
    status: BreakStatus
    owner_id: str | None
    resolution: Resolution | None
    evidence: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    age_hours: float

    @property
    def amount_centavos(self) -> int:
        """How much more the bank's account has than our books say."""
        bank = 0 if self.bank is None else self.bank.amount_centavos
        return bank - (0 if self.ledger is None else self.ledger.amount_centavos)


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the breaks that follow; None at the end."""

    breaks: list[BreakView]
    next_cursor: tuple[datetime, str] | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a break. ``actor``: ``system``, or an operator's id."""

    version: int
    old_status: BreakStatus | None
    new_status: BreakStatus
    actor: str
    reason: str | None
    evidence: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class DayView:
    """What the newest run that the bank answered said of a provider's day, and when the last run of all ended.

    ``bank_answered``: whether it did in that last run. Figures are None where it never did.
    """

    provider: str
    day: date
    last_run_at: datetime
    bank_answered: bool
    compared_at: datetime | None
    lines: int | None
    lines_centavos: Units | None
    movements: int | None
    movements_centavos: Units | None
    opening_centavos: Units | None
    closing_centavos: Units | None
    classes: dict[Class, Tally]
    live_breaks: int


_BREAKS = """
SELECT b.id, b.provider, b.class AS cls, b.day, b.hint, b.suggestions, b.status, b.owner_id, b.resolution, b.evidence,
       b.first_seen_at, b.last_seen_at, b.ledger_key, b.bank_centavos, b.ledger_centavos,
       extract(epoch FROM coalesce(e.ended_at, clock_timestamp()) - b.first_seen_at)::float8 / 3600 AS age_hours,
       l.line_id, l.key AS line_key, l.end_to_end_id AS line_end_to_end_id, l.time AS line_time,
       m.reference, m.key AS movement_key, m.end_to_end_id AS movement_end_to_end_id, m.recorded_at
    FROM breaks AS b
    LEFT JOIN bank_lines AS l ON l.id = b.line_id
    LEFT JOIN LATERAL (SELECT * FROM bank_movements AS m WHERE m.ledger_key = b.ledger_key LIMIT 1) AS m ON true
    LEFT JOIN LATERAL (SELECT b.updated_at AS ended_at WHERE b.status IN ('resolved', 'cleared')) AS e ON true"""

_PAGE = text(f"""
{_BREAKS}
    WHERE (:provider IS NULL OR b.provider = :provider) AND (:class IS NULL OR b.class = :class)
      AND b.status = ANY (:states) AND (:day IS NULL OR b.day = :day)
      AND (:until IS NULL OR b.first_seen_at < :until)
      AND (:at IS NULL OR (b.first_seen_at, b.id) > (:at, :id))
    ORDER BY b.first_seen_at, b.id LIMIT :most
""").bindparams(
    *(bindparam(name, type_=Text) for name in ("provider", "class", "id")),
    bindparam("states", type_=ARRAY(Text)),
    *(bindparam(name, type_=DateTime(timezone=True)) for name in ("until", "at")),
    bindparam("day", type_=Date),
    bindparam("most", type_=Integer),
)
_ONE = text(f"{_BREAKS} WHERE b.id = :id")
_LINE_NAMES = text("SELECT id, line_id FROM bank_lines WHERE id = ANY (:ids)").bindparams(
    bindparam("ids", type_=ARRAY(Text))
)
_HISTORY = text("""
SELECT version, old_status, new_status, actor, reason, evidence, at FROM break_history
    WHERE break_id = :id ORDER BY version
""")
_DAYS = text("""
SELECT n.provider, n.day, n.finished_at AS last_run_at, n.bank_answered, a.finished_at AS compared_at, a.lines,
       a.lines_centavos, a.movements, a.movements_centavos, a.opening_centavos, a.closing_centavos,
       coalesce(a.classes, '{}') AS classes,
       (SELECT count(*) FROM breaks AS b
        WHERE b.provider = n.provider AND b.day = n.day AND b.status IN ('open', 'acknowledged')) AS live_breaks
    FROM (
        SELECT DISTINCT ON (provider, day) provider, day, finished_at, bank_answered FROM reconciliations
        WHERE day >= :since AND day < :until AND (:provider IS NULL OR provider = :provider)
        ORDER BY provider, day, finished_at DESC
    ) AS n
    LEFT JOIN LATERAL (
        SELECT * FROM reconciliations AS r WHERE r.provider = n.provider AND r.day = n.day AND r.bank_answered
        ORDER BY r.finished_at DESC LIMIT 1
    ) AS a ON true
    ORDER BY n.day DESC, n.provider
""").bindparams(bindparam("provider", type_=Text), bindparam("since", type_=Date), bindparam("until", type_=Date))
_GAUGE = text("""
SELECT class, CASE WHEN age < interval '1 hour' THEN 'hour' WHEN age < interval '1 day' THEN 'day'
                   WHEN age < interval '7 days' THEN 'week' ELSE 'older' END AS age, count(*) AS breaks
    FROM (SELECT class, clock_timestamp() - first_seen_at AS age FROM breaks
          WHERE status IN ('open', 'acknowledged')) AS b
    GROUP BY 1, 2
""")
_SILENCE = text("""
SELECT provider, extract(epoch FROM clock_timestamp() - max(finished_at))::float8 AS seconds
    FROM reconciliations WHERE bank_answered GROUP BY provider
""")


async def page(
    conn: AsyncConnection,
    *,
    limit: int,
    states: Iterable[BreakStatus],
    provider: str | None = None,
    cls: Class | None = None,
    day: date | None = None,
    first_seen_before: datetime | None = None,
    cursor: tuple[datetime, str] | None = None,
) -> Page:
    """Breaks in these states, the oldest first."""
    at, last = cursor or (None, None)
    values = {
        "provider": provider,
        "class": cls,
        "day": day,
        "states": list(states),
        "until": first_seen_before,
        "at": at,
        "id": last,
        "most": limit + 1,
    }
    rows = (await conn.execute(_PAGE, values)).all()
    views = await _views(conn, rows[:limit])
    return Page(views, (views[-1].first_seen_at, views[-1].id) if len(rows) > limit else None)


async def one(conn: AsyncConnection, break_id: str) -> BreakView:
    """:raises NotFound: there is no such break."""
    rows = (await conn.execute(_ONE, {"id": break_id})).all()
    if not rows:
        raise NotFound("there is no such break", field="break_id")
    return (await _views(conn, rows))[0]


async def history(conn: AsyncConnection, break_id: str) -> list[Entry]:
    """Every step of a break, oldest first."""
    return [Entry(**row._mapping) for row in await conn.execute(_HISTORY, {"id": break_id})]


async def days(conn: AsyncConnection, *, since: date, until: date, provider: str | None = None) -> list[DayView]:
    """Each provider's days in [``since``, ``until``) of which there is a run, the newest day first."""
    rows = await conn.execute(_DAYS, {"since": since, "until": until, "provider": provider})
    return [DayView(**row._mapping) for row in rows]


async def live_by_class_and_age(conn: AsyncConnection) -> dict[tuple[Class, str], int]:
    """How many breaks are open or acknowledged, by class and age."""
    counted: dict[tuple[Class, str], int] = {(cls, age): 0 for cls in BREAKS for age in AGES}
    for row in await conn.execute(_GAUGE):
        counted[Class(row._mapping["class"]), row.age] = row.breaks
    return counted


async def silence_seconds(conn: AsyncConnection) -> dict[str, float]:
    """By provider, how long ago a day of it was last compared."""
    return {row.provider: row.seconds for row in await conn.execute(_SILENCE)}


async def _views(conn: AsyncConnection, rows: Iterable[Any]) -> list[BreakView]:
    found = list(rows)
    ids = [each for row in found if row.line_id is None for each in row.suggestions]
    names: Mapping[str, str] = {}
    if ids:
        names = {row.id: row.line_id for row in await conn.execute(_LINE_NAMES, {"ids": ids})}
    return [_view(row, names) for row in found]


def _view(row: Any, names: Mapping[str, str]) -> BreakView:
    bank = ledger = None
    if row.line_id is not None:
        bank = BankSide(row.line_id, row.line_key, row.line_end_to_end_id, row.bank_centavos, row.line_time)
    if row.ledger_key is not None:
        ledger = LedgerSide(
            row.ledger_key,
            row.reference,
            row.movement_key,
            row.movement_end_to_end_id,
            row.ledger_centavos,
            row.recorded_at,
        )
    return BreakView(
        row.id,
        row.provider,
        row.cls,
        row.day,
        bank,
        ledger,
        row.hint,
        _suggestions(row.suggestions, names, is_of_bank=bank is None),
        row.status,
        row.owner_id,
        row.resolution,
        row.evidence,
        row.first_seen_at,
        row.last_seen_at,
        row.age_hours,
    )


def _suggestions(ids: list[JsonValue], names: Mapping[str, str], *, is_of_bank: bool) -> list[Suggestion]:
    return [Suggestion("bank" if is_of_bank else "ledger", names.get(str(each), str(each))) for each in ids]
