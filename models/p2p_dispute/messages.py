"""What a dispute says: to its workflow by the outbox, and to the two parties by events."""

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from models.event.types import Event, EventKind, notification
from models.event.writes import tell
from models.outbox import Message, MessageKind
from models.p2p_dispute.types import P2PDispute, Step
from models.p2p_trade.types import P2PTrade

WORKFLOW = "p2p-dispute"

_NOTICES: dict[Step, str] = {
    Step.RULED: "there is a ruling on it: accept it, or appeal before its window ends",
    Step.APPEALED: "the ruling was appealed; another arbiter decides",
    Step.SETTLEMENT_OFFERED: "there is an offer to settle it",
    Step.CLOSED: "the ruling on it was carried out",
    Step.SETTLED: "it was settled between you",
    Step.CONCEDED: "one of you gave in, and it is over",
}
"""Other steps change nothing that a person must know at once."""


def workflow_id(dispute_id: str) -> str:
    return f"{WORKFLOW}/{dispute_id}"


def start(dispute: P2PDispute, trade: P2PTrade) -> Message:
    return Message(
        MessageKind.START,
        workflow_id(dispute.id),
        workflow=WORKFLOW,
        input={"dispute_id": dispute.id},
        summary=f"{trade.reference}: {dispute.reason}",
        attributes={
            "Kind": WORKFLOW,
            "Status": str(dispute.status),
            "Asset": trade.asset_id,
            "AmountCents": trade.total_centavos,
            "Reference": trade.reference,
        },
    )


async def told(conn: AsyncConnection, trade: P2PTrade, dispute: P2PDispute, step: Step) -> None:
    """Ids, states and codes only: events are kept in clear and leave the house. Who ruled is nobody's to know."""
    payload: dict[str, JsonValue] = {
        "trade_id": trade.id,
        "dispute_id": dispute.id,
        "step": str(step),
        "status": str(dispute.status),
        "version": dispute.version,
        "deadline_at": None if dispute.deadline_at is None else dispute.deadline_at.isoformat(),
    }
    both = (trade.buyer_id, trade.seller_id)
    events = [Event(EventKind.P2P_DISPUTE_CHANGE, user_id, dict(payload)) for user_id in both]
    if step in _NOTICES:
        text = f"the dispute over trade {trade.reference}: {_NOTICES[step]}"
        events += [notification(user, code=f"p2p_dispute_{step}", about=trade.id, text=text) for user in both]
    await tell(conn, *events)
