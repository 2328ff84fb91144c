"""Of P2P trades: each law names what somebody forced past every guard."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.checks import LAWS
from models.p2p_order.types import Settlement
from tests.models.p2p_world import SELLER_PAYS, P2PWorld

GUARDED = ("ledger_postings", "ledger_transactions", "p2p_orders", "p2p_trades", "p2p_trade_history")
LAW = "p2p_trades_are_booked"
BOOKED_LESS = (
    "UPDATE ledger_postings SET amount = amount - sign(amount) WHERE transaction_id = (SELECT max(l.id)"
    " FROM ledger_transactions AS l JOIN p2p_trades AS t ON l.key = t.id || '/{step}' WHERE t.status = '{status}')"
)
LIVE = ("open", "payment_sent", "disputed")
OVER = ("completed", "refunded", "split", "cancelled", "expired")
FORGED = [
    *((LAW, "and its row says", BOOKED_LESS.format(step="escrow", status=status)) for status in (*LIVE, *OVER)),
    *((LAW, "and its row says", BOOKED_LESS.format(step="outcome", status=status)) for status in OVER),
    (LAW, "its outcome (p2p_trade)", "UPDATE p2p_trades SET status = 'refunded' WHERE status = 'completed'"),
    (LAW, "its outcome (p2p_trade)", "UPDATE p2p_trades SET buyer_bps = buyer_bps + 1 WHERE status = 'split'"),
    (LAW, "its outcome (p2p_trade)", "UPDATE p2p_trades SET fee_bps = 100 WHERE status = 'completed'"),
    (
        LAW,
        "its outcome (p2p_trade)",
        "UPDATE p2p_trades SET fee_payer = 'seller' WHERE fee_payer = 'buyer' AND status = 'completed'",
    ),
    (
        LAW,
        "and its row says 0",
        "UPDATE p2p_trades SET ended_at = NULL, status = 'disputed' WHERE status = 'expired'",
    ),
    (
        LAW,
        "(p2p_trade) moves",
        "UPDATE ledger_transactions SET kind = 'escrow_return' WHERE kind = 'p2p_trade'",
    ),
    (
        LAW,
        "moves 0 of ETH.ethereum",
        "UPDATE ledger_transactions SET key = 'x' || key, reference = 'x' || reference WHERE kind = 'escrow'",
    ),
    (LAW, "are available, and its trades leave", "UPDATE p2p_orders SET available_units = available_units - 1"),
    (LAW, "are available, and its trades leave", "UPDATE p2p_orders SET total_units = total_units + 1"),
    (
        LAW,
        "are available, and its trades leave",
        "UPDATE p2p_trades SET status = 'expired' WHERE status = 'completed'",
    ),
    (
        "held_has_owner",
        "owned by trades",
        "UPDATE p2p_trades SET status = 'cancelled', ended_at = now(), deadline_at = NULL WHERE status = 'open'",
    ),
    (
        "held_has_owner",
        "owned by trades",
        "UPDATE p2p_trades SET ended_at = NULL, status = 'disputed' WHERE status = 'refunded'",
    ),
    (
        "keys_agree",
        "has a key of another shape",
        "UPDATE ledger_transactions SET key = key || '2' WHERE kind = 'p2p_trade'",
    ),
    (
        "keys_agree",
        "has a key of another shape",
        "UPDATE ledger_transactions SET reference = 'x' WHERE kind = 'escrow_return'",
    ),
    (
        "history_is_whole",
        "its history ends with",
        "DELETE FROM p2p_trade_history WHERE new_status = 'completed'",
    ),
    ("history_is_whole", "from open, but it was", "UPDATE p2p_trade_history SET new_status = 'x' WHERE version = 1"),
    (
        "history_is_whole",
        "no arrow from open to refunded",
        "UPDATE p2p_trade_history SET new_status = 'refunded' WHERE new_status = 'expired'",
    ),
    ("history_is_whole", "lacks p2p_trade", "DELETE FROM transitions WHERE noun = 'p2p_trade'"),
    *(
        (
            "no_trade_outlives_its_lock",
            f"is {status}, and its deadline was at",
            f"UPDATE p2p_trades SET deadline_at = now() - interval '1 hour' WHERE status = '{status}'",
        )
        for status in ("open", "payment_sent")
    ),
]


class TestLaws:
    @pytest.fixture
    async def world(self, engine: AsyncEngine) -> P2PWorld:
        """Trades in all states, by both settlements and payers of the fee; and no guard left."""
        world = await P2PWorld(engine).begin()
        await world.open()
        await world.open(Settlement.BALANCE, rules=SELLER_PAYS)
        await world.pay(await world.open(Settlement.BALANCE))
        await world.give_up(await world.open(Settlement.BALANCE, rules=SELLER_PAYS))
        await world.pay(await world.open())
        for end in (None, 10_000, 0, 3_333):
            await world.pay(disputed := await world.open())
            await world.dispute(disputed)
            if end is not None:
                await world.decide(disputed, end)
        late = await world.open()
        there = world.now
        await world.wait(late, 10**4)
        world.now = there
        for table in GUARDED:
            await world.execute_as_owner(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for name in ("ended_ones_say_when", "split_ones_say_how", "waiting_ones_end", "fee_fits"):
            await world.execute_as_owner(f"ALTER TABLE p2p_trades DROP CONSTRAINT p2p_trades_{name}")
        return world

    async def test_hold_before_anything_is_forged(self, world: P2PWorld) -> None:
        states = await world.scalar("SELECT array_agg(DISTINCT status ORDER BY status) FROM p2p_trades")

        assert sorted([*LIVE, *OVER]) == states
        assert {} == await world.broken_laws()

    async def test_name_every_forged_row(self, world: P2PWorld) -> None:
        async with world.as_owner() as conn:
            for law, words, *statements in FORGED:
                undo = await conn.begin_nested()
                for statement in statements:
                    result = await conn.execute(text(statement))
                found = await LAWS[law](conn)
                await undo.rollback()

                assert result.rowcount, statements
                assert any(words in violation for violation in found), (law, statements, found)
