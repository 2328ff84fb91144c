"""Law: a lock that ran out has moved its trade on, and a deadline its withdrawal or P2P trade.

What a workflow may take to act on it is the grace.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

GRACE_SECONDS = 300.0
"""A worker may have died, and its activity be tried again elsewhere; minutes mean that nobody looks."""

_SQL = text("""
SELECT format('trade %s (%s): lock %s ran out at %s', t.id, t.status, l.kind, l.expires_at)
    FROM trade_locks AS l JOIN instant_trades AS t ON t.id = l.trade_id
    WHERE l.released_at IS NULL AND l.expires_at < clock_timestamp() - make_interval(secs => :grace)
UNION ALL
SELECT format('trade %s (%s) waits without a lock', t.id, t.status)
    FROM instant_trades AS t
    WHERE t.status NOT IN ('completed', 'cancelled', 'expired', 'refunded', 'needs_review')
      AND NOT EXISTS (SELECT FROM trade_locks AS l WHERE l.trade_id = t.id AND l.released_at IS NULL)
UNION ALL
SELECT format('trade %s (%s) has ended and is locked by %s', t.id, t.status, l.kind)
    FROM trade_locks AS l JOIN instant_trades AS t ON t.id = l.trade_id
    WHERE l.released_at IS NULL AND t.status IN ('completed', 'cancelled', 'expired', 'refunded')
UNION ALL
SELECT format('withdrawal %s is paying out, and its deadline was at %s', id, deadline_at)
    FROM pix_withdrawals
    WHERE status = 'paying_out' AND deadline_at < clock_timestamp() - make_interval(secs => :grace)
UNION ALL
SELECT format('P2P trade %s is %s, and its deadline was at %s', id, status, deadline_at)
    FROM p2p_trades WHERE deadline_at < clock_timestamp() - make_interval(secs => :grace)
""")


async def violations(conn: AsyncConnection, *, grace_seconds: float = GRACE_SECONDS) -> list[str]:
    return list((await conn.execute(_SQL, {"grace": grace_seconds})).scalars())
