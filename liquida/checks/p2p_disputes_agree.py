"""Law: a P2P trade is in dispute while its dispute lives; both end together and alike, by a ruling that holds good.

A ruling holds good that one arbiter might make alone, or that a second approved; neither is one of the two who trade.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQL = text("""
WITH ends AS (
    SELECT id, status, buyer_id, seller_id,
        CASE status WHEN 'completed' THEN 10000 WHEN 'refunded' THEN 0 WHEN 'split' THEN buyer_bps END AS bps
        FROM p2p_trades
), lines AS (
    SELECT dispute_id, version, old_status, new_status,
        lag(new_status) OVER (PARTITION BY dispute_id ORDER BY version) AS before,
        row_number() OVER (PARTITION BY dispute_id ORDER BY version DESC) AS from_last
    FROM p2p_dispute_history
)
SELECT format('trade %s is %s, its dispute %s is %s with %s basis points for the buyer', t.id, t.status,
              coalesce(d.id, 'none'), d.status, d.buyer_bps)
    FROM ends AS t LEFT JOIN p2p_disputes AS d ON d.trade_id = t.id
    WHERE (t.status = 'disputed') <> coalesce(d.ended_at IS NULL AND d.id IS NOT NULL, false)
       OR (d.ended_at IS NOT NULL AND d.buyer_bps IS DISTINCT FROM t.bps)
UNION ALL
SELECT format('dispute %s is %s by ruling %s, which is %s', d.id, d.status, d.ruling_id, coalesce(r.fate, 'waiting'))
    FROM p2p_disputes AS d LEFT JOIN p2p_dispute_rulings AS r
        ON r.id = d.ruling_id AND r.dispute_id = d.id AND r.round = d.round
    WHERE d.status IN ('ruled', 'closed') AND (
        coalesce(r.fate NOT IN ('alone', 'approved'), true)
        OR (d.status = 'closed' AND r.buyer_bps <> d.buyer_bps)
        OR (r.needs_second AND (r.decided_by IS NULL OR r.decided_by = r.proposed_by)))
UNION ALL
SELECT format('ruling %s is by %s and %s, one of whom trades', r.id, r.proposed_by, coalesce(r.decided_by, 'nobody'))
    FROM p2p_dispute_rulings AS r JOIN p2p_disputes AS d ON d.id = r.dispute_id JOIN ends AS t ON t.id = d.trade_id
    WHERE r.proposed_by IN (t.buyer_id, t.seller_id) OR r.decided_by IN (t.buyer_id, t.seller_id)
UNION ALL
SELECT format('dispute %s (%s): its history ends with %s at version %s of %s', d.id, d.status,
              coalesce(l.new_status, 'nothing'), l.version, d.version)
    FROM p2p_disputes AS d LEFT JOIN lines AS l ON l.dispute_id = d.id AND l.from_last = 1
    WHERE (l.new_status, l.version) IS DISTINCT FROM (d.status, d.version)
UNION ALL
SELECT format('dispute %s version %s: from %s, but it was %s', dispute_id, version, old_status, before)
    FROM lines WHERE old_status IS DISTINCT FROM before OR (before IS NULL AND new_status <> 'open')
""")


async def violations(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_SQL)).scalars())
