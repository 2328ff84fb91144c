"""What the outbox says to the workflows of deliveries."""

from pydantic import TypeAdapter

from models.outbox import Message, MessageKind
from models.webhook_delivery.types import DeliveryInput, SendingPlan

WORKFLOW = "webhook"
_INPUT = TypeAdapter(DeliveryInput)


def workflow_id(delivery_id: str, round_: int) -> str:
    """The first sending is known by the delivery alone; each later one is a workflow of its own."""
    return f"{WORKFLOW}/{delivery_id}" if round_ == 1 else f"{WORKFLOW}/{delivery_id}/{round_}"


def start(delivery_id: str, round_: int, plan: SendingPlan, *, user_id: str) -> Message:
    return Message(
        MessageKind.START,
        workflow_id(delivery_id, round_),
        workflow=WORKFLOW,
        input=_INPUT.dump_python(DeliveryInput(delivery_id, round_, plan), mode="json"),
        summary="an event to a webhook endpoint",
        attributes={"Kind": WORKFLOW, "UserId": user_id},
    )
