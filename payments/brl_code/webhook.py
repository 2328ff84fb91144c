"""The gateway's webhooks: HMAC-SHA256 over the raw body, in hex, under a secret that both sides know.

There is no event id: what a webhook says is its identity, for the inbox that keeps each once. The time is the
happening's and not the delivery's, so the window is wide enough for deliveries that are repeated over a night.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import ValidationError

from models.errors import WebhookRejected
from payments.brl_code.client import parse_json
from payments.brl_code.words import Event, state_of
from payments.protocol import PayoutEvent, WebhookEvent

SIGNATURE_HEADER = "x-brl-code-signature"
SECRET_LENGTH_MIN = 24
AGE_MOST = timedelta(days=1)
AHEAD_MOST = timedelta(minutes=5)
PAYMENT = "payment."


class Verifier:
    """Without a secret it accepts nothing.

    :raises ValueError: a secret is shorter than 24 characters.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        if any(len(secret) < SECRET_LENGTH_MIN for secret in secrets):
            raise ValueError(f"a webhook secret has at least {SECRET_LENGTH_MIN} characters")
        self._secrets = [secret.encode() for secret in secrets]

    def read(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        """:raises WebhookRejected: forged, stale, or no event."""
        given = next((value for name, value in headers.items() if name.lower() == SIGNATURE_HEADER), "")
        if not self._is_signed(body, given):
            raise WebhookRejected("no signature of the webhook is ours")
        event = _read(body)
        if event.timestamp is not None and not -AHEAD_MOST <= now - _time(event.timestamp) <= AGE_MOST:
            raise WebhookRejected("the webhook is older than a day, or of the future")
        return _events(event)

    def _is_signed(self, body: bytes, given: str) -> bool:
        theirs = given.strip().lower().encode(errors="replace")
        # Every secret is compared, so that the time says nothing of which one was close.
        matches = [
            hmac.compare_digest(hmac.new(secret, body, hashlib.sha256).hexdigest().encode(), theirs)
            for secret in self._secrets
        ]
        return True in matches


def events(body: bytes) -> list[WebhookEvent]:
    """Of a body that was verified when it came.

    :raises WebhookRejected: it is no event.
    """
    return _events(_read(body))


def _read(body: bytes) -> Event:
    try:
        return Event.model_validate(parse_json(body))
    except ValidationError:
        raise WebhookRejected("the webhook's body is not an event") from None


def _events(event: Event) -> list[WebhookEvent]:
    return [_payout_event(event)] if event.event.startswith(PAYMENT) else []


def _payout_event(event: Event) -> PayoutEvent:
    """An event of a kind never heard of still says under which id the gateway knows our key."""
    event_id = f"{event.payment_id}:{event.event}:{event.status}:{event.external_id}"
    return PayoutEvent(event_id, event.external_id, state_of(event.event.removeprefix(PAYMENT)), event.payment_id)


def _time(stamp: str | Decimal) -> datetime:
    """A time without a zone is read as UTC; the window forgives any zone west of it.

    :raises WebhookRejected: it is no time.
    """
    try:
        if isinstance(stamp, str):
            time = datetime.fromisoformat(stamp)
            return time if time.tzinfo else time.replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(stamp), UTC)
    except (ValueError, OverflowError, OSError):
        raise WebhookRejected("the webhook's timestamp is no time") from None
