"""Purchases under attack: everything that users, payers, banks, chains and operators may do, in any order.

As in ``test_trade_machine.py``: the rules are what happens outside and who looks when, the invariants are the laws.
The bank may do things that nobody has told us yet, so its books are compared whenever we have seen all of it.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

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
from sqlalchemy import select

from liquida.database import engine
from liquida.stack.postgres import Postgres
from models.charge.states import ChargeStatus
from models.errors import IllegalTransition
from models.instant_trade.states import ENDED
from models.instant_trade.types import Ruling
from models.pix_refund.states import KNOWN, NEXT, RefundStatus
from models.pix_refund.types import PixRefund
from models.receipt.states import ReceiptStatus
from models.receipt.types import Payer
from models.transfer.states import TransferStatus
from models.transfer.tables import transfer_transactions
from models.transfer.types import Transfer
from tests.models.buy_world import PAY, WINDOW, BuyWorld
from tests.models.world import OUTSIDE, TERMS
from tests.parts import create_database, drop_database
from tests.properties.test_trade_machine import RARELY, UNSHRUNK, _coroutine

R = RefundStatus
T = TransferStatus
TRADES_MOST = 7
ROUNDS_MOST = 12
PAUSES = (60.0, 60.0, 60.0, WINDOW, TERMS.chain_timeout_seconds, TERMS.refund_deadline_seconds, 81 * 3600.0)
PAYMENTS = {
    "right": (PAY, Payer.SAME),
    "less": (PAY - 1, Payer.SAME),
    "more": (PAY + 1, Payer.SAME),
    "by a stranger": (PAY, Payer.OTHER),
    "by nobody knows whom": (PAY, Payer.UNKNOWN),
}
OFTEN_RIGHT = ("right", "right", "right", *PAYMENTS)
AFTER = {**NEXT, R.CREATED: NEXT[R.SUBMITTED]}
"""What a bank may say next of a devolução; the first word follows the sending at once."""
GOING = {ReceiptStatus.RECEIVED, ReceiptStatus.BLOCKED, ReceiptStatus.REFUNDING, ReceiptStatus.REFUND_FAILED}
NUMBERS = itertools.count(1)

V = TypeVar("V")
pick = st.integers(0, TRADES_MOST - 1)


class PurchaseMachine(RuleBasedStateMachine):
    admin_url: ClassVar[str]
    template: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.name = f"purchases_{next(NUMBERS)}"
        self.trades: list[str] = []
        self.is_healthy = True

    def run(self, story: Awaitable[V]) -> V:
        self.is_healthy = False
        result = self.loop.run(_coroutine(story))
        self.is_healthy = True
        return result

    @initialize()
    def opens(self) -> None:
        async def begin() -> BuyWorld:
            address = await create_database(self.admin_url, self.name, template=self.template)
            return await BuyWorld(engine(address)).begin()

        self.world = self.run(begin())
        self.trades = self.run(self.some_trades())

    async def some_trades(self) -> list[str]:
        """One at each stage, so that a short story already strikes all of them."""
        world = self.world
        unheard, waiting = await world.order(), await world.buy()
        blocked, refused = await world.buy(), await world.buy(to=None)
        world.pay(blocked, blocked=True)
        await world.hears(blocked)
        await world.paid(refused, payer=Payer.OTHER)
        await world.end_refunds(refused, R.REJECTED)
        return [unheard, waiting, blocked, refused, await world.bought()]

    def teardown(self) -> None:
        async def close() -> None:
            await self.world.engine.dispose()
            await drop_database(self.admin_url, self.name)

        try:
            if self.is_healthy:
                self.comes_to_rest()
        finally:
            self.loop.run(close())
            self.loop.close()

    # Users and payers.

    @precondition(lambda self: len(self.trades) < TRADES_MOST)
    @rule(to=st.sampled_from((None, OUTSIDE)))
    def user_buys(self, to: str | None) -> None:
        self.trades.append(self.run(self.world.order(to=to)))

    @rule(number=pick)
    def user_cancels(self, number: int) -> None:
        self.tries(self.world.cancel(self.trade(number)))

    @rule(
        number=pick,
        what=st.sampled_from(OFTEN_RIGHT),
        is_blocked=st.sampled_from(RARELY),
        is_in_time=st.sampled_from((False, False, True)),
    )
    def somebody_pays(self, number: int, what: str, is_blocked: bool, is_in_time: bool) -> None:
        """``is_in_time``: stamped in time, however late we see it. Only a charge that was made can be paid."""
        trade = self.trade(number)
        if self.run(self.charge_status(trade)) is not ChargeStatus.ACTIVE:
            return
        created = self.run(self.world.trade(trade)).created_at
        at = min(self.world.now, created + timedelta(seconds=WINDOW)) if is_in_time else self.world.now
        centavos, payer = PAYMENTS[what]
        self.world.pay(trade, centavos, payer=payer, blocked=is_blocked, at=at)

    # The bank.

    @rule(number=pick, is_known=st.sampled_from((True, True, True, False)))
    def bank_is_asked(self, number: int, is_known: bool) -> None:
        self.run(self.world.look(self.trade(number), is_known=is_known))

    @rule(number=pick)
    def bank_refuses_the_charge(self, number: int) -> None:
        trade = self.trade(number)
        if self.run(self.charge_status(trade)) in {ChargeStatus.CREATED, ChargeStatus.SUBMITTED}:
            self.run(self.world.refuse_charge(trade))

    @rule(number=pick)
    def bank_lifts_a_block(self, number: int) -> None:
        if blocked := [pix for pix, payment in self.world.payments.items() if payment.seen.is_blocked]:
            self.world.release(blocked[number % len(blocked)])

    @rule(number=pick, is_meant=st.sampled_from(RARELY))
    def bank_takes_a_payment_back(self, number: int, is_meant: bool) -> None:
        """One that is still there, and on its way nowhere."""
        payments = self.world.payments.items()
        there = [
            pix for pix, p in payments if not p.seen.taken_back_centavos and not self.run(self.world.is_going(pix))
        ]
        if is_meant and there:
            self.world.take_back(there[number % len(there)])

    @rule(number=pick, word=st.sampled_from([R.UNKNOWN, R.PROCESSING, R.REJECTED, R.REFUNDED, R.REFUNDED]))
    def bank_says_of_a_refund(self, number: int, word: RefundStatus) -> None:
        told = [
            refund
            for refund in self.run(self.refunds())
            if word in AFTER[refund.status] and self.world.may_say(word, refund)
        ]
        if told:
            self.run(self.world.hear_refund(told[number % len(told)].key, word))

    # The chain.

    @rule(number=pick)
    def delivery_is_signed(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED, T.BROADCAST}, self.world.sign)

    @rule(number=pick)
    def delivery_is_mined(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED, T.SIGNED, T.BROADCAST}, self.world.mine)

    @rule(number=pick)
    def delivery_leaves_the_chain(self, number: int) -> None:
        self.with_transfer(number, {T.MINED}, self.world.reorg)

    @rule(number=pick)
    def delivery_is_final(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED, T.BROADCAST, T.MINED}, self.world.finish)

    @rule(number=pick)
    def delivery_is_reverted(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED, T.BROADCAST}, lambda key: self.world.finish(key, reverted=True))

    @rule(number=pick)
    def chain_refuses_the_delivery(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED}, self.world.reject)

    # Operators.

    @rule(number=pick, ruling=st.sampled_from(Ruling))
    def operator_rules(self, number: int, ruling: Ruling) -> None:
        reviewed = [trade for trade in self.trades if self.run(self.world.trade(trade)).status == "needs_review"]
        self.tries(self.world.rule((reviewed or self.trades)[number % len(reviewed or self.trades)], ruling))

    @rule(number=pick)
    def operator_nudges(self, number: int) -> None:
        self.tries(self.world.nudge(self.trade(number)))

    # Time and workflows.

    @rule(seconds=st.sampled_from(PAUSES))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule()
    def books_advance_twice(self) -> None:
        """All of them, as their workflows do; the second time there is nothing left to do."""
        for trade in self.trades:
            first = self.run(self.world.advance(trade))
            version = self.run(self.world.trade(trade)).version

            assert first == self.run(self.world.advance(trade))
            assert version == self.run(self.world.trade(trade)).version
            assert first.seconds_to_lock is None or first.seconds_to_lock > 0

    # What always holds.

    @invariant()
    def laws_hold(self) -> None:
        broken = self.run(self.world.broken_laws())
        differences = self.run(self.world.differences()) if self.run(self.world.is_all_seen()) else []
        self.is_healthy = False

        assert {} == broken
        assert [] == differences
        self.is_healthy = True
        self.nobody_is_delivered_to_and_refunded()

    def nobody_is_delivered_to_and_refunded(self) -> None:
        """By what left the house, not by what the books say."""
        for trade in self.trades:
            (kept, taken), deliveries = self.run(self.kept(trade)), self.run(self.world.transfers_of(trade))
            self.is_healthy = False

            assert kept >= 0, trade
            assert len(deliveries) <= 1, trade
            if any(transfer.status in {T.MINED, T.FINAL} for transfer in deliveries):
                assert kept + taken >= PAY, (trade, kept, taken)
            self.is_healthy = True

    def comes_to_rest(self) -> None:
        """Everything outside ends in some way; then nothing and nobody may wait for ever."""
        for _ in range(ROUNDS_MOST):
            self.run(self.settle_outside())
            self.world.pass_time(max(PAUSES))
            if not self.run(self.unsettled()):
                break
            for trade in self.trades:
                self.tries(self.world.rule(trade, Ruling.REFUND))
                self.tries(self.world.nudge(trade))
        ends = {trade: self.run(self.world.status(trade)) for trade in self.trades}

        assert [] == self.run(self.unsettled()), ends
        assert {} == self.run(self.world.broken_laws())
        assert [] == self.run(self.world.differences())
        for trade in self.trades:
            kept, taken = self.run(self.kept(trade))
            left = self.run(self.left_to_the_user(trade))
            asked = PAY if ends[trade].startswith("completed") else 0
            assert asked - taken <= kept - left <= asked, (trade, ends[trade], kept, left, taken)

    async def settle_outside(self) -> None:
        for pix, payment in self.world.payments.items():
            if payment.seen.is_blocked:
                self.world.release(pix)
        for transfer in await self.transfers(set(T) - {T.FINAL, T.FAILED, T.REJECTED}):
            if transfer.status is T.SIGNED:
                await self.world.broadcast(transfer.key)
            await self.world.finish(transfer.key)
        for trade in self.trades:
            await self.world.hears(trade)
            for refund in await self.world.refunds(trade):
                if refund.status not in KNOWN:
                    word = R.REFUNDED if self.world.may_say(R.REFUNDED, refund) else R.REJECTED
                    await self.world.hear_refund(refund.key, word)
            await self.world.hears(trade)

    # Helpers.

    def trade(self, number: int) -> str:
        return self.trades[number % len(self.trades)]

    def tries(self, story: Awaitable[object]) -> None:
        """What may be refused; a refusal changes nothing, which the invariants watch."""
        with suppress(IllegalTransition):
            self.run(story)
        self.is_healthy = True

    def with_transfer(self, number: int, states: set[TransferStatus], do: Callable[[str], Awaitable[Any]]) -> None:
        if moving := self.run(self.transfers(states)):
            self.run(do(moving[number % len(moving)].key))

    async def unsettled(self) -> list[str]:
        """Trades that have not ended, and receipts whose fate is open."""
        open_trades = [trade for trade in self.trades if (await self.world.trade(trade)).status not in ENDED]
        receipts = [receipt for trade in self.trades for receipt in await self.world.receipts(trade)]
        return open_trades + [receipt.id for receipt in receipts if receipt.status in GOING]

    async def kept(self, trade: str) -> tuple[int, int]:
        """What the bank's lines leave us of this trade's payments; and what the bank took back."""
        keys = {trade, *(refund.key for refund in await self.world.refunds(trade))}
        kept = sum(line.amount_centavos for line in self.world.bank.lines if line.key in keys)
        taken = sum(p.seen.taken_back_centavos for p in self.world.payments.values() if p.charge_key == trade)
        return kept, taken

    async def left_to_the_user(self, trade: str) -> int:
        receipts = await self.world.receipts(trade)
        return sum(r.amount_centavos for r in receipts if r.status is ReceiptStatus.CREDITED and r.reason)

    async def charge_status(self, trade: str) -> ChargeStatus:
        return ChargeStatus(str(await self.world.scalar("SELECT status FROM charges WHERE key = :key", key=trade)))

    async def refunds(self) -> list[PixRefund]:
        return [refund for trade in self.trades for refund in await self.world.refunds(trade)]

    async def transfers(self, states: set[TransferStatus]) -> list[Transfer]:
        c = transfer_transactions.c
        async with self.world.engine.connect() as conn:
            keys = select(c.key).where(c.status.in_(states)).order_by(c.created_at, c.key)
            found = list((await conn.execute(keys)).scalars())
        return [await self.world.transfer(key) for key in found]


class TestPurchaseMachine:
    def test_breaks_no_law(self, postgres_server: Postgres, template: str) -> None:
        machine = type("Machine", (PurchaseMachine,), {"admin_url": postgres_server.admin_url, "template": template})

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=12,
                stateful_step_count=28,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
                phases=UNSHRUNK,
            ),
        )
