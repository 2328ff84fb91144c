"""What every trade's workflow does: wait, let the books take every step that the facts demand, obey commands.

Each phase waits for the world; between two phases the books (``instant_trade.advance``) read the facts and say where
the trade stands, so a crash, a lost signal or a late fact leads to the same place. The undo of each phase is the
books' too: it stands beside the do in ``models/instant_trade/effects.py`` and ``buy_effects.py``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from activities.instant_trade import InstantTradeActivities as Books
from models.instant_trade.states import ENDED, TradeStatus
from models.instant_trade.types import Advance, Attestation, Decision, Nudge, Operation, Progress, TradeInput
from workflows.children import Children
from workflows.options import DATABASE
from workflows.waiting import Bell, Patience

S = TradeStatus
STATUS = SearchAttributeKey.for_keyword("Status")


class TradeFlow:
    """Subclasses say what each state waits for, in ``waiting_for``, and what it does besides, in ``phases``."""

    waiting_for: Mapping[TradeStatus, str] = {}
    cancellable: frozenset[TradeStatus] = frozenset()

    def __init__(self, order: TradeInput, first_lock_seconds: float) -> None:
        self._order = order
        self._progress = Progress(order.status, first_lock_seconds)
        self._books = asyncio.Lock()
        self._bell = Bell()
        self._children = Children(order.terms.provider, order.waits, self._bell)
        self._patience = Patience(order.waits.recheck_first_seconds, order.waits.recheck_most_seconds)

    def phases(self) -> Mapping[TradeStatus, Callable[[], Awaitable[None]]]:
        """What to do in a state, where that is more than to wait."""
        return {}

    async def carry_out(self) -> TradeStatus:
        """Until the trade has ended."""
        phases = self.phases()
        while self._progress.status not in ENDED:
            workflow.set_current_details(self.waiting_for[self._progress.status])
            await phases.get(self._progress.status, self._wait)()
            await self._advance(Advance(self._order.trade_id, self._order.terms))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._progress.status

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()

    @workflow.update(name="cancel")
    async def cancel(self, actor: str) -> Progress:
        """Stop before anything has moved. The books decide: they know what chain and bank showed last."""
        progress = await self._advance(Advance(self._order.trade_id, self._order.terms, cancel=True, actor=actor))
        self._bell.ring()
        return progress

    @cancel.validator
    def _may_cancel(self, actor: str) -> None:
        self._must_be({*self.cancellable, S.CANCELLED})

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
