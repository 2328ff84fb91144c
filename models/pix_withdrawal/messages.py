"""What the outbox says to the workflows of withdrawals."""

from pydantic import TypeAdapter

from models.outbox import Message, MessageKind
from models.pix_withdrawal.types import PixWithdrawalInput

WORKFLOW = "pix-withdrawal"
RETURN_WORKFLOW = "pix-withdrawal-return"
_INPUT = TypeAdapter(PixWithdrawalInput)


def workflow_id(withdrawal_id: str) -> str:
    return f"{WORKFLOW}/{withdrawal_id}"


def start(order: PixWithdrawalInput, *, user_id: str, status: str, amount_centavos: int) -> Message:
    return Message(
        MessageKind.START,
        workflow_id(order.withdrawal_id),
        workflow=WORKFLOW,
        input=_INPUT.dump_python(order, mode="json"),
        summary=f"{amount_centavos} centavos from a balance to its owner's bank",
        attributes={"Kind": WORKFLOW, "Status": status, "UserId": user_id, "AmountCents": amount_centavos},
    )


def return_message(withdrawal_id: str) -> Message:
    """Start the look after a payout that came back; once for each withdrawal, however many webhooks say so.

    The relay adds this installation's terms and waits.
    """
    return Message(
        MessageKind.START,
        f"{RETURN_WORKFLOW}/{withdrawal_id}",
        workflow=RETURN_WORKFLOW,
        input={"withdrawal_id": withdrawal_id},
        summary="the receiving bank returned a withdrawal",
        attributes={"Kind": RETURN_WORKFLOW},
    )
