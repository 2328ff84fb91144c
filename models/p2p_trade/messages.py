"""What a trade says: to its workflow by the outbox, and to the two by events."""

from pydantic import JsonValue, TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from models.event.types import Event, EventKind, notification
from models.event.writes import tell
from models.outbox import Message, MessageKind
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import P2PTrade, P2PTradeInput, Party

WORKFLOW = "p2p-trade"
_INPUT = TypeAdapter(P2PTradeInput)
S, P = P2PTradeStatus, Party

_NOTICES: dict[str, dict[Party, str]] = {
    "open": {
        P.BUYER: "the seller's coins are held for you: pay now, and say so before the window ends",
        P.SELLER: "your coins are held, and the buyer was asked to pay",
    },
    "payment_sent": {P.SELLER: "the buyer says that they paid: look at your account, and confirm"},
    "payment_undone": {P.SELLER: "the buyer took back the word that they paid"},
    "seller_reminded": {P.SELLER: "half of your time to confirm the payment is over; at its end a dispute opens"},
    "disputed": {
        P.BUYER: "it is in dispute; what is held stays held until it is decided",
        P.SELLER: "it is in dispute; what is held stays held until it is decided",
    },
    "completed": {P.BUYER: "it is completed: the coins are yours", P.SELLER: "it is completed"},
    "cancelled": {
        P.BUYER: "it was cancelled; do not pay any more",
        P.SELLER: "it was cancelled; your coins are yours again",
    },
    "expired": {
        P.BUYER: "its time to pay is over; do not pay any more",
        P.SELLER: "the buyer did not pay in time; your coins are yours again",
    },
    "refunded": {
        P.BUYER: "it ended with the coins back at the seller",
        P.SELLER: "it ended with your coins back at you",
    },
    "split": {P.BUYER: "it ended with a part for each of you", P.SELLER: "it ended with a part for each of you"},
}
"""By reason where that says more, else by status."""


def workflow_id(trade_id: str) -> str:
    return f"p2p/{trade_id}"


def start(order: P2PTradeInput, trade: P2PTrade) -> Message:
    taker_id = trade.buyer_id if trade.maker_id == trade.seller_id else trade.seller_id
    return Message(
        MessageKind.START,
        workflow_id(trade.id),
        workflow=WORKFLOW,
        input=_INPUT.dump_python(order, mode="json"),
        summary=f"{trade.reference}: {trade.units} units of {trade.asset_id} for {trade.total_centavos} centavos",
        attributes={
            "Kind": WORKFLOW,
            "Status": str(trade.status),
            "UserId": taker_id,
            "Asset": trade.asset_id,
            "AmountCents": trade.total_centavos,
            "Reference": trade.reference,
        },
    )


async def told(conn: AsyncConnection, trade: P2PTrade, reason: str | None = None) -> None:
    """Tell both that the trade is now as its row says, and whom it concerns in a sentence.

    :param reason: of the last step.
    """
    code = reason if reason in _NOTICES else str(trade.status)
    people = {P.BUYER: trade.buyer_id, P.SELLER: trade.seller_id}
    events = [Event(EventKind.P2P_TRADE_STATUS_CHANGE, user_id, _payload(trade)) for user_id in people.values()]
    for party, words in _NOTICES[code].items():
        text = f"trade {trade.reference}: {words}"
        events.append(notification(people[party], code=f"p2p_trade_{code}", about=trade.id, text=text))
    await tell(conn, *events)


def _payload(trade: P2PTrade) -> dict[str, JsonValue]:
    deadline = None if trade.deadline_at is None else trade.deadline_at.isoformat()
    return {
        "trade_id": trade.id,
        "reference": trade.reference,
        "order_id": trade.order_id,
        "status": str(trade.status),
        "reason": trade.reason,
        "version": trade.version,
        "deadline_at": deadline,
    }
