"""Law: every unit in a user's ``held`` account is held by a trade, a return, a debt or a hold; and nothing else is.

What must be there is the view ``held_parts``: it reads those things' own rows, never the ledger, so that one cannot
excuse the other. Of holds, each one's row and postings agree, so that two wrong ones cannot make up for each other.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
WITH expected AS (
    SELECT owner, asset_id, sum(units) AS units FROM held_parts GROUP BY owner, asset_id
), booked AS (
    SELECT a.owner, a.asset_id, sum(p.amount) AS units
        FROM ledger_accounts AS a JOIN ledger_postings AS p ON p.account_id = a.id
        WHERE a.purpose = 'held' AND a.owner IS NOT NULL GROUP BY a.owner, a.asset_id
), set_aside AS (
    SELECT split_part(t.key, '/', 2) AS id, a.owner, a.asset_id, sum(p.amount) AS units
        FROM ledger_transactions AS t
        JOIN ledger_postings AS p ON p.transaction_id = t.id
        JOIN ledger_accounts AS a ON a.id = p.account_id AND a.purpose = 'held' AND a.owner IS NOT NULL
        WHERE t.key LIKE 'hold/%' GROUP BY 1, 2, 3
)
SELECT format('user %s: %s of %s held, %s owned by trades, returns, debts and holds',
              owner, coalesce(b.units, 0), asset_id, coalesce(e.units, 0))
    FROM expected AS e FULL JOIN booked AS b USING (owner, asset_id)
    WHERE coalesce(b.units, 0) <> coalesce(e.units, 0)
UNION ALL
SELECT format('trade %s is %s and still holds %s', id, status, held_units)
    FROM instant_trades
    WHERE status IN ('completed', 'cancelled', 'expired', 'refunded') AND held_units <> 0
UNION ALL
SELECT format('hold %s of user %s: %s of %s left, %s set aside in the ledger', coalesce(h.id, s.id),
              coalesce(h.user_id, s.owner), coalesce(h.amount_units - h.released_units - h.captured_units, 0),
              coalesce(h.asset_id, s.asset_id), coalesce(s.units, 0))
    FROM holds AS h
    FULL JOIN set_aside AS s ON s.id = h.id AND s.owner = h.user_id AND s.asset_id = h.asset_id
    WHERE coalesce(h.amount_units - h.released_units - h.captured_units, 0) <> coalesce(s.units, 0)
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
