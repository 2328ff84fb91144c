"""Where a user's own program is told of events."""

from datetime import datetime
from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.event.types import EventKind


class DisabledReason(StrEnum):
    """``GONE``: it answered 410. ``FAILING``: it took nothing for days. ``BY_USER``: its owner switched it off."""

    GONE = "gone"
    FAILING = "failing"
    BY_USER = "by_user"


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """``kinds``: what it is told of. ``failing_since``: when the first of the failures came that none interrupted.

    ``old_secret_until``: until then, each message is signed with the secret before as well.
    """

    id: str
    user_id: str
    url: str
    kinds: list[EventKind]
    description: str
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None
    failing_since: datetime | None
    old_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
