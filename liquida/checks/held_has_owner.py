"""Law: every unit in a user's ``held`` account is held by a trade, a return, or a debt in reais; and nothing else is.

The right side is read from the trades' own rows, never from the ledger, so that one cannot excuse the other.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
WITH owed AS (
    SELECT user_id AS owner, asset_id, held_units AS units FROM instant_trades
    UNION ALL
    SELECT t.user_id, r.asset_id, r.amount_units
        FROM deposit_returns AS r JOIN instant_trades AS t ON t.id = r.trade_id
        WHERE r.status IN ('pending', 'needs_review')
    UNION ALL
    SELECT t.user_id, 'BRL', t.total_centavos
        FROM instant_trades AS t JOIN trade_outcomes AS o ON o.trade_id = t.id
        WHERE o.outcome = 'payout' AND o.voided_at IS NULL AND t.status <> 'completed'
), expected AS (
    SELECT owner, asset_id, sum(units) AS units FROM owed GROUP BY owner, asset_id
), booked AS (
    SELECT a.owner, a.asset_id, sum(p.amount) AS units
        FROM ledger_accounts AS a JOIN ledger_postings AS p ON p.account_id = a.id
        WHERE a.purpose = 'held' AND a.owner IS NOT NULL GROUP BY a.owner, a.asset_id
)
SELECT format('user %s: %s of %s held, %s owned by trades and returns',
              owner, coalesce(b.units, 0), asset_id, coalesce(e.units, 0))
    FROM expected AS e FULL JOIN booked AS b USING (owner, asset_id)
    WHERE coalesce(b.units, 0) <> coalesce(e.units, 0)
UNION ALL
SELECT format('trade %s is %s and still holds %s', id, status, held_units)
    FROM instant_trades
    WHERE status IN ('completed', 'cancelled', 'expired', 'refunded') AND held_units <> 0
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
