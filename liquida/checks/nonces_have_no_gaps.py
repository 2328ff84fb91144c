"""Law: the nonces of an address are contiguous, so no transfer of ours waits behind one that nobody will send."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
WITH used AS (
    SELECT from_address_id, min(nonce) AS first, max(nonce) AS last, count(DISTINCT nonce) AS seen, count(*) AS rows
    FROM transfer_transactions WHERE nonce IS NOT NULL GROUP BY from_address_id
)
SELECT format('address %s (%s on %s): %s nonces from %s to %s in %s transfers, next %s',
              a.id, a.address, a.network_id, u.seen, u.first, u.last, u.rows, a.next_nonce)
    FROM used AS u JOIN system_addresses AS a ON a.id = u.from_address_id
    WHERE u.seen <> u.last - u.first + 1 OR u.rows <> u.seen OR a.next_nonce IS DISTINCT FROM u.last + 1
UNION ALL
SELECT format('transfer %s (%s) has a nonce and no signed bytes', t.key, t.status)
    FROM transfer_transactions AS t
    WHERE t.nonce IS NOT NULL AND NOT EXISTS (SELECT FROM transfer_attempts AS a WHERE a.key = t.key)
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
