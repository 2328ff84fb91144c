"""The gateway as a bank that pays. It takes our key as ``external_id`` and can be asked by its own id alone.

Nothing says that it takes a repeated ``external_id`` for the same payment. So a payout is sent once: whatever its
answer, only the gateway's own ``status`` moves it on, and it is never called ``NOT_FOUND``, which would send again.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

import orjson

from models.errors import PayoutUnknown
from payments.brl_code.client import GatewayClient
from payments.brl_code.webhook import Verifier, events
from payments.brl_code.words import CreatedPayment, Payment, reais, state_of
from payments.protocol import PayoutOrder, PayoutReport, PayoutState, StatementLine, WebhookEvent

BANK_TIME = ZoneInfo("America/Sao_Paulo")
NO_PAYMENT = "liquida-ping"


class BrlCodeProvider:
    """A :class:`payments.protocol.PixProvider`, for payouts.

    :param api_key: sent as ``Authorization: Bearer``.
    :param webhook_url: where the gateway is told to report each payment: ours, ``https://.../webhooks/brl_code``.
    :param webhook_secrets: all that are valid now; two while one is being replaced.
    :param timeout_seconds: for one call from beginning to end, connecting included.
    :raises ValueError: a webhook secret is shorter than 24 characters.

    A process that only verifies webhooks needs nothing but their secrets, and one that only pays no secrets.
    """

    name: str = "brl_code"

    def __init__(
        self,
        url: str = "",
        *,
        api_key: str = "",
        webhook_url: str = "",
        webhook_secrets: Collection[str] = (),
        timeout_seconds: float = 15,
    ) -> None:
        self._verifier = Verifier(webhook_secrets)
        self._webhook_url = webhook_url
        self._client = GatewayClient(url, api_key=api_key, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        await self._client.close()

    async def payout(self, order: PayoutOrder) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.payout`.

        The gateway publishes no refusal of its own: an answer that is no payment leaves the outcome open.
        """
        answer = await self._client.call("POST", "/payments/create", content=self._body(order))
        created = answer.read(CreatedPayment)
        if created.external_id not in {None, order.key}:
            raise PayoutUnknown("the provider answered about another payout")
        report = _report(created)
        if report.state is PayoutState.PAID and report.amount_centavos is None:
            # Paid, and not how much: the look-up has to say.
            return PayoutReport(PayoutState.PROCESSING, provider_id=report.provider_id)
        return report

    async def find_payout(self, key: str, provider_id: str | None = None) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.find_payout`.

        :raises PayoutUnknown: also without ``provider_id``: only a webhook can tell it then, or a person.
        """
        if provider_id is None:
            raise PayoutUnknown("the provider cannot be asked before it has told its own id of the payout")
        payment = (await self._client.call("GET", _path(provider_id))).read(Payment)
        if payment.payment_id != provider_id or payment.external_id not in {None, key}:
            raise PayoutUnknown("the provider answered about another payout")
        return _report(payment)

    async def balance(self) -> int:
        """:raises PayoutUnknown: always; the gateway has no such call. See :meth:`ping`."""
        raise PayoutUnknown("the provider does not tell its balance")

    async def statement(self, day: date) -> list[StatementLine]:
        """:raises PayoutUnknown: always; the gateway has no such call."""
        raise PayoutUnknown("the provider gives no statement")

    async def ping(self) -> None:
        """See :meth:`payments.protocol.PixPing.ping`. Any answer that knows our key will do; 404 is expected."""
        answer = await self._client.call("GET", _path(NO_PAYMENT))
        if answer.status >= 500 or answer.status in {401, 403}:
            raise PayoutUnknown(f"the provider answered {answer.status}")

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.verify_webhook`."""
        return self._verifier.read(headers, body, now=now)

    def read_webhook(self, body: bytes, *, event_id: str) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.read_webhook`. An event is named by its words."""
        return events(body)

    def _body(self, order: PayoutOrder) -> bytes:
        return orjson.dumps(
            {
                # A number, as the gateway reads it, written digit by digit: 0.1 is no binary fraction.
                "amount": orjson.Fragment(reais(order.amount_centavos)),
                "pix_key": order.pix_key,
                "description": order.description,
                "external_id": order.key,
                "webhook_url": self._webhook_url,
                "due_date": datetime.now(BANK_TIME).date().isoformat(),
            }
        )


def _path(payment_id: str) -> str:
    return f"/payments/{quote(payment_id, safe='')}"


def _report(payment: CreatedPayment | Payment) -> PayoutReport:
    """The gateway gives no end-to-end id and no code of refusal: its own word stands for one."""
    state = state_of(payment.status)
    return PayoutReport(
        state=state,
        amount_centavos=payment.amount,
        provider_id=payment.payment_id,
        reason=payment.status.casefold() if state is PayoutState.REJECTED else None,
    )
