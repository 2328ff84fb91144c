"""Law: every change of a trade's, P2P trade's or withdrawal's state is in its log, in order, each an arrow of the
picture."""

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions

_SQL = text("""
WITH lines AS (
    SELECT trade_id, version, old_status, new_status,
        lag(new_status) OVER (PARTITION BY trade_id ORDER BY version) AS before,
        row_number() OVER (PARTITION BY trade_id ORDER BY version DESC) AS from_last
    FROM instant_trade_history
), withdrawal_lines AS (
    SELECT withdrawal_id, version, old_status, new_status,
        lag(new_status) OVER (PARTITION BY withdrawal_id ORDER BY version) AS before,
        row_number() OVER (PARTITION BY withdrawal_id ORDER BY version DESC) AS from_last
    FROM pix_withdrawal_history
), p2p_lines AS (
    SELECT trade_id, version, old_status, new_status,
        lag(new_status) OVER (PARTITION BY trade_id ORDER BY version) AS before,
        row_number() OVER (PARTITION BY trade_id ORDER BY version DESC) AS from_last
    FROM p2p_trade_history
), arrows AS (
    SELECT * FROM jsonb_to_recordset(CAST(:arrows AS jsonb)) AS r(noun text, before text, after text)
)
SELECT format('trade %s (%s): its log ends with %s at version %s of %s',
              t.id, t.status, coalesce(l.new_status, 'nothing'), l.version, t.version)
    FROM instant_trades AS t LEFT JOIN lines AS l ON l.trade_id = t.id AND l.from_last = 1
    WHERE l.new_status IS DISTINCT FROM t.status OR l.version > t.version
UNION ALL
SELECT format('trade %s version %s: from %s, but it was %s', trade_id, version, old_status, before)
    FROM lines WHERE old_status IS DISTINCT FROM before
UNION ALL
SELECT format('trade %s version %s: no arrow from %s to %s', trade_id, version, old_status, new_status)
    FROM lines AS l WHERE old_status <> new_status AND NOT EXISTS (
        SELECT FROM arrows AS a
        WHERE a.noun = 'instant_trade' AND a.before = l.old_status AND a.after = l.new_status)
UNION ALL
SELECT format('trade %s begins as %s', trade_id, new_status)
    FROM lines WHERE before IS NULL AND new_status NOT IN ('awaiting_deposit', 'transferring', 'awaiting_payment')
UNION ALL
SELECT format('withdrawal %s (%s): its history ends with %s at version %s of %s',
              w.id, w.status, coalesce(l.new_status, 'nothing'), l.version, w.version)
    FROM pix_withdrawals AS w LEFT JOIN withdrawal_lines AS l ON l.withdrawal_id = w.id AND l.from_last = 1
    WHERE (l.new_status, l.version) IS DISTINCT FROM (w.status, w.version)
UNION ALL
SELECT format('withdrawal %s version %s: from %s, but it was %s', withdrawal_id, version, old_status, before)
    FROM withdrawal_lines WHERE old_status IS DISTINCT FROM before OR (before IS NULL AND new_status <> 'paying_out')
UNION ALL
SELECT format('withdrawal %s version %s: no arrow from %s to %s', withdrawal_id, version, old_status, new_status)
    FROM withdrawal_lines AS l WHERE old_status <> new_status AND NOT EXISTS (
        SELECT FROM arrows AS a
        WHERE a.noun = 'pix_withdrawal' AND a.before = l.old_status AND a.after = l.new_status)
UNION ALL
SELECT format('P2P trade %s (%s): its history ends with %s at version %s of %s',
              t.id, t.status, coalesce(l.new_status, 'nothing'), l.version, t.version)
    FROM p2p_trades AS t LEFT JOIN p2p_lines AS l ON l.trade_id = t.id AND l.from_last = 1
    WHERE (l.new_status, l.version) IS DISTINCT FROM (t.status, t.version)
UNION ALL
SELECT format('P2P trade %s version %s: from %s, but it was %s', trade_id, version, old_status, before)
    FROM p2p_lines WHERE old_status IS DISTINCT FROM before OR (before IS NULL AND new_status <> 'open')
UNION ALL
SELECT format('P2P trade %s version %s: no arrow from %s to %s', trade_id, version, old_status, new_status)
    FROM p2p_lines AS l WHERE old_status <> new_status AND NOT EXISTS (
        SELECT FROM arrows AS a
        WHERE a.noun = 'p2p_trade' AND a.before = l.old_status AND a.after = l.new_status)
UNION ALL
SELECT format('the table transitions %s %s: %s to %s',
              CASE WHEN a.noun IS NULL THEN 'allows' ELSE 'lacks' END, noun, before, after)
    FROM arrows AS a FULL JOIN transitions AS t USING (noun, before, after)
    WHERE a.noun IS NULL OR t.noun IS NULL
""")


async def violations(conn: AsyncConnection) -> list[str]:
    arrows = orjson.dumps(transitions.rows()).decode()
    return list((await conn.execute(_SQL, {"arrows": arrows})).scalars())
