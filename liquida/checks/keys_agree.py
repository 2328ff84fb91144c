"""Law: one thing has one key in every room: trade, transfer, payout, deposit, return, charge,
receipt, devolução, dispute, withdrawal and ledger name each other."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
SELECT format('payout %s of trade %s is not what the trade says', p.key, p.trade_id)
    FROM payouts AS p JOIN instant_trades AS t ON t.id = p.trade_id
    WHERE p.key <> t.id OR p.amount_centavos <> t.total_centavos OR p.bank_data_id <> t.bank_data_id
UNION ALL
SELECT format('withdrawal %s (%s): its payout is %s, and not what the withdrawal says', w.id, w.status,
              coalesce(p.key, 'missing'))
    FROM pix_withdrawals AS w LEFT JOIN payouts AS p ON p.withdrawal_id = w.id
    WHERE (p.key, p.amount_centavos, p.bank_data_id, p.provider)
        IS DISTINCT FROM (w.id, w.amount_centavos, w.bank_data_id, w.provider)
UNION ALL
SELECT format('withdrawal %s of user %s goes to the bank data %s of user %s', w.id, w.user_id, b.id, b.user_id)
    FROM pix_withdrawals AS w JOIN user_bank_data AS b ON b.id = w.bank_data_id
    WHERE w.user_id <> b.user_id
UNION ALL
SELECT format('transfer %s (%s) of %s has a key of another shape',
              key, purpose, coalesce(return_id, parent_key, trade_id, 'nothing'))
    FROM transfer_transactions
    WHERE CASE purpose
        WHEN 'custody' THEN key = trade_id || '/transfer'
        WHEN 'delivery' THEN key = trade_id || '/delivery'
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
        WHEN l.kind IN ('adjustment', 'commission')
            THEN l.reference LIKE 'operator/%' AND starts_with(l.key, l.reference || '/')
        WHEN l.kind IN ('escrow', 'escrow_return', 'p2p_trade') THEN EXISTS (
            SELECT FROM p2p_trades AS t WHERE t.id = l.reference
            AND l.key = t.id || CASE l.kind WHEN 'escrow' THEN '/escrow' ELSE '/outcome' END)
        WHEN l.key LIKE 'hold/%' THEN EXISTS (
            SELECT FROM holds AS h WHERE h.reference = l.reference AND h.id = split_part(l.key, '/', 2))
        WHEN l.kind IN ('receipt', 'receipt_return') THEN EXISTS (
            SELECT FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
            WHERE starts_with(l.key, 'receipt/' || r.id || '/') AND l.reference = coalesce(c.trade_id, c.key))
        WHEN l.kind = 'dispute' THEN EXISTS (
            SELECT FROM pix_disputes AS d
            JOIN pix_receipts AS r ON r.id = d.receipt_id JOIN charges AS c ON c.key = r.charge_key
            WHERE starts_with(l.key, 'dispute/' || d.id || '/') AND l.reference = coalesce(c.trade_id, c.key))
        WHEN l.key LIKE 'return/%' THEN EXISTS (
            SELECT FROM deposit_returns AS r WHERE 'return/' || r.id = l.key AND r.trade_id = l.reference)
        ELSE starts_with(l.key, l.reference || '/')
            AND (EXISTS (SELECT FROM instant_trades AS t WHERE t.id = l.reference) OR (
                l.kind IN ('hold', 'payout', 'payout_return', 'release')
                AND l.key = l.reference || '/' || replace(l.kind, '_', '-')
                AND EXISTS (SELECT FROM pix_withdrawals AS w WHERE w.id = l.reference)))
    END IS NOT TRUE
UNION ALL
SELECT format('charge %s of trade %s is not what the trade says', c.key, c.trade_id)
    FROM charges AS c JOIN instant_trades AS t ON t.id = c.trade_id
    WHERE c.key <> t.id OR c.amount_centavos <> t.total_centavos OR c.user_id <> t.user_id
UNION ALL
SELECT format('receipt %s of user %s is of the charge %s of user %s', r.id, r.user_id, c.key, c.user_id)
    FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
    WHERE r.user_id <> c.user_id OR r.provider <> c.provider
UNION ALL
SELECT format('receipt %s is %s with %s centavos, %s taken back, %s disputed, and the ledger says %s pending,'
              ' %s at the bank, %s blocked there',
              r.id, r.status, r.amount_centavos, r.taken_back_centavos, d.claimed, b.pending, -b.clearing, -b.blocked)
    FROM pix_receipts AS r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(covered_centavos) FILTER (WHERE status = 'open'), 0) AS claimed,
               coalesce(array_agg(id), '{}') AS ids
            FROM pix_disputes WHERE receipt_id = r.id
    ) AS d
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.amount) FILTER (WHERE a.purpose = 'pix_pending'), 0) AS pending,
               coalesce(sum(p.amount) FILTER (WHERE a.purpose = 'pix_clearing'), 0) AS clearing,
               coalesce(sum(p.amount) FILTER (WHERE a.purpose = 'pix_blocked'), 0) AS blocked
            FROM ledger_transactions AS l
            JOIN ledger_postings AS p ON p.transaction_id = l.id
            JOIN ledger_accounts AS a ON a.id = p.account_id AND a.owner IS NULL
            WHERE l.key IN ('receipt/' || r.id || '/block', 'receipt/' || r.id || '/receive',
                            'receipt/' || r.id || '/unblock', 'receipt/' || r.id || '/credit',
                            'receipt/' || r.id || '/uncredit', 'receipt/' || r.id || '/leave',
                            'receipt/' || r.id || '/refund', 'receipt/' || r.id || '/take-back')
               OR l.key IN (SELECT 'dispute/' || id || '/' || step
                            FROM unnest(d.ids) AS id, unnest(ARRAY['open', 'reserve', 'won', 'lost']) AS step)
    ) AS b
    CROSS JOIN LATERAL (
        SELECT r.amount_centavos - r.taken_back_centavos AS rest,
               CASE WHEN r.status = 'blocked' THEN 0 ELSE d.claimed END AS claimed
    ) AS w
    WHERE (b.pending, -b.clearing, -b.blocked) IS DISTINCT FROM (
        w.rest * (r.status IN ('blocked', 'received', 'refunding', 'refund_failed'))::int,
        w.rest * (r.status IN ('received', 'credited', 'refunding', 'refund_failed'))::int - w.claimed,
        w.rest * (r.status = 'blocked')::int + w.claimed)
UNION ALL
SELECT format('receipt %s is %s and its devolução is %s', r.id, r.status, coalesce(f.status, 'missing'))
    FROM pix_receipts AS r
    LEFT JOIN pix_refunds AS f ON f.receipt_id = r.id AND f.status <> 'rejected'
    WHERE CASE r.status WHEN 'refunding' THEN f.status IS NULL OR f.status = 'refunded'
                        WHEN 'refunded' THEN f.status IS DISTINCT FROM 'refunded'
                        ELSE f.status IS NOT NULL END
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
