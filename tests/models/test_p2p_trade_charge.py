"""P2P trades paid by PIX at our own provider: the receipt, checked by machine, releases the coins, or goes back."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from models.charge import queries as charges
from models.errors import DocumentMissing, IllegalTransition, LimitExceeded
from models.p2p_order.types import Settlement
from models.p2p_trade import queries as trades
from models.p2p_trade.rules import BLOCK_MOST
from models.p2p_trade.states import P2PTradeStatus as S
from models.p2p_trade.steps import take
from models.p2p_trade.types import Command, Step
from models.receipt.states import ReceiptStatus
from models.receipt.types import Payer
from models.reputation import queries as reputations
from tests.models.p2p_market import Market
from tests.models.p2p_world import PAID, RULES, SELLER_PAYS, TAKE, WINDOW, Purse
from tests.models.world import TERMS

FEE = TAKE * 200 // 10_000
HELD, FREE = Purse(coins=-TAKE, coins_held=TAKE), Purse()
SOLD, BOUGHT = Purse(coins=-TAKE, reais=PAID), Purse(coins=TAKE - FEE)
HEARD = WINDOW + TERMS.payment_leniency_seconds
"""When the bank is asked so long after the opening, nothing paid in time can still turn up."""


@pytest.fixture
async def market(engine: AsyncEngine) -> Market:
    return await Market(engine).begin()


class TestExpiry:
    @pytest.mark.parametrize("payable", [True, False], ids=["payable", "never-payable"])
    async def test_counts_against_the_buyer_only_if_there_was_something_to_pay(
        self, market: Market, payable: bool
    ) -> None:
        trade_id = await market.open(Settlement.CHARGE)
        if payable:
            await market.hear(trade_id)
        async with market.engine.begin() as conn:
            trade = await trades.trade(conn, trade_id, lock=True)
            await take(conn, trade, Step(S.EXPIRED, "not_paid_in_time"), actor="system", now=market.now)

        async with market.engine.connect() as conn:
            found = (await reputations.of_users(conn, [market.buyer]))[market.buyer]

        assert (0 if payable else None) == found.completion_bps


class TestPayment:
    async def test_by_the_buyer_and_of_the_amount_completes_the_trade(self, market: Market) -> None:
        trade_id = await market.open_charge()

        pix = await market.gets(trade_id)

        assert (SOLD, BOUGHT) == await market.purses()
        assert FEE == await market.fees()
        assert [("open", None, "buyer"), ("completed", "pix_received", "system")] == await market.log(trade_id)
        assert pix == await market.scalar("SELECT details->>'end_to_end_id' FROM p2p_trade_history WHERE version = 2")
        assert "p2p_trade_pix_received" in await market.notices(market.seller)
        assert {} == await market.broken_laws()

    async def test_leaves_the_commission_to_who_agreed_to_pay_it(self, market: Market) -> None:
        trade_id = await market.open_charge(rules=SELLER_PAYS)

        await market.gets(trade_id)

        assert (Purse(coins=-TAKE - FEE, reais=PAID), Purse(coins=TAKE)) == await market.purses()
        assert {} == await market.broken_laws()

    @pytest.mark.parametrize(
        ("centavos", "payer", "reason"),
        [
            (PAID, Payer.OTHER, "payer_differs"),
            (PAID, Payer.UNKNOWN, "payer_unknown"),
            (PAID - 1, Payer.SAME, "amount_differs"),
            (PAID + 1, Payer.SAME, "amount_differs"),
        ],
    )
    async def test_of_another_kind_goes_back_and_the_trade_goes_on(
        self, market: Market, centavos: int, payer: Payer, reason: str
    ) -> None:
        trade_id = await market.open_charge()

        await market.gets(trade_id, centavos, payer=payer)

        assert [("refunding", reason)] == await market.receipts(trade_id)
        assert (HELD, FREE) == await market.purses()
        await market.desk.end_refunds(trade_id)
        await market.gets(trade_id)
        assert S.COMPLETED is (await market.read(trade_id)).status
        assert (SOLD, BOUGHT) == await market.purses()
        assert {} == await market.broken_laws()

    async def test_made_twice_goes_back_once(self, market: Market) -> None:
        trade_id = await market.open_charge()
        await market.gets(trade_id)

        market.now += timedelta(seconds=1)
        await market.gets(trade_id)

        assert [("credited", None), ("refunding", "duplicate_payment")] == await market.receipts(trade_id)
        assert (SOLD, BOUGHT) == await market.purses()
        assert {} == await market.broken_laws()

    async def test_after_the_buyer_gave_up_goes_back(self, market: Market) -> None:
        trade_id = await market.open_charge()
        await market.give_up(trade_id)

        await market.gets(trade_id)

        assert [("refunding", "trade_over")] == await market.receipts(trade_id)
        assert (FREE, FREE) == await market.purses()
        assert {} == await market.broken_laws()


class TestWindow:
    async def test_that_runs_out_ends_the_trade_only_when_the_bank_was_asked_after_it(self, market: Market) -> None:
        trade_id = await market.open_charge()

        late = await market.wait(trade_id, HEARD + 1)
        assert S.OPEN is late.status
        assert "the bank" in late.waits_for
        assert late.seconds_to_next is None
        await market.hear(trade_id)

        assert S.EXPIRED is (await market.read(trade_id)).status
        assert (FREE, FREE) == await market.purses()
        assert {} == await market.broken_laws()

    async def test_is_kept_by_a_payment_that_was_stamped_in_it_and_heard_of_later(self, market: Market) -> None:
        trade_id = await market.open_charge()
        market.desk.pay(trade_id, PAID)

        await market.wait(trade_id, HEARD + 60)
        await market.hear(trade_id)

        assert S.COMPLETED is (await market.read(trade_id)).status
        assert {} == await market.broken_laws()

    async def test_is_over_at_last_where_the_bank_stays_dark(self, market: Market) -> None:
        trade_id = await market.open_charge()
        async with market.engine.connect() as conn:
            charge = await charges.charge(conn, trade_id)
        assert charge is not None

        market.now = charge.watched_until
        await market.look(trade_id)

        assert S.EXPIRED is (await market.read(trade_id)).status

    async def test_does_not_begin_where_the_bank_makes_no_charge(self, market: Market) -> None:
        trade_id = await market.open(Settlement.CHARGE)

        await market.desk.refuse_charge(trade_id)
        await market.look(trade_id)

        assert ("cancelled", "charge_refused", "system") == (await market.log(trade_id))[-1]
        assert (FREE, FREE) == await market.purses()
        assert {} == await market.broken_laws()


class TestBlock:
    async def test_keeps_the_coins_held_and_releases_them_when_it_is_lifted(self, market: Market) -> None:
        trade_id = await market.open_charge()

        pix = await market.gets(trade_id, blocked=True)
        await market.wait(trade_id, HEARD + 1)
        assert ("payment_sent", "payment_blocked", "system") == (await market.log(trade_id))[-1]
        for command, who in ((Command.CONFIRM_PAYMENT, market.seller), (Command.DISPUTE, market.buyer)):
            with pytest.raises(IllegalTransition, match="the bank"):
                await market.say(trade_id, command, by=who)
        market.desk.release(pix)
        await market.hear(trade_id)

        assert (SOLD, BOUGHT) == await market.purses()
        assert {} == await market.broken_laws()

    async def test_that_ends_at_the_payers_leaves_time_to_pay_again(self, market: Market) -> None:
        trade_id = await market.open_charge()
        pix = await market.gets(trade_id, blocked=True)

        market.desk.take_back(pix)
        await market.hear(trade_id)

        assert ("open", "payment_went_back", "system") == (await market.log(trade_id))[-1]
        await market.gets(trade_id)
        assert (SOLD, BOUGHT) == await market.purses()
        assert {} == await market.broken_laws()

    async def test_that_never_ends_opens_a_dispute_which_its_end_still_settles(self, market: Market) -> None:
        trade_id = await market.open_charge()
        pix = await market.gets(trade_id, blocked=True)

        await market.wait(trade_id, BLOCK_MOST.total_seconds())
        assert ("disputed", "block_not_lifted", "system") == (await market.log(trade_id))[-1]
        market.desk.release(pix)
        await market.hear(trade_id)

        assert ("completed", "pix_received", "system") == (await market.log(trade_id))[-1]
        assert (SOLD, BOUGHT) == await market.purses()
        assert {} == await market.broken_laws()

    async def test_that_ends_at_the_payers_in_a_dispute_gives_the_coins_back(self, market: Market) -> None:
        trade_id = await market.open_charge()
        pix = await market.gets(trade_id, blocked=True)
        await market.wait(trade_id, BLOCK_MOST.total_seconds())

        market.desk.take_back(pix)
        await market.hear(trade_id)

        assert ("refunded", "payment_went_back", "system") == (await market.log(trade_id))[-1]
        assert (FREE, FREE) == await market.purses()
        assert {} == await market.broken_laws()

    @pytest.mark.parametrize("bps", [10_000, 5_000, 1])
    async def test_leaves_no_ruling_but_that_the_coins_go_back(self, market: Market, bps: int) -> None:
        trade_id = await market.open_charge()
        await market.gets(trade_id, blocked=True)
        await market.wait(trade_id, BLOCK_MOST.total_seconds())

        with pytest.raises(IllegalTransition, match="receipt alone"):
            await market.decide(trade_id, bps)
        assert S.DISPUTED is (await market.read(trade_id)).status

    async def test_lifted_after_a_ruling_sends_the_reais_back(self, market: Market) -> None:
        trade_id = await market.open_charge()
        pix = await market.gets(trade_id, blocked=True)
        await market.wait(trade_id, BLOCK_MOST.total_seconds())

        await market.decide(trade_id, 0)
        market.desk.release(pix)
        await market.hear(trade_id)

        assert [("refunding", "trade_over")] == await market.receipts(trade_id)
        assert (FREE, FREE) == await market.purses()
        assert {} == await market.broken_laws()

    @pytest.mark.parametrize(("cents_more", "seconds_late"), [(1, 0), (0, HEARD + 1)], ids=["amount", "time"])
    async def test_of_what_cannot_pay_keeps_nothing_waiting(
        self, market: Market, cents_more: int, seconds_late: float
    ) -> None:
        trade_id = await market.open_charge()
        market.now += timedelta(seconds=seconds_late)

        await market.gets(trade_id, PAID + cents_more, blocked=True)

        assert (S.EXPIRED if seconds_late else S.OPEN) is (await market.read(trade_id)).status
        assert {} == await market.broken_laws()


class TestCrowd:
    async def test_of_pairs_that_sell_to_each_other_waits_for_nobody_crosswise(self, market: Market) -> None:
        for _ in range(4):
            one = await market.open_charge()
            offer = await market.offer(maker=market.buyer, method_ids=[], settlements=["charge"])
            other = await market.take(offer, by=market.seller, settlement=Settlement.CHARGE)
            await market.hear(other)
            for trade_id in (one, other):
                market.desk.pay(trade_id, PAID)

            await asyncio.gather(market.hear(one), market.hear(other))

            assert {S.COMPLETED} == {(await market.read(trade_id)).status for trade_id in (one, other)}
        assert {} == await market.broken_laws()

    async def test_credits_and_releases_in_one_word_to_the_ledger(self, market: Market) -> None:
        """The ledger orders the locks of one call, not those of two."""
        trade_id = await market.open_charge()
        pix = await market.gets(trade_id)
        keys = "SELECT key FROM ledger_transactions WHERE reference = :id ORDER BY id DESC LIMIT 2"

        async with market.engine.connect() as conn:
            newest = list((await conn.execute(text(keys), {"id": trade_id})).scalars())

        receipt = await market.scalar(f"SELECT id FROM pix_receipts WHERE end_to_end_id = '{pix}'")
        assert [f"{trade_id}/outcome", f"receipt/{receipt}/credit"] == newest


class TestTakenBack:
    async def test_after_the_release_is_the_houses_loss_and_never_the_sellers(self, market: Market) -> None:
        trade_id = await market.open_charge()
        pix = await market.gets(trade_id)

        market.desk.take_back(pix)
        await market.hear(trade_id)

        assert [(ReceiptStatus.TAKEN_BACK, None)] == await market.receipts(trade_id)
        assert (SOLD, BOUGHT) == await market.purses()
        assert {} == await market.broken_laws()


class TestLimit:
    async def test_is_the_houses_risk(self, market: Market) -> None:
        """Reais that a bank takes back after the release are the house's loss."""
        rules = replace(RULES, charge_most_centavos=PAID - 1)

        with pytest.raises(LimitExceeded, match=r"R\$ 1499\.99 at most"):
            await market.open(Settlement.CHARGE, rules=rules)
        await market.open(Settlement.BALANCE, rules=rules)


class TestBuyer:
    async def test_whom_nobody_has_verified_cannot_pay_so(self, market: Market) -> None:
        async with market.as_owner() as conn:
            await conn.execute(text("DELETE FROM user_documents WHERE user_id = :buyer"), {"buyer": market.buyer})

        with pytest.raises(DocumentMissing):
            await market.open(Settlement.CHARGE)
        assert (FREE, FREE) == await market.purses()


class TestDatabase:
    async def test_releases_nothing_for_a_pix_that_is_not_credited(self, market: Market) -> None:
        trade_id = await market.open_charge()
        released = "UPDATE p2p_trades SET status = 'completed', reason = 'pix_received', ended_at = now(), deadline_at = NULL"

        with pytest.raises(DBAPIError, match="no PIX for P2P trade"):
            await market.execute(released)

        await market.gets(trade_id, PAID - 1)
        with pytest.raises(DBAPIError, match="no PIX for P2P trade"):
            await market.execute(released)

    async def test_makes_no_charge_for_another_amount(self, market: Market) -> None:
        trade_id = await market.open(Settlement.DIRECT)

        with pytest.raises(DBAPIError, match="waits for this charge"):
            await market.execute(
                "INSERT INTO charges (key, user_id, p2p_trade_id, provider, amount_centavos, expires_at, accepts_until,"
                " watched_until) SELECT id, buyer_id, id, 'sandbox', total_centavos, now(), now(), now() FROM p2p_trades"
                f" WHERE id = '{trade_id}'"
            )
