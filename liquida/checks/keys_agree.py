"""Law: one thing has one key in every room: trade, transfer, payout, deposit, return and ledger name each other."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
SELECT format('payout %s of trade %s is not what the trade says', p.key, p.trade_id)
    FROM payouts AS p JOIN instant_trades AS t ON t.id = p.trade_id
    WHERE p.key <> t.id OR p.amount_centavos <> t.total_centavos OR p.bank_data_id <> t.bank_data_id
UNION ALL
SELECT format('transfer %s (%s) of %s has a key of another shape',
              key, purpose, coalesce(return_id, parent_key, trade_id, 'nothing'))
    FROM transfer_transactions
    WHERE CASE purpose
        WHEN 'custody' THEN key = trade_id || '/transfer'
        WHEN 'refund' THEN key = trade_id || '/refund' OR key ~ ('^' || trade_id || '/refund/[0-9]+$')
        WHEN 'return' THEN key = 'return/' || return_id
        WHEN 'gas' THEN key = parent_key || '/gas'
    END IS NOT TRUE
UNION ALL
SELECT format('ledger %s (%s) of %s has a key of another shape', l.key, l.kind, l.reference)
    FROM ledger_transactions AS l
    WHERE CASE
        WHEN l.kind = 'deposit' THEN l.key ~ '^deposit/[0-9]+$'
        WHEN l.kind = 'network_fee' THEN EXISTS (
            SELECT FROM transfer_transactions AS x WHERE x.key || '/network-fee' = l.key)
        WHEN l.kind IN ('funding', 'transfer', 'withdrawal') THEN true
        WHEN l.kind = 'adjustment' THEN l.reference LIKE 'operator/%' AND starts_with(l.key, l.reference || '/')
        WHEN l.key LIKE 'hold/%' THEN EXISTS (
            SELECT FROM holds AS h WHERE h.reference = l.reference AND h.id = split_part(l.key, '/', 2))
        WHEN l.key LIKE 'return/%' THEN EXISTS (
            SELECT FROM deposit_returns AS r WHERE 'return/' || r.id = l.key AND r.trade_id = l.reference)
        ELSE starts_with(l.key, l.reference || '/')
            AND EXISTS (SELECT FROM instant_trades AS t WHERE t.id = l.reference)
    END IS NOT TRUE
UNION ALL
SELECT format('deposit %s (%s): the row says %s of %s on %s, the ledger %s',
              d.id, d.status, d.amount_units, d.asset_id, d.network_id, coalesce(p.amount::text, 'nothing'))
    FROM deposits AS d
    LEFT JOIN ledger_transactions AS l ON l.key = 'deposit/' || d.id
    LEFT JOIN ledger_accounts AS a ON a.owner IS NULL AND a.asset_id = d.asset_id
        AND a.purpose = 'custody:' || d.network_id
    LEFT JOIN ledger_postings AS p ON p.transaction_id = l.id AND p.account_id = a.id
    WHERE (d.status = 'final') <> (l.id IS NOT NULL)
       OR (l.id IS NOT NULL AND p.amount IS DISTINCT FROM -d.amount_units)
UNION ALL
SELECT format('transfer %s is %s, cost %s, and %s of it is booked',
              x.key, x.status, x.fee_units, coalesce(p.amount, 0))
    FROM transfer_transactions AS x
    LEFT JOIN ledger_transactions AS l ON l.key = x.key || '/network-fee'
    LEFT JOIN ledger_postings AS p ON p.transaction_id = l.id AND p.amount > 0
    WHERE coalesce(p.amount, 0)
        <> CASE WHEN x.status IN ('final', 'failed') THEN coalesce(x.fee_units, 0) ELSE 0 END
UNION ALL
SELECT format('return %s is %s and its ledger entry is %s', r.id, r.status, coalesce(l.kind, 'missing'))
    FROM deposit_returns AS r LEFT JOIN ledger_transactions AS l ON l.key = 'return/' || r.id
    WHERE l.kind IS DISTINCT FROM CASE r.status WHEN 'returned' THEN 'refund' WHEN 'credited' THEN 'credit' END
UNION ALL
SELECT format('return %s is pending and has no transfer', r.id)
    FROM deposit_returns AS r
    WHERE r.status IN ('pending', 'returned', 'needs_review')
      AND NOT EXISTS (SELECT FROM transfer_transactions AS x WHERE x.return_id = r.id)
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
