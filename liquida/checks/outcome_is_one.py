"""Law: a trade is paid out or refunded, never both; and its state, its outcome and its postings say the same."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
WITH trades AS (
    SELECT t.id, t.status, t.funding, p.status AS payout,
        count(o.id) FILTER (WHERE o.voided_at IS NULL) AS live,
        count(o.id) FILTER (WHERE o.voided_at IS NULL AND o.outcome = 'payout') AS payouts,
        count(o.id) FILTER (WHERE o.voided_at IS NULL AND o.outcome = 'refund') AS refunds,
        EXISTS (SELECT FROM transfer_transactions AS x
                WHERE x.trade_id = t.id AND x.purpose = 'refund') AS has_refund,
        (SELECT count(*) FROM transfer_transactions AS x
                WHERE x.trade_id = t.id AND x.purpose = 'refund'
                AND x.status NOT IN ('rejected', 'failed')) AS refunds_alive,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/sell') AS sold,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/unsell') AS unsold,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/payout') AS paid,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/payout-return') AS paid_back,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/credit') AS credited,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/refund') AS refunded
    FROM instant_trades AS t
    LEFT JOIN trade_outcomes AS o ON o.trade_id = t.id
    LEFT JOIN payouts AS p ON p.trade_id = t.id
    GROUP BY t.id, p.key
), judged AS (
    SELECT id, status, CASE
        WHEN live > 1 THEN 'has two live outcomes'
        WHEN refunds_alive > 1 THEN 'has two refunds that may both arrive'
        WHEN has_refund AND payout NOT IN ('rejected', 'returned') THEN 'has a refund while its payout is ' || payout
        WHEN payout IS NOT NULL AND payout NOT IN ('rejected', 'returned') AND payouts <> 1
            THEN 'has a payout that is ' || payout || ' and no live outcome for it'
        WHEN paid AND NOT paid_back AND (refunded OR refunds = 1) THEN 'is booked as paid and as refunded'
        WHEN (paid AND NOT paid_back)::int + credited::int + refunded::int > 1 THEN 'was settled twice'
        WHEN unsold <> (sold AND refunds = 1) THEN 'has a sale and its undoing that do not agree'
        WHEN paid AND payout NOT IN ('paid', 'returned') THEN 'is booked as paid and its payout is ' || payout
        WHEN paid_back AND payout <> 'returned' THEN 'is booked as paid back and its payout is ' || payout
        WHEN status = 'completed' AND (payouts <> 1 OR NOT sold OR payout NOT IN ('paid', 'returned')
            OR (paid AND NOT paid_back)::int + credited::int <> 1) THEN 'was never paid'
        WHEN status = 'paying_out' AND (payouts <> 1 OR NOT sold OR payout IS NULL) THEN 'has no payout'
        WHEN status IN ('refunding', 'refunded') AND refunds <> 1 THEN 'has no refund as its outcome'
        WHEN status = 'refunded' AND NOT refunded THEN 'has no refund in its books'
        WHEN status NOT IN ('completed', 'paying_out', 'refunding', 'refunded', 'needs_review') AND live > 0
            THEN 'has an outcome too early'
    END AS fault FROM trades
)
SELECT format('trade %s (%s) %s', id, status, fault) FROM judged WHERE fault IS NOT NULL
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
