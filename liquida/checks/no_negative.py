"""Law: nobody owes us what we did not lend: no user's account is, or ever was, below zero."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
SELECT format('account %s (%s %s of %s): balance %s', id, asset_id, purpose, owner, balance)
    FROM ledger_accounts WHERE owner IS NOT NULL AND (NOT is_constrained OR balance IS NULL OR balance < 0)
UNION ALL
SELECT format('transaction %s: account %s was at %s', t.key, p.account_id, p.balance_after)
    FROM ledger_postings AS p
    JOIN ledger_transactions AS t ON t.id = p.transaction_id
    JOIN ledger_accounts AS a ON a.id = p.account_id
    WHERE a.owner IS NOT NULL AND coalesce(p.balance_after, -1) < 0
UNION ALL
SELECT format('trade %s holds %s', id, held_units) FROM instant_trades WHERE held_units < 0
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
