"""At most one of payout and refund: PostgreSQL itself refuses the other one, whatever the program does."""

import pytest
from sqlalchemy.exc import DBAPIError

from models.errors import IllegalTransition
from models.instant_trade.states import NEXT as TRADE_NEXT
from models.instant_trade.states import TradeStatus
from models.payout.states import NEXT, PayoutStatus
from models.quote.types import Funding
from tests.models.world import COIN, World

P = PayoutStatus
REFUND = (
    "INSERT INTO transfer_transactions (key, purpose, trade_id, network_id, asset_id, from_address_id, to_address,"
    " amount_units) SELECT id || '/refund', 'refund', id, network_id, asset_id, source_address_id, refund_address, 1"
    " FROM instant_trades"
)
PAYOUT = (
    "INSERT INTO payouts (key, trade_id, provider, amount_centavos, bank_data_id)"
    " SELECT id, id, 'sandbox', total_centavos, bank_data_id FROM instant_trades"
)
OUTCOME = "INSERT INTO trade_outcomes (trade_id, outcome) SELECT id, :outcome FROM instant_trades"
VOID = "UPDATE trade_outcomes SET voided_at = now()"


@pytest.fixture
async def trade(world: World) -> str:
    """A sale whose payout is ordered."""
    await world.fund_house()
    trade = await world.sell(Funding.DEPOSIT)
    await world.make_final(await world.deposit(trade, COIN))
    await world.advance(trade)
    return trade


class TestOutcome:
    async def test_payout_refuses_a_refund(self, world: World, trade: str) -> None:
        with pytest.raises(DBAPIError, match="no live refund outcome"):
            await world.execute(REFUND)
        with pytest.raises(DBAPIError, match="one_live"):
            await world.execute(OUTCOME, outcome="refund")

    async def test_refund_refuses_a_payout(self, world: World) -> None:
        await world.sell(Funding.DEPOSIT)
        await world.execute(OUTCOME, outcome="refund")

        with pytest.raises(DBAPIError, match="no live payout outcome"):
            await world.execute(PAYOUT)
        with pytest.raises(DBAPIError, match="one_live"):
            await world.execute(OUTCOME, outcome="payout")

    async def test_none_refuses_both(self, world: World) -> None:
        await world.sell(Funding.DEPOSIT)

        for statement in (PAYOUT, REFUND):
            with pytest.raises(DBAPIError, match="no live"):
                await world.execute(statement)

    @pytest.mark.parametrize("status", [P.CREATED, P.SUBMITTED, P.UNKNOWN, P.PROCESSING, P.PAID])
    async def test_payout_is_not_voided_while_money_may_be_outside(self, world: World, trade: str, status: P) -> None:
        if status is P.SUBMITTED:
            await world.submit(trade)
        elif status is not P.CREATED:
            await world.hear(trade, status)

        with pytest.raises(DBAPIError, match="neither rejected nor returned"):
            await world.execute(VOID)

    async def test_payout_is_voided_once_when_it_was_rejected(self, world: World, trade: str) -> None:
        await world.hear(trade, P.REJECTED)

        await world.execute(VOID)

        for statement in (VOID, "UPDATE trade_outcomes SET voided_at = NULL"):
            with pytest.raises(DBAPIError, match="only ever voided"):
                await world.execute(statement)

    async def test_payout_is_voided_when_it_was_returned(self, world: World, trade: str) -> None:
        await world.hear(trade, P.PAID)
        await world.hear(trade, P.RETURNED)

        await world.execute(VOID)

    async def test_refund_is_never_voided(self, world: World) -> None:
        await world.sell(Funding.DEPOSIT)
        await world.execute(OUTCOME, outcome="refund")

        with pytest.raises(DBAPIError, match="no refund"):
            await world.execute(VOID)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE trade_outcomes SET outcome = 'refund'",
            "UPDATE trade_outcomes SET trade_id = 'x', voided_at = now()",
            "DELETE FROM trade_outcomes",
            "TRUNCATE trade_outcomes",
        ],
    )
    async def test_stays_as_it_was_written(self, world: World, trade: str, statement: str) -> None:
        await world.hear(trade, P.REJECTED)

        with pytest.raises(DBAPIError, match=r"only ever voided|permission denied"):
            await world.execute(statement)
        with pytest.raises(DBAPIError, match=r"only ever voided|append-only"):
            await world.execute_as_owner(statement)


class TestPayout:
    @pytest.mark.parametrize(
        "change", ["amount_centavos = amount_centavos + 1", "key = 'other'", "provider = 'other'"]
    )
    async def test_keeps_its_order(self, world: World, trade: str, change: str) -> None:
        with pytest.raises(DBAPIError, match="what was ordered does not change"):
            await world.execute(f"UPDATE payouts SET {change}")

    async def test_is_one_for_each_trade(self, world: World, trade: str) -> None:
        with pytest.raises(DBAPIError, match=r"uq_payouts_trade_id|pk_payouts"):
            await world.execute(PAYOUT)

    async def test_is_never_deleted(self, world: World, trade: str) -> None:
        with pytest.raises(DBAPIError, match="permission denied"):
            await world.execute("DELETE FROM payouts")
        with pytest.raises(DBAPIError, match="append-only"):
            await world.execute_as_owner("DELETE FROM payouts")

    @pytest.mark.parametrize("before", [P.UNKNOWN, P.PROCESSING, P.PAID, P.REJECTED])
    async def test_follows_its_picture_and_no_other(self, world: World, trade: str, before: P) -> None:
        await world.hear(trade, before)

        for after in set(P) - NEXT[before] - {before}:
            with pytest.raises(IllegalTransition):
                await world.hear(trade, after)
            with pytest.raises(DBAPIError, match="payout cannot go"):
                await world.execute("UPDATE payouts SET status = :after", after=str(after))

        assert before is await world.payout_status(trade)

    async def test_keeps_what_is_known_when_less_is_said(self, world: World, trade: str) -> None:
        await world.hear(trade, P.PROCESSING)
        await world.hear(trade, P.PROCESSING)

        assert f"E{trade}" == await world.scalar("SELECT end_to_end_id FROM payouts")

    async def test_cuts_a_providers_long_reason_rather_than_lose_the_word(self, world: World, trade: str) -> None:
        await world.hear(trade, P.REJECTED, "x" * 500)

        assert 100 == await world.scalar("SELECT length(reason) FROM payouts")


class TestTrade:
    async def test_skips_no_state_by_hand(self, world: World, trade: str) -> None:
        for status in set(TradeStatus) - TRADE_NEXT[TradeStatus.PAYING_OUT] - {TradeStatus.PAYING_OUT}:
            with pytest.raises(DBAPIError, match="instant_trade cannot go from paying_out"):
                await world.execute("UPDATE instant_trades SET status = :s", s=str(status))

    async def test_log_is_append_only(self, world: World, trade: str) -> None:
        for statement in ("UPDATE instant_trade_history SET actor = 'x'", "DELETE FROM instant_trade_history"):
            with pytest.raises(DBAPIError, match="permission denied"):
                await world.execute(statement)
            with pytest.raises(DBAPIError, match="append-only"):
                await world.execute_as_owner(statement)
