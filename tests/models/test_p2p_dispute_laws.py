"""Of disputes between users: the law names what somebody forced past every guard."""

from sqlalchemy import text

from liquida.checks import p2p_disputes_agree
from models.p2p_trade.states import P2PTradeStatus
from tests.models.p2p_books import move_to
from tests.models.p2p_disputes import TOGETHER, begin, bring
from tests.models.world import World

GUARDED = ("p2p_trades", "p2p_disputes", "p2p_dispute_rulings", "p2p_dispute_history")
DROPPED = ("much_money_needs_two", "two_are_two", "fate_is_whole")
OTHER = "SELECT id FROM p2p_trades WHERE status = 'cancelled'"
OF_ITS_TRADE = (
    "FROM p2p_disputes AS d JOIN p2p_trades AS t ON t.id = d.trade_id WHERE d.id = r.dispute_id AND r.fate ="
)
FORGED = [
    ("trade", "UPDATE p2p_trades SET status = 'payment_sent', deadline_at = now() WHERE status = 'disputed'"),
    ("trade", "UPDATE p2p_trades SET status = 'refunded' WHERE status = 'completed'"),
    ("trade", "UPDATE p2p_trades SET buyer_bps = buyer_bps + 1 WHERE status = 'split'"),
    ("its dispute none", f"UPDATE p2p_disputes SET trade_id = ({OTHER}) WHERE status = 'appealed'"),
    ("trade", "UPDATE p2p_disputes SET buyer_bps = 1 WHERE status = 'settled'"),
    (
        "which is rejected",
        "UPDATE p2p_dispute_rulings SET fate = 'rejected', decided_by = proposed_by WHERE fate = 'alone'",
    ),
    ("which is waiting", "UPDATE p2p_dispute_rulings SET fate = NULL WHERE fate = 'approved'"),
    ("which is alone", "UPDATE p2p_dispute_rulings SET needs_second = true WHERE fate = 'alone'"),
    ("which is approved", "UPDATE p2p_dispute_rulings SET decided_by = proposed_by WHERE fate = 'approved'"),
    ("is closed by ruling", "UPDATE p2p_dispute_rulings SET buyer_bps = 1 WHERE fate = 'alone'"),
    ("which is waiting", "UPDATE p2p_dispute_rulings SET round = 2 WHERE fate = 'approved'"),
    ("one of whom trades", f"UPDATE p2p_dispute_rulings AS r SET proposed_by = t.buyer_id {OF_ITS_TRADE} 'alone'"),
    ("one of whom trades", f"UPDATE p2p_dispute_rulings AS r SET decided_by = t.seller_id {OF_ITS_TRADE} 'approved'"),
    ("its history ends with", "UPDATE p2p_disputes SET version = version + 1 WHERE status = 'open'"),
    ("its history ends with nothing", "DELETE FROM p2p_dispute_history"),
    ("but it was", "UPDATE p2p_dispute_history SET new_status = 'ruled' WHERE version = 1"),
]


class TestLaw:
    async def test_names_every_forged_row(self, world: World) -> None:
        for state in ("open", "appealed", "ruled", "closed", "settled"):
            await bring(await begin(world), state)
        approved = await begin(world)
        await bring(approved, "proposed")
        await approved.approve(1)
        split = await begin(world)
        await split.open()
        await split.accept(split.seller, await split.offer(split.buyer, 5_000))
        waiting = await begin(world)
        await waiting.open()
        await waiting.rule(0, 0, TOGETHER)
        await move_to(world.engine, (await begin(world)).trade.id, P2PTradeStatus.CANCELLED)
        assert {} == await world.broken_laws()
        for table in GUARDED:
            await world.execute_as_owner(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for name in DROPPED:
            await world.execute_as_owner(
                f"ALTER TABLE p2p_dispute_rulings DROP CONSTRAINT p2p_dispute_rulings_{name}"
            )

        async with world.as_owner() as conn:
            for words, statement in FORGED:
                undo = await conn.begin_nested()
                result = await conn.execute(text(statement))
                found = await p2p_disputes_agree.violations(conn)
                await undo.rollback()

                assert result.rowcount, statement
                assert any(words in violation for violation in found), (statement, found)
