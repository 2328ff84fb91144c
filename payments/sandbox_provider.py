"""The adapter to the sandbox bank (``payments/sandbox``): its words into ours, and no guessing.

Only two answers end a submit for good: 2xx with a payout, charge or refund of this key, and a 422 with one of the
bank's own codes. Anything else, an unreadable 2xx or a proxy's 404 included, may have moved money.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime

from models.errors import (
    OperationKeyReused,
    PayoutRefused,
    PayoutUnknown,
    ProviderBalanceTooLow,
    ProviderLimitReached,
)
from payments.protocol import (
    ChargeOrder,
    ChargeReport,
    ChargeState,
    DisputeReport,
    PayoutOrder,
    PayoutReport,
    PayoutState,
    RefundOrder,
    RefundReport,
    RefundState,
    StatementLine,
    WebhookEvent,
)
from payments.sandbox_client.answers import (
    Balance,
    ChargeAnswer,
    DisputeAnswer,
    PayoutAnswer,
    RefundAnswer,
    Statement,
)
from payments.sandbox_client.client import Answer, SandboxClient, segment
from payments.sandbox_client.webhook import read_events, secret_bytes, verified_id

MALFORMED = (422, "invalid_request")


class SandboxProvider:
    """A :class:`payments.protocol.PixProvider`, :class:`payments.protocol.PixCollector` and
    :class:`payments.protocol.PixDisputes`.

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
        self._secrets = [secret_bytes(text) for text in webhook_secrets]
        self._client = SandboxClient(url, api_key=api_key, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        await self._client.close()

    async def payout(self, order: PayoutOrder) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.payout`."""
        answer = await self._client.call(
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
            return answer.read(PayoutAnswer).report(order.key)
        if answer.told == MALFORMED:
            # It says nothing of an earlier, well-formed payout with this key: ask.
            earlier = await self.find_payout(order.key)
            if earlier.state is not PayoutState.NOT_FOUND:
                return earlier
        raise _no("payout", order.key, answer)

    async def find_payout(self, key: str, provider_id: str | None = None) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.find_payout`."""
        answer = await self._client.call("GET", f"/v1/payouts/{segment(key)}")
        if answer.told == (404, "payout_not_found"):
            return PayoutReport(PayoutState.NOT_FOUND)
        return answer.read(PayoutAnswer).report(key)

    async def balance(self) -> int:
        """See :meth:`payments.protocol.PixProvider.balance`. Below zero when the bank took back what was spent."""
        return (await self._client.call("GET", "/v1/balance")).read(Balance).available_centavos

    async def statement(self, day: date) -> list[StatementLine]:
        """See :meth:`payments.protocol.PixProvider.statement`.

        The key of a line is the payout's, the charge's for what came in or was taken back, or the refund's. A
        blocked receipt has its line when it comes in.
        """
        answer = await self._client.call("GET", "/v1/statement", params={"day": day.isoformat()})
        return answer.read(Statement).read()

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.verify_webhook`."""
        event_id = verified_id(self._secrets, headers, body, now=now)
        return self.read_webhook(body, event_id=event_id)

    def read_webhook(self, body: bytes, *, event_id: str) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.read_webhook`."""
        return read_events(body, event_id=event_id)

    async def charge(self, order: ChargeOrder) -> ChargeReport:
        """See :meth:`payments.protocol.PixCollector.charge`."""
        answer = await self._client.call(
            "POST",
            "/v1/charges",
            json={
                "key": order.key,
                "amount_centavos": str(order.amount_centavos),
                "expires_seconds": order.expires_seconds,
                "payer_name": order.payer_name,
                "payer_tax_id": order.payer_tax_id,
                "description": order.description,
            },
        )
        if answer.is_success:
            return answer.read(ChargeAnswer).report(order.key)
        if answer.told == MALFORMED:
            earlier = await self.find_charge(order.key)
            if earlier.state is not ChargeState.NOT_FOUND:
                return earlier
        raise _no("charge", order.key, answer)

    async def find_charge(self, key: str) -> ChargeReport:
        """See :meth:`payments.protocol.PixCollector.find_charge`."""
        answer = await self._client.call("GET", f"/v1/charges/{segment(key)}")
        if answer.told == (404, "charge_not_found"):
            return ChargeReport(ChargeState.NOT_FOUND)
        return answer.read(ChargeAnswer).report(key)

    async def refund(self, order: RefundOrder) -> RefundReport:
        """See :meth:`payments.protocol.PixCollector.refund`.

        :raises ProviderBalanceTooLow: it did not happen; send the same key again after a top-up.
        :raises OperationKeyReused: the provider knows this key with another content.
        """
        answer = await self._client.call(
            "POST",
            "/v1/refunds",
            json={
                "key": order.key,
                "end_to_end_id": order.end_to_end_id,
                "amount_centavos": str(order.amount_centavos),
            },
        )
        if answer.is_success:
            return answer.read(RefundAnswer).report(order)
        if answer.told == MALFORMED:
            earlier = await self.find_refund(order)
            if earlier.state is not RefundState.NOT_FOUND:
                return earlier
        raise _no("refund", order.key, answer)

    async def find_refund(self, order: RefundOrder) -> RefundReport:
        """See :meth:`payments.protocol.PixCollector.find_refund`.

        :raises OperationKeyReused: the provider knows this key with another content.
        """
        answer = await self._client.call("GET", f"/v1/refunds/{segment(order.key)}")
        if answer.told == (404, "refund_not_found"):
            return RefundReport(RefundState.NOT_FOUND)
        return answer.read(RefundAnswer).report(order)

    async def find_dispute(self, dispute_id: str) -> DisputeReport:
        """See :meth:`payments.protocol.PixDisputes.find_dispute`."""
        answer = await self._client.call("GET", f"/v1/disputes/{segment(dispute_id)}")
        return answer.read(DisputeAnswer).report(dispute_id)

    async def defend(self, dispute_id: str, statement: str) -> None:
        """See :meth:`payments.protocol.PixDisputes.defend`."""
        path = f"/v1/disputes/{segment(dispute_id)}/defense"
        answer = await self._client.call("POST", path, json={"statement": statement})
        if answer.told in {(422, "dispute_closed"), MALFORMED}:
            raise PayoutRefused("the provider took no statement", reason=answer.told[1])
        answer.read(DisputeAnswer).report(dispute_id)


def _no(noun: str, key: str, answer: Answer) -> PayoutRefused | PayoutUnknown | OperationKeyReused:
    """The error for an answer that is not 2xx; the bank's own words alone are a no."""
    match answer.told:
        case 422, code if code == f"{noun}_refused":
            return PayoutRefused(f"the provider refused the {noun}", reason=answer.reason)
        case 422, "invalid_request":
            return PayoutRefused(f"the provider found the {noun} malformed", reason="invalid_request")
        case 409, "insufficient_provider_balance":
            return ProviderBalanceTooLow(f"top up our account at the provider; the {noun} will be sent again")
        case 409, "limit_reached":
            return ProviderLimitReached(f"the provider's limit for now is reached; the {noun} will be sent again")
        case 409, "key_reused":
            return OperationKeyReused(f"the provider knows {noun} {key} with another content")
    return answer.unknown()
