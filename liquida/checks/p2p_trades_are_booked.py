"""Law: a P2P trade has one escrow in the ledger, and once it has ended one outcome, unit by unit as its row says.

And what an order has left is its total without the trades that hold or took a part of it. The arithmetic is written
here a second time, so that a wrong formula in the program cannot excuse itself.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_BOOKED = text("""
WITH trades AS (
    SELECT *, CASE settlement WHEN 'balance' THEN total_centavos ELSE 0 END AS reais,
        CASE fee_payer WHEN 'seller' THEN fee_units ELSE 0 END AS on_top,
        CASE status WHEN 'completed' THEN 10000 WHEN 'split' THEN buyer_bps ELSE 0 END AS bps
    FROM p2p_trades
), parts AS (
    SELECT *, div(units * bps, 10000) AS part, div(div(units * bps, 10000) * fee_bps, 10000) AS fee,
        reais * bps / 10000 AS paid
    FROM trades
), expected AS (
    SELECT id, '/escrow' AS step, 'escrow' AS kind, leg.*
        FROM parts AS t CROSS JOIN LATERAL (VALUES
            (seller_id, 'available', asset_id, -(units + on_top)),
            (seller_id, 'held', asset_id, units + on_top),
            (buyer_id, 'available', 'BRL', -reais),
            (buyer_id, 'held', 'BRL', reais)
        ) AS leg(owner, purpose, asset_id, units)
    UNION ALL
    SELECT id, '/outcome', CASE WHEN bps > 0 THEN 'p2p_trade' ELSE 'escrow_return' END, leg.*
        FROM parts AS t CROSS JOIN LATERAL (VALUES
            (seller_id, 'held', asset_id, -(units + on_top)),
            (seller_id, 'available', asset_id, CASE fee_payer
                WHEN 'seller' THEN units + fee_units - part - fee ELSE units - part END),
            (buyer_id, 'available', asset_id, CASE fee_payer WHEN 'seller' THEN part ELSE part - fee END),
            ('', 'fees', asset_id, fee),
            (buyer_id, 'held', 'BRL', -reais),
            (buyer_id, 'available', 'BRL', reais - paid),
            (seller_id, 'available', 'BRL', paid)
        ) AS leg(owner, purpose, asset_id, units)
        WHERE ended_at IS NOT NULL
), booked AS (
    SELECT l.reference AS id, substr(l.key, length(l.reference) + 1) AS step, l.kind, coalesce(a.owner, '') AS owner,
           a.purpose, a.asset_id, p.amount AS units
        FROM ledger_transactions AS l
        JOIN ledger_postings AS p ON p.transaction_id = l.id
        JOIN ledger_accounts AS a ON a.id = p.account_id
        WHERE l.kind IN ('escrow', 'escrow_return', 'p2p_trade')
)
SELECT format('P2P trade %s: its %s (%s) moves %s of %s at %s/%s, and its row says %s', id, substr(step, 2), kind,
              coalesce(b.units, 0), asset_id, owner, purpose, coalesce(e.units, 0))
    FROM expected AS e FULL JOIN booked AS b USING (id, step, kind, owner, purpose, asset_id)
    WHERE coalesce(e.units, 0) <> coalesce(b.units, 0)
    ORDER BY 1
""")

_ORDERS = text("""
SELECT format('P2P order %s: %s of %s are available, and its trades leave %s', o.id, o.available_units, o.total_units,
              o.total_units - t.units)
    FROM p2p_orders AS o CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.units), 0) AS units FROM p2p_trades AS p
            WHERE p.order_id = o.id AND p.status NOT IN ('cancelled', 'expired', 'refunded')
    ) AS t
    WHERE o.available_units <> o.total_units - t.units
""")


async def violations(conn: AsyncConnection) -> list[str]:
    found = [*(await conn.execute(_BOOKED)).scalars(), *(await conn.execute(_ORDERS)).scalars()]
    return [str(violation) for violation in found]
