"""Woovi's webhooks: who sent them, to whom, and what they say.

Two proofs, because each proves half. The RSA signature says Woovi, and is the same for all its customers:
another customer's webhook, sent on to us, carries it too. The secret of the endpoint says that Woovi meant
us: it comes as the ``Authorization`` we registered, or as the key of an HMAC over the body.

There is neither time nor event id, so an old webhook never grows stale: what it says is its identity,
for the inbox that keeps each once.

Source: docs/webhook/seguranca/*.md, docs/webhook/examples/*.mdx.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection, Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from models.errors import WebhookRejected
from payments.protocol import ChargeEvent, DisputeEvent, PayoutEvent, PayoutState, RefundEvent, WebhookEvent
from payments.woovi.client import parse_json

SECRET_LENGTH_MIN = 24

PUBLISHED_KEY = """-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC/+NtIkjzevvqD+I3MMv3bLXDt
pvxBjY4BsRrSdca3rtAwMcRYYvxSnd7jagVLpctMiOxQO8ieUCKLSWHpsMAjO/zZ
WMKbqoG8MNpi/u3fp6zz0mcHCOSqYsPUUG19buW8bis5ZZ2IZgBObWSpTvJ0cnj6
HKBAA82Jln+lGwS1MwIDAQAB
-----END PUBLIC KEY-----
"""
"""Woovi's signing key as published in 2026-08."""

NEW_ENDPOINT = "teste_webhook"
"""What it sends to an endpoint that is being registered."""
PAYOUT_EVENTS = {
    "MOVEMENT_CONFIRMED": PayoutState.PAID,
    "MOVEMENT_FAILED": PayoutState.REJECTED,
    "MOVEMENT_REMOVED": PayoutState.NOT_FOUND,
}
CHARGE_EVENTS = {
    "CHARGE_COMPLETED",
    "CHARGE_COMPLETED_NOT_SAME_CUSTOMER_PAYER",
    "CHARGE_EXPIRED",
    "TRANSACTION_RECEIVED",
}
DISPUTE_EVENTS = {"DISPUTE_CREATED", "DISPUTE_ACCEPTED", "DISPUTE_REJECTED", "DISPUTE_CANCELED"}
REFUND_EVENTS = {
    "PIX_TRANSACTION_REFUND_SENT_CONFIRMED",
    "PIX_TRANSACTION_REFUND_SENT_REJECTED",
    "PIX_TRANSACTION_REFUND_RECEIVED_CONFIRMED",
    "PIX_TRANSACTION_REFUND_RECEIVED_REJECTED",
}


class Verifier:
    """Without a key or without a secret it accepts nothing.

    :raises ValueError: a secret is shorter than 24 characters, or a key no RSA public key in PEM.
    """

    def __init__(self, *, public_keys: Collection[str], secrets: Collection[str]) -> None:
        if any(len(secret) < SECRET_LENGTH_MIN for secret in secrets):
            raise ValueError(f"a webhook secret has at least {SECRET_LENGTH_MIN} characters")
        self._secrets = [secret.encode() for secret in secrets]
        self._keys = [_key(pem) for pem in public_keys]

    def trust(self, public_keys: Collection[str]) -> None:
        """Use these keys from now on. :raises ValueError: one is no RSA public key; the old ones stay."""
        self._keys = [_key(pem) for pem in public_keys]

    def read(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        """:raises WebhookRejected: forged, not for us, or no event."""
        given = {name.lower(): value for name, value in headers.items()}
        if not self._is_signed(body, given.get("x-webhook-signature", "")):
            raise WebhookRejected("no signature of the webhook is the provider's")
        if not self._is_for_us(body, given):
            raise WebhookRejected("the webhook was not sent to this endpoint")
        return events(body)

    def _is_signed(self, body: bytes, signature: str) -> bool:
        try:
            decoded = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return False
        return any(_is_by(key, decoded, body) for key in self._keys)

    def _is_for_us(self, body: bytes, given: Mapping[str, str]) -> bool:
        authorization = given.get("authorization", "").encode(errors="replace")
        signature = given.get("x-openpix-signature", "").encode(errors="replace")
        # Both are always computed for every secret: the time taken tells nothing.
        matches = [hmac.compare_digest(secret, authorization) for secret in self._secrets] + [
            hmac.compare_digest(base64.b64encode(hmac.digest(secret, body, hashlib.sha1)), signature)
            for secret in self._secrets
        ]
        return any(matches)


def events(body: bytes) -> list[WebhookEvent]:
    """Names come with ``OPENPIX:``, with ``woovi:`` or with neither.

    An event that names nothing of ours, as Woovi's test of a new endpoint, is left out.

    :raises WebhookRejected: not an event.
    """
    event = parse_json(body)
    if isinstance(event, dict) and event.get("evento") == NEW_ENDPOINT:
        return []
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise WebhookRejected("the webhook's body is not an event")
    return _events(event, body)


def _events(event: dict[str, object], body: bytes) -> list[WebhookEvent]:
    name = str(event["event"]).rpartition(":")[2].upper()
    if name in PAYOUT_EVENTS:
        key = _text(event, "payment", "correlationID")
        return [PayoutEvent(_id(name, key, body), key, PAYOUT_EVENTS[name])] if key else []
    if name in CHARGE_EVENTS:
        key, receipt = _text(event, "charge", "correlationID"), _text(event, "pix", "endToEndId")
        return [ChargeEvent(_id(name, receipt or key, body), key, receipt)] if key else []
    if name in DISPUTE_EVENTS:
        # Some samples have no id: the receipt's stands for it, which a dispute is also found by.
        receipt, status = _text(event, "dispute", "endToEndId"), _text(event, "dispute", "status") or ""
        key = _text(event, "dispute", "id") or receipt
        return [DisputeEvent(_id(f"{name}:{status}", key, body), key, receipt)] if key else []
    if name in REFUND_EVENTS:
        back = _text(event, "refundTransaction", "endToEndId")
        original = _text(event, "originalTransaction", "endToEndId")
        return [RefundEvent(_id(name, back, body), _text(event, "refundTransaction", "correlationID"), original)]
    return []


def _id(name: str, about: str | None, body: bytes) -> str:
    """The same over Woovi's retries, and another for another happening."""
    return f"{name}:{about or 'sha256:' + hashlib.sha256(body).hexdigest()}"


def _text(event: dict[str, object], part: str, field: str) -> str | None:
    inner = event.get(part)
    value = inner.get(field) if isinstance(inner, dict) else None
    return value if isinstance(value, str) and value else None


def _is_by(key: RSAPublicKey, signature: bytes, body: bytes) -> bool:
    try:
        key.verify(signature, body, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _key(pem: str) -> RSAPublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (UnsupportedAlgorithm, ValueError):
        raise ValueError("a webhook key is not a public key in PEM") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("a webhook key is not an RSA key")  # noqa: TRY004 the text is at fault, not a type of ours
    return key
