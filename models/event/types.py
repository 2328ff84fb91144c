"""What users are told: one event for each change, and its form in JSON, the same at every door."""

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass


class EventKind(StrEnum):
    """``TRADE_STATUS_CHANGE`` is of instant trades; ``PING`` only ever goes to a webhook endpoint, to try it."""

    P2P_AD_CREATED = "p2p_ad_created"
    P2P_AD_CHANGED = "p2p_ad_changed"
    P2P_TRADE_STATUS_CHANGE = "p2p_trade_status_change"
    P2P_MESSAGE = "p2p_message"
    P2P_DISPUTE_CHANGE = "p2p_dispute_change"
    BALANCE_UPDATE = "balance_update"
    NEW_NOTIFICATION = "new_notification"
    TRADE_STATUS_CHANGE = "trade_status_change"
    WITHDRAWAL_STATUS_CHANGE = "withdrawal_status_change"
    DEPOSIT_STATUS_CHANGE = "deposit_status_change"
    PING = "ping"


@dataclass(frozen=True, slots=True)
class Event:
    """``user_id``: whom it is for; None: everybody.

    ``payload``: ids, states and amounts as strings. Never personal data, never the text of a chat: it is kept in
    clear, and leaves the house by webhook.
    """

    kind: EventKind
    user_id: str | None
    payload: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Told:
    """An event that was told. ``id``: its place in the one order of all events, and a cursor."""

    id: int
    kind: EventKind
    user_id: str | None
    payload: dict[str, JsonValue]
    at: datetime

    def message(self) -> dict[str, JsonValue]:
        """The event as it is sent, the same by stream, socket and webhook."""
        return {"id": str(self.id), "type": self.kind, "timestamp": self.at.isoformat(), "data": self.payload}


def notification(user_id: str, *, code: str, about: str, text: str) -> Event:
    """A sentence for a person.

    :param code: for programs, which may say it in the person's own language.
    :param about: the id of the trade, order, withdrawal, ...
    :param text: plain English; it names nobody.
    """
    return Event(EventKind.NEW_NOTIFICATION, user_id, {"code": code, "about": about, "text": text})
