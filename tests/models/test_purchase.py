"""Purchases in the books: every way through, with every account after it."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from models.errors import IllegalTransition
from models.instant_trade.types import Ruling
from models.pix_refund.states import RefundStatus
from models.receipt.types import Payer
from tests.models.buy_world import BOUGHT, PAY, SOLD, WINDOW, BuyWorld, Reais
from tests.models.world import TERMS

R = RefundStatus
HOUSE_LOSS = Reais(desk=BOUGHT.gross_centavos - PAY, fees=SOLD.fees, network_fees=SOLD.network_fees)
"""The coins were sold, and the bank took the reais back."""


@pytest.fixture
async def world(engine: AsyncEngine) -> BuyWorld:
    return await BuyWorld(engine).begin()


def delivery(trade: str) -> str:
    return f"{trade}/delivery"


async def ends(world: BuyWorld, trade: str, status: str, reais: Reais) -> None:
    """The trade has reached this state, and stays there; every account is as named."""
    assert status == await world.status(trade)
    assert reais == await world.reais()
    await world.advance(trade)
    assert status == await world.status(trade)


class TestPaid:
    async def test_in_full_buys_at_once(self, world: BuyWorld) -> None:
        trade = await world.bought()

        assert "delivering" == await world.status(trade)
        assert Reais(**{**vars(SOLD), "coins_held": BOUGHT.amount_units}) == await world.reais()

    async def test_and_delivered_outside_completes(self, world: BuyWorld) -> None:
        trade = await world.bought()

        await world.finish(delivery(trade))
        await world.advance(trade)

        await ends(world, trade, "completed", SOLD)

    async def test_and_delivered_to_the_platform_is_the_users_balance(self, world: BuyWorld) -> None:
        trade = await world.bought(to=None)

        await world.finish(delivery(trade))
        await world.advance(trade)

        await ends(world, trade, "completed", Reais(**{**vars(SOLD), "coins": BOUGHT.amount_units}))

    async def test_is_held_until_the_trade_looks(self, world: BuyWorld) -> None:
        trade = await world.buy()

        world.pay(trade)
        await world.look(trade)

        assert Reais(bank=PAY, held=PAY) == await world.reais()

    @pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)], ids=str)
    async def test_among_wrong_ones_in_any_order_is_the_one_that_counts(
        self, world: BuyWorld, order: tuple[int, ...]
    ) -> None:
        trade = await world.buy()
        kinds = [(PAY, Payer.SAME), (PAY, Payer.OTHER), (PAY - 1, Payer.SAME)]

        for number in order:
            await world.paid(trade, kinds[number][0], payer=kinds[number][1])
        await world.end_refunds(trade)
        await world.finish(delivery(trade))
        await world.advance(trade)

        await ends(world, trade, "completed", SOLD)
        assert 1 == (await world.receipt_states(trade)).count("credited")

    async def test_twice_counts_once(self, world: BuyWorld) -> None:
        trade = await world.buy()

        for _ in range(3):
            world.pay(trade)
        await world.hears(trade)
        await world.end_refunds(trade)

        expected = ["credited", "refunded: duplicate_payment", "refunded: duplicate_payment"]
        assert expected == await world.receipt_states(trade)
        assert "delivering" == await world.status(trade)

    async def test_shown_again_and_again_is_one_payment(self, world: BuyWorld) -> None:
        trade = await world.bought()

        for _ in range(3):
            await world.hears(trade)

        assert ["credited"] == await world.receipt_states(trade)
        assert SOLD.bank == (await world.reais()).bank

    async def test_at_the_last_moment_counts_though_it_is_shown_late(self, world: BuyWorld) -> None:
        trade = await world.buy()
        at = world.now + timedelta(seconds=WINDOW)
        world.pass_time(TERMS.payment_window_seconds)
        await world.advance(trade)
        assert "confirming_payment: window_over" == await world.status(trade)

        world.pay(trade, at=at)
        world.pass_time(TERMS.payment_leniency_seconds + 60)
        await world.hears(trade)

        assert "delivering" == await world.status(trade)


class TestUnpaid:
    async def test_expires_once_the_bank_was_asked_after_the_end(self, world: BuyWorld) -> None:
        trade = await world.buy()

        world.pass_time(WINDOW - 1)
        await world.hears(trade)
        before = await world.status(trade)
        world.pass_time(1)
        await world.hears(trade)

        assert "confirming_payment: window_over" == before
        await ends(world, trade, "expired: no_payment_in_time", Reais())

    async def test_cancels_as_long_as_nothing_came(self, world: BuyWorld) -> None:
        trade = await world.buy()

        await world.cancel(trade)

        await ends(world, trade, "cancelled: cancelled_by_user", Reais())

    @pytest.mark.parametrize("blocked", [False, True])
    async def test_cancels_no_more_once_something_came(self, world: BuyWorld, blocked: bool) -> None:
        trade = await world.buy()
        world.pay(trade, blocked=blocked)
        await world.look(trade)

        with pytest.raises(IllegalTransition):
            await world.cancel(trade)

    @pytest.mark.parametrize("end", ["cancelled", "expired"])
    async def test_sends_back_what_comes_after_its_end(self, world: BuyWorld, end: str) -> None:
        trade = await world.buy()
        at = world.now
        if end == "cancelled":
            await world.cancel(trade)
        else:
            world.pass_time(WINDOW)
            await world.hears(trade)

        world.pay(trade, at=at)
        world.pay(trade, at=at + timedelta(days=2))
        world.pay(trade, payer=Payer.OTHER)
        await world.hears(trade)
        going = await world.reais()
        await world.end_refunds(trade)

        assert Reais(bank=3 * PAY, pending=3 * PAY) == going
        assert end == (await world.trade(trade)).status
        expected = ["refunded: paid_after_expiry", "refunded: payer_differs", "refunded: trade_over"]
        assert expected == await world.receipt_states(trade)
        assert Reais() == await world.reais()

    async def test_ends_when_the_bank_makes_no_charge(self, world: BuyWorld) -> None:
        trade = await world.order()

        await world.refuse_charge(trade)
        await world.advance(trade)

        await ends(world, trade, "cancelled: charge_refused", Reais())

    async def test_ends_when_nobody_could_make_the_charge_in_time(self, world: BuyWorld) -> None:
        """After an outage longer than the window, the trade's own clock may be first."""
        trade = await world.order()
        world.pass_time(WINDOW)
        await world.advance(trade)

        await world.look(trade)
        await world.advance(trade)

        await ends(world, trade, "expired: charge_refused", Reais())

    @pytest.mark.parametrize("centavos", [PAY, PAY + 1])
    async def test_by_the_right_one_is_refunded(self, world: BuyWorld, centavos: int) -> None:
        trade = await world.buy()
        payer, why = (Payer.SAME, "amount_differs") if centavos != PAY else (Payer.UNKNOWN, "payer_unknown")

        await world.paid(trade, centavos, payer=payer)
        waiting = await world.status(trade)
        world.pass_time(WINDOW)
        await world.hears(trade)
        going = (await world.status(trade), await world.reais())
        await world.end_refunds(trade)
        await world.advance(trade)

        assert "awaiting_payment" == waiting
        assert (f"refunding: {why}", Reais(bank=centavos, pending=centavos)) == going
        await ends(world, trade, f"refunded: {why}", Reais())


class TestBlocked:
    async def test_payment_waits_in_an_account_of_its_own(self, world: BuyWorld) -> None:
        trade = await world.buy()

        world.pay(trade, blocked=True)
        await world.hears(trade)

        assert "confirming_payment: payment_blocked" == await world.status(trade)
        assert Reais(blocked=PAY, pending=PAY) == await world.reais()

    async def test_payment_counts_when_it_is_released_however_late(self, world: BuyWorld) -> None:
        trade = await world.buy()
        pix = world.pay(trade, blocked=True)
        await world.hears(trade)

        world.pass_time(70 * 3600)
        world.release(pix)
        await world.hears(trade)
        await world.finish(delivery(trade))
        await world.advance(trade)

        await ends(world, trade, "completed", SOLD)

    async def test_payment_that_is_taken_back_leaves_time_for_another(self, world: BuyWorld) -> None:
        trade = await world.buy()
        pix = world.pay(trade, blocked=True)
        await world.hears(trade)

        world.take_back(pix)
        await world.hears(trade)
        between = (await world.status(trade), await world.reais())
        await world.paid(trade)

        assert ("confirming_payment: payment_blocked", Reais()) == between
        assert "delivering" == await world.status(trade)
        assert ["credited", "taken_back"] == await world.receipt_states(trade)

    async def test_payment_by_a_stranger_goes_back_when_it_is_released(self, world: BuyWorld) -> None:
        trade = await world.buy()
        pix = world.pay(trade, blocked=True, payer=Payer.OTHER)
        await world.hears(trade)

        world.release(pix)
        await world.hears(trade)
        await world.end_refunds(trade)
        world.pass_time(WINDOW)
        await world.hears(trade)

        await ends(world, trade, "refunded: payer_differs", Reais())

    @pytest.mark.parametrize("ruling", list(Ruling))
    async def test_payment_that_stays_so_is_an_operators(self, world: BuyWorld, ruling: Ruling) -> None:
        trade = await world.buy()
        pix = world.pay(trade, blocked=True)
        await world.hears(trade)
        world.pass_time(TERMS.block_deadline_seconds)
        await world.hears(trade)
        assert "needs_review: payment_still_blocked" == await world.status(trade)
        with pytest.raises(IllegalTransition, match="no payment to rule on"):
            await world.rule(trade, ruling)

        world.release(pix)
        await world.hears(trade)
        assert "needs_review: payment_still_blocked" == await world.status(trade)
        await world.rule(trade, ruling)

        if ruling is Ruling.COMPLETE:
            await ends(
                world,
                trade,
                "delivering: operator_ruling",
                Reais(**{**vars(SOLD), "coins_held": BOUGHT.amount_units}),
            )
        else:
            await world.end_refunds(trade)
            await world.advance(trade)
            await ends(world, trade, "refunded: operator_ruling", Reais())

    async def test_payment_taken_back_in_review_ends_it(self, world: BuyWorld) -> None:
        trade = await world.buy()
        pix = world.pay(trade, blocked=True)
        await world.hears(trade)
        world.pass_time(TERMS.block_deadline_seconds)
        await world.hears(trade)

        world.take_back(pix)
        await world.hears(trade)

        await ends(world, trade, "expired: late_confirmation", Reais())


class TestTakenBack:
    """Of a payment that had been credited, as a lost dispute ends."""

    async def test_before_it_bought_anything_is_nobodys_loss(self, world: BuyWorld) -> None:
        trade = await world.buy()
        pix = world.pay(trade)
        await world.look(trade)

        world.take_back(pix)
        await world.look(trade)
        await world.advance(trade)

        assert "awaiting_payment" == await world.status(trade)
        assert Reais() == await world.reais()

    async def test_before_it_bought_anything_leaves_time_for_another(self, world: BuyWorld) -> None:
        trade = await world.buy()
        pix = world.pay(trade)
        await world.look(trade)
        world.take_back(pix)
        await world.look(trade)

        await world.paid(trade)

        assert "delivering" == await world.status(trade)

    async def test_after_the_delivery_is_the_houses_loss(self, world: BuyWorld) -> None:
        trade = await world.buy()
        pix = await world.paid(trade)
        await world.finish(delivery(trade))
        await world.advance(trade)

        world.take_back(pix)
        await world.hears(trade)

        await ends(world, trade, "completed", HOUSE_LOSS)

    async def test_while_the_delivery_is_on_its_way_is_the_houses_loss(self, world: BuyWorld) -> None:
        trade = await world.buy()
        pix = await world.paid(trade)
        await world.sign(delivery(trade))

        world.take_back(pix)
        await world.hears(trade)
        world.pay(trade)
        await world.hears(trade)
        await world.end_refunds(trade)
        await world.finish(delivery(trade))
        await world.advance(trade)

        await ends(world, trade, "completed", HOUSE_LOSS)

    @pytest.mark.parametrize("is_late", [False, True], ids=["at-once", "in-review"])
    async def test_costs_nothing_where_the_delivery_fails_too(self, world: BuyWorld, is_late: bool) -> None:
        trade = await world.buy()
        pix = await world.paid(trade)
        if is_late:
            world.pass_time(TERMS.chain_timeout_seconds)
            await world.advance(trade)
            assert "needs_review: delivery_not_final_in_time" == await world.status(trade)

        world.take_back(pix)
        await world.hears(trade)
        await world.reject(delivery(trade))
        await world.advance(trade)

        await ends(world, trade, "refunded: payment_taken_back", Reais())


class TestDelivery:
    @pytest.mark.parametrize("way", ["refused", "reverted"])
    async def test_that_fails_sends_the_reais_back(self, world: BuyWorld, way: str) -> None:
        trade = await world.bought()

        if way == "refused":
            await world.reject(delivery(trade))
        else:
            await world.finish(delivery(trade), reverted=True)
        await world.advance(trade)
        going = (await world.status(trade), await world.reais())
        await world.end_refunds(trade)
        await world.advance(trade)

        assert ("refunding: delivery_failed", Reais(bank=PAY, pending=PAY)) == going
        await ends(world, trade, "refunded: delivery_failed", Reais())

    async def test_that_is_late_completes_by_itself(self, world: BuyWorld) -> None:
        trade = await world.bought()
        await world.sign(delivery(trade))
        world.pass_time(TERMS.chain_timeout_seconds)
        await world.advance(trade)
        assert "needs_review: delivery_not_final_in_time" == await world.status(trade)

        await world.nudge(trade)
        await world.finish(delivery(trade))
        await world.advance(trade)

        await ends(world, trade, "completed: late_confirmation", SOLD)

    @pytest.mark.parametrize("ruling", list(Ruling))
    async def test_that_may_arrive_is_not_ruled_on(self, world: BuyWorld, ruling: Ruling) -> None:
        trade = await world.bought()
        await world.sign(delivery(trade))
        world.pass_time(TERMS.chain_timeout_seconds)
        await world.advance(trade)

        with pytest.raises(IllegalTransition, match="the delivery is on its way"):
            await world.rule(trade, ruling)

    async def test_that_nobody_signed_can_be_taken_back_by_ruling(self, world: BuyWorld) -> None:
        trade = await world.bought()
        world.pass_time(TERMS.chain_timeout_seconds)
        await world.advance(trade)

        await world.rule(trade, Ruling.REFUND)
        await world.end_refunds(trade)
        await world.advance(trade)

        await ends(world, trade, "refunded: operator_ruling", Reais())

    async def test_that_fails_in_review_sends_the_reais_back(self, world: BuyWorld) -> None:
        trade = await world.bought()
        await world.sign(delivery(trade))
        world.pass_time(TERMS.chain_timeout_seconds)
        await world.advance(trade)

        await world.finish(delivery(trade), reverted=True)
        await world.advance(trade)
        await world.end_refunds(trade)
        await world.advance(trade)

        await ends(world, trade, "refunded: delivery_failed", Reais())


class TestSilentBank:
    async def test_leaves_a_trade_to_an_operator(self, world: BuyWorld) -> None:
        trade = await world.buy()
        world.pass_time(TERMS.payment_window_seconds)
        await world.advance(trade)

        world.pass_time(TERMS.payment_deadline_seconds)
        await world.advance(trade)

        await ends(world, trade, "needs_review: payment_unknown", Reais())

    async def test_that_speaks_at_last_ends_the_review(self, world: BuyWorld) -> None:
        trade = await self._reviewed(world)

        await world.hears(trade)

        await ends(world, trade, "expired: late_confirmation", Reais())

    @pytest.mark.parametrize("ruling", list(Ruling))
    async def test_that_shows_a_payment_leaves_the_choice_to_an_operator(
        self, world: BuyWorld, ruling: Ruling
    ) -> None:
        trade = await world.buy()
        world.pay(trade)
        world.pass_time(TERMS.payment_window_seconds)
        await world.advance(trade)
        world.pass_time(TERMS.payment_deadline_seconds)
        await world.advance(trade)

        await world.hears(trade)
        chosen = (await world.status(trade), await world.reais())
        await world.rule(trade, ruling)

        assert ("needs_review: payment_unknown", Reais(bank=PAY, held=PAY)) == chosen
        after = {Ruling.COMPLETE: "delivering", Ruling.REFUND: "refunding"}[ruling]
        assert f"{after}: operator_ruling" == await world.status(trade)

    async def test_about_which_an_operator_knows_that_nothing_was_paid(self, world: BuyWorld) -> None:
        """A provider may lose a charge; with evidence, a person ends what no word will end."""
        trade = await self._reviewed(world)

        with pytest.raises(IllegalTransition, match="no payment to rule on"):
            await world.rule(trade, Ruling.COMPLETE)
        await world.rule(trade, Ruling.REFUND)

        await ends(world, trade, "expired: operator_ruling", Reais())

    async def test_does_not_end_a_trade_because_a_stranger_was_refunded(self, world: BuyWorld) -> None:
        """The right payment may still be there, unknown to us."""
        trade = await world.buy()
        await world.paid(trade, payer=Payer.OTHER)
        await world.end_refunds(trade)
        world.pay(trade)

        world.pass_time(TERMS.payment_window_seconds)
        await world.advance(trade)
        world.pass_time(TERMS.payment_deadline_seconds)
        await world.advance(trade)
        unknown = await world.status(trade)
        await world.hears(trade)
        await world.rule(trade, Ruling.COMPLETE)

        assert "needs_review: payment_unknown" == unknown
        assert "delivering: operator_ruling" == await world.status(trade)

    async def test_refunds_a_strangers_payment_once_it_speaks(self, world: BuyWorld) -> None:
        trade = await world.buy()
        await world.paid(trade, payer=Payer.OTHER)
        await world.end_refunds(trade)
        world.pass_time(TERMS.payment_window_seconds)
        await world.advance(trade)
        world.pass_time(TERMS.payment_deadline_seconds)
        await world.advance(trade)

        await world.hears(trade)

        await ends(world, trade, "refunded: payer_differs", Reais())

    async def _reviewed(self, world: BuyWorld) -> str:
        trade = await world.buy()
        world.pass_time(TERMS.payment_window_seconds)
        await world.advance(trade)
        world.pass_time(TERMS.payment_deadline_seconds)
        await world.advance(trade)
        return trade


class TestRefund:
    async def test_that_is_rejected_is_tried_again_until_it_is_done(self, world: BuyWorld) -> None:
        trade = await self._rejected(world)

        await world.nudge(trade)
        again = await world.status(trade)
        await world.end_refunds(trade, R.REJECTED)
        await world.advance(trade)
        twice = await world.status(trade)
        await world.nudge(trade)
        await world.end_refunds(trade)
        await world.advance(trade)

        assert ("refunding: refund_tried_again", "needs_review: refund_rejected") == (again, twice)
        assert [R.REJECTED, R.REJECTED, R.REFUNDED] == [refund.status for refund in await world.refunds(trade)]
        await ends(world, trade, "refunded: delivery_failed", Reais())

    async def test_that_is_rejected_may_be_left_to_the_user(self, world: BuyWorld) -> None:
        trade = await self._rejected(world)

        await world.rule(trade, Ruling.COMPLETE)

        await ends(world, trade, "refunded: operator_ruling", Reais(bank=PAY, available=PAY))

    async def test_that_is_rejected_is_not_ruled_to_be_a_refund(self, world: BuyWorld) -> None:
        trade = await self._rejected(world)

        with pytest.raises(IllegalTransition, match="POST transfer tries it anew"):
            await world.rule(trade, Ruling.REFUND)

    async def test_of_several_payments_may_be_left_to_the_user(self, world: BuyWorld) -> None:
        trade = await world.buy()
        await world.paid(trade, PAY - 1)
        await world.paid(trade, PAY - 2)
        await world.end_refunds(trade, R.REJECTED)
        world.pass_time(WINDOW)
        await world.hears(trade)
        assert "needs_review: refund_rejected" == await world.status(trade)

        await world.rule(trade, Ruling.COMPLETE)

        left = 2 * PAY - 3
        await ends(world, trade, "refunded: operator_ruling", Reais(bank=left, available=left))

    async def test_that_takes_too_long_is_an_operators_until_the_bank_speaks(self, world: BuyWorld) -> None:
        trade = await world.bought()
        await world.reject(delivery(trade))
        await world.advance(trade)
        await world.end_refunds(trade, R.UNKNOWN)
        world.pass_time(TERMS.refund_deadline_seconds)
        await world.advance(trade)
        assert "needs_review: refund_not_done_in_time" == await world.status(trade)

        with pytest.raises(IllegalTransition, match="on its way back"):
            await world.rule(trade, Ruling.COMPLETE)
        await world.end_refunds(trade)
        await world.advance(trade)

        await ends(world, trade, "refunded: late_confirmation", Reais())

    async def test_under_way_takes_no_late_payment_in(self, world: BuyWorld) -> None:
        """In review the trade looks payable, but its one outcome is the refund."""
        trade = await world.buy()
        at = world.now + timedelta(seconds=1)
        await world.paid(trade, payer=Payer.OTHER)
        await world.end_refunds(trade, R.REJECTED)
        world.pass_time(WINDOW)
        await world.hears(trade)
        assert "needs_review: refund_rejected" == await world.status(trade)

        world.pay(trade, at=at)
        await world.hears(trade)
        expected = ["refund_failed: payer_differs", "refunding: trade_over"]
        assert expected == await world.receipt_states(trade)
        await world.end_refunds(trade)
        await world.nudge(trade)
        await world.end_refunds(trade)
        await world.advance(trade)

        await ends(world, trade, "refunded: trade_over", Reais())

    async def test_tried_again_while_the_payment_is_unknown_decides_nothing(self, world: BuyWorld) -> None:
        trade = await world.buy()
        await world.paid(trade, payer=Payer.OTHER)
        await world.end_refunds(trade, R.REJECTED)
        world.pay(trade)
        world.pass_time(TERMS.payment_window_seconds)
        await world.advance(trade)
        world.pass_time(TERMS.payment_deadline_seconds)
        await world.advance(trade)

        await world.nudge(trade)
        await world.end_refunds(trade)
        unknown = await world.status(trade)
        await world.hears(trade)
        await world.rule(trade, Ruling.COMPLETE)

        assert "needs_review: payment_unknown" == unknown
        assert "delivering: operator_ruling" == await world.status(trade)
        assert ["credited", "refunded: payer_differs"] == await world.receipt_states(trade)

    @pytest.mark.parametrize("end", ["completed", "cancelled"])
    async def test_that_is_rejected_after_the_end_is_tried_again(self, world: BuyWorld, end: str) -> None:
        """Nothing else could ever send a stranger's reais back."""
        trade = await world.buy()
        if end == "completed":
            await world.paid(trade)
            await world.finish(delivery(trade))
            await world.advance(trade)
        else:
            await world.cancel(trade)
        world.pay(trade)
        await world.hears(trade)
        await world.end_refunds(trade, R.REJECTED)
        await world.hears(trade)

        await world.nudge(trade)
        await world.end_refunds(trade)

        assert end == (await world.trade(trade)).status
        assert (SOLD if end == "completed" else Reais()) == await world.reais()
        with pytest.raises(IllegalTransition, match="no transfer to look after"):
            await world.nudge(trade)

    async def _rejected(self, world: BuyWorld) -> str:
        trade = await world.bought()
        await world.reject(delivery(trade))
        await world.advance(trade)
        await world.end_refunds(trade, R.REJECTED)
        await world.advance(trade)
        assert "needs_review: refund_rejected" == await world.status(trade)
        return trade
