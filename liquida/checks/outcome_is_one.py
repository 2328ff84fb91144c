"""Law: a trade is paid out, or delivered, or refunded, and never two of it; its state, outcome and postings agree.

And a withdrawal is paid or refunded, never both: its state, payout and postings agree, centavo by centavo.
"""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

GRACE = timedelta(minutes=5)
"""Rows carry the time at which their transaction began, so what came just after an end may look older than it."""

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
    WHERE t.operation = 'sell'
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

_PURCHASES = text("""
WITH trades AS (
    SELECT t.id, t.status, t.held_units,
        count(o.id) FILTER (WHERE o.voided_at IS NULL) AS live,
        count(o.id) FILTER (WHERE o.voided_at IS NULL AND o.outcome = 'delivery') AS deliveries,
        count(o.id) FILTER (WHERE o.voided_at IS NULL AND o.outcome = 'refund') AS refunds,
        (SELECT x.status FROM transfer_transactions AS x
                WHERE x.trade_id = t.id AND x.purpose = 'delivery') AS sending,
        (SELECT count(*) FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
                WHERE c.trade_id = t.id AND r.status = 'credited' AND r.reason IS NULL) AS paid,
        EXISTS (SELECT FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
                WHERE c.trade_id = t.id AND r.status IN ('received', 'refunding', 'refund_failed')
                AND r.created_at < (SELECT max(h.at) FROM instant_trade_history AS h
                    WHERE h.trade_id = t.id AND h.old_status <> h.new_status) - CAST(:grace AS interval)) AS going,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/buy') AS bought,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/unbuy') AS unbought,
        EXISTS (SELECT FROM ledger_transactions AS l WHERE l.key = t.id || '/delivery') AS delivered
    FROM instant_trades AS t LEFT JOIN trade_outcomes AS o ON o.trade_id = t.id
    WHERE t.operation = 'buy' GROUP BY t.id
), judged AS (
    SELECT id, status, CASE
        WHEN live > 1 THEN 'has two live outcomes'
        WHEN paid > 1 THEN 'was credited with two payments'
        WHEN unbought <> (bought AND refunds = 1) THEN 'has a purchase and its undoing that do not agree'
        WHEN deliveries = 1 AND NOT bought THEN 'is delivered and was never booked as bought'
        WHEN sending IS NOT NULL AND NOT bought THEN 'has a delivery that nobody bought'
        WHEN sending NOT IN ('rejected', 'failed') AND deliveries <> 1 THEN 'has a delivery and no live outcome'
        WHEN delivered AND sending <> 'final' THEN 'is booked as delivered and its delivery is ' || sending
        WHEN held_units <> 0 AND (deliveries <> 1 OR delivered) THEN 'holds coins that are not to be delivered'
        WHEN status = 'completed' AND NOT delivered THEN 'was never delivered'
        WHEN status = 'delivering' AND (deliveries <> 1 OR delivered) THEN 'has no delivery to wait for'
        WHEN status IN ('refunding', 'refunded') AND refunds <> 1 THEN 'has no refund as its outcome'
        WHEN status IN ('awaiting_payment', 'confirming_payment', 'cancelled', 'expired') AND live > 0
            THEN 'has an outcome too early'
        WHEN status IN ('refunded', 'expired') AND going THEN 'has ended with a payment on its way back'
    END AS fault FROM trades
)
SELECT format('trade %s (%s) %s', id, status, fault) FROM judged WHERE fault IS NOT NULL
""")

_WITHDRAWALS = text("""
SELECT format('withdrawal %s (%s) of %s centavos: its payout is %s, the ledger says %s available, %s held, %s paid',
              w.id, w.status, w.amount_centavos, coalesce(p.status, 'missing'), b.available, b.held, b.paid)
    FROM pix_withdrawals AS w
    LEFT JOIN payouts AS p ON p.withdrawal_id = w.id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(q.amount) FILTER (WHERE a.purpose = 'available' AND a.owner = w.user_id), 0) AS available,
               coalesce(sum(q.amount) FILTER (WHERE a.purpose = 'held' AND a.owner = w.user_id), 0) AS held,
               coalesce(sum(q.amount) FILTER (WHERE a.purpose = 'pix_clearing' AND a.owner IS NULL), 0) AS paid
            FROM ledger_transactions AS l
            JOIN ledger_postings AS q ON q.transaction_id = l.id
            JOIN ledger_accounts AS a ON a.id = q.account_id
            WHERE l.reference = w.id
    ) AS b
    WHERE (b.available, b.held, b.paid) IS DISTINCT FROM (
        -w.amount_centavos * (w.status <> 'refunded')::int,
        w.amount_centavos * (w.status IN ('paying_out', 'needs_review'))::int,
        w.amount_centavos * (w.status = 'completed')::int)
       OR coalesce(CASE w.status
           WHEN 'completed' THEN p.status NOT IN ('paid', 'returned')
           WHEN 'refunded' THEN p.status NOT IN ('rejected', 'returned')
           ELSE p.key IS NULL END, true)
""")


async def violations(conn: AsyncConnection) -> list[str]:
    found = [
        *(await conn.execute(_SQL)).scalars(),
        *(await conn.execute(_PURCHASES, {"grace": GRACE})).scalars(),
        *(await conn.execute(_WITHDRAWALS)).scalars(),
    ]
    return [str(violation) for violation in found]
