"""Dispute: a payer's bank claims back a PIX that we received (MED), from the first word of it to its decision.

look at the provider → set aside what is claimed → hand in the defence that an operator gave → the provider decides:
all goes back to where it came from, or to the payer. Bells ring at webhooks and at a defence; a slow clock looks as
well.
"""

from temporalio import workflow

from activities.dispute import DisputeActivities as Dispute
from models.dispute.states import DisputeStatus
from models.dispute.types import Alarm, DisputeInput, DisputeProgress, DisputeQuestion
from workflows.options import PAY
from workflows.waiting import Bell, Patience


@workflow.defn(name="dispute")
class DisputeWorkflow:
    def __init__(self) -> None:
        self._bell = Bell()
        self._told: set[Alarm] = set()

    @workflow.run
    async def run(self, order: DisputeInput) -> DisputeStatus | None:
        """None: it ended, and was about no receipt of ours."""
        self._told = set(order.told)
        question = DisputeQuestion(order.provider, order.dispute_id)
        patience = Patience(order.waits.recheck_first_seconds, order.waits.recheck_most_seconds)
        while True:
            progress: DisputeProgress = await workflow.execute_activity_method(Dispute.look, question, **PAY)
            for alarm in progress.alarms:
                self._tell(alarm, progress)
            workflow.set_current_details(progress.details)
            if progress.is_over:
                return progress.status
            if workflow.info().is_continue_as_new_suggested():
                told = tuple(sorted(self._told))
                workflow.continue_as_new(DisputeInput(order.provider, order.dispute_id, order.waits, told))
            if await self._bell.wait(patience.pause(progress.seconds_to_next)):
                patience.reset()

    @workflow.signal(name="look")
    def look(self) -> None:
        self._bell.ring()

    def _tell(self, alarm: Alarm, progress: DisputeProgress) -> None:
        """Once each."""
        if alarm in self._told:
            return
        self._told.add(alarm)
        facts = progress.facts or {}
        match alarm:
            case Alarm.UNKNOWN_RECEIPT:
                workflow.logger.error("dispute.unknown_receipt", extra=facts)
            case Alarm.NOTHING_TO_CLAIM:
                workflow.logger.error("dispute.nothing_to_claim", extra=facts)
            case Alarm.DIFFERS:
                workflow.logger.error("dispute.differs", extra=facts)
            case Alarm.DEFENCE_REFUSED:
                workflow.logger.error("dispute.defence_refused", extra=facts)
            case Alarm.UNDEFENDED_HALF | Alarm.UNDEFENDED_QUARTER:
                workflow.logger.error("dispute.undefended", extra=facts | {"left": alarm.rpartition("_")[2]})
