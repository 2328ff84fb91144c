"""The adapter to the sandbox bank (``payments/sandbox``): its words into ours, and no guessing.

Only two answers end a submit for good: 2xx with a payout of this key, and a 422 with one of the bank's
own codes. Anything else, an unreadable 2xx or a proxy's 404 included, may have moved money.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import AwareDatetime, BaseModel, ValidationError

from models.errors import (
    OperationKeyReused,
    PayoutRefused,
    PayoutUnknown,
    ProviderBalanceTooLow,
    WebhookRejected,
)
from models.money import Units
from payments.protocol import (
    PayoutEvent,
    PayoutOrder,
    PayoutReport,
    PayoutState,
    StatementLine,
    WebhookEvent,
)

SECRET_BYTES_MIN = 24
WEBHOOK_AGE_SECONDS_MOST = 5 * 60
TIMESTAMP_DIGITS_MOST = 12

STATES = {
    "processing": PayoutState.PROCESSING,
    "paid": PayoutState.PAID,
    "rejected": PayoutState.REJECTED,
    "refused": PayoutState.REJECTED,
    "returned": PayoutState.RETURNED,
}
EVENTS = {f"payout.{word}": state for word, state in STATES.items()}


class _Payout(BaseModel):
    key: str
    id: str
    state: Literal["processing", "paid", "rejected", "refused", "returned"]
    amount_centavos: Units
    end_to_end_id: str | None
    reason: str | None


class _Problem(BaseModel):
    code: str = ""
    reason: str | None = None


class _Balance(BaseModel):
    available_centavos: Units


class _Line(BaseModel):
    id: str
    key: str | None
    end_to_end_id: str | None
    amount_centavos: Units
    time: AwareDatetime


class _Statement(BaseModel):
    lines: list[_Line]


class _EventData(BaseModel):
    key: str


class _Event(BaseModel):
    type: str
    data: _EventData


class SandboxProvider:
    """A :class:`payments.protocol.PixProvider`.

    :param timeout_seconds: for one call from beginning to end, connecting included.
    :param webhook_secrets: all that are valid now, ``whsec_`` and base64; two while one is being replaced.
    :raises ValueError: a webhook secret is not base64 or shorter than 24 bytes.

    A process that only verifies webhooks needs no ``api_key``, and one that only pays no secrets.
    """

    name: str = "sandbox"

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        webhook_secrets: Collection[str] = (),
        timeout_seconds: float = 10,
    ) -> None:
        self._secrets = [_secret(text) for text in webhook_secrets]
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {api_key}"},
            timeout=timeout_seconds,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def payout(self, order: PayoutOrder) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.payout`."""
        answer = await self._call(
            "POST",
            "/v1/payouts",
            json={
                "key": order.key,
                "amount_centavos": str(order.amount_centavos),
                "pix_key": order.pix_key,
                "pix_key_kind": order.pix_key_kind.value,
                "holder_name": order.holder_name,
                "holder_tax_id": order.holder_tax_id,
                "description": order.description,
            },
        )
        if answer.is_success:
            return _report(answer, order.key)
        problem = _problem(answer)
        match answer.status_code, problem.code:
            case 422, "payout_refused":
                raise PayoutRefused("the provider refused the payout", reason=problem.reason or problem.code)
            case 422, "invalid_request":
                return await self._earlier_than_malformed(order.key)
            case 409, "insufficient_provider_balance":
                raise ProviderBalanceTooLow("top up our account at the provider; the payout will be sent again")
            case 409, "key_reused":
                raise OperationKeyReused(f"the provider knows payout {order.key} with another content")
        raise _unknown(answer)

    async def find_payout(self, key: str, provider_id: str | None = None) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.find_payout`."""
        answer = await self._call("GET", f"/v1/payouts/{quote(key, safe='')}")
        if answer.is_success:
            return _report(answer, key)
        if answer.status_code == 404 and _problem(answer).code == "payout_not_found":
            return PayoutReport(PayoutState.NOT_FOUND)
        raise _unknown(answer)

    async def balance(self) -> int:
        """See :meth:`payments.protocol.PixProvider.balance`."""
        return _read(_Balance, await self._call("GET", "/v1/balance")).available_centavos

    async def statement(self, day: date) -> list[StatementLine]:
        """See :meth:`payments.protocol.PixProvider.statement`."""
        statement = _read(_Statement, await self._call("GET", "/v1/statement", params={"day": day.isoformat()}))
        return [
            StatementLine(line.id, line.key, line.end_to_end_id, line.amount_centavos, line.time)
            for line in statement.lines
        ]

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.verify_webhook`.

        Written out because ``standardwebhooks.Webhook.verify`` reads the real clock and raises
        ``ValueError`` on garbage. Source: standard-webhooks/spec/standard-webhooks.md, ``v1`` only.
        """
        given = {name.lower(): value for name, value in headers.items()}
        event_id, sent_at = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
        if not (event_id and sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= TIMESTAMP_DIGITS_MOST):
            raise WebhookRejected("webhook-id or webhook-timestamp is missing or malformed")
        signed = f"{event_id}.{sent_at}.".encode(errors="replace") + body
        if not self._is_signed(signed, given.get("webhook-signature", "")):
            raise WebhookRejected("no signature of the webhook is ours")
        if abs(now.timestamp() - int(sent_at)) > WEBHOOK_AGE_SECONDS_MOST:
            raise WebhookRejected("the webhook is older or newer than five minutes")
        return self.read_webhook(body, event_id=event_id)

    def read_webhook(self, body: bytes, *, event_id: str) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.read_webhook`."""
        try:
            event = _Event.model_validate_json(body)
        except ValidationError:
            raise WebhookRejected("the webhook's body is not an event") from None
        return [PayoutEvent(event_id, event.data.key, EVENTS[event.type])] if event.type in EVENTS else []

    async def _earlier_than_malformed(self, key: str) -> PayoutReport:
        """A request found malformed says nothing of an earlier, well-formed one with its key: ask.

        :raises PayoutRefused: there was none.
        """
        earlier = await self.find_payout(key)
        if earlier.state is PayoutState.NOT_FOUND:
            raise PayoutRefused("the provider found the payout malformed", reason="invalid_request")
        return earlier

    def _is_signed(self, signed: bytes, signatures: str) -> bool:
        ours = [_signature(secret, signed) for secret in self._secrets]
        theirs = [text.encode(errors="replace") for text in signatures.split(" ")]
        return any(hmac.compare_digest(one, other) for one in ours for other in theirs)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One attempt.

        :raises PayoutUnknown: no whole answer within the time.
        """
        try:
            # httpx's own timeouts bound each read; an answer that drips would pass them for ever.
            async with asyncio.timeout(self._timeout_seconds):
                return await self._client.request(method, path, json=json, params=params)
        except (TimeoutError, httpx.HTTPError) as error:
            raise PayoutUnknown(f"the provider did not answer: {type(error).__name__}") from None


Answer = TypeVar("Answer", bound=BaseModel)


def _report(answer: httpx.Response, key: str) -> PayoutReport:
    payout = _read(_Payout, answer)
    if payout.key != key:
        raise PayoutUnknown("the provider answered about another payout")
    return PayoutReport(
        state=STATES[payout.state],
        amount_centavos=payout.amount_centavos,
        provider_id=payout.id,
        end_to_end_id=payout.end_to_end_id,
        reason=payout.reason,
    )


def _read(model: type[Answer], answer: httpx.Response) -> Answer:
    if not answer.is_success:
        raise _unknown(answer)
    try:
        return model.model_validate_json(answer.content)
    except ValidationError:
        raise PayoutUnknown("the provider's answer is not readable") from None


def _problem(answer: httpx.Response) -> _Problem:
    try:
        return _Problem.model_validate_json(answer.content)
    except ValidationError:
        return _Problem()


def _unknown(answer: httpx.Response) -> PayoutUnknown:
    return PayoutUnknown(f"the provider answered {answer.status_code}")


def _signature(secret: bytes, signed: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256))


def _secret(text: str) -> bytes:
    secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"a webhook secret has at least {SECRET_BYTES_MIN} bytes")
    return secret
