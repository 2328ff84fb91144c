"""Webhook delivery: one event to one endpoint, tried again with longer and longer pauses until it is taken.

It knows ids alone: what is sent, and where, is read in the activity.
"""

from datetime import timedelta

from temporalio import workflow

from activities.webhook_delivery import WebhookDeliveryActivities as Webhooks
from models.webhook_delivery.types import AttemptNews, AttemptOrder, DeliveryInput, Verdict
from workflows.options import DELIVER
from workflows.waiting import Patience

SPREAD = 0.1
"""A pause is up to so much longer: not all that failed together comes back together."""
BUSY_FIRST_SECONDS, BUSY_MOST_SECONDS = 0.5, 30
BUSY_CONTINUES = "busy-continues-as-new"
"""Deliveries that began before there was such a thing wait on as they did."""


@workflow.defn(name="webhook")
class WebhookDeliveryWorkflow:
    @workflow.run
    async def run(self, order: DeliveryInput) -> int:
        """How many attempts it took."""
        pauses = order.plan.pause_seconds[order.first_number - 1 :]
        number = 0
        for number, pause in enumerate((*pauses, None), start=order.first_number):
            news = await self._attempt(order, number, is_last=pause is None)
            if news.verdict is Verdict.OVER or pause is None:
                break
            spread = pause * (1 + SPREAD * workflow.random().random())
            asked = min(news.retry_after_seconds, order.plan.retry_after_most_seconds)
            workflow.set_current_details(f"attempt {number} was not taken")
            await workflow.sleep(timedelta(seconds=max(spread, asked)))
        return number

    @staticmethod
    async def _attempt(order: DeliveryInput, number: int, *, is_last: bool) -> AttemptNews:
        asked = AttemptOrder(order.delivery_id, order.round, number, is_last)
        patience = Patience(BUSY_FIRST_SECONDS, BUSY_MOST_SECONDS)
        while True:
            news: AttemptNews = await workflow.execute_activity_method(Webhooks.attempt, asked, **DELIVER)
            if news.verdict is not Verdict.BUSY:
                return news
            await workflow.sleep(patience.pause())
            # Asked for last: a marker before the suggestion would be a command that older histories do not have.
            if workflow.info().is_continue_as_new_suggested() and workflow.patched(BUSY_CONTINUES):
                workflow.continue_as_new(DeliveryInput(order.delivery_id, order.round, order.plan, number))
