"""The sandbox bank's webhooks: Standard Webhooks, checked over the raw bytes, then read.

Written out because ``standardwebhooks.Webhook.verify`` reads the real clock and raises ``ValueError`` on garbage.
Source: standard-webhooks/spec/standard-webhooks.md, ``v1`` only.
"""

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping
from datetime import datetime

from pydantic import BaseModel, ValidationError

from models.errors import WebhookRejected
from payments.protocol import ChargeEvent, DisputeEvent, PayoutEvent, RefundEvent, WebhookEvent
from payments.sandbox_client.answers import PAYOUT_STATES, REFUND_STATES

SECRET_BYTES_MIN = 24
AGE_SECONDS_MOST = 5 * 60
TIMESTAMP_DIGITS_MOST = 12

PAYOUTS = {f"payout.{word}": state for word, state in PAYOUT_STATES.items()}
CHARGES = {"charge.paid", "charge.released", "charge.taken_back"}
REFUNDS = {f"refund.{word}" for word in REFUND_STATES}
DISPUTES = {"dispute.opened", "dispute.won", "dispute.lost"}


class _Type(BaseModel):
    type: str


class _Data(BaseModel):
    key: str
    end_to_end_id: str | None = None


class _Event(BaseModel):
    data: _Data


class _DisputeData(BaseModel):
    id: str
    end_to_end_id: str | None = None


class _Dispute(BaseModel):
    data: _DisputeData


def secret_bytes(text: str) -> bytes:
    """:raises ValueError: not base64, or shorter than 24 bytes."""
    secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"a webhook secret has at least {SECRET_BYTES_MIN} bytes")
    return secret


def verified_id(secrets: Collection[bytes], headers: Mapping[str, str], body: bytes, *, now: datetime) -> str:
    """The event's id, once signature and time are found right.

    :raises WebhookRejected: forged, stale or malformed.
    """
    given = {name.lower(): value for name, value in headers.items()}
    event_id, sent_at = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not (event_id and sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= TIMESTAMP_DIGITS_MOST):
        raise WebhookRejected("webhook-id or webhook-timestamp is missing or malformed")
    signed = f"{event_id}.{sent_at}.".encode(errors="replace") + body
    if not _is_signed(secrets, signed, given.get("webhook-signature", "")):
        raise WebhookRejected("no signature of the webhook is ours")
    if abs(now.timestamp() - int(sent_at)) > AGE_SECONDS_MOST:
        raise WebhookRejected("the webhook is older or newer than five minutes")
    return event_id


def read_events(body: bytes, *, event_id: str) -> list[WebhookEvent]:
    """:raises WebhookRejected: the body is no event."""
    try:
        return _events(event_id, body)
    except ValidationError:
        raise WebhookRejected("the webhook's body is not an event") from None


def _events(event_id: str, body: bytes) -> list[WebhookEvent]:
    kind = _Type.model_validate_json(body).type
    if kind in DISPUTES:
        dispute = _Dispute.model_validate_json(body).data
        return [DisputeEvent(event_id, dispute.id, dispute.end_to_end_id)]
    if kind not in PAYOUTS.keys() | CHARGES | REFUNDS:
        return []
    data = _Event.model_validate_json(body).data
    if kind in CHARGES:
        return [ChargeEvent(event_id, data.key, data.end_to_end_id)]
    if kind in REFUNDS:
        return [RefundEvent(event_id, data.key, data.end_to_end_id)]
    return [PayoutEvent(event_id, data.key, PAYOUTS[kind])]


def _is_signed(secrets: Collection[bytes], signed: bytes, signatures: str) -> bool:
    ours = [_signature(secret, signed) for secret in secrets]
    theirs = [text.encode(errors="replace") for text in signatures.split(" ")]
    return any(hmac.compare_digest(one, other) for one in ours for other in theirs)


def _signature(secret: bytes, signed: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256))
