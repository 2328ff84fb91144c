"""Law: every transaction balances to zero per asset, and every kept balance is the sum of its postings."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
WITH sums AS (
    SELECT account_id, sum(amount) AS units, (array_agg(balance_after ORDER BY transaction_id DESC))[1] AS last
    FROM ledger_postings GROUP BY account_id
)
SELECT format('transaction %s: %s sums to %s', t.key, a.asset_id, sum(p.amount))
    FROM ledger_postings AS p
    JOIN ledger_transactions AS t ON t.id = p.transaction_id
    JOIN ledger_accounts AS a ON a.id = p.account_id
    GROUP BY t.key, a.asset_id HAVING sum(p.amount) <> 0
UNION ALL
SELECT format('transaction %s has no postings', t.key)
    FROM ledger_transactions AS t
    WHERE NOT EXISTS (SELECT FROM ledger_postings AS p WHERE p.transaction_id = t.id)
UNION ALL
SELECT format('account %s (%s %s of %s): balance %s, postings %s, last balance after %s',
              a.id, a.asset_id, a.purpose, a.owner, a.balance, coalesce(s.units, 0), s.last)
    FROM ledger_accounts AS a LEFT JOIN sums AS s ON s.account_id = a.id
    WHERE a.is_constrained
      AND (a.balance <> coalesce(s.units, 0) OR a.balance IS DISTINCT FROM coalesce(s.last, 0))
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
