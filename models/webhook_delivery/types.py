"""One event for one endpoint, its attempts, and what its workflow is told."""

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from models.event.types import EventKind
from models.webhook_delivery.states import DeliveryStatus


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """``id`` is the message's id, the same in every attempt. ``round``: how often its sending was begun."""

    id: str
    endpoint_id: str
    event_id: int | None
    kind: EventKind
    status: DeliveryStatus
    round: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """``error``: why it was not taken, such as ``timeout``, ``address_not_public`` or ``status``; None: it was."""

    delivery_id: str
    round: int
    number: int
    at: datetime
    status_code: int | None
    duration_ms: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """All that is needed to send it now."""

    endpoint_id: str
    url: str
    body: dict[str, JsonValue]
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendingPlan:
    """``pause_seconds``: between attempts, of which there is one more. ``retry_after_most_seconds``: how long an
    endpoint may make us wait instead.
    """

    pause_seconds: tuple[float, ...]
    retry_after_most_seconds: float


STANDARD = SendingPlan((5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400), 21_600)
"""Ten attempts in 75 hours, as standard-webhooks/spec/standard-webhooks.md proposes."""


@dataclass(frozen=True, slots=True)
class DeliveryInput:
    """``first_number``: the attempt to go on with, where a long wait for a place was continued as new."""

    delivery_id: str
    round: int
    plan: SendingPlan
    first_number: int = 1


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """``number``: from 1, in its round."""

    delivery_id: str
    round: int
    number: int
    is_last: bool


class Verdict(StrEnum):
    """``OVER``: nothing is left to do. ``AGAIN``: after a pause. ``BUSY``: not sent, too many others are."""

    OVER = "over"
    AGAIN = "again"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class AttemptNews:
    """``retry_after_seconds``: what the endpoint asked for."""

    verdict: Verdict
    retry_after_seconds: float = 0
