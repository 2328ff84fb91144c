"""OTC buy: a user's reais become crypto.

PIX charge → paid → coins delivered on chain → final → completed; else devolução. The charge has a workflow of its own
(``workflows/charge.py``), and so has each devolução: reais may come, and go back, long after the trade has ended.
"""

from collections.abc import Awaitable, Callable, Mapping

from temporalio import workflow

from models.instant_trade.states import TradeStatus
from models.instant_trade.types import TradeInput
from workflows.trade import TradeFlow

S = TradeStatus


@workflow.defn(name="otc-buy")
class OtcBuyWorkflow(TradeFlow):
    waiting_for: Mapping[TradeStatus, str] = {
        S.AWAITING_PAYMENT: "the user's PIX",
        S.CONFIRMING_PAYMENT: "the bank to say what was paid, or to lift its block",
        S.DELIVERING: "the delivery to be final on chain",
        S.REFUNDING: "the devolução at the bank",
        S.NEEDS_REVIEW: "an operator",
    }
    cancellable = frozenset({S.AWAITING_PAYMENT})

    @workflow.init
    def __init__(self, order: TradeInput) -> None:
        super().__init__(order, order.terms.payment_window_seconds)

    @workflow.run
    async def run(self, order: TradeInput) -> TradeStatus:
        return await self.carry_out()

    def phases(self) -> Mapping[TradeStatus, Callable[[], Awaitable[None]]]:
        return {S.DELIVERING: self._deliver}

    async def _deliver(self) -> None:
        self._children.transfer(f"{self._order.trade_id}/delivery")
        await self._wait()
