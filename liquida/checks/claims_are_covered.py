"""Law: what is set aside for disputes is what open disputes say, and what the bank keeps from us is explained.

``pix_reserve`` holds what open disputes with a reserve claim, and nothing else. ``pix_blocked`` is made of the
receipts under their bank's block, and of what open disputes claim of others. A dispute that is decided leaves nothing
behind, but what was taken of its receipt.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
WITH claims AS (
    SELECT d.*, r.status AS receipt FROM pix_disputes AS d JOIN pix_receipts AS r ON r.id = d.receipt_id
), booked AS (
    SELECT coalesce(sum(p.amount) FILTER (WHERE a.purpose = 'pix_reserve'), 0) AS reserve,
           -coalesce(sum(p.amount) FILTER (WHERE a.purpose = 'pix_blocked'), 0) AS blocked
        FROM ledger_accounts AS a JOIN ledger_postings AS p ON p.account_id = a.id
        WHERE a.owner IS NULL AND a.purpose IN ('pix_reserve', 'pix_blocked')
), claimed AS (
    SELECT coalesce(sum(covered_centavos) FILTER (WHERE cover = 'reserve'), 0) AS reserve,
           coalesce(sum(covered_centavos) FILTER (WHERE receipt <> 'blocked'), 0)
           + (SELECT coalesce(sum(amount_centavos - taken_back_centavos), 0)
              FROM pix_receipts WHERE status = 'blocked') AS blocked
        FROM claims WHERE status = 'open'
)
SELECT format('pix_reserve is %s centavos, open disputes claim %s', b.reserve, c.reserve)
    FROM booked AS b, claimed AS c WHERE b.reserve <> c.reserve
UNION ALL
SELECT format('pix_blocked is %s centavos, blocked receipts and open disputes explain %s', b.blocked, c.blocked)
    FROM booked AS b, claimed AS c WHERE b.blocked <> c.blocked
UNION ALL
SELECT format('dispute %s (%s, %s): %s centavos set aside by its row, %s by the ledger',
              d.id, d.status, d.cover, d.should, l.reserve)
    FROM (SELECT *, CASE WHEN status = 'open' AND cover = 'reserve' THEN covered_centavos ELSE 0 END AS should
          FROM claims) AS d
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.amount), 0) AS reserve
            FROM ledger_transactions AS t
            JOIN ledger_postings AS p ON p.transaction_id = t.id
            JOIN ledger_accounts AS a ON a.id = p.account_id AND a.owner IS NULL AND a.purpose = 'pix_reserve'
            WHERE t.key IN ('dispute/' || d.id || '/open', 'dispute/' || d.id || '/reserve',
                            'dispute/' || d.id || '/won', 'dispute/' || d.id || '/lost')
    ) AS l WHERE l.reserve <> d.should
UNION ALL
SELECT format('receipt %s: disputes took %s of the %s centavos that the bank took back', r.id, s.taken,
              r.taken_back_centavos)
    FROM pix_receipts AS r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(taken_centavos), 0) AS taken FROM claims AS c WHERE c.receipt_id = r.id
    ) AS s WHERE s.taken > r.taken_back_centavos OR (r.status <> 'taken_back' AND s.taken <> r.taken_back_centavos)
UNION ALL
SELECT format('dispute %s is %s, and its history ends with %s at version %s of %s', d.id, d.status, h.new_status,
              h.version, d.version)
    FROM claims AS d LEFT JOIN LATERAL (
        SELECT new_status, version FROM pix_dispute_history AS h WHERE h.dispute = d.id ORDER BY version DESC LIMIT 1
    ) AS h ON true
    WHERE (h.new_status, h.version) IS DISTINCT FROM (d.status, d.version)
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
