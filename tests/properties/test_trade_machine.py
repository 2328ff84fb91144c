"""Trades under attack: everything that users, chains, banks and operators may do, in any order, on real PostgreSQL.

The rules are what happens outside and who looks when; the invariants are the laws of ``liquida/checks``. At the
end the world comes to rest, and then every trade must have ended too.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
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
from models.deposit.tables import deposit_returns, deposits
from models.errors import IllegalTransition, InsufficientFunds
from models.instant_trade.states import ENDED
from models.instant_trade.types import Ruling
from models.payout.states import KNOWN, NEXT, PayoutStatus
from models.quote.types import Funding
from models.transfer.states import TransferStatus
from models.transfer.tables import transfer_transactions
from models.transfer.types import Transfer, TransferPurpose
from models.wallet import allocate
from tests.models.world import COIN, TERMS, World
from tests.parts import create_database, drop_database

P = PayoutStatus
T = TransferStatus
TRADES_MOST = 7
ROUNDS_MOST = 12
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""A story takes a second to tell; telling it hundreds of times to shorten it would outlast the test's time limit."""
SIZES = {"dust": COIN // 10_000, "half": COIN // 2, "whole": COIN, "double": 2 * COIN}
RARELY = (False, False, False, True)
PAUSES = (60.0, 60.0, 60.0, TERMS.deposit_window_seconds, TERMS.chain_timeout_seconds, TERMS.payout_deadline_seconds)
NUMBERS = itertools.count(1)
AFTER = {**NEXT, P.CREATED: NEXT[P.SUBMITTED]}
"""What a provider may say next; the first word follows the sending at once."""

R = TypeVar("R")
pick = st.integers(0, TRADES_MOST - 1)


class TradeMachine(RuleBasedStateMachine):
    admin_url: ClassVar[str]
    template: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.name = f"machine_{next(NUMBERS)}"
        self.trades: list[str] = []
        self.is_healthy = True

    def run(self, story: Awaitable[R]) -> R:
        self.is_healthy = False
        result = self.loop.run(_coroutine(story))
        self.is_healthy = True
        return result

    @initialize()
    def opens(self) -> None:
        async def begin() -> World:
            address = await create_database(self.admin_url, self.name, template=self.template)
            world = await World(engine(address)).begin()
            await world.fund_house()
            await world.give_coins(3 * COIN)
            return world

        self.world = self.run(begin())
        self.trades = self.run(self.some_trades())

    async def some_trades(self) -> list[str]:
        """One at each stage, so that a short story already strikes all of them."""
        world = self.world
        waiting, confirming, paying, paid = [await world.sell(Funding.DEPOSIT) for _ in range(4)]
        await world.deposit(confirming, COIN)
        for trade in (paying, paid):
            await world.make_final(await world.deposit(trade, 2 * COIN))
            await world.advance(trade)
        await world.hear(paid, P.PAID)
        return [waiting, confirming, paying, paid, await world.sell(Funding.CUSTODY)]

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

    # Users.

    @precondition(lambda self: len(self.trades) < TRADES_MOST)
    @rule(funding=st.sampled_from((Funding.CUSTODY, Funding.DEPOSIT)))
    def user_sells(self, funding: Funding) -> None:
        with suppress(InsufficientFunds):
            self.trades.append(self.run(self.world.sell(funding)))

    @rule(number=pick)
    def user_cancels(self, number: int) -> None:
        self.tries(self.world.cancel(self.trade(number)))

    # The chain, inwards.

    @rule(number=pick, size=st.sampled_from(sorted(SIZES)), is_late=st.sampled_from(RARELY))
    def deposits_arrive(self, number: int, size: str, is_late: bool) -> None:
        trade = self.run(self.world.trade(self.trade(number)))
        if trade.funding is Funding.DEPOSIT:
            window = trade.created_at + timedelta(seconds=TERMS.deposit_window_seconds)
            at = window + timedelta(hours=1) if is_late else min(self.world.now, window - timedelta(minutes=1))
            self.run(self.world.deposit(trade.id, SIZES[size], at=at))

    @rule(number=pick)
    def reorg_drops_deposits(self, number: int) -> None:
        """The block of one that is not final, and all blocks after it."""
        if ids := self.run(self.deposits("seen")):
            self.run(self.world.drop_block(ids[number % len(ids)]))

    @rule(number=pick)
    def dropped_deposit_is_mined_again(self, number: int) -> None:
        if ids := self.run(self.deposits("orphaned")):
            self.run(self.again(ids[number % len(ids)]))

    @rule(number=pick)
    def deposit_becomes_final(self, number: int) -> None:
        if ids := self.run(self.deposits("seen")):
            self.run(self.world.make_final(ids[number % len(ids)]))

    # The chain, outwards.

    @rule(number=pick)
    def transfer_is_signed(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED, T.BROADCAST}, self.world.sign)

    @rule(number=pick)
    def transfer_is_broadcast(self, number: int) -> None:
        self.with_transfer(number, {T.SIGNED}, self.world.broadcast)

    @rule(number=pick)
    def transfer_is_mined(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED, T.SIGNED, T.BROADCAST}, self.world.mine)

    @rule(number=pick)
    def transfer_leaves_the_chain(self, number: int) -> None:
        self.with_transfer(number, {T.MINED}, self.world.reorg)

    @rule(number=pick)
    def transfer_is_final(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED, T.BROADCAST, T.MINED}, self.world.finish)

    @rule(number=pick)
    def transfer_is_reverted(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED, T.BROADCAST}, lambda key: self.world.finish(key, reverted=True))

    @rule(number=pick)
    def chain_refuses_transfer(self, number: int) -> None:
        self.with_transfer(number, {T.INTENDED}, self.world.reject)

    @rule()
    def returns_are_closed(self) -> None:
        self.run(self.close_returns())

    # The bank.

    @rule(number=pick, word=st.sampled_from([P.UNKNOWN, P.PROCESSING, P.REJECTED, P.PAID]))
    def provider_says(self, number: int, word: PayoutStatus) -> None:
        self.with_payout(number, word)

    @rule(number=pick)
    def provider_returns(self, number: int) -> None:
        self.with_payout(number, P.RETURNED)

    # Operators.

    @rule(number=pick, paid=st.booleans())
    def operator_attests(self, number: int, paid: bool) -> None:
        """Truly: what is attested as paid is in the bank's statement."""
        trade = self.trade(number)
        before = self.run(self.world.payout_status(trade))
        self.tries(self.world.attest(trade, paid=paid))
        if self.run(self.world.payout_status(trade)) is P.PAID is not before:
            self.world.bank.write(trade, -self.run(self.world.trade(trade)).total_centavos)

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
            assert 0 == self.run(self.locks_run_out(trade))

    @rule(number=pick)
    def return_is_looked_after(self, number: int) -> None:
        self.run(self.world.reopen(self.trade(number)))

    # What always holds.

    @invariant()
    def laws_hold(self) -> None:
        broken, differences = self.run(self.world.broken_laws()), self.run(self.world.differences())
        self.is_healthy = False

        assert {} == broken
        assert [] == differences
        self.nobody_is_paid_and_refunded()
        self.is_healthy = True

    def nobody_is_paid_and_refunded(self) -> None:
        """By what left the house, not by what the books say."""
        for trade in self.trades:
            paid = -sum(line.amount_centavos for line in self.world.bank.lines if line.key == trade)
            refunds = [
                transfer
                for transfer in self.run(self.world.transfers_of(trade))
                if transfer.purpose is TransferPurpose.REFUND and transfer.status in {T.MINED, T.FINAL}
            ]
            assert len(refunds) + (paid > 0) <= 1, (trade, paid, refunds)

    def comes_to_rest(self) -> None:
        """Everything outside ends in some way; then nothing and nobody may wait for ever."""
        for _ in range(ROUNDS_MOST):
            self.run(self.settle_outside())
            self.world.pass_time(max(PAUSES))
            open_trades = [trade for trade in self.trades if self.run(self.world.trade(trade)).status not in ENDED]
            if not open_trades:
                break
            for trade in open_trades:
                self.tries(self.world.rule(trade, Ruling.REFUND))
                self.tries(self.world.nudge(trade))
        ends = {trade: self.run(self.world.status(trade)) for trade in self.trades}

        assert all(end.split(":")[0] in ENDED for end in ends.values()), ends
        assert {} == self.run(self.world.broken_laws())
        assert [] == self.run(self.world.differences())

    async def settle_outside(self) -> None:
        for deposit in await self.deposits("seen"):
            await self.world.make_final(deposit)
        for transfer in await self.transfers(set(T) - {T.FINAL, T.FAILED, T.REJECTED}):
            if transfer.status is T.SIGNED:
                await self.world.broadcast(transfer.key)
            await self.world.finish(transfer.key)
        await self.close_returns()
        for trade in self.trades:
            status = await self.world.payout_status(trade)
            if status is not None and status not in KNOWN:
                await self.world.hear(trade, P.PAID)
            await self.world.advance(trade)
            if status is P.RETURNED:
                await self.world.reopen(trade)

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

    def with_payout(self, number: int, word: PayoutStatus) -> None:
        """To one whose payout is not there yet, or at its end already, a provider says nothing."""
        states = {trade: self.run(self.world.payout_status(trade)) for trade in self.trades}
        if told := [trade for trade, state in states.items() if state and word in AFTER[state]]:
            self.run(self.world.hear(told[number % len(told)], word))

    async def deposits(self, status: str) -> list[int]:
        async with self.world.engine.connect() as conn:
            rows = select(deposits.c.id).where(deposits.c.status == status).order_by(deposits.c.id)
            return list((await conn.execute(rows)).scalars())

    async def again(self, deposit: int) -> None:
        async with self.world.engine.connect() as conn:
            row = (await conn.execute(select(deposits).where(deposits.c.id == deposit))).one()
            address = await allocate.by_id(conn, row.address_id)
        await self.world.arrive(address, row.amount_units, txid=row.txid, at=row.block_time)

    async def transfers(self, states: set[TransferStatus]) -> list[Transfer]:
        c = transfer_transactions.c
        async with self.world.engine.connect() as conn:
            keys = select(c.key).where(c.status.in_(states)).order_by(c.created_at, c.key)
            found = list((await conn.execute(keys)).scalars())
        return [await self.world.transfer(key) for key in found]

    async def close_returns(self) -> None:
        """As ``workflows/deposit_return.py``, for every return whose transfer has ended."""
        async with self.world.engine.connect() as conn:
            pending = select(deposit_returns.c.id).where(deposit_returns.c.status == "pending")
            ids = list((await conn.execute(pending)).scalars())
        for return_id in ids:
            transfer = await self.world.transfer(f"return/{return_id}")
            if transfer.status in {T.FINAL, T.FAILED, T.REJECTED}:
                await self.world.close_return(return_id, returned=transfer.status is T.FINAL)

    async def locks_run_out(self, trade: str) -> object:
        statement = (
            "SELECT count(*) FROM trade_locks WHERE trade_id = :t AND released_at IS NULL AND expires_at <= :now"
        )
        return await self.world.scalar(statement, t=trade, now=self.world.now)


async def _coroutine(story: Awaitable[R]) -> R:
    return await story


class TestTradeMachine:
    def test_breaks_no_law(self, postgres_server: Postgres, template: str) -> None:
        machine = type("Machine", (TradeMachine,), {"admin_url": postgres_server.admin_url, "template": template})

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=14,
                stateful_step_count=28,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
                phases=UNSHRUNK,
            ),
        )
