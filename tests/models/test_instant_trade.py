"""Scenarios of a trade, each from the quote to where it stands; after each all laws hold and the world agrees."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from models.deposit import queries as deposits
from models.deposit.types import ReturnView
from models.errors import IllegalTransition, InsufficientFunds, NotFound, QuoteUsed
from models.instant_trade import queries as trades
from models.instant_trade.types import Ruling
from models.ledger.chart import Purpose
from models.outbox import outbox
from models.payout.states import PayoutStatus as P
from models.quote.types import Funding
from models.transfer.states import TransferStatus
from tests.models.world import COIN, GAS_FEE, POL, TERMS, USDT, Standing, World, address_at, worth

GROSS, SPREAD, FEE, TOTAL = worth(COIN)
WINDOW = TERMS.deposit_window_seconds
CHAIN = TERMS.chain_timeout_seconds
DEADLINE = TERMS.payout_deadline_seconds


@pytest.fixture
async def world(world: World) -> World:
    """Gas and refunds come from the house."""
    await world.fund_house()
    return world


async def waiting(world: World, units: int = COIN) -> str:
    """A sale that waits for its deposit."""
    trade = await world.sell(Funding.DEPOSIT, units)
    await world.advance(trade)
    return trade


async def paying(world: World, units: int = COIN) -> str:
    """A sale whose coins have come and whose payout is ordered."""
    trade = await waiting(world)
    await world.make_final(await world.deposit(trade, units))
    await world.advance(trade)
    return trade


async def completed(world: World) -> str:
    trade = await paying(world)
    await world.hear(trade, P.PAID)
    await world.advance(trade)
    return trade


async def moving(world: World, units: int = 3 * COIN) -> str:
    """A sale from the platform wallet whose transfer is intended."""
    await world.give_coins(units)
    trade = await world.sell(Funding.CUSTODY)
    await world.advance(trade)
    return trade


async def returned(world: World) -> str:
    """A completed sale whose PIX came back, reopened."""
    trade = await completed(world)
    await world.hear(trade, P.RETURNED, "AC03")
    await world.reopen(trade)
    return trade


async def returns_of(world: World, trade: str) -> list[ReturnView]:
    async with world.engine.connect() as conn:
        return await deposits.returns_of_trade(conn, trade)


class TestDepositSale:
    async def test_waits_for_its_deposit(self, world: World) -> None:
        trade = await waiting(world)

        assert Standing("awaiting_deposit") == await world.standing(trade)

    async def test_confirms_what_is_seen_and_books_only_what_is_final(self, world: World) -> None:
        trade = await waiting(world)
        deposit = await world.deposit(trade, COIN)

        await world.advance(trade)
        seen = await world.standing(trade)
        await world.make_final(deposit)
        await world.advance(trade)

        assert Standing("confirming") == seen
        assert Standing("paying_out", brl_held=TOTAL) == await world.standing(trade)

    async def test_is_completed_when_the_pix_is_paid(self, world: World) -> None:
        trade = await completed(world)

        assert Standing("completed") == await world.standing(trade)
        assert 101 * COIN == await world.house(Purpose.DESK)
        assert (-GROSS, SPREAD, FEE, TOTAL) == (
            await world.house(Purpose.DESK, "BRL"),
            await world.house(Purpose.FEES, "BRL"),
            await world.house(Purpose.NETWORK_FEES, "BRL"),
            await world.house(Purpose.PIX_CLEARING, "BRL"),
        )

    async def test_sums_several_deposits(self, world: World) -> None:
        trade = await waiting(world)
        for units in (COIN // 4, COIN // 4, COIN // 2):
            await world.make_final(await world.deposit(trade, units))

        await world.advance(trade)

        assert Standing("paying_out", brl_held=TOTAL) == await world.standing(trade)

    async def test_waits_for_a_top_up_until_the_window_closes(self, world: World) -> None:
        trade = await waiting(world)
        await world.make_final(await world.deposit(trade, COIN // 2))
        await world.advance(trade)
        partly = await world.standing(trade)

        await world.make_final(await world.deposit(trade, COIN // 2))
        await world.advance(trade)

        assert Standing("awaiting_deposit", held=COIN // 2) == partly
        assert Standing("paying_out", brl_held=TOTAL) == await world.standing(trade)

    async def test_is_refunded_when_the_deposits_stay_too_small(self, world: World) -> None:
        trade = await waiting(world)
        await world.make_final(await world.deposit(trade, COIN // 2))
        world.pass_time(WINDOW)

        await world.advance(trade)
        refunding = await world.standing(trade)
        await world.top_up(f"{trade}/refund")
        await world.finish(f"{trade}/refund")
        await world.advance(trade)

        assert Standing("refunding: deposit_too_small", held=COIN // 2) == refunding
        assert Standing("refunded") == await world.standing(trade)

    async def test_credits_deposits_too_small_to_send_back(self, world: World) -> None:
        trade = await waiting(world)
        dust = COIN // 10_000
        await world.make_final(await world.deposit(trade, dust))
        world.pass_time(WINDOW)

        await world.advance(trade)

        assert Standing("refunded", available=dust) == await world.standing(trade)
        assert [] == await world.transfers_of(trade)

    async def test_expires_when_nothing_comes(self, world: World) -> None:
        trade = await waiting(world)
        world.pass_time(WINDOW)

        progress = await world.advance(trade)

        assert Standing("expired: no_deposit_in_time") == await world.standing(trade)
        assert progress.seconds_to_lock is None

    async def test_does_not_expire_a_second_too_early(self, world: World) -> None:
        trade = await waiting(world)
        world.pass_time(WINDOW - 1)

        progress = await world.advance(trade)

        assert Standing("awaiting_deposit") == await world.standing(trade)
        assert 1.0 == pytest.approx(progress.seconds_to_lock)

    async def test_waits_for_deposits_that_came_in_time_to_be_final(self, world: World) -> None:
        trade = await waiting(world)
        deposit = await world.deposit(trade, COIN // 2)
        world.pass_time(WINDOW)
        await world.advance(trade)
        confirming = await world.standing(trade)

        await world.make_final(deposit)
        await world.advance(trade)

        assert Standing("confirming: last_deposits_confirming") == confirming
        assert Standing("refunding: deposit_too_small", held=COIN // 2) == await world.standing(trade)

    async def test_counts_by_the_block_time_and_not_by_when_it_was_read(self, world: World) -> None:
        trade = await waiting(world)
        in_time = world.now + timedelta(seconds=WINDOW)
        world.pass_time(WINDOW + 60)
        await world.make_final(await world.deposit(trade, COIN, at=in_time))

        await world.advance(trade)

        assert Standing("paying_out", brl_held=TOTAL) == await world.standing(trade)

    async def test_returns_the_excess_when_it_is_completed(self, world: World) -> None:
        trade = await paying(world, 3 * COIN)
        before = await world.standing(trade)
        await world.hear(trade, P.PAID)
        await world.advance(trade)
        after = await world.standing(trade)
        (back,) = await returns_of(world, trade)

        await world.top_up(f"return/{back.id}")
        await world.finish(f"return/{back.id}")
        on_the_way = await world.standing(trade)
        await world.close_return(back.id)

        assert Standing("paying_out", held=2 * COIN, brl_held=TOTAL) == before
        assert Standing("completed", held=2 * COIN) == after == on_the_way
        assert ("excess", 2 * COIN) == (back.reason, back.amount_units)
        assert Standing("completed") == await world.standing(trade)

    async def test_credits_an_excess_too_small_to_send_back(self, world: World) -> None:
        trade = await paying(world, COIN + 7)
        await world.hear(trade, P.PAID)

        await world.advance(trade)

        assert Standing("completed", available=7) == await world.standing(trade)

    async def test_is_cancelled_before_anything_came(self, world: World) -> None:
        trade = await waiting(world)

        await world.cancel(trade)
        await world.cancel(trade)

        assert Standing("cancelled: cancelled_by_user") == await world.standing(trade)

    async def test_is_not_cancelled_once_a_deposit_is_seen(self, world: World) -> None:
        trade = await waiting(world)
        await world.deposit(trade, COIN // 2)

        with pytest.raises(IllegalTransition):
            await world.cancel(trade)

        assert Standing("awaiting_deposit") == await world.standing(trade)

    async def test_sends_back_what_comes_after_the_end(self, world: World) -> None:
        trade = await waiting(world)
        await world.cancel(trade)

        await world.make_final(await world.deposit(trade, COIN))
        (back,) = await returns_of(world, trade)
        held = await world.standing(trade)
        await world.top_up(f"return/{back.id}")
        await world.finish(f"return/{back.id}")
        await world.close_return(back.id)

        assert Standing("cancelled: cancelled_by_user", held=COIN) == held
        assert Standing("cancelled: cancelled_by_user") == await world.standing(trade)

    async def test_keeps_a_return_that_the_chain_refuses_for_an_operator(self, world: World) -> None:
        trade = await waiting(world)
        await world.cancel(trade)
        await world.make_final(await world.deposit(trade, COIN))
        (back,) = await returns_of(world, trade)

        await world.reject(f"return/{back.id}")
        await world.close_return(back.id, returned=False)

        assert Standing("cancelled: cancelled_by_user", held=COIN) == await world.standing(trade)
        assert "needs_review" == (await returns_of(world, trade))[0].status

    async def test_sends_back_what_comes_late_while_it_still_runs(self, world: World) -> None:
        trade = await waiting(world)
        await world.deposit(trade, COIN)
        world.pass_time(WINDOW + 1)
        late = await world.deposit(trade, COIN)

        await world.make_final(late)
        await world.advance(trade)

        assert Standing("confirming", held=COIN) == await world.standing(trade)
        assert ["late"] == [back.reason for back in await returns_of(world, trade)]

    async def test_waits_again_when_a_reorg_drops_the_deposit(self, world: World) -> None:
        trade = await waiting(world)
        deposit = await world.deposit(trade, COIN)
        await world.advance(trade)

        await world.drop_block(deposit)
        await world.advance(trade)

        assert Standing("awaiting_deposit: deposits_too_small_so_far") == await world.standing(trade)

    async def test_expires_at_once_when_the_reorg_comes_after_the_window(self, world: World) -> None:
        trade = await waiting(world)
        deposit = await world.deposit(trade, COIN)
        await world.advance(trade)
        world.pass_time(WINDOW + 60)

        await world.drop_block(deposit)
        await world.advance(trade)

        assert Standing("expired: no_deposit_in_time") == await world.standing(trade)

    async def test_asks_an_operator_when_the_chain_stands_still(self, world: World) -> None:
        trade = await waiting(world)
        deposit = await world.deposit(trade, COIN)
        await world.advance(trade)
        world.pass_time(WINDOW + CHAIN)
        await world.advance(trade)
        stuck = await world.standing(trade)
        await world.make_final(deposit)
        await world.advance(trade)
        final = await world.standing(trade)

        await world.rule(trade, Ruling.COMPLETE)

        assert Standing("needs_review: deposit_not_final_in_time") == stuck
        assert Standing("needs_review: deposit_not_final_in_time", held=COIN) == final
        assert Standing("paying_out: operator_ruling", brl_held=TOTAL) == await world.standing(trade)

    @pytest.mark.parametrize(
        ("units", "ends"), [(COIN, "refunding: operator_ruling"), (0, "cancelled: operator_ruling")]
    )
    async def test_goes_back_when_the_operator_says_so(self, world: World, units: int, ends: str) -> None:
        trade = await waiting(world)
        deposit = await world.deposit(trade, COIN)
        await world.advance(trade)
        world.pass_time(WINDOW + CHAIN)
        await world.advance(trade)
        await (world.make_final(deposit) if units else world.drop_block(deposit))

        await world.rule(trade, Ruling.REFUND)

        assert Standing(ends, held=units) == await world.standing(trade)

    async def test_keeps_another_asset_in_suspense(self, world: World) -> None:
        trade = await waiting(world)

        await world.make_final(await world.deposit(trade, 5_000_000, asset=USDT))
        await world.advance(trade)

        assert Standing("awaiting_deposit") == await world.standing(trade)
        assert 5_000_000 == await world.house(Purpose.SUSPENSE, USDT.id)
        assert -5_000_000 == await world.custody(USDT.id)

    async def test_keeps_coins_of_another_network_in_suspense_there(self, world: World) -> None:
        """Networks of one family share addresses, so this mistake is an easy one to make."""
        trade = await waiting(world)
        async with world.engine.connect() as conn:
            from models.wallet import allocate

            here = await world.source(trade)
            (twin,) = (await allocate.by_text(conn, "polygon", [here.address])).values()

        await world.make_final(await world.arrive(twin, COIN, asset=POL))

        assert Standing("awaiting_deposit") == await world.standing(trade)
        assert COIN == await world.house(Purpose.SUSPENSE, POL.id)
        assert -COIN == await world.custody(POL.id, "polygon")


class TestCustodySale:
    async def test_holds_the_coins_at_once(self, world: World) -> None:
        trade = await moving(world)

        assert Standing("transferring", available=2 * COIN, held=COIN) == await world.standing(trade)

    async def test_follows_its_transfer_to_the_end(self, world: World) -> None:
        trade = await moving(world)
        key = f"{trade}/transfer"

        await world.top_up(key)
        await world.mine(key)
        mined = await world.standing(trade)
        await world.finish(key)
        await world.advance(trade)
        final = await world.standing(trade)
        await world.hear(trade, P.PAID)
        await world.advance(trade)

        assert Standing("confirming", available=2 * COIN, held=COIN) == mined
        assert Standing("paying_out", available=2 * COIN, brl_held=TOTAL) == final
        assert Standing("completed", available=2 * COIN) == await world.standing(trade)
        assert -2 * GAS_FEE == await world.house(Purpose.NETWORK_FEES)

    async def test_needs_the_coins(self, world: World) -> None:
        await world.give_coins(COIN - 1)

        with pytest.raises(InsufficientFunds):
            await world.sell(Funding.CUSTODY)

        assert [] == await world.trade_ids()
        assert {} == await world.broken_laws()

    async def test_sells_the_same_coins_once(self, world: World) -> None:
        await world.give_coins(COIN)

        done = await asyncio.gather(*(world.sell(Funding.CUSTODY) for _ in range(5)), return_exceptions=True)

        assert 4 == sum(isinstance(one, InsufficientFunds) for one in done)
        assert 1 == len(await world.trade_ids())
        assert {} == await world.broken_laws()

    async def test_is_cancelled_before_the_signature(self, world: World) -> None:
        trade = await moving(world)

        await world.cancel(trade)

        assert Standing("cancelled: cancelled_by_user", available=3 * COIN) == await world.standing(trade)
        assert TransferStatus.REJECTED is (await world.transfer(f"{trade}/transfer")).status

    async def test_is_not_cancelled_after_the_signature(self, world: World) -> None:
        trade = await moving(world)
        await world.sign(f"{trade}/transfer")

        with pytest.raises(IllegalTransition):
            await world.cancel(trade)

        assert Standing("transferring", available=2 * COIN, held=COIN) == await world.standing(trade)

    async def test_lets_one_of_cancel_and_signature_win(self, world: World) -> None:
        """Whoever is first, the other one is refused: never a cancelled trade with signed bytes."""
        await world.give_coins(10 * COIN)
        sales = [await world.sell(Funding.CUSTODY) for _ in range(6)]

        async def race(trade: str) -> tuple[str, TransferStatus]:
            first, second = world.cancel(trade), world.sign(f"{trade}/transfer")
            await asyncio.gather(first, second, return_exceptions=True)
            return (await world.trade(trade)).status, (await world.transfer(f"{trade}/transfer")).status

        ends = {await race(trade) for trade in sales}

        assert ends <= {("cancelled", TransferStatus.REJECTED), ("transferring", TransferStatus.SIGNED)}
        assert {} == await world.broken_laws()

    async def test_is_cancelled_when_the_chain_refuses_the_transfer(self, world: World) -> None:
        trade = await moving(world)
        await world.reject(f"{trade}/transfer")

        await world.advance(trade)

        assert Standing("cancelled: transfer_not_possible", available=3 * COIN) == await world.standing(trade)

    async def test_is_cancelled_when_the_transfer_reverts(self, world: World) -> None:
        trade = await moving(world)
        key = f"{trade}/transfer"
        await world.top_up(key)
        await world.mine(key, reverted=True)
        mined = await world.standing(trade)

        await world.finish(key, reverted=True)
        await world.advance(trade)

        assert Standing("confirming", available=2 * COIN, held=COIN) == mined
        assert Standing("cancelled: transfer_reverted", available=3 * COIN) == await world.standing(trade)

    async def test_waits_again_when_a_reorg_drops_the_transfer(self, world: World) -> None:
        trade = await moving(world)
        key = f"{trade}/transfer"
        await world.top_up(key)
        await world.mine(key)

        await world.reorg(key)
        dropped = await world.standing(trade)
        await world.finish(key)
        await world.advance(trade)

        back = "transferring: transfer_left_the_chain"
        assert Standing(back, available=2 * COIN, held=COIN) == dropped
        assert Standing("paying_out", available=2 * COIN, brl_held=TOTAL) == await world.standing(trade)

    @pytest.mark.parametrize("is_mined", [False, True])
    async def test_asks_an_operator_when_the_chain_stands_still(self, world: World, is_mined: bool) -> None:
        trade = await moving(world)
        key = f"{trade}/transfer"
        await world.top_up(key)
        if is_mined:
            await world.mine(key)
        world.pass_time(CHAIN)
        await world.advance(trade)
        stuck = await world.standing(trade)

        await world.finish(key)
        await world.advance(trade)
        await world.rule(trade, Ruling.COMPLETE)

        review = "needs_review: transfer_not_final_in_time"
        assert Standing(review, available=2 * COIN, held=COIN) == stuck
        assert Standing("paying_out: operator_ruling", available=2 * COIN, brl_held=TOTAL) == await world.standing(
            trade
        )

    async def test_never_signed_is_released_at_once_by_a_ruling_to_refund(self, world: World) -> None:
        trade = await moving(world)
        world.pass_time(CHAIN)
        await world.advance(trade)

        await world.rule(trade, Ruling.REFUND)

        assert Standing("cancelled: operator_ruling", available=3 * COIN) == await world.standing(trade)

    async def test_is_refunded_to_the_platform_wallet_after_a_ruling(self, world: World) -> None:
        trade = await moving(world)
        world.pass_time(CHAIN)
        await world.advance(trade)
        await world.top_up(f"{trade}/transfer")
        await world.finish(f"{trade}/transfer")
        await world.rule(trade, Ruling.REFUND)
        refunding = await world.standing(trade)

        await world.finish(f"{trade}/refund")
        await world.advance(trade)

        assert Standing("refunding: operator_ruling", available=2 * COIN, held=COIN) == refunding
        assert Standing("refunded", available=3 * COIN) == await world.standing(trade)

    async def test_is_cancelled_in_review_when_the_transfer_reverts_late(self, world: World) -> None:
        trade = await moving(world)
        world.pass_time(CHAIN)
        await world.advance(trade)
        await world.top_up(f"{trade}/transfer")
        await world.finish(f"{trade}/transfer", reverted=True)

        await world.advance(trade)

        assert Standing("cancelled: transfer_reverted", available=3 * COIN) == await world.standing(trade)


class TestPayingOut:
    async def test_is_refunded_when_the_payout_is_rejected(self, world: World) -> None:
        trade = await paying(world)
        await world.hear(trade, P.REJECTED, "AC03")

        await world.advance(trade)
        refunding = await world.standing(trade)
        await world.top_up(f"{trade}/refund")
        await world.finish(f"{trade}/refund")
        await world.advance(trade)

        assert Standing("refunding: payout_rejected", held=COIN) == refunding
        assert Standing("refunded") == await world.standing(trade)
        assert (0, 0, 0) == (
            await world.house(Purpose.DESK, "BRL"),
            await world.house(Purpose.FEES, "BRL"),
            await world.house(Purpose.PIX_CLEARING, "BRL"),
        )

    async def test_refunds_the_excess_together_with_the_amount(self, world: World) -> None:
        trade = await paying(world, 2 * COIN)
        await world.hear(trade, P.REJECTED, "AC03")

        await world.advance(trade)
        await world.top_up(f"{trade}/refund")
        await world.finish(f"{trade}/refund")
        await world.advance(trade)

        assert 2 * COIN == (await world.transfer(f"{trade}/refund")).amount_units
        assert Standing("refunded") == await world.standing(trade)

    @pytest.mark.parametrize("unclear", [P.SUBMITTED, P.UNKNOWN, P.PROCESSING])
    async def test_asks_an_operator_at_the_deadline_and_refunds_nothing(self, world: World, unclear: P) -> None:
        trade = await paying(world)
        await world.hear(trade, unclear)
        world.pass_time(DEADLINE)

        await world.advance(trade)

        expected = Standing("needs_review: payout_outcome_unknown", brl_held=TOTAL)
        assert expected == await world.standing(trade)
        with pytest.raises(IllegalTransition):
            await world.rule(trade, Ruling.REFUND)
        assert expected == await world.standing(trade)

    @pytest.mark.parametrize(
        ("word", "ends"),
        [
            (P.PAID, Standing("completed: late_confirmation")),
            (P.REJECTED, Standing("refunding: payout_rejected", held=COIN)),
        ],
    )
    async def test_believes_a_late_word_of_the_provider(self, world: World, word: P, ends: Standing) -> None:
        trade = await paying(world)
        await world.hear(trade, P.UNKNOWN)
        world.pass_time(DEADLINE)
        await world.advance(trade)

        await world.hear(trade, word)
        await world.advance(trade)

        assert ends == await world.standing(trade)

    @pytest.mark.parametrize("late", [False, True])
    async def test_takes_an_operators_evidence_of_payment(self, world: World, late: bool) -> None:
        trade = await paying(world)
        await world.hear(trade, P.UNKNOWN)
        if late:
            world.pass_time(DEADLINE)
            await world.advance(trade)
        world.bank.write(trade, -TOTAL)

        await world.attest(trade, paid=True)

        assert Standing("completed: late_confirmation" if late else "completed") == await world.standing(trade)
        assert "statement-7" == await world.scalar("SELECT attested->>'evidence' FROM payouts")

    async def test_takes_an_operators_evidence_that_nothing_was_paid(self, world: World) -> None:
        trade = await paying(world)
        await world.hear(trade, P.UNKNOWN)

        await world.attest(trade, paid=False)

        assert Standing("refunding: payout_rejected", held=COIN) == await world.standing(trade)

    async def test_believes_no_evidence_while_the_order_may_just_be_on_its_way(self, world: World) -> None:
        trade = await paying(world)
        await world.submit(trade)

        with pytest.raises(IllegalTransition, match="on its way"):
            await world.attest(trade, paid=False)
        assert Standing("paying_out", brl_held=TOTAL) == await world.standing(trade)

        await world.execute("UPDATE payouts SET submitted_at = submitted_at - interval '91 seconds'")
        await world.attest(trade, paid=False)
        assert Standing("refunding: payout_rejected", held=COIN) == await world.standing(trade)

    async def test_believes_no_evidence_before_the_provider_heard_of_it(self, world: World) -> None:
        trade = await paying(world)

        with pytest.raises(IllegalTransition):
            await world.attest(trade, paid=True)

        assert Standing("paying_out", brl_held=TOTAL) == await world.standing(trade)

    async def test_never_unpays_by_evidence(self, world: World) -> None:
        trade = await paying(world)
        await world.hear(trade, P.PAID)

        with pytest.raises(IllegalTransition):
            await world.attest(trade, paid=False)

        await world.advance(trade)
        assert Standing("completed") == await world.standing(trade)

    async def test_keeps_an_excess_that_comes_while_it_pays(self, world: World) -> None:
        trade = await paying(world)
        await world.make_final(await world.deposit(trade, COIN))
        during = await world.standing(trade)

        await world.hear(trade, P.PAID)
        await world.advance(trade)

        assert Standing("paying_out", held=COIN, brl_held=TOTAL) == during
        assert Standing("completed", held=COIN) == await world.standing(trade)


class TestReturnedPayout:
    async def test_reopens_the_trade(self, world: World) -> None:
        trade = await returned(world)

        await world.reopen(trade)

        assert Standing("needs_review: payout_returned", brl_held=TOTAL) == await world.standing(trade)
        assert 0 == await world.house(Purpose.PIX_CLEARING, "BRL")

    async def test_does_not_reopen_before_the_provider_says_so(self, world: World) -> None:
        trade = await completed(world)

        await world.reopen(trade)

        assert Standing("completed") == await world.standing(trade)

    async def test_becomes_the_users_balance_by_ruling(self, world: World) -> None:
        trade = await returned(world)

        await world.rule(trade, Ruling.COMPLETE)
        ruled = await world.standing(trade)
        await world.reopen(trade)

        assert Standing("completed: operator_ruling", brl_available=TOTAL) == ruled
        assert ruled == await world.standing(trade)

    async def test_gives_the_coins_back_by_ruling(self, world: World) -> None:
        trade = await returned(world)

        await world.rule(trade, Ruling.REFUND)
        refunding = await world.standing(trade)
        await world.top_up(f"{trade}/refund")
        await world.finish(f"{trade}/refund")
        await world.advance(trade)
        await world.reopen(trade)

        assert Standing("refunding: operator_ruling", held=COIN) == refunding
        assert Standing("refunded") == await world.standing(trade)

    async def test_reopens_a_trade_that_an_operator_once_ruled_to_pay_out(self, world: World) -> None:
        """The first ruling was about the deposit; it says nothing about a PIX that comes back."""
        trade = await waiting(world)
        deposit = await world.deposit(trade, COIN)
        await world.advance(trade)
        world.pass_time(WINDOW + CHAIN)
        await world.advance(trade)
        await world.make_final(deposit)
        await world.rule(trade, Ruling.COMPLETE)
        await world.hear(trade, P.PAID)
        await world.advance(trade)
        await world.hear(trade, P.RETURNED, "AC03")

        await world.reopen(trade)
        reopened = await world.standing(trade)
        await world.rule(trade, Ruling.REFUND)

        assert Standing("needs_review: payout_returned", brl_held=TOTAL) == reopened
        assert Standing("refunding: operator_ruling", held=COIN) == await world.standing(trade)

    async def test_completes_first_when_payment_and_return_are_heard_at_once(self, world: World) -> None:
        trade = await paying(world)
        await world.hear(trade, P.PAID)
        await world.hear(trade, P.RETURNED, "AC03")

        await world.reopen(trade)
        first = await world.standing(trade)
        await world.reopen(trade)

        assert Standing("completed") == first
        assert Standing("needs_review: payout_returned", brl_held=TOTAL) == await world.standing(trade)

    @pytest.mark.parametrize(
        ("ruling", "ends"),
        [
            (Ruling.COMPLETE, Standing("completed: operator_ruling", brl_available=TOTAL)),
            (Ruling.REFUND, Standing("refunding: operator_ruling", held=COIN)),
        ],
    )
    async def test_is_ruled_when_it_was_in_review_already(self, world: World, ruling: Ruling, ends: Standing) -> None:
        trade = await paying(world)
        await world.hear(trade, P.UNKNOWN)
        world.pass_time(DEADLINE)
        await world.advance(trade)
        await world.hear(trade, P.PAID)
        await world.hear(trade, P.RETURNED, "AC03")
        await world.advance(trade)
        waits = await world.standing(trade)

        await world.rule(trade, ruling)
        await world.reopen(trade)

        assert Standing("needs_review: payout_outcome_unknown", brl_held=TOTAL) == waits
        assert ends == await world.standing(trade)


class TestRefund:
    async def refunding(self, world: World) -> str:
        trade = await paying(world)
        await world.hear(trade, P.REJECTED, "AC03")
        await world.advance(trade)
        return trade

    async def test_that_fails_is_tried_again_under_a_new_key(self, world: World) -> None:
        trade = await self.refunding(world)
        await world.top_up(f"{trade}/refund")
        await world.finish(f"{trade}/refund", reverted=True)
        await world.advance(trade)
        failed = await world.standing(trade)

        progress = await world.nudge(trade)
        again = await world.standing(trade)
        await world.top_up(f"{trade}/refund/2")
        await world.finish(f"{trade}/refund/2")
        await world.advance(trade)

        assert Standing("needs_review: refund_not_possible", held=COIN) == failed
        assert f"{trade}/refund/2" == progress.refund_key
        assert Standing("refunding: refund_tried_again", held=COIN) == again
        assert Standing("refunded") == await world.standing(trade)

    async def test_that_is_not_final_in_time_is_reviewed_and_not_sent_again(self, world: World) -> None:
        trade = await self.refunding(world)
        await world.top_up(f"{trade}/refund")
        await world.sign(f"{trade}/refund")
        await world.broadcast(f"{trade}/refund")
        world.pass_time(CHAIN)
        await world.advance(trade)
        stuck = await world.standing(trade)

        await world.nudge(trade)
        await world.finish(f"{trade}/refund")
        await world.advance(trade)

        assert Standing("needs_review: refund_not_final_in_time", held=COIN) == stuck
        assert Standing("refunded: late_confirmation") == await world.standing(trade)
        assert ["refund"] == [one.purpose for one in await world.transfers_of(trade) if one.purpose != "gas"]

    async def test_cannot_be_ruled_away(self, world: World) -> None:
        trade = await self.refunding(world)
        await world.reject(f"{trade}/refund")
        await world.advance(trade)

        with pytest.raises(IllegalTransition):
            await world.rule(trade, Ruling.COMPLETE)

        assert Standing("needs_review: refund_not_possible", held=COIN) == await world.standing(trade)

    async def test_returns_what_comes_meanwhile_when_it_ends(self, world: World) -> None:
        trade = await waiting(world)
        await world.make_final(await world.deposit(trade, COIN // 2))
        in_time = world.now
        world.pass_time(WINDOW)
        await world.advance(trade)
        await world.make_final(await world.deposit(trade, COIN // 4, at=in_time))
        both = await world.standing(trade)

        await world.top_up(f"{trade}/refund")
        await world.finish(f"{trade}/refund")
        await world.advance(trade)

        assert Standing("refunding: deposit_too_small", held=COIN * 3 // 4) == both
        assert Standing("refunded", held=COIN // 4) == await world.standing(trade)
        assert ["excess"] == [back.reason for back in await returns_of(world, trade)]


class TestTrade:
    async def test_of_one_quote_is_one(self, world: World) -> None:
        quote = await world.quote(Funding.DEPOSIT, COIN)

        done = await asyncio.gather(*(world.accept(quote) for _ in range(20)), return_exceptions=True)

        assert 19 == sum(isinstance(one, QuoteUsed) for one in done)
        assert 1 == len(await world.trade_ids())

    async def test_needs_the_users_own_bank_data(self, world: World) -> None:
        _, theirs = await world.join("bia@example.com")
        world.bank_data_id = theirs

        with pytest.raises(NotFound):
            await world.sell(Funding.DEPOSIT)

    async def test_is_found_by_its_user_alone(self, world: World) -> None:
        trade = await waiting(world)
        stranger, _ = await world.join("bia@example.com")

        async with world.engine.connect() as conn:
            with pytest.raises(NotFound):
                await trades.trade(conn, trade, user_id=stranger)
            found = await trades.trade(conn, trade, user_id=world.user_id)

        assert trade == found.id

    async def test_advances_once_however_many_ask(self, world: World) -> None:
        trade = await waiting(world)
        await world.make_final(await world.deposit(trade, COIN))

        await asyncio.gather(*(world.advance(trade) for _ in range(8)))

        assert Standing("paying_out", brl_held=TOTAL) == await world.standing(trade)

    async def test_starts_its_workflow_once_with_its_terms(self, world: World) -> None:
        trade = await waiting(world)

        async with world.engine.connect() as conn:
            (row,) = await conn.execute(select(outbox).where(outbox.c.kind == "start"))

        assert f"otc-sell/{trade}" == row.workflow_id
        assert TERMS.provider == row.body["input"]["terms"]["provider"]
        assert str(TOTAL) == str(row.body["attributes"]["AmountCents"])

    async def test_keeps_every_change_in_its_log(self, world: World) -> None:
        trade = await completed(world)

        async with world.engine.connect() as conn:
            log = await trades.history(conn, trade)

        assert ["awaiting_deposit", "paying_out", "completed"] == [
            line.new_status for line in log if line.new_status not in {line.old_status, "confirming"}
        ]

    async def test_pages_from_the_newest(self, world: World) -> None:
        made = [await waiting(world) for _ in range(5)]

        async with world.engine.connect() as conn:
            first = await trades.trades_of(conn, world.user_id, limit=3, cursor=None)
            second = await trades.trades_of(conn, world.user_id, limit=3, cursor=first.next_cursor)

        assert made[::-1] == [trade.id for trade in (*first.trades, *second.trades)]
        assert second.next_cursor is None

    async def test_that_outlives_a_lock_is_found(self, world: World) -> None:
        await waiting(world)
        world.pass_time(-WINDOW - 10)
        forgotten = await world.sell(Funding.DEPOSIT)

        async with world.engine.connect() as conn:
            found = await trades.outlived(conn, grace_seconds=5)

        assert [forgotten] == found

    async def test_of_one_user_never_waits_crosswise(self, world: World) -> None:
        """Several of the user's accounts move in one transaction: all in the same order, whatever the story."""
        await world.give_coins(20 * COIN)
        deposit_sales = [await paying(world, COIN + 7) for _ in range(4)]
        custody_sales = [await world.sell(Funding.CUSTODY) for _ in range(4)]
        for trade in deposit_sales:
            await world.hear(trade, P.PAID)

        await asyncio.gather(
            *(world.advance(trade) for trade in deposit_sales),
            *(world.cancel(trade) for trade in custody_sales),
            *(world.sell(Funding.CUSTODY) for _ in range(2)),
        )

        assert {} == await world.broken_laws()

    async def test_keeps_its_address_for_itself(self, world: World) -> None:
        trade = await waiting(world)

        source = await world.source(trade)

        assert (trade, "trade") == (source.trade_id, source.role)
        assert address_at(0) != source.address
