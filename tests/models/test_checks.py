"""Each law sees what it is there to see: one row changed by hand, with PostgreSQL's own guards off."""

from pathlib import Path

import pytest
from sqlalchemy import text

from liquida.checks import LAWS, against_the_world
from models.payout.states import PayoutStatus
from models.quote.types import Funding
from payments.protocol import StatementLine
from tests.models.test_pix_withdrawal import give, step, withdraw
from tests.models.world import COIN, World

GUARDED = (
    "ledger_accounts",
    "ledger_postings",
    "ledger_transactions",
    "instant_trades",
    "instant_trade_history",
    "payouts",
    "transfer_transactions",
    "transfer_attempts",
    "trade_outcomes",
    "pix_withdrawals",
    "pix_withdrawal_history",
)


@pytest.fixture
async def world(world: World) -> World:
    """One completed sale, one from custody on its way, one return pending, one withdrawal paid and one on its way; and
    no guard left.
    """
    await world.fund_house()
    done = await world.sell(Funding.DEPOSIT)
    await world.make_final(await world.deposit(done, 2 * COIN))
    await world.advance(done)
    await world.hear(done, PayoutStatus.PAID)
    await world.advance(done)
    await world.give_coins(2 * COIN)
    moving = await world.sell(Funding.CUSTODY)
    await world.top_up(f"{moving}/transfer")
    await world.mine(f"{moving}/transfer")
    await give(world, 3_000)
    paid = await withdraw(world, 1_000)
    await world.hear(paid, PayoutStatus.PAID)
    await step(world, paid)
    await world.submit(await withdraw(world, 2_000))
    for table in GUARDED:
        await world.execute_as_owner(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    return world


EMPTY = """
    INSERT INTO ledger_transactions (key, kind, reference, content_hash, recorded_at)
    VALUES ('x', 'sell', 'x', '\\x00', now())"""
DAMAGE = [
    ("balances_add_up", "UPDATE ledger_accounts SET balance = balance + 1 WHERE purpose = 'available'"),
    ("balances_add_up", "UPDATE ledger_postings SET amount = amount + 1 WHERE balance_after IS NULL"),
    ("balances_add_up", "UPDATE ledger_postings SET balance_after = 0 WHERE balance_after IS NOT NULL"),
    ("balances_add_up", EMPTY),
    ("no_negative", "UPDATE ledger_postings SET balance_after = NULL"),
    ("held_has_owner", "UPDATE instant_trades SET held_units = held_units + 1 WHERE status = 'confirming'"),
    ("held_has_owner", "UPDATE instant_trades SET held_units = 0 WHERE status = 'confirming'"),
    ("held_has_owner", "UPDATE deposit_returns SET amount_units = amount_units - 1"),
    ("held_has_owner", "UPDATE deposit_returns SET status = 'returned'"),
    ("held_has_owner", "UPDATE instant_trades SET status = 'paying_out' WHERE status = 'completed'"),
    ("outcome_is_one", "UPDATE instant_trades SET status = 'refunded' WHERE status = 'completed'"),
    ("outcome_is_one", "UPDATE instant_trades SET status = 'completed' WHERE status = 'confirming'"),
    ("outcome_is_one", "UPDATE payouts SET status = 'rejected'"),
    ("outcome_is_one", "UPDATE trade_outcomes SET voided_at = now()"),
    ("outcome_is_one", "UPDATE trade_outcomes SET outcome = 'refund'"),
    (
        "outcome_is_one",
        "INSERT INTO trade_outcomes (trade_id, outcome) SELECT id, 'payout' FROM instant_trades WHERE held_units > 0",
    ),
    (
        "outcome_is_one",
        "UPDATE transfer_transactions SET trade_id = p.key, purpose = 'refund' FROM payouts AS p WHERE nonce IS NULL",
    ),
    ("no_trade_outlives_its_lock", "UPDATE trade_locks SET expires_at = now() - interval '1 hour'"),
    ("no_trade_outlives_its_lock", "UPDATE trade_locks SET released_at = now()"),
    ("no_trade_outlives_its_lock", "UPDATE trade_locks SET released_at = NULL"),
    ("nonces_have_no_gaps", "UPDATE transfer_transactions SET nonce = nonce + 1"),
    ("nonces_have_no_gaps", "UPDATE system_addresses SET next_nonce = next_nonce + 1"),
    ("nonces_have_no_gaps", "DELETE FROM transfer_attempts"),
    ("history_is_whole", "UPDATE instant_trades SET status = 'expired'"),
    ("history_is_whole", "DELETE FROM instant_trade_history WHERE version = 1"),
    ("history_is_whole", "UPDATE instant_trade_history SET old_status = 'refunding' WHERE old_status = 'paying_out'"),
    ("history_is_whole", "DELETE FROM instant_trade_history"),
    ("history_is_whole", "INSERT INTO transitions VALUES ('payout', 'rejected', 'paid')"),
    ("history_is_whole", "DELETE FROM transitions WHERE noun = 'payout' AND before = 'paid'"),
    ("keys_agree", "UPDATE payouts SET amount_centavos = amount_centavos + 1"),
    ("keys_agree", "UPDATE transfer_transactions SET purpose = 'gas' WHERE purpose = 'custody'"),
    ("keys_agree", "UPDATE ledger_transactions SET key = 'x' || key WHERE kind = 'sell'"),
    ("keys_agree", "UPDATE ledger_transactions SET reference = 'x' WHERE kind = 'sell'"),
    ("keys_agree", "UPDATE deposits SET amount_units = amount_units + 1"),
    ("keys_agree", "UPDATE deposits SET status = 'seen', booked_to = NULL"),
    ("keys_agree", "UPDATE transfer_transactions SET fee_units = fee_units + 1 WHERE status = 'final'"),
    ("keys_agree", "UPDATE deposit_returns SET status = 'credited'"),
    ("keys_agree", "UPDATE transfer_transactions SET return_id = NULL WHERE purpose = 'return'"),
    ("held_has_owner", "UPDATE pix_withdrawals SET amount_centavos = 1 WHERE status = 'paying_out'"),
    ("outcome_is_one", "UPDATE pix_withdrawals SET status = 'refunded' WHERE status = 'completed'"),
    ("outcome_is_one", "UPDATE pix_withdrawals SET status = 'needs_review' WHERE status = 'completed'"),
    ("outcome_is_one", "UPDATE payouts SET status = 'unknown' WHERE withdrawal_id IS NOT NULL"),
    ("no_trade_outlives_its_lock", "UPDATE pix_withdrawals SET deadline_at = now() - interval '1 hour'"),
    ("history_is_whole", "UPDATE pix_withdrawals SET status = 'needs_review' WHERE status = 'paying_out'"),
    ("history_is_whole", "UPDATE pix_withdrawals SET version = version + 1"),
    ("history_is_whole", "DELETE FROM pix_withdrawal_history WHERE version = 1"),
    ("history_is_whole", "UPDATE pix_withdrawal_history SET new_status = 'refunded' WHERE version = 1"),
    ("keys_agree", "UPDATE pix_withdrawals SET provider = 'other'"),
    ("keys_agree", "UPDATE ledger_transactions SET key = reference || '/x' WHERE kind = 'hold'"),
    ("claims_are_covered", "UPDATE ledger_accounts SET purpose = 'pix_reserve' WHERE purpose = 'fees'"),
    ("claims_are_covered", "UPDATE ledger_accounts SET purpose = 'pix_blocked' WHERE purpose = 'fees'"),
]

DAMAGED_ELSEWHERE = {"p2p_trades_are_booked": "test_p2p_trade_laws", "p2p_disputes_agree": "test_p2p_dispute_laws"}
"""Laws of nouns that have a world of their own."""


class TestLaws:
    async def test_hold_before_anything_is_damaged(self, world: World) -> None:
        assert {} == await world.broken_laws()

    async def test_see_every_damage_and_name_the_row(self, world: World) -> None:
        async with world.as_owner() as conn:
            for law, damage in DAMAGE:
                undo = await conn.begin_nested()
                result = await conn.execute(text(damage))
                found = await LAWS[law](conn)
                await undo.rollback()

                assert result.rowcount, damage
                assert found, (law, damage)
                assert all(len(violation) > 20 for violation in found), found

    def test_are_each_damaged_here(self) -> None:
        assert set(LAWS) == {law for law, _ in DAMAGE} | set(DAMAGED_ELSEWHERE)
        assert all((Path(__file__).parent / f"{module}.py").exists() for module in DAMAGED_ELSEWHERE.values())


class TestWorld:
    async def test_agrees_while_things_are_in_flight(self, world: World) -> None:
        assert [] == await world.differences()

    async def test_agrees_to_the_last_unit_at_rest(self, world: World) -> None:
        await self._rest(world)

        assert [] == await world.differences()

    @pytest.mark.parametrize("units", [-1, 1])
    async def test_sees_one_unit_on_chain(self, world: World, units: int) -> None:
        await self._rest(world)
        world.chain.coins[(await self._house(world), None)] += units

        (difference,) = await world.differences()

        assert difference.startswith("ethereum: the chain holds")

    async def test_sees_a_theft_larger_than_what_is_in_flight(self, world: World) -> None:
        world.chain.coins[(await self._house(world), None)] -= 5 * COIN

        assert 1 == len(await world.differences())

    @pytest.mark.parametrize("change", ["never", "twice", "more"])
    async def test_sees_a_payout_that_the_bank_shows_otherwise(self, world: World, change: str) -> None:
        line = world.bank.lines[0]
        other = StatementLine("l", line.key, None, line.amount_centavos - 1, line.time)
        world.bank.lines = {"never": [], "twice": [line, line], "more": [other]}[change]

        found = await world.differences()

        assert any(f"payout {line.key} is paid" in difference for difference in found)
        assert any("the account holds" in difference for difference in found)

    async def test_sees_money_leave_for_no_payout_of_ours(self, world: World) -> None:
        world.bank.write("stranger", -500)

        found = await world.differences()

        assert any("moves -500 centavos for nothing of ours" in difference for difference in found)

    async def test_sees_a_return_that_we_do_not_know_of(self, world: World) -> None:
        line = world.bank.lines[0]
        world.bank.write(line.key or "", -line.amount_centavos)

        assert any("is paid, the bank's lines are" in difference for difference in await world.differences())

    async def test_sees_clearing_moved_by_something_else(self, world: World) -> None:
        await world.execute_as_owner("UPDATE ledger_postings SET amount = amount + 1 WHERE balance_after IS NULL")

        assert any("pix_clearing is" in difference for difference in await world.differences())

    async def test_compares_payouts_from_a_day_on(self, world: World) -> None:
        world.bank.lines = []
        await world.execute("UPDATE payouts SET submitted_at = submitted_at - interval '3 days'")
        since = world.now.date()

        async with world.engine.connect() as conn:
            found = await against_the_world.bank_violations(conn, "sandbox", world.bank, since=since)  # type: ignore[arg-type]

        assert [] == found

    async def _rest(self, world: World) -> None:
        """Whatever moves has arrived and is booked."""
        moving = "SELECT array_agg(key ORDER BY key) FROM transfer_transactions WHERE status IN ('intended', 'mined')"
        for key in await self._list(world, moving):
            await world.finish(key)
        for key in await self._list(world, "SELECT array_agg(id) FROM deposit_returns WHERE status = 'pending'"):
            await world.close_return(key)

    async def _list(self, world: World, statement: str) -> list[str]:
        found = await world.scalar(statement)
        assert isinstance(found, list)
        return found

    async def _house(self, world: World) -> str:
        return str(await world.scalar("SELECT address FROM system_addresses WHERE role = 'house' LIMIT 1"))
