"""Charge: a request for reais by PIX, from its making until nothing more is to be expected of it.

make it at the provider → look, rung by webhooks and by a slow clock → credit or send back what was paid. Payments may
come after the expiry, twice, or from a stranger: whatever comes, the look books it and decides. What comes after even
this watch starts a watch of its own.
"""

from temporalio import workflow

from activities.charge import ChargeActivities as Charge
from models.charge.states import ChargeStatus
from models.charge.types import ChargeInput, ChargeProgress
from workflows.options import PAY
from workflows.waiting import Bell, Patience


@workflow.defn(name="charge")
class ChargeWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()

    @workflow.run
    async def run(self, order: ChargeInput) -> ChargeStatus:
        patience = Patience(order.waits.charge_poll_first_seconds, order.waits.charge_poll_most_seconds)
        while True:
            progress: ChargeProgress = await workflow.execute_activity_method(Charge.look, order.key, **PAY)
            if progress.is_over:
                return progress.status
            workflow.set_current_details(f"{progress.status}; waits for {progress.waits_for}")
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(order)
            if await self._bell.wait(patience.pause(progress.seconds_to_next)):
                patience.reset()

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()
