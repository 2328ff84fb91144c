"""What a user has and how it came to that: reads of the views ``wallet_balances`` and ``balance_history``.

A page costs the same however long the history is: first its lines are picked from the index of each of the user's
accounts, then the view is asked for just those.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic.dataclasses import dataclass
from sqlalchemy import BigInteger, DateTime, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from models.base import BaseUnits
from models.errors import LedgerUnbalanced, LimitExceeded
from models.ledger.types import OPERATIONS, Kind, Operation
from models.money import Units

LOOKED_AT_MOST = 1_000
"""Lines that one page looks through for those of an operation."""
STATEMENT_LINES_MOST = 10_000
_PAGE_OF_STATEMENT = 1_000
_TICK = timedelta(microseconds=1)
"""PostgreSQL's: times between two of them do not exist."""


@dataclass(frozen=True, slots=True)
class Balance:
    """``last_reason``: why it moved last, a person's words or the kind of transaction; with its time ``moved_at``."""

    asset_id: str
    available_units: Units
    locked_units: Units
    last_reason: str | None = None
    moved_at: datetime | None = None

    @property
    def total_units(self) -> int:
        return self.available_units + self.locked_units


@dataclass(frozen=True, slots=True)
class Line:
    """What one transaction did to a user's free and locked balance of one asset, in base units."""

    asset_id: str
    recorded_at: datetime
    kind: Kind
    operation: Operation
    reference: str
    reason: str | None
    available_before: Units
    available_after: Units
    locked_before: Units
    locked_after: Units

    @property
    def available_moved(self) -> int:
        return self.available_after - self.available_before

    @property
    def locked_moved(self) -> int:
        return self.locked_after - self.locked_before

    @property
    def amount_units(self) -> int:
        """Signed: what came or went; what only changed pockets is counted where it is free (a freeze: negative)."""
        return self.available_moved + self.locked_moved or self.available_moved


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line's place in its owner's history; the order of places is the order in which lines were committed."""

    recorded_at: datetime
    transaction_id: int
    account_id: int


@dataclass(frozen=True, slots=True)
class Page:
    """``following``: pass it back for older lines; None at the end. There may be some although this page is short."""

    lines: list[Line]
    following: Place | None


@dataclass(frozen=True, slots=True)
class Statement:
    """All lines in [``since``, ``until``), oldest first.

    ``closing`` is ``opening`` and what the lines moved, in each pocket.
    """

    opening: Balance
    lines: list[Line]
    closing: Balance


@dataclass(frozen=True, slots=True)
class _Candidate:
    place: Place
    asset_id: str
    kind: Kind


_BALANCES = text("""
SELECT asset_id, available AS available_units, locked AS locked_units, last_reason, moved_at
    FROM wallet_balances WHERE owner = :owner ORDER BY asset_id
""").columns(available_units=BaseUnits, locked_units=BaseUnits)

_BALANCE_AT = text("""
SELECT coalesce(sum(ledger_balance_at(a.id, :instant)) FILTER (WHERE a.purpose = 'available'), 0) AS available_units,
       coalesce(sum(ledger_balance_at(a.id, :instant)) FILTER (WHERE a.purpose <> 'available'), 0) AS locked_units
    FROM ledger_accounts AS a WHERE a.owner = :owner AND a.asset_id = :asset
""").bindparams(bindparam("instant", type_=DateTime(timezone=True)))

# A transaction has a line for each asset it moves: after the cursor's come those of the same transaction whose
# account is smaller, so for smaller accounts the comparison lets the transaction itself through.
_PICK = text("""
SELECT p.recorded_at, p.transaction_id, min(p.account_id) AS account_id, p.asset_id, t.kind
    FROM (
        SELECT l.recorded_at, l.transaction_id, a.id AS account_id, a.asset_id
            FROM ledger_accounts AS a
            CROSS JOIN LATERAL (
                SELECT q.recorded_at, q.transaction_id FROM ledger_postings AS q
                WHERE q.account_id = a.id
                  AND q.recorded_at >= coalesce(:since, timestamptz '-infinity')
                  AND q.recorded_at < coalesce(:until, timestamptz 'infinity')
                  AND (q.recorded_at, q.transaction_id)
                      < (coalesce(:before_at, timestamptz 'infinity'),
                         :before_transaction + CASE WHEN a.id < :before_account THEN 1 ELSE 0 END)
                ORDER BY q.recorded_at DESC, q.transaction_id DESC LIMIT :most
            ) AS l
            WHERE a.owner = :owner AND (:assets IS NULL OR a.asset_id = ANY (:assets))
    ) AS p
    CROSS JOIN LATERAL (SELECT t.kind FROM ledger_transactions AS t WHERE t.id = p.transaction_id LIMIT 1) AS t
    GROUP BY p.recorded_at, p.transaction_id, p.asset_id, t.kind
    ORDER BY p.recorded_at DESC, p.transaction_id DESC, account_id DESC LIMIT :most
""").bindparams(
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("until", type_=DateTime(timezone=True)),
    bindparam("before_at", type_=DateTime(timezone=True)),
    bindparam("before_transaction", type_=BigInteger),
    bindparam("before_account", type_=BigInteger),
    bindparam("assets", type_=ARRAY(Text)),
    bindparam("most", type_=BigInteger),
)

# LIMIT 1 keeps the planner from reading the view as a whole.
_LINES = text("""
SELECT h.* FROM unnest(:transactions, :assets) WITH ORDINALITY AS p(transaction_id, asset_id, place)
    CROSS JOIN LATERAL (
        SELECT h.asset_id, h.recorded_at, h.kind, h.operation, h.reference, h.reason,
               h.available_before, h.available_after, h.locked_before, h.locked_after
            FROM balance_history AS h
            WHERE h.transaction_id = p.transaction_id AND h.owner = :owner AND h.asset_id = p.asset_id LIMIT 1
    ) AS h ORDER BY p.place
""").bindparams(bindparam("transactions", type_=ARRAY(BigInteger)), bindparam("assets", type_=ARRAY(Text)))
_LINES_READ = _LINES.columns(
    available_before=BaseUnits, available_after=BaseUnits, locked_before=BaseUnits, locked_after=BaseUnits
)


async def balances(conn: AsyncConnection, user_id: str) -> dict[str, Balance]:
    """A user's balances by asset id, of every asset they ever had."""
    return {row.asset_id: Balance(**row._mapping) for row in await conn.execute(_BALANCES, {"owner": user_id})}


async def page(
    conn: AsyncConnection,
    user_id: str,
    *,
    limit: int,
    assets: Sequence[str] | None = None,
    operation: Operation | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: Place | None = None,
) -> Page:
    """A user's lines older than ``before``, newest first: those of ``assets`` in [``since``, ``until``).

    Of an operation, a page looks through ``LOOKED_AT_MOST`` lines and may find fewer than ``limit``, or none.
    """
    most = limit if operation is None else max(limit, LOOKED_AT_MOST)
    looked_at = await _pick(conn, user_id, assets, since, until, before, most + 1)
    there_are_more, looked_at = len(looked_at) > most, looked_at[:most]
    found = [line for line in looked_at if operation is None or OPERATIONS[line.kind] is operation]
    chosen = found[:limit]
    following: Place | None = None
    if len(found) > limit:
        following = chosen[-1].place
    elif there_are_more:
        following = looked_at[-1].place
    wanted = {
        "owner": user_id,
        "transactions": [line.place.transaction_id for line in chosen],
        "assets": [line.asset_id for line in chosen],
    }
    return Page([Line(**row._mapping) for row in await conn.execute(_LINES_READ, wanted)], following)


async def statement(
    engine: AsyncEngine, user_id: str, asset_id: str, *, since: datetime, until: datetime
) -> Statement:
    """A user's statement of one asset over [``since``, ``until``), all of it read at one moment.

    :raises LimitExceeded: more than ``STATEMENT_LINES_MOST`` lines.
    :raises LedgerUnbalanced: the lines do not lead from the opening to the closing balance.
    """
    lines: list[Line] = []
    before: Place | None = None
    async with engine.connect() as conn:
        await conn.execution_options(isolation_level="REPEATABLE READ")
        opening = await _balance_at(conn, user_id, asset_id, since - _TICK)
        closing = await _balance_at(conn, user_id, asset_id, until - _TICK)
        while True:
            older = await page(
                conn, user_id, limit=_PAGE_OF_STATEMENT, assets=[asset_id], since=since, until=until, before=before
            )
            lines += older.lines
            before = older.following
            if before is None:
                break
            if len(lines) >= STATEMENT_LINES_MOST:
                raise LimitExceeded(f"more than {STATEMENT_LINES_MOST} lines: ask for a shorter time", field="from")
    lines.reverse()
    found = Statement(opening, lines, closing)
    if not _ties(found):
        raise LedgerUnbalanced(f"the statement of {user_id} in {asset_id} does not tie")
    return found


def _ties(found: Statement) -> bool:
    free = found.opening.available_units + sum(line.available_moved for line in found.lines)
    locked = found.opening.locked_units + sum(line.locked_moved for line in found.lines)
    return (free, locked) == (found.closing.available_units, found.closing.locked_units)


async def _balance_at(conn: AsyncConnection, user_id: str, asset_id: str, instant: datetime) -> Balance:
    row = (await conn.execute(_BALANCE_AT, {"owner": user_id, "asset": asset_id, "instant": instant})).one()
    return Balance(asset_id, int(row.available_units), int(row.locked_units))


async def _pick(
    conn: AsyncConnection,
    user_id: str,
    assets: Sequence[str] | None,
    since: datetime | None,
    until: datetime | None,
    before: Place | None,
    most: int,
) -> list[_Candidate]:
    given = {
        "owner": user_id,
        "assets": None if assets is None else list(assets),
        "since": since,
        "until": until,
        "before_at": None if before is None else before.recorded_at,
        "before_transaction": 0 if before is None else before.transaction_id,
        "before_account": 0 if before is None else before.account_id,
        "most": most,
    }
    return [
        _Candidate(Place(row.recorded_at, row.transaction_id, row.account_id), row.asset_id, row.kind)
        for row in await conn.execute(_PICK, given)
    ]
