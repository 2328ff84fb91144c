"""Every state of a purchase with every combination of facts: each step is an arrow, every waiting ends, nobody is
both delivered to and paid back.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache

from models.charge.states import ChargeStatus
from models.instant_trade.buy_effects import EFFECTS, LOCKS
from models.instant_trade.buy_rules import RULES, decide, may_cancel
from models.instant_trade.rules import NOT_MOVED
from models.instant_trade.states import ENDED, NEXT, TradeStatus
from models.instant_trade.types import BuyFacts, Outcome, Ruling, Step, Trade
from models.quote.types import Delivery, Funding, Side
from models.receipt.rules import RefundReason
from models.receipt.states import ReceiptStatus
from models.transfer.states import TransferStatus
from tests.properties.test_trade_rules import NOW, TRADE

S, R = TradeStatus, ReceiptStatus
STEPS_MOST = 4
MINE = (
    S.AWAITING_PAYMENT,
    S.CONFIRMING_PAYMENT,
    S.DELIVERING,
    S.REFUNDING,
    S.NEEDS_REVIEW,
    S.COMPLETED,
    S.CANCELLED,
    S.EXPIRED,
    S.REFUNDED,
)
PURCHASE = replace(
    TRADE,
    operation=Side.BUY,
    funding=Funding.PIX,
    delivery=Delivery.ADDRESS,
    delivery_address="0x3",
    total_centavos=104,
    bank_data_id=None,
    refund_address=None,
    status=S.AWAITING_PAYMENT,
)
CAME = (R.BLOCKED, R.CREDITED, R.REFUNDING, R.REFUND_FAILED, R.REFUNDED)
"""What matters of receipts. ``received`` lasts no transaction, ``taken_back`` is as if it had not come."""
OUTCOMES: dict[TradeStatus, tuple[Outcome | None, ...]] = {
    S.DELIVERING: (Outcome.DELIVERY,),
    S.COMPLETED: (Outcome.DELIVERY,),
    S.REFUNDING: (Outcome.REFUND,),
    S.REFUNDED: (Outcome.REFUND,),
    S.NEEDS_REVIEW: (None, Outcome.DELIVERY, Outcome.REFUND),
}
GOES_BACK = {R.REFUNDING, R.REFUND_FAILED, R.REFUNDED}

_trade = cache(lambda status, ruling: replace(PURCHASE, status=status, ruling=ruling))


def _deliveries(outcome: Outcome | None) -> tuple[TransferStatus | None, ...]:
    """The database lets a delivery exist only under its outcome, and a refund only after it provably failed."""
    if outcome is Outcome.DELIVERY:
        return tuple(TransferStatus)
    return (None, *sorted(NOT_MOVED)) if outcome is Outcome.REFUND else (None,)


def combinations() -> Iterator[tuple[Trade, BuyFacts]]:
    """Everything a purchase can be told."""
    came = [
        dict.fromkeys(states, 1) for many in range(len(CAME) + 1) for states in itertools.combinations(CAME, many)
    ]
    for status, ruling in itertools.product(MINE, (None, *Ruling)):
        kinds = sorted(LOCKS.get(status, set()))
        charges = (ChargeStatus.ACTIVE, ChargeStatus.CREATED, ChargeStatus.SUBMITTED, ChargeStatus.REFUSED)
        for outcome in OUTCOMES.get(status, (None,)):
            for delivery, got, charge, is_asked, over in itertools.product(
                _deliveries(outcome),
                came,
                charges,
                (False, True),
                itertools.product((False, True), repeat=len(kinds)),
            ):
                if charge is not ChargeStatus.ACTIVE and (got or is_asked or outcome):
                    continue
                if outcome is Outcome.REFUND and R.CREDITED in got and status not in ENDED:
                    continue
                ends = {
                    lock: NOW if is_over else NOW + timedelta(seconds=1)
                    for lock, is_over in zip(kinds, over, strict=True)
                }
                why = RefundReason.PAYER_DIFFERS if GOES_BACK & set(got) else None
                yield (
                    _trade(status, ruling),
                    BuyFacts(charge, is_asked, got, why, delivery, outcome, ends),
                )


def after(trade: Trade, facts: BuyFacts, step: Step) -> tuple[Trade, BuyFacts]:
    """What ``buy_effects.py`` does to the facts: the outcome, the orders it writes, and the locks it sets."""
    locks = dict.fromkeys(LOCKS.get(step.status, set()), NOW + timedelta(seconds=1))
    facts, ruling = replace(facts, locks=locks), trade.ruling
    if step.status is S.DELIVERING:
        facts, ruling = replace(facts, outcome=Outcome.DELIVERY, delivery=TransferStatus.INTENDED), None
    if step.status is S.REFUNDING:
        got = {state: many for state, many in facts.receipts.items() if state is not R.CREDITED}
        if R.CREDITED in facts.receipts:
            got[R.REFUNDING] = 1
        facts = replace(facts, outcome=Outcome.REFUND, receipts=got)
    return replace(trade, status=step.status, ruling=ruling), facts


class TestDecide:
    def test_takes_only_steps_of_the_picture(self) -> None:
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)

            assert step is None or step.status in NEXT[trade.status], (trade.status, step, facts)

    def test_never_goes_in_circles(self) -> None:
        for trade, facts in combinations():
            now, facts_now, path = trade, facts, [trade.status]
            while now.status not in ENDED and (step := decide(now, facts_now, NOW)):
                now, facts_now = after(now, facts_now, step)
                path.append(now.status)

                assert len(path) <= STEPS_MOST + 1, (path, facts)

    def test_ends_every_waiting_whose_lock_ran_out(self) -> None:
        for trade, facts in combinations():
            over = {lock for lock, end in facts.locks.items() if end <= NOW}

            assert not over or decide(trade, facts, NOW) is not None, (trade.status, facts)

    def test_waits_nowhere_without_a_lock_but_in_review(self) -> None:
        for trade, facts in combinations():
            if trade.status in ENDED or (step := decide(trade, facts, NOW)) is None:
                continue

            assert step.status in ENDED | {S.NEEDS_REVIEW} or LOCKS[step.status], step

    def test_leaves_what_has_ended(self) -> None:
        for trade, facts in combinations():
            assert trade.status not in ENDED or decide(trade, facts, NOW) is None

    def test_delivers_only_what_was_paid_and_never_twice(self) -> None:
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)
            if step is not None and step.status is S.DELIVERING:
                assert facts.receipts.get(R.CREDITED), facts
                assert facts.outcome is None, facts

    def test_completes_only_what_was_delivered(self) -> None:
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)
            if step is not None and step.status is S.COMPLETED:
                assert facts.delivery is TransferStatus.FINAL, facts

    def test_refunds_nothing_whose_coins_may_arrive(self) -> None:
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)
            if step is not None and step.status in {S.REFUNDING, S.REFUNDED, S.EXPIRED}:
                assert facts.delivery in {None, *NOT_MOVED}, (trade.status, step, facts)

    def test_is_refunded_only_where_a_refund_was_decided_and_has_ended(self) -> None:
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)
            if step is None or step.status is not S.REFUNDED:
                continue

            assert facts.outcome is Outcome.REFUND, (trade.status, facts)
            assert not facts.receipts.get(R.CREDITED), facts
            assert not facts.receipts.get(R.REFUNDING), facts
            assert not facts.receipts.get(R.REFUND_FAILED) or trade.ruling is Ruling.COMPLETE, facts

    def test_sends_back_what_was_paid_for_a_delivery_that_failed(self) -> None:
        for trade, facts in combinations():
            if facts.outcome is Outcome.DELIVERY and facts.delivery in NOT_MOVED and trade.status not in ENDED:
                step = decide(trade, facts, NOW)

                assert step is not None, (trade.status, facts)
                assert step.status is S.REFUNDING, (trade.status, facts)

    def test_says_unpaid_only_when_the_bank_was_asked_or_could_not_be_paid(self) -> None:
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)
            if step is None or facts.outcome is not None or step.status not in {S.EXPIRED, S.REFUNDING}:
                continue
            if facts.receipts.get(R.CREDITED):
                continue

            is_ruled = trade.status is S.NEEDS_REVIEW and trade.ruling is Ruling.REFUND
            assert facts.is_asked_in_full or facts.charge is ChargeStatus.REFUSED or is_ruled, (trade.status, facts)
            assert not facts.receipts.get(R.BLOCKED), (trade.status, facts)

    def test_leaves_review_only_by_fact_or_ruling(self) -> None:
        """A step that no fact forces depends on the ruling: without one there is none."""
        for trade, facts in combinations():
            step = decide(trade, facts, NOW)
            if trade.status is not S.NEEDS_REVIEW or step is None or step.reason != "operator_ruling":
                continue

            assert trade.ruling is not None, facts

    def test_keeps_no_review_that_neither_a_fact_nor_an_operator_could_end(self) -> None:
        """Nothing outside is moving any more, and every ruling was tried: one of them must do something."""
        for trade, facts in combinations():
            is_moving = (
                facts.receipts.get(R.BLOCKED)
                or facts.receipts.get(R.REFUNDING)
                or (facts.delivery is not None and facts.delivery not in {*NOT_MOVED, TransferStatus.FINAL})
            )
            if trade.status is S.NEEDS_REVIEW and trade.ruling is None and not is_moving:
                steps = [decide(replace(trade, ruling=ruling), facts, NOW) for ruling in (None, *Ruling)]

                assert any(steps), facts

    def test_has_a_rule_for_every_state_that_is_no_end(self) -> None:
        assert set(MINE) - ENDED == set(RULES)
        assert set(LOCKS) == set(RULES) - {S.NEEDS_REVIEW}
        assert set(EFFECTS) <= set(MINE)


class TestMayCancel:
    def test_only_before_anything_came(self) -> None:
        for trade, facts in combinations():
            if may_cancel(trade, facts):
                assert S.CANCELLED in NEXT[trade.status]
                assert not facts.receipts
                assert facts.outcome is None
