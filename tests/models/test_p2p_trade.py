"""P2P trades: every path of the state machine, and the books after each; one end each, whoever comes at once."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any, ClassVar

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from models.errors import (
    Forbidden,
    IllegalTransition,
    InsufficientFunds,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PriceUnavailable,
    TakeRefused,
)
from models.p2p_block import writes as blocks
from models.p2p_order.types import Settlement, Tier
from models.p2p_trade import queries
from models.p2p_trade.division import divide
from models.p2p_trade.party import Party
from models.p2p_trade.rules import SENTENCES, UNDONE_MOST, Refusal, judge, next_step, refuse, wakes_at
from models.p2p_trade.states import ENDED, NEXT, P2PTradeStatus
from models.p2p_trade.types import Command, Outcome, P2PTrade, Step
from models.payment_method.types import MethodKind
from models.quote.types import Side
from tests.models.p2p_world import COINS, CONFIRM, PAID, RULES, SELLER_PAYS, TAKE, WINDOW, P2PWorld, Purse
from tests.models.world import COIN, ETH

S, C, P, R, T = P2PTradeStatus, Command, Party, Refusal, Settlement
BOTH = [T.BALANCE, T.DIRECT]
FEE = TAKE * 200 // 10_000
FREE = (Purse(), Purse())
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
async def world(engine: AsyncEngine) -> P2PWorld:
    return await P2PWorld(engine).begin()


def trade(**other: Any) -> P2PTrade:
    """A trade in memory, for rules that need one."""
    values: dict[str, Any] = {
        "id": "t",
        "reference": "P2P-2026-000001",
        "order_id": "o",
        "terms_version": 1,
        "maker_id": "s",
        "seller_id": "s",
        "buyer_id": "b",
        "asset_id": ETH.id,
        "units": TAKE,
        "price": Decimal(15000),
        "total_centavos": PAID,
        "fee_bps": 200,
        "fee_units": FEE,
        "fee_payer": P.BUYER,
        "settlement": T.DIRECT,
        "method_id": "m",
        "status": S.OPEN,
        "version": 1,
        "reason": None,
        "buyer_bps": None,
        "window_seconds": WINDOW,
        "confirm_seconds": CONFIRM,
        "deadline_at": NOW + timedelta(seconds=WINDOW),
        "paid_at": None,
        "reminded_at": None,
        "ended_at": None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return P2PTrade(**values | other)


class TestJudge:
    """The whole table, written down a second time, by what each party may want."""

    BUYER: ClassVar[dict[tuple[S, C], S | R]] = {
        (S.OPEN, C.PAYMENT_SENT): S.PAYMENT_SENT,
        (S.OPEN, C.UNDO_PAYMENT_SENT): R.NOTHING_TO_UNDO,
        (S.OPEN, C.CANCEL): S.CANCELLED,
        (S.OPEN, C.DISPUTE): R.NOTHING_TO_DISPUTE,
        (S.PAYMENT_SENT, C.PAYMENT_SENT): R.PAYMENT_SENT_BEFORE,
        (S.PAYMENT_SENT, C.UNDO_PAYMENT_SENT): S.OPEN,
        (S.PAYMENT_SENT, C.CANCEL): S.CANCELLED,
        (S.PAYMENT_SENT, C.DISPUTE): S.DISPUTED,
        (S.DISPUTED, C.PAYMENT_SENT): R.IN_DISPUTE,
        (S.DISPUTED, C.UNDO_PAYMENT_SENT): R.IN_DISPUTE,
        (S.DISPUTED, C.CANCEL): S.REFUNDED,
        (S.DISPUTED, C.DISPUTE): R.IN_DISPUTE,
    }
    SELLER: ClassVar[dict[tuple[S, C], S | R]] = {
        (S.OPEN, C.CONFIRM_PAYMENT): R.NOT_PAID_YET,
        (S.OPEN, C.CANCEL): R.BUYER_MAY_BE_PAYING,
        (S.OPEN, C.DISPUTE): R.NOTHING_TO_DISPUTE,
        (S.PAYMENT_SENT, C.CONFIRM_PAYMENT): S.COMPLETED,
        (S.PAYMENT_SENT, C.CANCEL): R.PAYMENT_CLAIMED,
        (S.PAYMENT_SENT, C.DISPUTE): S.DISPUTED,
        (S.DISPUTED, C.CONFIRM_PAYMENT): S.COMPLETED,
        (S.DISPUTED, C.CANCEL): R.IN_DISPUTE,
        (S.DISPUTED, C.DISPUTE): R.IN_DISPUTE,
    }
    OTHERWISE: ClassVar[dict[tuple[T, S, C, P], S | R]] = {
        (T.BALANCE, S.OPEN, C.PAYMENT_SENT, P.BUYER): S.COMPLETED,
        (T.BALANCE, S.OPEN, C.CANCEL, P.SELLER): S.CANCELLED,
        **dict.fromkeys(
            (
                (T.CHARGE, S.OPEN, C.PAYMENT_SENT, P.BUYER),
                (T.CHARGE, S.PAYMENT_SENT, C.UNDO_PAYMENT_SENT, P.BUYER),
                (T.CHARGE, S.PAYMENT_SENT, C.CONFIRM_PAYMENT, P.SELLER),
                (T.CHARGE, S.PAYMENT_SENT, C.DISPUTE, P.BUYER),
                (T.CHARGE, S.PAYMENT_SENT, C.DISPUTE, P.SELLER),
                (T.CHARGE, S.DISPUTED, C.CONFIRM_PAYMENT, P.SELLER),
            ),
            R.PAYMENT_IS_WATCHED,
        ),
    }

    def expected(self, status: S, command: C, party: P, settlement: T) -> S | R:
        own = self.BUYER if party is P.BUYER else self.SELLER
        if not any(command is known for _, known in own):
            return R.NOT_YOUR_PART
        if status in ENDED:
            return R.TRADE_OVER
        return self.OTHERWISE.get((settlement, status, command, party), own[status, command])

    @pytest.mark.parametrize("settlement", list(T))
    @pytest.mark.parametrize("party", list(P))
    @pytest.mark.parametrize("command", list(C))
    @pytest.mark.parametrize("status", list(S))
    def test_answers_every_state_command_party_and_settlement(
        self, status: S, command: C, party: P, settlement: T
    ) -> None:
        expected = self.expected(status, command, party, settlement)

        for is_late, undone in product((False, True), (0, UNDONE_MOST - 1, UNDONE_MOST)):
            found = judge(status, command, party, settlement, is_late=is_late, undone=undone)

            outcome = found.status if isinstance(found, Step) else found
            if is_late and isinstance(expected, S) and (status, command) == (S.OPEN, C.PAYMENT_SENT):
                assert R.WINDOW_OVER == outcome
            elif undone == UNDONE_MOST and isinstance(expected, S) and command is C.UNDO_PAYMENT_SENT:
                assert R.UNDONE_TOO_OFTEN == outcome
            else:
                assert expected == outcome
            if isinstance(found, Step):
                assert found.status in NEXT[status]

    def test_has_a_sentence_for_every_refusal(self) -> None:
        assert set(R) == set(SENTENCES)
        for refusal in R:
            error = refuse(refusal, S.EXPIRED)
            assert 403 if refusal is R.NOT_YOUR_PART else 409 == error.status
            assert "{" not in error.detail


class TestClock:
    @pytest.mark.parametrize(
        ("other", "seconds", "expected"),
        [
            ({}, WINDOW - 1, None),
            ({}, WINDOW, Step(S.EXPIRED, "not_paid_in_time")),
            ({"status": S.PAYMENT_SENT}, WINDOW - CONFIRM / 2 - 1, None),
            ({"status": S.PAYMENT_SENT}, WINDOW - CONFIRM / 2, Step(S.PAYMENT_SENT, "seller_reminded")),
            ({"status": S.PAYMENT_SENT, "reminded_at": NOW}, WINDOW - 1, None),
            ({"status": S.PAYMENT_SENT}, WINDOW, Step(S.DISPUTED, "confirmation_window_over")),
            ({"status": S.PAYMENT_SENT, "reminded_at": NOW}, WINDOW, Step(S.DISPUTED, "confirmation_window_over")),
            *(({"status": status, "deadline_at": None}, 10**8, None) for status in sorted(ENDED | {S.DISPUTED})),
        ],
    )
    def test_alone_expires_reminds_and_opens_disputes(
        self, other: dict[str, Any], seconds: float, expected: Step | None
    ) -> None:
        now = NOW + timedelta(seconds=seconds)

        assert expected == next_step(trade(**other), now)

    def test_wakes_at_half_and_at_the_end(self) -> None:
        paid = trade(status=S.PAYMENT_SENT, deadline_at=NOW)

        assert NOW - timedelta(seconds=CONFIRM / 2) == wakes_at(paid)
        assert NOW == wakes_at(replace(paid, reminded_at=NOW))
        assert NOW == wakes_at(trade(deadline_at=NOW))


class TestDivision:
    def test_neither_makes_nor_loses_a_unit(self) -> None:
        pick = random.Random(6)
        for _ in range(3_000):
            units = pick.choice((pick.randrange(1, 12_000), pick.randrange(1, 10**24)))
            bps = pick.choice((0, 1, 200, pick.randrange(10_001)))
            found = trade(
                units=units,
                fee_bps=bps,
                fee_units=units * bps // 10_000,
                fee_payer=pick.choice(list(P)),
                settlement=pick.choice(list(T)),
                total_centavos=pick.randrange(1, 10**9),
            )
            part = pick.choice((0, 1, 9_999, 10_000, pick.randrange(10_001)))

            parts = divide(found, part)

            coins, reais = (
                (parts.buyer_units, parts.seller_units, parts.fee_units),
                (parts.buyer_centavos, parts.seller_centavos),
            )
            assert found.held_units == sum(coins)
            assert found.held_centavos == sum(reais)
            assert 0 <= min(*coins, *reais)

    def test_of_everything_is_a_release_and_of_nothing_a_return(self) -> None:
        for payer in P:
            found = trade(fee_payer=payer, settlement=T.BALANCE)
            released, returned = divide(found, 10_000), divide(found, 0)

            assert (TAKE - (FEE if payer is P.BUYER else 0), 0, FEE) == (
                released.buyer_units,
                released.seller_units,
                released.fee_units,
            )
            assert (PAID, 0) == (released.seller_centavos, released.buyer_centavos)
            assert (0, found.held_units, 0) == (returned.buyer_units, returned.seller_units, returned.fee_units)
            assert (0, PAID) == (returned.seller_centavos, returned.buyer_centavos)


OUTSIDE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"settlement": T.BALANCE, "method_id": "m"}, InvalidInput, "direct only"),
    ({"method_id": "m" * 32}, InvalidInput, "no such payment method"),
    ({"units": 1}, LimitExceeded, "worth between"),
    ({"units": 100 * COIN}, LimitExceeded, "worth between"),
    ({"units": 2 * COIN}, LimitExceeded, "are left"),
]


class TestAcceptance:
    @pytest.mark.parametrize("settlement", BOTH)
    async def test_holds_both_legs_before_anybody_is_told_to_pay(self, world: P2PWorld, settlement: T) -> None:
        trade_id = await world.open(settlement)

        reais = PAID if settlement is T.BALANCE else 0
        assert (Purse(-TAKE, TAKE), Purse(reais=-reais, reais_held=reais)) == await world.purses()
        assert -TAKE == await world.left(trade_id)
        assert ["p2p_trade_open"] == await world.notices(world.buyer)
        assert [("open", None, "buyer")] == await world.log(trade_id)
        assert {} == await world.broken_laws()

    async def test_of_a_purchase_order_has_the_taker_as_its_seller(self, world: P2PWorld) -> None:
        order_id = await world.offer(side=Side.BUY)

        found = await world.read(await world.take(order_id, method_id=world.method))

        assert (world.seller, world.buyer, world.buyer) == (found.seller_id, found.buyer_id, found.maker_id)
        assert (world.method, 1) == (found.method_id, found.terms_version)
        assert (Purse(-TAKE, TAKE), Purse()) == await world.purses()
        assert {} == await world.broken_laws()

    async def test_writes_down_what_was_agreed(self, world: P2PWorld) -> None:
        trade_id = await world.take(await world.offer(), units=None, centavos=PAID)

        found = await world.read(trade_id)

        assert (TAKE, PAID, Decimal(15000), 200, FEE, P.BUYER) == (
            found.units,
            found.total_centavos,
            found.price,
            found.fee_bps,
            found.fee_units,
            found.fee_payer,
        )
        assert world.now + timedelta(seconds=WINDOW) == found.deadline_at
        assert f"P2P-{world.now.year}-000001" == found.reference
        assert "start" == await world.scalar("SELECT kind FROM outbox WHERE workflow_id = :id", id=f"p2p/{trade_id}")

    async def test_holds_the_sellers_fee_on_top(self, world: P2PWorld) -> None:
        await world.open(rules=SELLER_PAYS)

        assert Purse(-TAKE - FEE, TAKE + FEE) == await world.purse(world.seller)
        assert {} == await world.broken_laws()

    async def test_takes_less_commission_of_those_who_trade_more(self, world: P2PWorld) -> None:
        rules = replace(RULES, commission_tiers=(Tier(PAID, 100), Tier(2 * PAID, 50)))
        found = []
        for _ in range(3):
            trade_id = await world.open(T.BALANCE, rules=rules)
            await world.pay(trade_id)
            found.append((await world.read(trade_id)).fee_bps)
            world.now += timedelta(days=1)
        world.now += timedelta(days=30)
        found.append((await world.read(await world.open(T.BALANCE, rules=rules))).fee_bps)

        assert [200, 100, 50, 200] == found
        assert {} == await world.broken_laws()

    async def test_follows_a_floating_price(self, world: P2PWorld) -> None:
        order_id = await world.offer(price_kind="floating", price=None, margin_bps=200)

        found = await world.read(await world.take(order_id, market=Decimal(10_000)))

        assert (Decimal(10_200), 1_020_00) == (found.price, found.total_centavos)
        with pytest.raises(PriceUnavailable):
            await world.take(order_id)

    async def test_of_ones_own_order_is_refused(self, world: P2PWorld) -> None:
        with pytest.raises(TakeRefused):
            await world.take(await world.offer(), by=world.seller)

    async def test_outside_the_orders_terms_is_refused(self, world: P2PWorld) -> None:
        order_id = await world.offer()

        for wanted, error, words in OUTSIDE:
            with pytest.raises(error, match=words):
                await world.take(order_id, **wanted)
        assert FREE == await world.purses()
        assert {} == await world.broken_laws()

    async def test_needs_a_settlement_that_the_order_has(self, world: P2PWorld) -> None:
        order_id = await world.offer(settlements=["direct"])

        with pytest.raises(InvalidInput, match="one of: direct"):
            await world.take(order_id, settlement=T.BALANCE)

    async def test_pays_only_to_methods_that_stand(self, world: P2PWorld) -> None:
        second, unnamed, gone = [await world.add_method(world.seller) for _ in range(3)]
        ted, other = await world.add_method(world.seller, "ted"), await world.add_method(world.buyer)
        await world.execute("UPDATE payment_methods SET removed_at = now() WHERE id = :id", id=gone)
        sale, purchase = await world.offer(method_ids=[world.method, second]), await world.offer(side=Side.BUY)

        first = (await world.read(await world.take(sale))).method_id
        named = (await world.read(await world.take(sale, method_id=second))).method_id

        mixed = await world.offer(method_ids=[world.method, ted], method_kinds=["pix", "ted"])
        by_kind = (await world.read(await world.take(mixed, method_kind=MethodKind.TED))).method_id

        assert (world.method, second, ted) == (first, named, by_kind)
        for order_id, method_id, error in (
            (sale, unnamed, InvalidInput),
            (sale, other, InvalidInput),
            (purchase, other, NotFound),
            (purchase, gone, NotFound),
            (purchase, ted, InvalidInput),
            (purchase, None, InvalidInput),
        ):
            with pytest.raises(error):
                await world.take(order_id, method_id=method_id)

    @pytest.mark.parametrize("one_blocks", ["maker", "taker"])
    async def test_between_two_of_whom_one_blocked_the_other_is_refused(
        self, world: P2PWorld, one_blocks: str
    ) -> None:
        pair = (world.seller, world.buyer) if one_blocks == "maker" else (world.buyer, world.seller)
        async with world.engine.begin() as conn:
            await blocks.add(conn, user_id=pair[0], blocked_id=pair[1])

        with pytest.raises(TakeRefused, match="do not trade with each other"):
            await world.open()

    async def test_of_one_who_never_pays_is_refused_after_a_while(self, world: P2PWorld) -> None:
        rules = replace(RULES, unpaid_most=2, unpaid_day_most=3)
        order_id = await world.offer()
        trades = [await world.take(order_id, rules=rules) for _ in range(2)]

        with pytest.raises(TakeRefused, match="at most 2"):
            await world.take(order_id, rules=rules)
        for trade_id in trades:
            await world.give_up(trade_id)
        await world.wait(await world.take(order_id, rules=rules), WINDOW)
        with pytest.raises(TakeRefused, match="ended unpaid"):
            await world.take(order_id, rules=rules)
        world.now += timedelta(days=1)
        assert S.OPEN is (await world.read(await world.take(order_id, rules=rules))).status

    async def test_by_one_who_takes_many_at_once_is_counted(self, world: P2PWorld) -> None:
        """Two orders, so that no order's row makes them wait for each other."""
        rules, ids = replace(RULES, unpaid_most=1), [await world.offer() for _ in range(4)]

        done = await asyncio.gather(*(world.take(order_id, rules=rules) for order_id in ids), return_exceptions=True)

        assert {str: 1, TakeRefused: 3} == Counter(type(one) for one in done)

    async def test_says_whose_balance_is_too_small(self, world: P2PWorld) -> None:
        big = await world.offer(total_units=100 * COIN, max_centavos=10**12)
        dear = await world.offer(total_units=2 * COIN, price=Decimal(1_000_000), max_centavos=10**12)

        with pytest.raises(InsufficientFunds, match="seller's available coins"):
            await world.take(big, units=COINS + 1)
        with pytest.raises(InsufficientFunds, match="buyer's available reais"):
            await world.take(dear, settlement=T.BALANCE, units=11 * COIN // 10)
        assert FREE == await world.purses()
        assert {} == await world.broken_laws()

    async def test_of_a_paused_order_is_refused(self, world: P2PWorld) -> None:
        order_id = await world.offer()
        await world.execute("UPDATE p2p_orders SET status = 'paused'")

        with pytest.raises(TakeRefused):
            await world.take(order_id)


class TestRelease:
    @pytest.mark.parametrize("payer", list(P))
    async def test_by_the_seller_gives_the_coins_less_the_commission(self, world: P2PWorld, payer: P) -> None:
        trade_id = await world.open(rules=replace(RULES, commission_payer=payer))
        await world.pay(trade_id)

        after = await world.confirm(trade_id)

        out, of = (FEE, 0) if payer is P.BUYER else (0, FEE)
        assert (S.COMPLETED, "confirmed_by_seller", world.now) == (after.status, after.reason, after.ended_at)
        assert (Purse(-TAKE - of), Purse(TAKE - out)) == await world.purses()
        assert FEE == await world.fees()
        assert -TAKE == await world.left(trade_id)
        assert [
            ("open", None, "buyer"),
            ("payment_sent", None, "buyer"),
            ("completed", "confirmed_by_seller", "seller"),
        ] == (await world.log(trade_id))
        assert {} == await world.broken_laws()

    @pytest.mark.parametrize("payer", list(P))
    async def test_by_the_buyers_balance_is_at_once(self, world: P2PWorld, payer: P) -> None:
        trade_id = await world.open(T.BALANCE, rules=replace(RULES, commission_payer=payer))

        after = await world.pay(trade_id)

        out, of = (FEE, 0) if payer is P.BUYER else (0, FEE)
        assert (S.COMPLETED, "paid_from_balance") == (after.status, after.reason)
        assert (Purse(-TAKE - of, reais=PAID), Purse(TAKE - out, reais=-PAID)) == await world.purses()
        assert FEE == await world.fees()
        assert {} == await world.broken_laws()

    async def test_is_possible_in_a_dispute(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)
        await world.dispute(trade_id)

        after = await world.confirm(trade_id)

        assert S.COMPLETED is after.status
        assert (Purse(-TAKE), Purse(TAKE - FEE)) == await world.purses()
        assert {} == await world.broken_laws()


class TestReturn:
    @pytest.mark.parametrize("settlement", BOTH)
    async def test_by_the_buyers_cancel_gives_all_of_it_back(self, world: P2PWorld, settlement: T) -> None:
        trade_id = await world.open(settlement, rules=SELLER_PAYS)

        after = await world.give_up(trade_id)

        assert (S.CANCELLED, "cancelled_by_buyer") == (after.status, after.reason)
        await self._nothing_happened(world, trade_id)

    async def test_by_the_seller_only_while_nothing_can_be_on_its_way(self, world: P2PWorld) -> None:
        held, free = await world.open(T.DIRECT), await world.open(T.BALANCE)

        with pytest.raises(IllegalTransition, match="may be paying"):
            await world.say(held, C.CANCEL, by=world.seller)
        after = await world.say(free, C.CANCEL, by=world.seller)

        assert (S.CANCELLED, "cancelled_by_seller") == (after.status, after.reason)
        assert (Purse(-TAKE, TAKE), Purse()) == await world.purses()
        assert {} == await world.broken_laws()

    @pytest.mark.parametrize("settlement", BOTH)
    async def test_by_the_clock_comes_when_the_window_ends(self, world: P2PWorld, settlement: T) -> None:
        trade_id = await world.open(settlement)

        early = await world.wait(trade_id, WINDOW - 1)
        late = await world.wait(trade_id, 1)
        again = await world.look(trade_id)

        assert (S.OPEN, False, 1.0) == (early.status, early.is_over, early.seconds_to_next)
        assert (S.EXPIRED, True) == (late.status, late.is_over)
        assert late == again
        assert [("open", None, "buyer"), ("expired", "not_paid_in_time", "system")] == await world.log(trade_id)
        await self._nothing_happened(world, trade_id)

    async def test_by_giving_up_what_was_said_to_be_paid(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)

        after = await world.give_up(trade_id)

        assert (S.CANCELLED, "buyer_gave_up") == (after.status, after.reason)
        await self._nothing_happened(world, trade_id)

    async def test_by_giving_up_in_a_dispute(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)
        await world.dispute(trade_id)

        after = await world.give_up(trade_id)

        assert (S.REFUNDED, "buyer_gave_up") == (after.status, after.reason)
        await self._nothing_happened(world, trade_id)

    async def test_reaches_an_order_that_is_closed_meanwhile(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.execute("UPDATE p2p_orders SET status = 'closed'")

        await world.give_up(trade_id)

        await self._nothing_happened(world, trade_id)

    async def _nothing_happened(self, world: P2PWorld, trade_id: str) -> None:
        assert FREE == await world.purses()
        assert (0, 0) == (await world.fees(), await world.left(trade_id))
        assert {} == await world.broken_laws()


class TestPaymentSent:
    async def test_starts_the_sellers_time(self, world: P2PWorld) -> None:
        trade_id = await world.open()

        after = await world.pay(trade_id)

        assert (S.PAYMENT_SENT, world.now, world.now + timedelta(seconds=CONFIRM)) == (
            after.status,
            after.paid_at,
            after.deadline_at,
        )
        assert after == replace(await world.read(trade_id), updated_at=after.updated_at)
        assert ["p2p_trade_open", "p2p_trade_payment_sent"] == await world.notices(world.seller)

    async def test_is_too_late_at_the_windows_end_whoever_is_away(self, world: P2PWorld) -> None:
        first, second = await world.open(), await world.open()
        world.now += timedelta(seconds=WINDOW - 0.001)

        in_time = await world.pay(first)
        world.now += timedelta(seconds=0.001)
        with pytest.raises(IllegalTransition, match="time to pay is over"):
            await world.pay(second)

        assert (S.PAYMENT_SENT, S.OPEN) == (in_time.status, (await world.read(second)).status)

    async def test_can_be_undone_until_the_first_windows_end(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        end = world.now + timedelta(seconds=WINDOW)
        world.now += timedelta(seconds=60)
        await world.pay(trade_id)

        after = await world.undo(trade_id)

        assert (S.OPEN, "payment_undone", end, None) == (after.status, after.reason, after.deadline_at, after.paid_at)
        assert ["p2p_trade_open", "p2p_trade_payment_sent", "p2p_trade_payment_undone"] == await world.notices(
            world.seller
        )
        assert {} == await world.broken_laws()

    async def test_undone_late_leaves_a_minute(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)
        world.now += timedelta(seconds=WINDOW + 5)

        after = await world.undo(trade_id)
        before_end = await world.wait(trade_id, 59)
        end = await world.wait(trade_id, 1)

        assert world.now == after.deadline_at
        assert (S.OPEN, S.EXPIRED) == (before_end.status, end.status)

    async def test_cannot_be_undone_for_ever(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        for _ in range(UNDONE_MOST):
            await world.pay(trade_id)
            await world.undo(trade_id)
        await world.pay(trade_id)

        with pytest.raises(IllegalTransition, match="too often"):
            await world.undo(trade_id)

    async def test_reminds_the_seller_once_at_half_of_the_time(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)

        before = await world.wait(trade_id, CONFIRM / 2 - 1)
        half = await world.wait(trade_id, 1)
        after = await world.wait(trade_id, 1)

        assert [1.0, CONFIRM / 2, CONFIRM / 2 - 1] == [p.seconds_to_next for p in (before, half, after)]
        assert 1 == (await world.notices(world.seller)).count("p2p_trade_seller_reminded")
        assert 0 == (await world.notices(world.buyer)).count("p2p_trade_seller_reminded")
        assert S.PAYMENT_SENT is (await world.read(trade_id)).status
        assert {} == await world.broken_laws()

    async def test_said_again_reminds_again(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)
        await world.wait(trade_id, CONFIRM / 2)
        await world.undo(trade_id)
        await world.pay(trade_id)

        await world.wait(trade_id, CONFIRM / 2)

        assert 2 == (await world.notices(world.seller)).count("p2p_trade_seller_reminded")

    async def test_that_nobody_confirms_ends_in_a_dispute(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)

        progress = await world.wait(trade_id, CONFIRM)

        found = await world.read(trade_id)
        assert (S.DISPUTED, "confirmation_window_over", None) == (found.status, found.reason, found.deadline_at)
        assert (False, None) == (progress.is_over, progress.seconds_to_next)
        assert ("disputed", "confirmation_window_over", "system") == (await world.log(trade_id))[-1]
        assert (Purse(-TAKE, TAKE), Purse()) == await world.purses()
        assert {} == await world.broken_laws()


class TestDispute:
    @pytest.mark.parametrize("party", list(P))
    async def test_may_be_opened_by_either_and_freezes(self, world: P2PWorld, party: P) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)

        after = await world.say(trade_id, C.DISPUTE, by=world.buyer if party is P.BUYER else world.seller)
        later = await world.wait(trade_id, 10**7)

        assert (S.DISPUTED, f"disputed_by_{party}", None) == (after.status, after.reason, after.deadline_at)
        assert (S.DISPUTED, None) == (later.status, later.seconds_to_next)
        assert (Purse(-TAKE, TAKE), Purse()) == await world.purses()

    @pytest.mark.parametrize("payer", list(P))
    @pytest.mark.parametrize(
        ("outcome", "bps", "status"),
        [
            (Outcome.RELEASE, None, S.COMPLETED),
            (Outcome.RETURN, None, S.REFUNDED),
            (Outcome.SPLIT, 1, S.SPLIT),
            (Outcome.SPLIT, 3_333, S.SPLIT),
            (Outcome.SPLIT, 9_999, S.SPLIT),
        ],
        ids=["release", "return", "split-least", "split", "split-most"],
    )
    async def test_ends_as_it_is_ruled(
        self, world: P2PWorld, payer: P, outcome: Outcome, bps: int | None, status: S
    ) -> None:
        trade_id = await world.open(rules=replace(RULES, commission_payer=payer))
        await world.pay(trade_id)
        await world.dispute(trade_id)

        after = await world.decide(trade_id, outcome, bps)

        part = TAKE * {S.COMPLETED: 10_000, S.REFUNDED: 0}.get(status, bps or 0) // 10_000
        fee = part * 200 // 10_000
        out, of = (fee, 0) if payer is P.BUYER else (0, fee)
        assert (status, "ruling", bps) == (after.status, after.reason, after.buyer_bps)
        assert (Purse(-part - of), Purse(part - out)) == await world.purses()
        assert fee == await world.fees()
        assert (0 if status is S.REFUNDED else -TAKE) == await world.left(trade_id)
        assert (status, "ruling", "arbiter") == (await world.log(trade_id))[-1]
        assert {} == await world.broken_laws()

    async def test_split_of_a_single_unit_gives_it_to_the_seller(self, world: P2PWorld) -> None:
        trade_id = await world.take(await world.offer(price=Decimal(10) ** 20, max_centavos=10**12), units=1)
        await world.pay(trade_id)
        await world.dispute(trade_id)

        await world.decide(trade_id, Outcome.SPLIT, 9_999)

        assert FREE == await world.purses()
        assert {} == await world.broken_laws()

    async def test_split_says_how_and_nothing_else_does(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)
        await world.dispute(trade_id)

        for outcome, bps in (
            *((Outcome.SPLIT, bps) for bps in (None, 0, 10_000)),
            (Outcome.RELEASE, 5_000),
            (Outcome.RETURN, 0),
        ):
            with pytest.raises(InvalidInput, match="basis points"):
                await world.decide(trade_id, outcome, bps)

    async def test_that_is_none_is_not_ruled_on(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)

        with pytest.raises(IllegalTransition, match="not in dispute"):
            await world.decide(trade_id, Outcome.RELEASE)


class TestSplitOfBothLegs:
    """No command of today leads there: what is held of reais is divided by the same rule."""

    async def test_divides_coins_and_reais(self, world: P2PWorld) -> None:
        trade_id = await world.open(T.BALANCE)
        await world.execute(
            "UPDATE p2p_trades SET status = 'payment_sent', paid_at = now(), version = 2 WHERE id = :id", id=trade_id
        )
        await world.execute(
            "INSERT INTO p2p_trade_history (trade_id, version, old_status, new_status, actor)"
            " VALUES (:id, 2, 'open', 'payment_sent', 'test')",
            id=trade_id,
        )
        await world.dispute(trade_id)

        await world.decide(trade_id, Outcome.SPLIT, 2_500)

        part, reais = TAKE // 4, PAID // 4
        assert (Purse(-part, 0, reais), Purse(part - part * 2 // 100, 0, -reais)) == await world.purses()
        assert {} == await world.broken_laws()


class TestEvents:
    async def test_tell_both_of_every_change_and_only_of_what_happened(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.pay(trade_id)
        with pytest.raises(IllegalTransition):
            await world.pay(trade_id)
        await world.confirm(trade_id)

        for user in (world.seller, world.buyer):
            assert ["open", "payment_sent", "completed"] == await world.changes(user)
        assert ["p2p_trade_open", "p2p_trade_completed"] == await world.notices(world.buyer)


class TestStrangers:
    async def test_see_and_command_nothing(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        eve = (await world.join("eve@example.com"))[0]

        for command in C:
            with pytest.raises(NotFound):
                await world.say(trade_id, command, by=eve)
        async with world.engine.connect() as conn:
            assert [] == (await queries.of_user(conn, eve, limit=10, cursor=None)).trades
            with pytest.raises(NotFound):
                await queries.trade(conn, trade_id, user_id=eve)

    async def test_part_is_not_the_others(self, world: P2PWorld) -> None:
        trade_id = await world.open()

        for command, user in ((C.PAYMENT_SENT, world.seller), (C.CONFIRM_PAYMENT, world.buyer)):
            with pytest.raises(Forbidden):
                await world.say(trade_id, command, by=user)


AGREED = (
    "units = units + 1",
    "total_centavos = total_centavos - 1",
    "price = 1",
    "buyer_id = seller_id",
    "fee_bps = 0",
    "fee_payer = 'seller'",
    "settlement = 'charge'",
    "method_id = NULL",
    "confirm_seconds = 1",
    "window_seconds = 1",
)


class TestDatabase:
    async def test_keeps_what_was_agreed(self, world: P2PWorld) -> None:
        await world.open()

        for change in AGREED:
            with pytest.raises(DBAPIError, match="does not change"):
                await world.execute(f"UPDATE p2p_trades SET {change}")

    async def test_has_one_end_for_each_trade(self, world: P2PWorld) -> None:
        trade_id = await world.open()
        await world.give_up(trade_id)

        for change in ("status = 'completed'", "ended_at = now() + interval '1 s'"):
            with pytest.raises(DBAPIError):
                await world.execute(f"UPDATE p2p_trades SET {change} WHERE id = :id", id=trade_id)


RIVALS: dict[
    str,
    tuple[
        list[Callable[[P2PWorld, str], Awaitable[object]]],
        list[Callable[[P2PWorld, str], Awaitable[object]]],
        list[list[S]],
    ],
] = {
    "cancel-payment_sent": ([], [P2PWorld.give_up, P2PWorld.pay], [[S.CANCELLED], [S.PAYMENT_SENT, S.CANCELLED]]),
    "confirm-dispute": (
        [P2PWorld.pay],
        [P2PWorld.confirm, P2PWorld.dispute],
        [[S.COMPLETED], [S.DISPUTED, S.COMPLETED]],
    ),
    "confirm-give_up": ([P2PWorld.pay], [P2PWorld.confirm, P2PWorld.give_up], [[S.COMPLETED], [S.CANCELLED]]),
    "confirm-undo": ([P2PWorld.pay], [P2PWorld.confirm, P2PWorld.undo], [[S.COMPLETED], [S.OPEN]]),
    "ruling-release": (
        [P2PWorld.pay, P2PWorld.dispute],
        [P2PWorld.confirm, P2PWorld.give_up],
        [[S.COMPLETED], [S.REFUNDED]],
    ),
}


class TestRivals:
    """Two who come at once, on connections of their own: one order of the two happened, and nothing else."""

    @pytest.mark.parametrize("name", sorted(RIVALS))
    async def test_happen_one_after_the_other(self, world: P2PWorld, name: str) -> None:
        before, rivals, orders = RIVALS[name]
        for _ in range(6):
            trade_id = await world.open()
            for step in before:
                await step(world, trade_id)
            seen = len(await world.log(trade_id))

            done = await asyncio.gather(*(act(world, trade_id) for act in rivals), return_exceptions=True)

            refused = [one for one in done if isinstance(one, BaseException)]
            assert all(isinstance(one, IllegalTransition) for one in refused), refused
            states = [line[0] for line in (await world.log(trade_id))[seen:]]
            assert states in orders
            assert len(states) + len(refused) == 2
        assert {} == await world.broken_laws()

    @pytest.mark.parametrize("order", ["payment_sent-first", "expiry-first", "at-once"])
    async def test_expiry_and_payment_sent_have_one_winner(self, world: P2PWorld, order: str) -> None:
        trade_id = await world.open()
        world.now += timedelta(seconds=WINDOW)
        late = replace(world, now=world.now - timedelta(seconds=0.001))
        acts = [late.pay(trade_id), world.look(trade_id)]

        if order == "at-once":
            done = await asyncio.gather(*acts, return_exceptions=True)
        else:
            done = []
            for act in acts if order == "payment_sent-first" else acts[::-1]:
                done += await asyncio.gather(act, return_exceptions=True)

        refused = [one for one in done if isinstance(one, IllegalTransition)]
        expected = {"payment_sent-first": {S.PAYMENT_SENT}, "expiry-first": {S.EXPIRED}}
        status = (await world.read(trade_id)).status
        assert status in expected.get(order, {S.PAYMENT_SENT, S.EXPIRED})
        assert (status is S.EXPIRED) == (len(refused) == 1)
        assert {} == await world.broken_laws()

    async def test_for_the_last_amount_are_served_once(self, world: P2PWorld) -> None:
        others = [(await world.join(f"b{number}@example.com"))[0] for number in range(5)]
        order_id = await world.offer(total_units=TAKE)

        done = await asyncio.gather(
            *(world.take(order_id, by=user) for user in [world.buyer, *others]), return_exceptions=True
        )

        assert {str: 1, IllegalTransition: 5} == Counter(type(one) for one in done)
        assert 0 == (await world.order(order_id)).available_units
        assert {} == await world.broken_laws()

    async def test_in_a_crowd_end_every_trade_once(self, world: P2PWorld) -> None:
        """All commands at all trades by both, again and again, while the clock looks."""
        trades = [await world.open(settlement) for settlement in BOTH * 4]
        pick = random.Random(11)

        async def somebody(number: int) -> None:
            for _ in range(12):
                trade_id = pick.choice(trades)
                try:
                    if number == 0:
                        await world.look(trade_id)
                    else:
                        await world.say(trade_id, pick.choice(list(C)), by=pick.choice([world.seller, world.buyer]))
                except (IllegalTransition, Forbidden):
                    pass

        await asyncio.gather(*(somebody(number) for number in range(6)))

        assert {} == await world.broken_laws()

    async def test_who_take_each_others_orders_never_wait_crosswise(self, world: P2PWorld) -> None:
        """Each transaction locks an order, then its taker, then both owners in the ledger in one order."""
        await world.add_method(world.buyer)
        mine, theirs = [
            await world.offer(maker=maker, settlements=["balance"]) for maker in (world.seller, world.buyer)
        ]

        done = await asyncio.gather(
            *(world.take(mine, by=world.buyer, settlement=T.BALANCE, units=TAKE // 10) for _ in range(12)),
            *(world.take(theirs, by=world.seller, settlement=T.BALANCE, units=TAKE // 10) for _ in range(12)),
            return_exceptions=True,
        )

        assert {str: 24} == Counter(type(one) for one in done), done
        assert {} == await world.broken_laws()

    async def test_takes_and_ends_of_one_order_never_wait_crosswise(self, world: P2PWorld) -> None:
        order_id = await world.offer()
        trades = [await world.take(order_id, units=TAKE // 10) for _ in range(8)]

        done = await asyncio.gather(
            *(world.give_up(trade_id) for trade_id in trades),
            *(world.take(order_id, units=TAKE // 10) for _ in range(8)),
            return_exceptions=True,
        )

        assert [] == [one for one in done if isinstance(one, BaseException)]
        assert COIN - 8 * (TAKE // 10) == (await world.order(order_id)).available_units
        assert {} == await world.broken_laws()


class TestList:
    async def test_is_in_pages_by_role_and_state(self, world: P2PWorld) -> None:
        sold = [await world.open() for _ in range(3)]
        await world.give_up(sold[0])
        bought = await world.take(
            await world.offer(maker=world.buyer, settlements=["balance"]), by=world.seller, settlement=T.BALANCE
        )

        async with world.engine.connect() as conn:
            first = await queries.of_user(conn, world.seller, limit=3, cursor=None)
            rest = await queries.of_user(conn, world.seller, limit=3, cursor=first.next_cursor)
            as_buyer = await queries.of_user(conn, world.seller, role=P.BUYER, limit=9, cursor=None)
            ended = await queries.of_user(conn, world.seller, statuses=[S.CANCELLED], limit=9, cursor=None)
            counted = await queries.open_by_status(conn)

        assert {bought, *sold} == {one.id for one in [*first.trades, *rest.trades]}
        assert (3, 1, None) == (len(first.trades), len(rest.trades), rest.next_cursor)
        assert [bought] == [one.id for one in as_buyer.trades]
        assert [sold[0]] == [one.id for one in ended.trades]
        assert {S.OPEN: 3} == counted

    async def test_of_escrows_tells_what_is_and_was_held(self, world: P2PWorld) -> None:
        trade_id = await world.open(T.BALANCE)

        async with world.engine.connect() as conn:
            locked = await queries.escrow(conn, trade_id)
        await world.pay(trade_id)
        async with world.engine.connect() as conn:
            released = await queries.escrow(conn, trade_id)

        assert [(world.seller, ETH.id, TAKE, "locked"), (world.buyer, "BRL", PAID, "locked")] == [
            (leg.owner, leg.asset_id, leg.units, leg.status) for leg in locked
        ]
        assert ["released", "released"] == [leg.status for leg in released]
