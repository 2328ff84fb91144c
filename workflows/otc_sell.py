"""OTC sell: a user's crypto becomes reais.

custody transfer, or deposit → confirmations → PIX payout → completed; else refund. What all trades share is in
``workflows/trade.py``.
"""

from collections.abc import Awaitable, Callable, Mapping

from temporalio import workflow

from models.instant_trade.states import TradeStatus
from models.instant_trade.types import TradeInput
from workflows.trade import TradeFlow

S = TradeStatus


@workflow.defn(name="otc-sell")
class OtcSellWorkflow(TradeFlow):
    waiting_for: Mapping[TradeStatus, str] = {
        S.AWAITING_DEPOSIT: "the user's deposit",
        S.TRANSFERRING: "the custody transfer to be mined",
        S.CONFIRMING: "confirmations on chain",
        S.PAYING_OUT: "the PIX provider",
        S.REFUNDING: "the refund to be final on chain",
        S.NEEDS_REVIEW: "an operator",
    }
    cancellable = frozenset({S.AWAITING_DEPOSIT, S.TRANSFERRING})

    @workflow.init
    def __init__(self, order: TradeInput) -> None:
        super().__init__(order, _first_lock_seconds(order))

    @workflow.run
    async def run(self, order: TradeInput) -> TradeStatus:
        return await self.carry_out()

    def phases(self) -> Mapping[TradeStatus, Callable[[], Awaitable[None]]]:
        return {S.TRANSFERRING: self._transfer, S.PAYING_OUT: self._pay_out, S.REFUNDING: self._refund}

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


def _first_lock_seconds(order: TradeInput) -> float:
    if order.status is S.AWAITING_DEPOSIT:
        return order.terms.deposit_window_seconds
    return order.terms.chain_timeout_seconds
