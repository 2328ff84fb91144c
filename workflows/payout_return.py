"""Payout return: the receiving bank gave a paid PIX back.

look at the provider → reopen the trade as ``needs_review`` → an operator rules: the reais stay with the user as a
balance, or the crypto goes back. A finished trade takes no signals, so this story has a workflow of its own; from
the reopening on it is the same story as any trade's, so the rest is inherited.
"""

from datetime import datetime, timedelta

from temporalio import workflow

from activities.pix import PixActivities as Pix
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Advance, TradeInput
from models.payout.states import PayoutStatus
from workflows.options import PAY
from workflows.otc_sell import OtcSellWorkflow


@workflow.defn(name="payout-return")
class PayoutReturnWorkflow(OtcSellWorkflow):
    @workflow.init
    def __init__(self, order: TradeInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: TradeInput) -> TradeStatus:
        if not await self._has_come_back(order):
            return self._progress.status
        reopen = Advance(order.trade_id, order.terms, reopen=True)
        until = self._deadline(order)
        while (await self._advance(reopen)).status is TradeStatus.COMPLETED:
            if workflow.now() > until:
                return TradeStatus.COMPLETED  # the same return was ruled on before, within the trade's own story
            await self._wait()
        return await super().run(order)

    async def _has_come_back(self, order: TradeInput) -> bool:
        """The provider's own look-up decides, and may be slower than its webhook."""
        until = self._deadline(order)
        while workflow.now() < until:
            status = await workflow.execute_activity_method(Pix.check_return, order.trade_id, **PAY)
            if status is PayoutStatus.RETURNED:
                return True
            await self._wait()
        return False

    @staticmethod
    def _deadline(order: TradeInput) -> datetime:
        return workflow.now() + timedelta(seconds=order.terms.payout_deadline_seconds)
