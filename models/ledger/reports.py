"""What the books say as a whole: the trial balance, and the age of what is held. Reads only."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger import queries
from models.money import Units

HOUSE = "house"
USERS = "users"
AGES = ("< 1 h", "< 24 h", "< 7 d", "< 30 d", "older")
OLDEST = 10


@dataclass(frozen=True, slots=True)
class TrialLine:
    """``holder``: ``house``, ``users`` for the sum of all of them, or one user's id. ``units``: our sign."""

    asset: str
    holder: str
    purpose: str
    units: Units

    @property
    def debit(self) -> int:
        """What we own."""
        return max(-self.units, 0)

    @property
    def credit(self) -> int:
        """What we owe."""
        return max(self.units, 0)


@dataclass(frozen=True, slots=True)
class TrialTotal:
    asset: str
    debit: Units
    credit: Units


@dataclass(frozen=True, slots=True)
class HeldAge:
    """What is held of an asset because of one thing (``trade``, ``hold``, ...); ``age`` is one of ``AGES``."""

    asset: str
    because: str
    age: str
    parts: int
    units: Units


@dataclass(frozen=True, slots=True)
class HeldPart:
    asset: str
    because: str
    reference: str
    owner: str
    since: datetime
    age_seconds: int
    units: Units


@dataclass(frozen=True, slots=True)
class HeldCheck:
    """Two independent sums: of users' ``held`` accounts, and of the things because of which it is held."""

    asset: str
    ledger_units: Units
    parts_units: Units

    @property
    def agrees(self) -> bool:
        return self.ledger_units == self.parts_units


@dataclass(frozen=True, slots=True)
class HoldAges:
    """``oldest``: at most ten, the oldest first."""

    ages: Sequence[HeldAge]
    oldest: Sequence[HeldPart]
    checks: Sequence[HeldCheck]


_TRIAL = text("""
SELECT a.asset_id, CASE WHEN a.owner IS NULL THEN 'house' ELSE 'users' END AS holder, a.purpose,
       sum(ledger_balance_at(a.id, coalesce(:instant, 'infinity'))) AS units
    FROM ledger_accounts AS a GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""").bindparams(bindparam("instant", type_=DateTime(timezone=True)))
_AGES = text("""
SELECT asset_id, because, age, count(*) AS parts, sum(units) AS units
    FROM (
        SELECT asset_id, because, units, CASE
                WHEN since > now() - interval '1 hour' THEN 0
                WHEN since > now() - interval '24 hours' THEN 1
                WHEN since > now() - interval '168 hours' THEN 2
                WHEN since > now() - interval '720 hours' THEN 3
                ELSE 4
            END AS age
            FROM held_parts
    ) AS aged
    GROUP BY asset_id, because, age ORDER BY asset_id, because, age
""")
_OLDEST = text("""
SELECT asset_id, because, reference, owner, since,
       greatest(floor(extract(epoch FROM now() - since)), 0)::bigint AS age_seconds, units
    FROM held_parts ORDER BY since, reference LIMIT :most
""")
_CHECKS = text("""
SELECT asset_id, coalesce(l.units, 0) AS ledger_units, coalesce(p.units, 0) AS parts_units
    FROM (
        SELECT asset_id, sum(balance) AS units FROM ledger_accounts
        WHERE owner IS NOT NULL AND purpose = 'held' GROUP BY asset_id
    ) AS l
    FULL JOIN (SELECT asset_id, sum(units) AS units FROM held_parts GROUP BY asset_id) AS p USING (asset_id)
    ORDER BY asset_id
""")


async def trial_balance(
    conn: AsyncConnection, *, instant: datetime | None = None, each_user: bool = False
) -> list[TrialLine]:
    """All accounts at ``instant`` (None: now; a transaction of that very instant counts).

    Users are summed by asset and purpose in the database, for there may be very many; or listed with ``each_user``.
    """
    if each_user:
        found = await queries.balances(conn, instant=instant)
        return [TrialLine(one.asset, one.owner or HOUSE, one.purpose, units) for one, units in found]
    rows = await conn.execute(_TRIAL, {"instant": instant})
    return [TrialLine(row.asset_id, row.holder, row.purpose, int(row.units)) for row in rows]


def totals(lines: Iterable[TrialLine]) -> list[TrialTotal]:
    """Each asset's two sides, by asset; equal in a ledger that nobody has tampered with."""
    sides: dict[str, tuple[int, int]] = {}
    for line in lines:
        debit, credit = sides.get(line.asset, (0, 0))
        sides[line.asset] = debit + line.debit, credit + line.credit
    return [TrialTotal(asset, *sides[asset]) for asset in sorted(sides)]


async def hold_ages(conn: AsyncConnection) -> HoldAges:
    """The age of everything held. Its parts belong together only in one snapshot: REPEATABLE READ."""
    ages = [
        HeldAge(row.asset_id, row.because, AGES[row.age], row.parts, int(row.units))
        for row in await conn.execute(_AGES)
    ]
    oldest = [
        HeldPart(row.asset_id, row.because, row.reference, row.owner, row.since, row.age_seconds, int(row.units))
        for row in await conn.execute(_OLDEST, {"most": OLDEST})
    ]
    checks = [HeldCheck(row.asset_id, int(row[1]), int(row[2])) for row in await conn.execute(_CHECKS)]
    return HoldAges(ages, oldest, checks)
