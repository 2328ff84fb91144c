"""Every state with every combination of facts: each step is an arrow, every waiting ends, no story goes in circles."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

from models.instant_trade.effects import LOCKS
from models.instant_trade.rules import decide, may_cancel
from models.instant_trade.states import ENDED, NEXT, TradeStatus
from models.instant_trade.types import Facts, Lock, Ruling, Step, Trade
from models.payout.states import PayoutStatus
from models.quote.types import Funding
from models.transfer.states import TransferStatus

S = TradeStatus
NOW = datetime(2026, 1, 1, tzinfo=UTC)
AMOUNT = 10
SOME = 4
STEPS_MOST = 4
TRADE = Trade(
    id="t",
    reference="OTC-2026-000001",
    user_id="u",
    quote_id="q",
    operation="sell",
    funding=Funding.DEPOSIT,
    asset_id="ETH.ethereum",
    asset_decimals=18,
    network_id="ethereum",
    amount_units=AMOUNT,
    price=Decimal(15_000),
    gross_centavos=100,
    spread_centavos=3,
    network_fee_centavos=1,
    total_centavos=96,
    return_min_centavos=0,
    bank_data_id="b",
    source_address_id=1,
    source_address="0x1",
    refund_address="0x2",
    held_units=0,
    status=S.AWAITING_DEPOSIT,
    version=1,
    reason=None,
    ruling=None,
    created_at=NOW,
    updated_at=NOW,
)

_trade = cache(
    lambda status, funding, ruling, held: replace(
        TRADE, status=status, funding=funding, ruling=ruling, held_units=held
    )
)


@cache
def _facts(
    seen: int, pending: int, funding: object, refund: object, payout: object, locks: tuple[tuple[Lock, bool], ...]
) -> Facts:
    ends = {lock: NOW if over else NOW + timedelta(seconds=1) for lock, over in locks}
    return Facts(seen, pending, funding, refund, int(refund is not None), payout, ends)


def _locks(status: TradeStatus) -> Iterator[tuple[tuple[Lock, bool], ...]]:
    """Each lock of a state running or over; the chain's is set to run out after the deposit window."""
    kinds = sorted(LOCKS.get(status, set()))
    for over in itertools.product((False, True), repeat=len(kinds)):
        locks = dict(zip(kinds, over, strict=True))
        if locks.get(Lock.CHAIN_TIMEOUT) and not locks.get(Lock.DEPOSIT_WINDOW, True):
            continue
        yield tuple(locks.items())


def combinations() -> Iterator[tuple[Trade, Facts]]:
    """Everything a trade can be told; for coins, none, some and enough."""
    outside = tuple(itertools.product((None, *TransferStatus), (None, *PayoutStatus)))
    deposits = [
        (Funding.DEPOSIT, held, seen, pending, None)
        for held, seen in itertools.product((0, SOME, AMOUNT), repeat=2)
        for pending in {0, max(0, seen - held)}
    ]
    custody = [(Funding.CUSTODY, held, 0, 0, state) for held in (0, AMOUNT) for state in TransferStatus]
    for status, ruling in itertools.product(S, (None, *Ruling)):
        kinds = {S.AWAITING_DEPOSIT: deposits, S.TRANSFERRING: custody}.get(status, [*deposits, *custody])
        for funding, held, seen, pending, transfer in kinds:
            for (refund, payout), locks in itertools.product(outside, _locks(status)):
                yield (
                    _trade(status, funding, ruling, held),
                    _facts(seen, pending, transfer, refund, payout, locks),
                )


def after(trade: Trade, facts: Facts, step: Step) -> tuple[Trade, Facts]:
    """What ``effects.py`` does to the facts: the orders it writes, and the locks it sets or lets go."""
    kept = {lock: end for lock, end in facts.locks.items() if lock in LOCKS.get(step.status, set())}
    fresh = NOW + timedelta(seconds=1)
    moved = replace(trade, status=step.status)
    if step.status is S.AWAITING_DEPOSIT:
        kept.setdefault(Lock.DEPOSIT_WINDOW, fresh)
    if step.status is S.PAYING_OUT:
        moved = replace(moved, held_units=max(0, trade.held_units - AMOUNT), ruling=None)
        facts = replace(facts, payout=PayoutStatus.CREATED)
        kept[Lock.PAYOUT_DEADLINE] = fresh
    if step.status is S.REFUNDING:
        moved = replace(moved, held_units=trade.held_units + (AMOUNT if facts.payout else 0))
        facts = replace(facts, refund=TransferStatus.INTENDED)
        kept[Lock.CHAIN_TIMEOUT] = fresh
    return moved, replace(facts, locks=kept)


class TestDecide:
    def test_takes_only_steps_of_the_picture(self) -> None:
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)

            assert step is None or step.status in NEXT[trade.status], (trade.status, step, facts)

    def test_never_goes_in_circles(self) -> None:
        for trade, facts in combinations():
            first, now, facts_now = trade, trade, facts
            path = [trade.status]
            while step := decide(now, facts_now, NOW):
                now, facts_now = after(now, facts_now, step)
                path.append(now.status)

                assert len(path) <= STEPS_MOST + 1, (path, first, facts)

    def test_ends_every_waiting_whose_lock_ran_out(self) -> None:
        for trade, facts in combinations():
            over = {lock for lock, end in facts.locks.items() if end <= NOW}

            assert not over or decide(trade, facts, NOW) is not None, (trade.status, facts)

    def test_leaves_what_has_ended(self) -> None:
        for trade, facts in combinations():
            assert trade.status not in ENDED or decide(trade, facts, NOW) is None

    def test_never_refunds_what_may_be_paid(self) -> None:
        unpaid = {None, PayoutStatus.REJECTED, PayoutStatus.RETURNED}
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)
            if step is None or step.status is not S.REFUNDING or trade.status not in {S.PAYING_OUT, S.NEEDS_REVIEW}:
                continue

            assert facts.payout in unpaid, (trade.status, step, facts)

    def test_never_pays_out_what_is_not_there(self) -> None:
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)
            if step is None or step.status is not S.PAYING_OUT:
                continue

            funded = (
                facts.funding is TransferStatus.FINAL
                if trade.funding is Funding.CUSTODY
                else trade.held_units >= AMOUNT
            )
            assert funded, (trade, facts)
            assert facts.payout is None or trade.status is S.CONFIRMING, (trade, facts)


class TestMayCancel:
    def test_only_before_coins_move(self) -> None:
        moving = set(TransferStatus) - {TransferStatus.INTENDED, TransferStatus.REJECTED}
        for trade, facts in combinations():
            if may_cancel(trade, facts):
                assert S.CANCELLED in NEXT[trade.status]
                assert facts.seen_units == 0
                assert facts.funding not in moving
