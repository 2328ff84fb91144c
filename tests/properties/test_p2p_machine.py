"""The marketplace under attack: buyers, sellers, strangers, arbiters, payers, banks, operators and clocks, in any order.

As in ``test_trade_machine.py``: the rules are what happens outside and who looks when, the invariants are the laws.
People also click twice and at once, and the power fails just before a commit: what is refused, replayed or lost must
have changed nothing. At the end the clock runs on; then only disputes may wait, for arbiters, who end those too.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from liquida.database import engine
from liquida.stack.postgres import Postgres
from models.charge.states import ChargeStatus
from models.commission import writes as commission
from models.errors import Refused
from models.ids import new_id
from models.p2p_dispute.types import DisputeRules
from models.p2p_order import writes as order_writes
from models.p2p_order.states import OrderStatus
from models.p2p_order.types import P2POrder, P2PRules, Settlement
from models.p2p_trade.rules import BLOCK_MOST
from models.p2p_trade.states import ENDED
from models.pix_refund.states import KNOWN, NEXT, RefundStatus
from models.pix_refund.types import PixRefund
from models.quote.types import Side
from models.receipt.types import Payer
from tests.models.p2p_disputes import ALONE, TOGETHER
from tests.models.p2p_fair import Answer, Click, Done, Fair, FrailEngine, Place, PowerCut, Replayed, Work
from tests.models.p2p_world import BUYER_PAYS, CONFIRM, RULES, SELLER_PAYS, TAKE, WINDOW
from tests.models.world import COIN, ETH, TERMS
from tests.parts import create_database, drop_database
from tests.properties.p2p_words import EDITS, SIZES, STAGES, WORDS, Scene, change, create, fitting, take, terms
from tests.properties.test_trade_machine import RARELY, UNSHRUNK, _coroutine

R = RefundStatus
TIMES = int(os.environ.get("LIQUIDA_MACHINE_TIMES", "1"))
"""How many times as many stories as in an ordinary run: ``LIQUIDA_MACHINE_TIMES=20 .venv/bin/pytest -k TestP2PMachine``."""
TRADES_MOST, ORDERS_MOST = 16, 8
ROUNDS_MOST = 8
PAUSES = (60.0, 60.0, WINDOW, WINDOW + TERMS.payment_leniency_seconds, CONFIRM / 2, CONFIRM, ALONE.proposal_seconds)
LONGEST = BLOCK_MOST.total_seconds() + 1
"""Longer than anything waits."""
PARTS = (0, 1, 3_333, 5_000, 9_999, 10_000)
MOSTLY = (True, True, True, True, False)
PRICES = (Decimal("15000.00"), Decimal("14999.37"), None)
SETTLEMENTS = tuple(Settlement)
TURNS = (OrderStatus.ACTIVE, OrderStatus.PAUSED, OrderStatus.ACTIVE, OrderStatus.PAUSED, OrderStatus.CLOSED)
AFTER = {**NEXT, R.CREATED: NEXT[R.SUBMITTED]}
"""What a bank may say next of a devolução; the first word follows the sending at once."""
NUMBERS = itertools.count(1)

V = TypeVar("V")
Story = Callable[[], Awaitable[object]]
pick = st.integers(0, 59)
parts = st.sampled_from(PARTS)
mostly, rarely = st.sampled_from(MOSTLY), st.sampled_from(RARELY)


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
        sale = self.offers(sara, Side.SELL, PRICES[1], COIN)
        purchase = self.offers(bruno, Side.BUY, PRICES[0], COIN)
        self.offers(carla, Side.SELL, None, TAKE)
        stuck = self.takes(sale, carla, Settlement.CHARGE)
        self.is_under_a_block(stuck)
        self.world.pass_time(LONGEST)
        self.run(self.world.hear(stuck))
        self.takes(sale, bruno, Settlement.BALANCE)
        self.says("pays", self.takes(sale, carla, Settlement.BALANCE, rules=SELLER_PAYS))
        self.takes(purchase, arturo, Settlement.DIRECT, rules=SELLER_PAYS)
        charged, blocked = [self.takes(sale, carla, Settlement.CHARGE) for _ in range(2)]
        self.run(self.world.hear(charged))
        self.is_under_a_block(blocked)
        claimed, disputed, proposed, ruled = [
            self.takes(order, taker, Settlement.DIRECT, rules=rules)
            for order, taker, rules in (
                (sale, arturo, BUYER_PAYS),
                (sale, bruno, SELLER_PAYS),
                (sale, arturo, SELLER_PAYS),
                (purchase, sara, BUYER_PAYS),
            )
        ]
        for trade in (claimed, disputed, proposed, ruled):
            self.says("pays", trade)
        for trade in (disputed, proposed, ruled):
            self.says("disputes", trade)
        self.says("rules", proposed, rules=TOGETHER)
        self.says("rules", ruled, rules=ALONE)

    def is_under_a_block(self, trade: str) -> None:
        self.run(self.world.hear(trade))
        self.run(self.world.gets(trade, self.total(trade), blocked=True))

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

    @rule(maker=pick, side=st.sampled_from(Side), price=st.sampled_from(PRICES), total=st.sampled_from((COIN, TAKE)))
    def somebody_offers(self, maker: int, side: Side, price: Decimal | None, total: int) -> None:
        if len(self.run(self.world.order_ids())) < ORDERS_MOST:
            self.offers(self.trader(maker), side, price, total)

    @rule(number=pick, edit=st.sampled_from(sorted(EDITS)), is_own=mostly, is_new=mostly)
    def maker_changes_an_order(self, number: int, edit: str, is_own: bool, is_new: bool) -> None:
        order = self.order(number)
        user = order.user_id if is_own else self.stranger(order.user_id)
        (answer,) = self.clicks(self.click(user, change(order, user, edit, is_new=is_new)))

        assert isinstance(answer, Refused) or (is_own and is_new and order.status is not OrderStatus.CLOSED)

    @rule(number=pick, status=st.sampled_from(TURNS), is_own=mostly)
    def maker_turns_an_order(self, number: int, status: OrderStatus, is_own: bool) -> None:
        order = self.order(number)
        user = order.user_id if is_own else self.stranger(order.user_id)
        (answer,) = self.clicks(
            self.click(user, lambda conn: order_writes.turn(conn, order_id=order.id, user_id=user, status=status))
        )

        assert is_own or isinstance(answer, Refused)

    @rule(number=pick, what=pick, who=pick, edit=st.sampled_from(sorted(EDITS)))
    def order_changes_while_a_trade_of_it_goes_on(self, number: int, what: int, who: int, edit: str) -> None:
        place = self.live(number)
        order = self.run(self.world.order(place.order_id))
        self.clicks(
            self.click(order.user_id, change(order, order.user_id, edit)),
            self.saying(self.word(place, what), place, who, 3_333),
        )

    # Taking.

    @rule(
        number=pick,
        taker=pick,
        settlement=st.sampled_from(SETTLEMENTS),
        size=st.sampled_from(("some", "some", *SIZES)),
        rules=st.sampled_from((BUYER_PAYS, SELLER_PAYS)),
        is_repeated=rarely,
    )
    def somebody_takes(
        self, number: int, taker: int, settlement: Settlement, size: str, rules: P2PRules, is_repeated: bool
    ) -> None:
        order, user = self.order(number), self.trader(taker)
        if self.is_full():
            return
        (answer,) = self.clicks(self.taking(order, user, settlement, size, rules), is_repeated=is_repeated)

        is_out = user == order.user_id or order.status is not OrderStatus.ACTIVE or size == "too much"
        assert isinstance(answer, Refused) or not is_out

    @rule(number=pick, settlement=st.sampled_from(SETTLEMENTS), edit=st.sampled_from((None, None, *EDITS)))
    def two_want_the_last_of_it(self, number: int, settlement: Settlement, edit: str | None) -> None:
        """And its maker may change it meanwhile."""
        order = self.order(number)
        if self.is_full():
            return
        both = [user for user in self.world.traders if user != order.user_id][:2]
        clicks = [self.taking(order, user, settlement, "the rest") for user in both]
        if edit is not None:
            clicks.append(self.click(order.user_id, change(order, order.user_id, edit)))
        answers = self.clicks(*clicks)

        assert edit == "more" or sum(isinstance(answer, Done) for answer in answers[:2]) <= 1

    # The two, strangers, and arbiters.

    @rule(number=pick, what=pick, who=pick, bps=parts, rules=st.sampled_from((ALONE, TOGETHER)), is_repeated=rarely)
    def somebody_says(
        self, number: int, what: int, who: int, bps: int, rules: DisputeRules, is_repeated: bool
    ) -> None:
        """What may be of use."""
        place = self.live(number)
        word = self.word(place, what)
        self.clicks(self.saying(word, place, who, bps, rules), is_repeated=is_repeated)

    @rule(number=pick, what=pick, who=pick, bps=parts, rules=st.sampled_from((ALONE, TOGETHER)), is_repeated=rarely)
    def somebody_disputes(
        self, number: int, what: int, who: int, bps: int, rules: DisputeRules, is_repeated: bool
    ) -> None:
        disputed = [place for place in self.run(self.world.places()) if place.status == "disputed"]
        if disputed:
            place = disputed[number % len(disputed)]
            word = self.word(place, what)
            self.clicks(self.saying(word, place, who, bps, rules), is_repeated=is_repeated)

    @rule(number=pick, what=pick, who=pick, bps=parts)
    def somebody_says_what_is_not_theirs_to_say(self, number: int, what: int, who: int, bps: int) -> None:
        """Of use here, but by another: one party as the other, a stranger as either, a party as the arbiter."""
        place = self.live(number)
        word = self.word(place, what)
        allowed = WORDS[word].speakers(place, self.world.arbiters)
        two, others = [place.buyer_id, place.seller_id], [*self.world.traders, self.world.arbiters[0]]
        wrong = [each for each in (two if WORDS[word].by == "arbiter" else 2 * two + others) if each not in allowed]
        user = wrong[who % len(wrong)]
        (answer,) = self.clicks(self.click(user, self.said(word, place, user, bps, ALONE)))

        assert isinstance(answer, Refused)

    @rule(number=pick, what=pick, second=pick, who=pick, other=pick, bps=parts, is_heard=st.booleans())
    def two_say_at_once(
        self, number: int, what: int, second: int, who: int, other: int, bps: int, is_heard: bool
    ) -> None:
        """Of one trade, which its clock and its bank may look at in the same moment."""
        place = self.live(number)
        clicks = [
            self.saying(word, place, person, bps)
            for word, person in ((self.word(place, what), who), (self.word(place, second), other))
        ]
        self.clicks(*clicks, meanwhile=[lambda: self.looks(place)] if is_heard else [])

    @rule(number=pick, what=pick, who=pick, bps=parts)
    def somebody_double_clicks(self, number: int, what: int, who: int, bps: int) -> None:
        place = self.live(number)
        one = self.saying(self.word(place, what), place, who, bps)
        answers = self.clicks(one, one)

        assert sum(isinstance(answer, Done) for answer in answers) <= 1

    # The bank.

    @rule(
        number=pick,
        more=st.sampled_from((0, 0, 0, 0, -1, 1)),
        payer=st.sampled_from((Payer.SAME, Payer.SAME, Payer.SAME, *Payer)),
        is_blocked=rarely,
        is_heard=st.booleans(),
    )
    def somebody_pays_a_charge(self, number: int, more: int, payer: Payer, is_blocked: bool, is_heard: bool) -> None:
        """Once, or again, in time or too late; only a charge that was made can be paid."""
        trade = self.charged(number)
        if self.run(self.charge_status(trade)) is not ChargeStatus.ACTIVE:
            return
        self.world.desk.now = self.world.now
        self.world.desk.pay(trade, self.total(trade) + more, payer=payer, blocked=is_blocked)
        if is_heard:
            self.happens(lambda: self.world.hear(trade))

    @rule(number=pick, is_known=mostly)
    def bank_is_asked(self, number: int, is_known: bool) -> None:
        trade = self.charged(number)
        self.happens(lambda: self.world.hear(trade, is_known=is_known))

    @rule(number=pick)
    def bank_refuses_a_charge(self, number: int) -> None:
        trade = self.charged(number)
        if self.run(self.charge_status(trade)) in {ChargeStatus.CREATED, ChargeStatus.SUBMITTED}:
            self.happens(lambda: self.world.desk.refuse_charge(trade))

    @precondition(lambda self: self.blocked())
    @rule(number=pick)
    def bank_lifts_a_block(self, number: int) -> None:
        self.world.desk.release(self.blocked()[number % len(self.blocked())])

    @precondition(lambda self: self.world.desk.payments)
    @rule(number=pick)
    def bank_takes_a_payment_back(self, number: int) -> None:
        """One that is still there, and on its way nowhere."""
        desk = self.world.desk
        payments = desk.payments.items()
        there = [pix for pix, p in payments if not p.seen.taken_back_centavos and not self.run(desk.is_going(pix))]
        if there:
            desk.take_back(there[number % len(there)])

    @precondition(lambda self: self.world.desk.payments)
    @rule(number=pick, word=st.sampled_from([R.UNKNOWN, R.PROCESSING, R.REJECTED, R.REFUNDED, R.REFUNDED]))
    def bank_says_of_a_refund(self, number: int, word: RefundStatus) -> None:
        desk = self.world.desk
        refunds = self.run(self.refunds())
        told = [refund for refund in refunds if word in AFTER[refund.status] and desk.may_say(word, refund)]
        if told:
            self.happens(lambda: desk.hear_refund(told[number % len(told)].key, word))

    # Operators.

    @rule(part=st.sampled_from((None, 1, 10**15, 10**30)), is_double=st.booleans(), is_repeated=rarely)
    def operators_pay_out_the_commission(self, part: int | None, is_double: bool, is_repeated: bool) -> None:
        """``is_double``: while another one takes all of it."""
        clicks = [self.payout(part), *([self.payout(None)] if is_double else [])]
        for answer in self.clicks(*clicks, is_repeated=is_repeated):
            if isinstance(answer, Done) and isinstance(answer.value, int):
                self.paid_out += answer.value

    # Time, workflows, and power.

    @rule(seconds=st.sampled_from(PAUSES), is_long=st.sampled_from((False,) * 9 + (True,)))
    def time_passes(self, seconds: float, is_long: bool) -> None:
        self.world.pass_time(LONGEST if is_long else seconds)

    @rule(number=pick)
    def clock_looks_at_one(self, number: int) -> None:
        place = self.live(number)
        self.happens(lambda: self.looks(place))

    @rule()
    def books_advance_twice(self) -> None:
        """All of them, as their workflows do; the second time there is nothing left to do."""
        self.happens(self.all_look)
        before = self.run(self.world.digest())
        self.run(self.all_look())

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
            if self.waiting() <= {"disputed/open", "disputed/appealed"}:
                break
        assert self.waiting() <= {"disputed/open", "disputed/appealed"}
        self.decide_all()
        self.world.pass_time(LONGEST)
        self.run(self.settle_outside())

        assert set() == self.waiting()
        assert None is self.run(self.left_held())
        for place in self.run(self.world.places()):
            self.bank_kept_no_more_than_it_gave_on(place)
        self.laws_hold()

    def decide_all(self) -> None:
        """By whichever arbiter may still decide."""
        for place in self.run(self.world.places()):
            for number, _ in enumerate(self.world.arbiters):
                if place.status == "disputed":
                    bps = 0 if place.settlement == Settlement.CHARGE else 5_000
                    self.clicks(self.saying("rules", place, number, bps))

    async def settle_outside(self) -> None:
        desk = self.world.desk
        for pix in self.blocked():
            desk.release(pix)
        await self.all_look()
        for refund in await self.refunds():
            if refund.status not in KNOWN:
                word = R.REFUNDED if desk.may_say(R.REFUNDED, refund) else R.REJECTED
                await desk.hear_refund(refund.key, word)
        await self.all_look()

    async def left_held(self) -> object:
        return await self.world.scalar(
            "SELECT array_agg(a.owner || ' ' || a.asset_id) FROM (SELECT account_id FROM ledger_postings"
            " GROUP BY account_id HAVING sum(amount) <> 0) AS p JOIN ledger_accounts AS a ON a.id = p.account_id"
            " WHERE a.purpose = 'held'"
        )

    def bank_kept_no_more_than_it_gave_on(self, place: Place) -> None:
        """By its own lines, not by what the books say; but for what it would not send back, which waits for a person."""
        if place.settlement != Settlement.CHARGE:
            return
        desk = self.world.desk
        keys = {place.id, *(refund.key for refund in self.run(desk.refunds(place.id)))}
        kept = sum(line.amount_centavos for line in desk.bank.lines if line.key in keys)
        taken = sum(p.seen.taken_back_centavos for p in desk.payments.values() if p.charge_key == place.id)
        stuck = sum(r.amount_centavos for r in self.run(desk.receipts(place.id)) if r.status == "refund_failed")
        asked = self.total(place.id) if place.status == "completed" else 0

        assert asked - taken <= kept - stuck <= asked, (place, kept, stuck, taken)

    # What there is.

    def trader(self, number: int) -> str:
        return self.world.traders[number % len(self.world.traders)]

    def stranger(self, user: str) -> str:
        return next(each for each in self.world.traders if each != user)

    def order(self, number: int) -> P2POrder:
        ids = self.run(self.world.order_ids())
        return self.run(self.world.order(ids[number % len(ids)]))

    def is_full(self) -> bool:
        return len(self.run(self.world.places())) >= TRADES_MOST

    def live(self, number: int) -> Place:
        """One that has not ended, if there is such a one."""
        places = self.run(self.world.places())
        live = [place for place in places if place.stage in STAGES] or places
        return live[number % len(live)]

    def waiting(self) -> set[str]:
        """The stages of trades that have not ended."""
        return {place.stage for place in self.run(self.world.places()) if place.status not in ENDED}

    def word(self, place: Place, number: int) -> str:
        words = fitting(place.stage)
        return words[number % len(words)]

    def total(self, trade: str) -> int:
        return self.run(self.world.read(trade)).total_centavos

    def charged(self, number: int) -> str:
        places = [each.id for each in self.run(self.world.places()) if each.settlement == Settlement.CHARGE]
        return places[number % len(places)]

    def blocked(self) -> list[str]:
        return [pix for pix, payment in self.world.desk.payments.items() if payment.seen.is_blocked]

    async def charge_status(self, trade: str) -> ChargeStatus:
        return ChargeStatus(str(await self.world.scalar("SELECT status FROM charges WHERE key = :key", key=trade)))

    async def refunds(self) -> list[PixRefund]:
        return [refund for place in await self.world.places() for refund in await self.world.desk.refunds(place.id)]

    # What is done.

    async def looks(self, place: Place) -> None:
        """As the workflows of the trade, of its charge and of its dispute do."""
        if place.settlement == Settlement.CHARGE:
            await self.world.hear(place.id)
        trade = await self.world.look(place.id)
        assert trade.seconds_to_next is None or trade.seconds_to_next > 0
        if place.dispute_id is not None:
            dispute = await self.world.look_at_dispute(place.dispute_id)
            assert dispute.seconds_to_next is None or dispute.seconds_to_next > 0

    async def all_look(self) -> None:
        for place in await self.world.places():
            await self.looks(place)

    def happens(self, story: Story) -> None:
        """In the books, of what happened outside; after a power cut it is looked at again."""
        try:
            self.run(story())
        except PowerCut:
            self.run(story())

    def click(self, user: str, work: Work) -> Click:
        return Click(user, f"key-{next(self.keys)}", work)

    def said(self, word: str, place: Place, user: str, bps: int, rules: DisputeRules) -> Work:
        scene = Scene(place.id, user, bps, rules, self.world.now)
        return lambda conn: WORDS[word].say(conn, scene)

    def saying(self, word: str, place: Place, who: int, bps: int, rules: DisputeRules = ALONE) -> Click:
        """By one whose word it is."""
        people = WORDS[word].speakers(place, self.world.arbiters)
        user = people[who % len(people)]
        return self.click(user, self.said(word, place, user, bps, rules))

    def taking(self, order: P2POrder, user: str, settlement: Settlement, size: str, rules: P2PRules = RULES) -> Click:
        method = self.world.methods[user]
        return self.click(user, take(order, user, settlement, size, rules, method=method, now=self.world.now))

    def payout(self, units: int | None) -> Click:
        operation, operator = new_id(), self.world.arbiters[0]
        return self.click(
            operator,
            lambda conn: commission.pay_out(
                conn, operation=operation, operator_id=operator, asset_id=ETH.id, units=units, reason="to trade"
            ),
        )

    def offers(self, maker: str, side: Side, price: Decimal | None, total: int) -> str:
        """The new order's id."""
        wanted = terms(side, self.world.methods[maker], price, total)
        (answer,) = self.clicks(self.click(maker, create(maker, side, wanted)))
        assert isinstance(answer, Done)
        assert isinstance(answer.value, P2POrder)
        return answer.value.id

    def takes(self, order_id: str, user: str, settlement: Settlement, *, rules: P2PRules = RULES) -> str:
        """The new trade's id."""
        order = self.run(self.world.order(order_id))
        (answer,) = self.clicks(self.taking(order, user, settlement, "some", rules))
        assert isinstance(answer, Done)
        return str(answer.value)

    def says(self, word: str, trade: str, *, rules: DisputeRules = ALONE) -> None:
        place = next(each for each in self.run(self.world.places()) if each.id == trade)
        (answer,) = self.clicks(self.saying(word, place, 0, 3_333, rules))
        assert isinstance(answer, Done)

    def clicks(self, *clicks: Click, is_repeated: bool = False, meanwhile: list[Story] | None = None) -> list[Answer]:
        """All at once. What was lost with the power is clicked again, by the same people under the same keys.

        :param is_repeated: what was done is clicked again, which must have no effect.
        """
        before = self.run(self.world.digest())
        answers = self.run(self.world.at_once(*clicks, meanwhile=meanwhile or []))
        if not meanwhile and not any(isinstance(answer, Done) for answer in answers):
            after = self.run(self.world.digest())
            self.is_healthy = False
            assert before == after, answers
            self.is_healthy = True
        for number, click in enumerate(clicks):
            if isinstance(answers[number], PowerCut):
                answers[number] = self.clicks(click)[0]
            elif is_repeated and isinstance(answers[number], Done):
                assert [Replayed()] == self.clicks(click)
        return answers


class TestP2PMachine:
    @pytest.mark.timeout(180 * TIMES)
    def test_breaks_no_law(self, postgres_server: Postgres, template: str) -> None:
        machine = type("Machine", (P2PMachine,), {"admin_url": postgres_server.admin_url, "template": template})

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=8 * TIMES,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
                phases=UNSHRUNK,
            ),
        )
