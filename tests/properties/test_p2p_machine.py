"""The marketplace under attack: buyers, sellers, strangers, arbiters, payers, banks, operators and clocks, in any order.

As in ``test_trade_machine.py``: the rules are what happens outside and who looks when, the invariants are the laws.
People also click twice and at once, and the power fails just before a commit. What is refused, replayed or lost must
have changed nothing. At the end the clock runs on; then only disputes may wait, for arbiters, who end those too.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from liquida.database import engine
from liquida.stack.postgres import Postgres
from models.charge.states import ChargeStatus
from models.commission import writes as commission
from models.errors import Refused
from models.ids import new_id
from models.p2p_dispute import queries as disputes
from models.p2p_dispute import ruling
from models.p2p_dispute import writes as dispute_writes
from models.p2p_dispute.types import DisputeReason, DisputeRules, RulingOrder, RulingReason
from models.p2p_order import queries as orders
from models.p2p_order import writes as order_writes
from models.p2p_order.states import OrderStatus
from models.p2p_order.types import OrderTerms, P2POrder, P2PRules, PriceKind, Settlement
from models.p2p_trade import writes
from models.p2p_trade.rules import BLOCK_MOST
from models.p2p_trade.states import ENDED
from models.p2p_trade.types import Command
from models.pix_refund.states import KNOWN, NEXT, RefundStatus
from models.pix_refund.types import PixRefund
from models.quote.types import Side
from models.receipt.types import Payer
from tests.models.p2p_disputes import ALONE, TOGETHER
from tests.models.p2p_fair import Answer, Click, Done, Fair, FrailEngine, Place, PowerCut, Replayed, Work
from tests.models.p2p_world import BUYER_PAYS, CONFIRM, RULES, SELLER_PAYS, TAKE, WINDOW
from tests.models.world import BOX, COIN, ETH, TERMS, WAITS
from tests.parts import create_database, drop_database
from tests.properties.test_trade_machine import RARELY, UNSHRUNK, _coroutine

R = RefundStatus
TIMES = int(os.environ.get("LIQUIDA_MACHINE_TIMES", "1"))
"""How many times as many stories as in an ordinary run."""
TRADES_MOST, ORDERS_MOST = 14, 8
ROUNDS_MOST = 8
APPEAL = ALONE.appeal_seconds
PAUSES = (60.0, 60.0, WINDOW, WINDOW + TERMS.payment_leniency_seconds, CONFIRM / 2, CONFIRM, APPEAL)
LONGEST = BLOCK_MOST.total_seconds() + 1
PARTS = (0, 1, 3_333, 5_000, 9_999, 10_000)
MOSTLY = (True, True, True, True, False)
PRICES = (Decimal("15000.00"), Decimal("14999.37"))
MARKET = Decimal("15012.34")
SETTLEMENTS = tuple(Settlement)
AFTER = {**NEXT, R.CREATED: NEXT[R.SUBMITTED]}
"""What a bank may say next of a devolução; the first word follows the sending at once."""
NUMBERS = itertools.count(1)

V = TypeVar("V")
pick = st.integers(0, 59)
"""Divisible by all that is picked from, so that each is picked as often."""


@dataclass(frozen=True)
class Scene:
    """``bps``, ``rules``: for the words that have such."""

    trade: str
    user: str
    bps: int
    rules: DisputeRules
    now: datetime


@dataclass(frozen=True)
class Word:
    """``stages``: where it may be of use. ``by``: ``buyer``, ``seller``, ``either`` of the two, or ``arbiter``."""

    say: Callable[[AsyncConnection, Scene], Awaitable[object]]
    stages: frozenset[str]
    by: str


async def _command(command: Command, conn: AsyncConnection, scene: Scene) -> None:
    await writes.command(conn, scene.trade, command, user_id=scene.user, now=scene.now)


async def _open(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.open_dispute(
        conn,
        BOX,
        scene.trade,
        user_id=scene.user,
        reason=DisputeReason.FRAUD,
        statement="no",
        file_ids=[],
        now=scene.now,
    )


async def _state(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.state(
        conn, BOX, scene.trade, user_id=scene.user, statement="and", file_ids=[], now=scene.now
    )


async def _appeal(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.appeal(
        conn, BOX, scene.trade, user_id=scene.user, statement="no", file_ids=[], now=scene.now
    )


async def _offer(conn: AsyncConnection, scene: Scene) -> None:
    bps = min(max(scene.bps, 1), 9_999)
    await dispute_writes.offer(conn, scene.trade, user_id=scene.user, buyer_bps=bps, now=scene.now)


async def _accept_offer(conn: AsyncConnection, scene: Scene) -> None:
    """The last one that this user saw; by now the other may have made another one."""
    dispute = await disputes.require_of_trade(conn, scene.trade)
    theirs = [each.id for each in await disputes.offers(conn, dispute.id) if each.user_id != scene.user]
    offer = theirs[-1] if theirs else "0" * 32
    await dispute_writes.accept_offer(conn, scene.trade, offer, user_id=scene.user, now=scene.now)


async def _concede(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.concede(conn, scene.trade, user_id=scene.user, now=scene.now)


async def _accept_ruling(conn: AsyncConnection, scene: Scene) -> None:
    await dispute_writes.accept_ruling(conn, scene.trade, user_id=scene.user, now=scene.now)


async def _rule(conn: AsyncConnection, scene: Scene) -> None:
    dispute = await disputes.require_of_trade(conn, scene.trade)
    order = RulingOrder(scene.bps, RulingReason.OTHER, "so it is")
    await ruling.rule(conn, BOX, dispute.id, order, arbiter_id=scene.user, rules=scene.rules, now=scene.now)


async def _approve(conn: AsyncConnection, scene: Scene) -> None:
    dispute = await disputes.require_of_trade(conn, scene.trade)
    proposed = dispute.ruling_id or "0" * 32
    await ruling.approve(conn, BOX, dispute.id, proposed, arbiter_id=scene.user, rules=scene.rules, now=scene.now)


async def _reject(conn: AsyncConnection, scene: Scene) -> None:
    dispute = await disputes.require_of_trade(conn, scene.trade)
    proposed = dispute.ruling_id or "0" * 32
    await ruling.reject(conn, BOX, dispute.id, proposed, arbiter_id=scene.user, why="no", now=scene.now)


LIVE = frozenset({f"disputed/{stage}" for stage in ("open", "proposed", "ruled", "appealed")})
WORDS = {
    "pays": Word(partial(_command, Command.PAYMENT_SENT), frozenset({"open"}), "buyer"),
    "undoes": Word(partial(_command, Command.UNDO_PAYMENT_SENT), frozenset({"payment_sent"}), "buyer"),
    "confirms": Word(partial(_command, Command.CONFIRM_PAYMENT), frozenset({"payment_sent"}), "seller"),
    "releases": Word(partial(_command, Command.CONFIRM_PAYMENT), LIVE, "seller"),
    "cancels": Word(partial(_command, Command.CANCEL), frozenset({"open", "payment_sent"}), "either"),
    "gives up": Word(partial(_command, Command.CANCEL), LIVE, "buyer"),
    "freezes": Word(partial(_command, Command.DISPUTE), frozenset({"payment_sent"}), "either"),
    "disputes": Word(_open, frozenset({"payment_sent"}), "either"),
    "states": Word(_state, LIVE, "either"),
    "offers": Word(_offer, LIVE, "either"),
    "accepts the offer": Word(_accept_offer, LIVE, "either"),
    "concedes": Word(_concede, LIVE, "either"),
    "accepts the ruling": Word(_accept_ruling, frozenset({"disputed/ruled"}), "either"),
    "appeals": Word(_appeal, frozenset({"disputed/ruled"}), "either"),
    "rules": Word(_rule, frozenset({"disputed/open", "disputed/appealed"}), "arbiter"),
    "approves": Word(_approve, frozenset({"disputed/proposed"}), "arbiter"),
    "rejects": Word(_reject, frozenset({"disputed/proposed"}), "arbiter"),
}
OF_TRADE = ("pays", "pays", "undoes", "confirms", "confirms", "cancels", "freezes", "disputes")
OF_DISPUTE = ("states", "offers", "offers", "accepts the offer", "concedes", "accepts the ruling", "appeals")
OF_DISPUTE_ENDS = ("releases", "gives up")
OF_ARBITER = ("rules", "rules", "rules", "approves", "approves", "rejects")

SIZES: dict[str, Callable[[P2POrder], int]] = {
    "some": lambda _: TAKE,
    "odd": lambda _: TAKE // 7 + 1,
    "the rest": lambda order: order.available_units or 1,
    "too much": lambda order: order.available_units + 1,
}
EDITS: dict[str, Callable[[P2POrder], dict[str, object]]] = {
    "more": lambda order: {"total_units": order.total_units + COIN},
    "as little as can be": lambda order: {"total_units": max(order.total_units - order.available_units, TAKE)},
    "less than is taken": lambda order: {"total_units": max(order.total_units - order.available_units - 1, TAKE)},
    "another price": lambda _: {"price_kind": PriceKind.FIXED, "price": Decimal("15500.05"), "margin_bps": None},
    "other settlements": lambda _: {
        "settlements": (Settlement.BALANCE, Settlement.CHARGE),
        "method_ids": (),
        "method_kinds": (),
    },
    "small trades only": lambda _: {"max_centavos": 100_00},
}


def terms(side: Side, method: str, price: Decimal | None, total: int = COIN) -> OrderTerms:
    """``price`` None: as the market says."""
    return OrderTerms(
        total_units=total,
        price_kind=PriceKind.FLOATING if price is None else PriceKind.FIXED,
        price=price,
        margin_bps=150 if price is None else None,
        price_floor=None,
        price_ceiling=None,
        min_centavos=10_00,
        max_centavos=100_000_00,
        settlements=SETTLEMENTS,
        method_ids=(method,) if side is Side.SELL else (),
        method_kinds=() if side is Side.SELL else ("pix",),
        window_seconds=WINDOW,
        terms="",
        auto_reply="",
        opens_at=None,
        closes_at=None,
        require_verified=False,
        min_trades=0,
        min_completion_bps=0,
    )


class P2PMachine(RuleBasedStateMachine):
    admin_url: ClassVar[str]
    template: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.name = f"p2p_{next(NUMBERS)}"
        self.keys = itertools.count(1)
        self.paid_out = 0
        self.is_healthy = True

    def run(self, story: Awaitable[V]) -> V:
        self.is_healthy = False
        result = self.loop.run(_coroutine(story))
        self.is_healthy = True
        return result

    @initialize()
    def opens(self) -> None:
        async def begin() -> Fair:
            address = await create_database(self.admin_url, self.name, template=self.template)
            return await Fair(FrailEngine(engine(address).sync_engine)).begin()

        self.world = self.run(begin())
        self.some_orders_and_trades()

    def some_orders_and_trades(self) -> None:
        """One at each stage, so that a short story already strikes all of them."""
        sara, bruno, carla, arturo = self.world.traders
        sale, purchase, last = [
            self.offers(maker, side, price, total)
            for maker, side, price, total in (
                (sara, Side.SELL, PRICES[1], COIN),
                (bruno, Side.BUY, PRICES[0], COIN),
                (carla, Side.SELL, None, TAKE),
            )
        ]
        assert last
        self.takes(sale, bruno, Settlement.BALANCE)
        self.takes(purchase, arturo, Settlement.DIRECT, rules=SELLER_PAYS)
        charged, blocked = [self.takes(sale, carla, Settlement.CHARGE) for _ in range(2)]
        claimed, disputed, ruled = [
            self.takes(order, taker, Settlement.DIRECT, rules=rules)
            for order, taker, rules in (
                (sale, arturo, BUYER_PAYS),
                (sale, bruno, SELLER_PAYS),
                (purchase, sara, RULES),
            )
        ]
        for trade in (charged, blocked):
            self.run(self.world.hear(trade))
        self.run(self.world.gets(blocked, self.total(blocked), blocked=True))
        for trade in (claimed, disputed, ruled):
            self.says("pays", trade)
        for trade in (disputed, ruled):
            self.says("disputes", trade)
        self.says("rules", ruled, bps=3_333)

    def teardown(self) -> None:
        async def close() -> None:
            await self.world.engine.dispose()
            await drop_database(self.admin_url, self.name)

        try:
            if self.is_healthy:
                self.world.engine.dies_in = None
                self.comes_to_rest()
        finally:
            self.loop.run(close())
            self.loop.close()

    # Orders.

    @rule(
        maker=pick,
        side=st.sampled_from(Side),
        price=st.sampled_from((*PRICES, None)),
        total=st.sampled_from((COIN, TAKE)),
    )
    def somebody_offers(self, maker: int, side: Side, price: Decimal | None, total: int) -> None:
        if len(self.run(self.world.order_ids())) < ORDERS_MOST:
            self.offers(self.trader(maker), side, price, total)

    @rule(
        number=pick,
        edit=st.sampled_from(sorted(EDITS)),
        is_own=st.sampled_from(MOSTLY),
        is_new=st.sampled_from(MOSTLY),
    )
    def maker_changes_an_order(self, number: int, edit: str, is_own: bool, is_new: bool) -> None:
        """``is_new``: they have seen its present version."""
        order = self.order(number)
        user = order.user_id if is_own else self.stranger(order.user_id)
        self.clicks(self.click(user, self.change(order, user, edit, is_new=is_new)))

    @rule(number=pick, status=st.sampled_from(OrderStatus), is_own=st.sampled_from(MOSTLY))
    def maker_turns_an_order(self, number: int, status: OrderStatus, is_own: bool) -> None:
        order = self.order(number)
        user = order.user_id if is_own else self.stranger(order.user_id)
        self.clicks(
            self.click(user, lambda conn: order_writes.turn(conn, order_id=order.id, user_id=user, status=status))
        )

    # Taking.

    @rule(
        number=pick,
        taker=pick,
        settlement=st.sampled_from(SETTLEMENTS),
        size=st.sampled_from(("some", "some", *SIZES)),
        rules=st.sampled_from((BUYER_PAYS, SELLER_PAYS)),
        is_repeated=st.sampled_from(RARELY),
    )
    def somebody_takes(
        self, number: int, taker: int, settlement: Settlement, size: str, rules: P2PRules, is_repeated: bool
    ) -> None:
        if self.is_full():
            return
        order, user = self.order(number), self.trader(taker)
        (answer,) = self.clicks(
            self.click(user, self.take(order, user, settlement, size, rules)), is_repeated=is_repeated
        )
        if user == order.user_id or order.status is not OrderStatus.ACTIVE or size == "too much":
            assert isinstance(answer, Refused)

    @rule(number=pick, settlement=st.sampled_from(SETTLEMENTS), edit=st.sampled_from((None, *EDITS)))
    def two_want_the_last_of_it(self, number: int, settlement: Settlement, edit: str | None) -> None:
        """And its maker may change it meanwhile."""
        if self.is_full():
            return
        order = self.order(number)
        both = [user for user in self.world.traders if user != order.user_id][:2]
        clicks = [self.click(user, self.take(order, user, settlement, "the rest", RULES)) for user in both]
        if edit is not None:
            clicks.append(self.click(order.user_id, self.change(order, order.user_id, edit)))
        answers = self.clicks(*clicks)

        assert edit == "more" or sum(isinstance(answer, Done) for answer in answers[:2]) <= 1

    # The two, strangers, and arbiters.

    @rule(
        word=st.sampled_from(OF_TRADE),
        number=pick,
        who=pick,
        is_apt=st.sampled_from(MOSTLY),
        is_repeated=st.sampled_from(RARELY),
    )
    def somebody_says(self, word: str, number: int, who: int, is_apt: bool, is_repeated: bool) -> None:
        self.speaks(word, number, who, is_apt=is_apt, is_repeated=is_repeated)

    @rule(
        word=st.sampled_from((*OF_DISPUTE, *OF_DISPUTE_ENDS)),
        number=pick,
        who=pick,
        bps=st.sampled_from(PARTS),
        is_apt=st.sampled_from(MOSTLY),
        is_repeated=st.sampled_from(RARELY),
    )
    def somebody_disputes(self, word: str, number: int, who: int, bps: int, is_apt: bool, is_repeated: bool) -> None:
        self.speaks(word, number, who, bps=bps, is_apt=is_apt, is_repeated=is_repeated)

    @rule(
        word=st.sampled_from(OF_ARBITER),
        number=pick,
        who=pick,
        bps=st.sampled_from(PARTS),
        rules=st.sampled_from((ALONE, TOGETHER)),
        is_apt=st.sampled_from(MOSTLY),
        is_repeated=st.sampled_from(RARELY),
    )
    def arbiter_speaks(
        self, word: str, number: int, who: int, bps: int, rules: DisputeRules, is_apt: bool, is_repeated: bool
    ) -> None:
        """Or somebody who is one of the two, and would like to be the arbiter too."""
        place = self.place(WORDS[word], number, is_apt=is_apt)
        judges = [*self.world.arbiters, self.world.arbiters[who % 4], place.seller_id, place.buyer_id]
        user = judges[who % len(judges)]
        (answer,) = self.clicks(
            self.click(user, self.said(word, place.id, user, bps, rules)), is_repeated=is_repeated
        )
        if user in {place.seller_id, place.buyer_id}:
            assert isinstance(answer, Refused)

    @rule(
        first=st.sampled_from(sorted(WORDS)),
        second=st.sampled_from(sorted(WORDS)),
        number=pick,
        who=pick,
        other=pick,
        bps=st.sampled_from(PARTS),
        is_heard=st.booleans(),
    )
    def two_say_at_once(
        self, first: str, second: str, number: int, who: int, other: int, bps: int, is_heard: bool
    ) -> None:
        """Of one trade, which its clock may look at in the same moment, or its bank."""
        place = self.place(WORDS[first], number, is_apt=True)
        clicks = [
            self.click(user, self.said(word, place.id, user, bps, ALONE))
            for word, user in (
                (first, self.speaker(WORDS[first], place, who, is_apt=True)),
                (second, self.speaker(WORDS[second], place, other, is_apt=True)),
            )
        ]
        self.clicks(*clicks, meanwhile=[lambda: self.looks(place)] if is_heard else [])

    @rule(word=st.sampled_from(sorted(WORDS)), number=pick, who=pick, bps=st.sampled_from(PARTS))
    def somebody_double_clicks(self, word: str, number: int, who: int, bps: int) -> None:
        place = self.place(WORDS[word], number, is_apt=True)
        user = self.speaker(WORDS[word], place, who, is_apt=True)
        one = self.click(user, self.said(word, place.id, user, bps, ALONE))
        answers = self.clicks(one, one)

        assert sum(isinstance(answer, Done) for answer in answers) <= 1

    # The bank.

    @rule(
        number=pick,
        more=st.sampled_from((0, 0, 0, 0, -1, 1)),
        payer=st.sampled_from((Payer.SAME, Payer.SAME, Payer.SAME, *Payer)),
        is_blocked=st.sampled_from(RARELY),
        is_heard=st.booleans(),
    )
    def somebody_pays_a_charge(self, number: int, more: int, payer: Payer, is_blocked: bool, is_heard: bool) -> None:
        """Once, or again, in time or too late; only a charge that was made can be paid."""
        trade = self.charged(number)
        if trade is None or self.run(self.charge_status(trade)) is not ChargeStatus.ACTIVE:
            return
        self.world.desk.now = self.world.now
        self.world.desk.pay(trade, self.total(trade) + more, payer=payer, blocked=is_blocked)
        if is_heard:
            self.happens(lambda: self.world.hear(trade))

    @rule(number=pick, is_known=st.sampled_from(MOSTLY))
    def bank_is_asked(self, number: int, is_known: bool) -> None:
        trade = self.charged(number)
        if trade is not None:
            self.happens(lambda: self.world.hear(trade, is_known=is_known))

    @rule(number=pick)
    def bank_refuses_a_charge(self, number: int) -> None:
        trade = self.charged(number)
        if trade is not None and self.run(self.charge_status(trade)) in {
            ChargeStatus.CREATED,
            ChargeStatus.SUBMITTED,
        }:
            self.happens(lambda: self.world.desk.refuse_charge(trade))

    @rule(number=pick)
    def bank_lifts_a_block(self, number: int) -> None:
        desk = self.world.desk
        if blocked := [pix for pix, payment in desk.payments.items() if payment.seen.is_blocked]:
            desk.release(blocked[number % len(blocked)])

    @rule(number=pick, is_meant=st.sampled_from(RARELY))
    def bank_takes_a_payment_back(self, number: int, is_meant: bool) -> None:
        """One that is still there, and on its way nowhere."""
        desk = self.world.desk
        payments = desk.payments.items()
        there = [pix for pix, p in payments if not p.seen.taken_back_centavos and not self.run(desk.is_going(pix))]
        if is_meant and there:
            desk.take_back(there[number % len(there)])

    @rule(number=pick, word=st.sampled_from([R.UNKNOWN, R.PROCESSING, R.REJECTED, R.REFUNDED, R.REFUNDED]))
    def bank_says_of_a_refund(self, number: int, word: RefundStatus) -> None:
        desk = self.world.desk
        told = [
            refund
            for refund in self.run(self.refunds())
            if word in AFTER[refund.status] and desk.may_say(word, refund)
        ]
        if told:
            self.happens(lambda: desk.hear_refund(told[number % len(told)].key, word))

    # Operators.

    @rule(part=st.sampled_from((None, 1, 10**15, 10**30)), is_repeated=st.sampled_from(RARELY))
    def operator_pays_out_the_commission(self, part: int | None, is_repeated: bool) -> None:
        answers = self.clicks(self.payout(part), is_repeated=is_repeated)
        self.count_payouts(answers)

    @rule(part=st.sampled_from((None, 1)))
    def two_operators_pay_it_out_at_once(self, part: int | None) -> None:
        answers = self.clicks(self.payout(None), self.payout(part))
        self.count_payouts(answers)

    # Time, workflows, and power.

    @rule(seconds=st.sampled_from(PAUSES), is_long=st.sampled_from((False,) * 9 + (True,)))
    def time_passes(self, seconds: float, is_long: bool) -> None:
        self.world.pass_time(LONGEST if is_long else seconds)

    @rule(number=pick)
    def clock_looks_at_one(self, number: int) -> None:
        places = self.run(self.world.places())
        place = places[number % len(places)]
        self.happens(lambda: self.looks(place))

    @rule()
    def books_advance_twice(self) -> None:
        """All of them, as their workflows do; the second time there is nothing left to do."""
        for place in self.run(self.world.places()):
            self.happens(lambda place=place: self.looks(place))  # type: ignore[misc]
        before = self.run(self.world.digest())
        for place in self.run(self.world.places()):
            self.run(self.looks(place))

        assert before == self.run(self.world.digest())

    @rule(after=st.integers(0, 1))
    def power_fails_soon(self, after: int) -> None:
        self.world.engine.dies_in = after

    # What always holds.

    @invariant()
    def laws_hold(self) -> None:
        broken = self.run(self.world.broken_laws())
        faults = self.run(self.world.faults(paid_out=self.paid_out))
        is_all_seen = self.run(self.world.desk.is_all_seen())
        differences = self.run(self.world.differences()) if is_all_seen else []
        self.is_healthy = False

        assert {} == broken
        assert [] == faults
        assert [] == differences
        self.is_healthy = True

    def comes_to_rest(self) -> None:
        """Everything outside ends in some way; then only people may be waited for, and only to decide a dispute."""
        for _ in range(ROUNDS_MOST):
            self.run(self.settle_outside())
            self.world.pass_time(LONGEST)
        waiting = {place.stage for place in self.run(self.world.places()) if place.status not in ENDED}
        self.is_healthy = False
        assert waiting <= {"disputed/open", "disputed/appealed"}
        self.decide_all()
        self.run(self.settle_outside())

        assert set() == {place.status for place in self.run(self.world.places())} - ENDED
        assert [] == self.run(self.left_held())
        self.laws_hold()
        for place in self.run(self.world.places()):
            self.gave_back_what_it_did_not_buy(place)

    def decide_all(self) -> None:
        """By whichever arbiters may still decide; the first ruling's window then runs out."""
        for place in self.run(self.world.places()):
            for arbiter in self.world.arbiters:
                if place.status not in ENDED:
                    bps = 0 if place.settlement == Settlement.CHARGE else 5_000
                    self.clicks(self.click(arbiter, self.said("rules", place.id, arbiter, bps, ALONE)))
        self.world.pass_time(LONGEST)

    async def settle_outside(self) -> None:
        desk = self.world.desk
        for pix, payment in desk.payments.items():
            if payment.seen.is_blocked:
                desk.release(pix)
        for place in await self.world.places():
            await self.looks(place)
        for refund in await self.refunds():
            if refund.status not in KNOWN:
                word = R.REFUNDED if desk.may_say(R.REFUNDED, refund) else R.REJECTED
                await desk.hear_refund(refund.key, word)
        for place in await self.world.places():
            await self.looks(place)

    async def left_held(self) -> list[str]:
        statement = (
            "SELECT array_agg(a.owner || ' ' || a.asset_id) FROM (SELECT account_id FROM ledger_postings"
            " GROUP BY account_id HAVING sum(amount) <> 0) AS p JOIN ledger_accounts AS a ON a.id = p.account_id"
            " WHERE a.purpose = 'held'"
        )
        found = await self.world.scalar(statement)
        assert found is None or isinstance(found, list)
        return found or []

    def gave_back_what_it_did_not_buy(self, place: Place) -> None:
        """By the bank's lines, not by what the books say: the house keeps of a charge what it gave on, and no more.

        But what the bank would not send back, which waits for a person.
        """
        if place.settlement != Settlement.CHARGE:
            return
        desk = self.world.desk
        keys = {place.id, *(refund.key for refund in self.run(desk.refunds(place.id)))}
        kept = sum(line.amount_centavos for line in desk.bank.lines if line.key in keys)
        taken = sum(p.seen.taken_back_centavos for p in desk.payments.values() if p.charge_key == place.id)
        stuck = sum(r.amount_centavos for r in self.run(desk.receipts(place.id)) if r.status == "refund_failed")
        asked = self.total(place.id) if place.status == "completed" else 0

        assert asked - taken <= kept - stuck <= asked, (place, kept, stuck, taken)

    # Helpers.

    def trader(self, number: int) -> str:
        return self.world.traders[number % len(self.world.traders)]

    def stranger(self, user: str) -> str:
        return next(each for each in self.world.traders if each != user)

    def order(self, number: int) -> P2POrder:
        ids = self.run(self.world.order_ids())
        return self.run(self.world.order(ids[number % len(ids)]))

    def is_full(self) -> bool:
        return len(self.run(self.world.places())) >= TRADES_MOST

    def total(self, trade: str) -> int:
        return self.run(self.world.read(trade)).total_centavos

    def place(self, word: Word, number: int, *, is_apt: bool) -> Place:
        """A trade: ``is_apt``: one where the word may be of use, if there is such a one."""
        places = self.run(self.world.places())
        apt = [place for place in places if place.stage in word.stages] if is_apt else []
        return (apt or places)[number % len(apt or places)]

    def speaker(self, word: Word, place: Place, who: int, *, is_apt: bool) -> str:
        """``is_apt``: one whose word it is."""
        by = {
            "buyer": [place.buyer_id],
            "seller": [place.seller_id],
            "either": [place.buyer_id, place.seller_id],
            "arbiter": self.world.arbiters,
        }
        people = by[word.by] if is_apt else [*self.world.traders, self.world.arbiters[0]]
        return people[who % len(people)]

    def charged(self, number: int) -> str | None:
        places = [each.id for each in self.run(self.world.places()) if each.settlement == Settlement.CHARGE]
        return places[number % len(places)] if places else None

    async def charge_status(self, trade: str) -> ChargeStatus:
        return ChargeStatus(str(await self.world.scalar("SELECT status FROM charges WHERE key = :key", key=trade)))

    async def refunds(self) -> list[PixRefund]:
        return [refund for place in await self.world.places() for refund in await self.world.desk.refunds(place.id)]

    async def looks(self, place: Place) -> None:
        """As the workflows of the trade, of its charge and of its dispute do."""
        if place.settlement == Settlement.CHARGE:
            await self.world.hear(place.id)
        first = await self.world.look(place.id)
        assert first.seconds_to_next is None or first.seconds_to_next > 0
        if place.dispute_id is not None:
            progress = await self.world.look_at_dispute(place.dispute_id)
            assert progress.seconds_to_next is None or progress.seconds_to_next > 0

    # Works.

    def said(self, word: str, trade: str, user: str, bps: int, rules: DisputeRules) -> Work:
        scene = Scene(trade, user, bps, rules, self.world.now)
        return lambda conn: WORDS[word].say(conn, scene)

    def take(self, order: P2POrder, user: str, settlement: Settlement, size: str, rules: P2PRules) -> Work:
        """Of the order as the taker has seen it."""
        units, now = SIZES[size](order), self.world.now
        sells_directly = order.side is Side.BUY and settlement is Settlement.DIRECT
        method = self.world.methods[user] if sells_directly else None

        async def work(conn: AsyncConnection) -> str:
            trade_id = new_id()
            await writes.accept(
                conn,
                trade_id=trade_id,
                order=await orders.order(conn, order.id, lock=True),
                asset=ETH,
                wanted=writes.Take(user, settlement, units=units, method_id=method),
                market=MARKET,
                rules=rules,
                terms=TERMS,
                waits=WAITS,
                now=now,
            )
            return trade_id

        return work

    def change(self, order: P2POrder, user: str, edit: str, *, is_new: bool = True) -> Work:
        known = {each.name: getattr(order, each.name) for each in fields(OrderTerms)}
        if order.side is Side.SELL:
            # Kinds of a sale follow from the methods, and are not said.
            known["method_kinds"] = ()
        changed = OrderTerms(**{**known, **EDITS[edit](order)})
        version = order.version if is_new else order.version + 1
        return lambda conn: order_writes.change(
            conn, order_id=order.id, user_id=user, version=version, asset=ETH, terms=changed, rules=RULES
        )

    def payout(self, units: int | None) -> Click:
        operation = new_id()
        operator = self.world.arbiters[0]
        return self.click(
            operator,
            lambda conn: commission.pay_out(
                conn, operation=operation, operator_id=operator, asset_id=ETH.id, units=units, reason="to trade"
            ),
        )

    def count_payouts(self, answers: list[Answer]) -> None:
        self.paid_out += sum(a.value for a in answers if isinstance(a, Done) and isinstance(a.value, int))

    def offers(self, maker: str, side: Side, price: Decimal | None, total: int) -> str:
        """The new order's id."""
        wanted = terms(side, self.world.methods[maker], price, total)
        (answer,) = self.clicks(
            self.click(
                maker,
                lambda conn: order_writes.create(
                    conn, user_id=maker, side=side, asset=ETH, terms=wanted, rules=RULES
                ),
            )
        )
        assert isinstance(answer, Done)
        assert isinstance(answer.value, P2POrder)
        return answer.value.id

    def takes(self, order_id: str, user: str, settlement: Settlement, *, rules: P2PRules = RULES) -> str:
        """The new trade's id."""
        order = self.run(self.world.order(order_id))
        (answer,) = self.clicks(self.click(user, self.take(order, user, settlement, "some", rules)))
        assert isinstance(answer, Done)
        return str(answer.value)

    def says(self, word: str, trade: str, *, bps: int = 5_000) -> None:
        """By one whose word it is."""
        place = next(each for each in self.run(self.world.places()) if each.id == trade)
        user = self.speaker(WORDS[word], place, 0, is_apt=True)
        (answer,) = self.clicks(self.click(user, self.said(word, trade, user, bps, ALONE)))
        assert isinstance(answer, Done), answer

    def speaks(self, word: str, number: int, who: int, *, bps: int = 0, is_apt: bool, is_repeated: bool) -> None:
        place = self.place(WORDS[word], number, is_apt=is_apt)
        user = self.speaker(WORDS[word], place, who, is_apt=is_apt)
        (answer,) = self.clicks(
            self.click(user, self.said(word, place.id, user, bps, ALONE)), is_repeated=is_repeated
        )
        if user not in {place.buyer_id, place.seller_id}:
            assert isinstance(answer, Refused)

    # Clicks.

    def click(self, user: str, work: Work) -> Click:
        return Click(user, f"key-{next(self.keys)}", work)

    def clicks(
        self,
        *clicks: Click,
        is_repeated: bool = False,
        meanwhile: list[Callable[[], Awaitable[object]]] | None = None,
    ) -> list[Answer]:
        """All at once. What was lost with the power is clicked again, by the same people under the same keys.

        :param is_repeated: what was done is clicked again, which must have no effect.
        """
        before = self.run(self.world.digest())
        answers = self.run(self.world.at_once(*clicks, meanwhile=meanwhile or []))
        self.is_healthy = False
        if not meanwhile and not any(isinstance(answer, Done) for answer in answers):
            assert before == self.run(self.world.digest()), answers
        self.is_healthy = True
        for number, click in enumerate(clicks):
            if isinstance(answers[number], PowerCut):
                answers[number] = self.clicks(click)[0]
            elif is_repeated and isinstance(answers[number], Done):
                assert [Replayed()] == self.clicks(click)
        return answers

    def happens(self, story: Callable[[], Awaitable[object]]) -> None:
        """Outside, and then in the books; after a power cut it is looked at again."""
        try:
            self.run(story())
        except PowerCut:
            self.run(story())


class TestP2PMachine:
    @pytest.mark.timeout(180 * TIMES)
    def test_breaks_no_law(self, postgres_server: Postgres, template: str) -> None:
        machine = type("Machine", (P2PMachine,), {"admin_url": postgres_server.admin_url, "template": template})

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=8 * TIMES,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
                phases=UNSHRUNK,
            ),
        )
