"""OTC sell: a user's crypto becomes reais.

custody transfer, or deposit → confirmations → PIX payout → completed; else refund. Each phase waits for the
world; between two phases the books (``instant_trade.advance``) read the facts and say where the trade stands,
so a crash, a lost signal or a late fact leads to the same place. The undo of each phase is the books' too: it
stands beside the do in ``models/instant_trade/effects.py``.
"""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from activities.instant_trade import InstantTradeActivities as Books
from models.instant_trade.states import ENDED, TradeStatus
from models.instant_trade.types import (
    Advance,
    Attestation,
    Decision,
    Nudge,
    Operation,
    TradeInput,
    Progress,
)
from workflows.children import Children
from workflows.options import DATABASE
from workflows.waiting import Bell, Patience

S = TradeStatus
STATUS = SearchAttributeKey.for_keyword("Status")


@workflow.defn(name="otc-sell")
class OtcSellWorkflow:
    @workflow.init
    def __init__(self, order: TradeInput) -> None:
        self._order = order
        self._progress = Progress(order.status, _first_lock_seconds(order))
        self._books = asyncio.Lock()
        self._bell = Bell()
        self._children = Children(order, self._bell)
        self._patience = Patience(order.waits.recheck_first_seconds, order.waits.recheck_most_seconds)
        self._phases: dict[TradeStatus, Callable[[], Awaitable[None]]] = {
            S.AWAITING_DEPOSIT: self._wait,
            S.TRANSFERRING: self._transfer,
            S.CONFIRMING: self._wait,
            S.PAYING_OUT: self._pay_out,
            S.REFUNDING: self._refund,
            S.NEEDS_REVIEW: self._wait,
        }

    @workflow.run
    async def run(self, order: TradeInput) -> TradeStatus:
        while self._progress.status not in ENDED:
            workflow.set_current_details(WAITING_FOR[self._progress.status])
            await self._phases[self._progress.status]()
            await self._advance(Advance(order.trade_id, order.terms))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._progress.status

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()

    @workflow.update(name="cancel")
    async def cancel(self, actor: str) -> Progress:
        """Stop before any coin has moved. The books decide: they know what the chain showed last."""
        progress = await self._advance(Advance(self._order.trade_id, self._order.terms, cancel=True, actor=actor))
        self._bell.ring()
        return progress

    @cancel.validator
    def _may_cancel(self, actor: str) -> None:
        self._must_be({S.AWAITING_DEPOSIT, S.TRANSFERRING, S.CANCELLED})

    @workflow.update(name="confirm_payment")
    async def confirm_payment(self, attestation: Attestation) -> Progress:
        """An operator's evidence about a payout whose provider cannot be asked."""
        return await self._operate(Operation(self._order.trade_id, self._order.terms, attestation=attestation))

    @confirm_payment.validator
    def _may_confirm_payment(self, attestation: Attestation) -> None:
        self._must_be({S.PAYING_OUT, S.NEEDS_REVIEW})

    @workflow.update(name="complete")
    async def complete(self, decision: Decision) -> Progress:
        """An operator's ruling on a trade in review."""
        return await self._operate(Operation(self._order.trade_id, self._order.terms, decision=decision))

    @complete.validator
    def _may_complete(self, decision: Decision) -> None:
        self._must_be({S.NEEDS_REVIEW})

    @workflow.update(name="transfer")
    async def transfer(self, nudge: Nudge) -> Progress:
        """An operator's order to look after the trade's transfers now."""
        return await self._operate(Operation(self._order.trade_id, self._order.terms, nudge=nudge))

    async def _wait(self) -> None:
        """For a fact, the next lock to run out, or a look of one's own."""
        if await self._bell.wait(self._patience.pause(self._progress.seconds_to_lock)):
            self._patience.reset()

    async def _transfer(self) -> None:
        self._children.transfer(f"{self._order.trade_id}/transfer")
        await self._wait()

    async def _pay_out(self) -> None:
        self._children.pay_out(self._order.trade_id)
        await self._wait()

    async def _refund(self) -> None:
        if self._progress.refund_key is not None:
            self._children.transfer(self._progress.refund_key)
        await self._wait()

    async def _advance(self, order: Advance) -> Progress:
        async with self._books:
            return self._now(await workflow.execute_activity_method(Books.advance, order, **DATABASE))

    async def _operate(self, operation: Operation) -> Progress:
        async with self._books:
            progress = self._now(await workflow.execute_activity_method(Books.operate, operation, **DATABASE))
        self._bell.ring()
        return progress

    def _now(self, progress: Progress) -> Progress:
        if progress.status is not self._progress.status:
            workflow.upsert_search_attributes([STATUS.value_set(progress.status)])
            self._patience.reset()
        self._progress = progress
        return progress

    def _must_be(self, allowed: set[TradeStatus]) -> None:
        if self._progress.status not in allowed:
            raise ApplicationError(f"not possible: the trade is {self._progress.status}", type="IllegalTransition")


def _first_lock_seconds(order: TradeInput) -> float:
    if order.status is S.AWAITING_DEPOSIT:
        return order.terms.deposit_window_seconds
    return order.terms.chain_timeout_seconds


WAITING_FOR: dict[TradeStatus, str] = {
    S.AWAITING_DEPOSIT: "the user's deposit",
    S.TRANSFERRING: "the custody transfer to be mined",
    S.CONFIRMING: "confirmations on chain",
    S.PAYING_OUT: "the PIX provider",
    S.REFUNDING: "the refund to be final on chain",
    S.NEEDS_REVIEW: "an operator",
}
