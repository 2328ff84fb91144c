"""Woovi as one provider: it pays, it receives, and it tells."""

import time
from collections.abc import Collection, Mapping
from datetime import date, datetime

from models.errors import PayoutUnknown
from payments.protocol import (
    ChargeOrder,
    ChargeReport,
    DisputeReport,
    PayoutOrder,
    PayoutReport,
    RefundOrder,
    RefundReport,
    StatementLine,
    WebhookEvent,
)
from payments.woovi import pages
from payments.woovi.answers import Accounts, PublicKeys
from payments.woovi.charges import Charges
from payments.woovi.client import PRODUCTION_URL, WooviClient
from payments.woovi.disputes import Disputes
from payments.woovi.payouts import Payouts
from payments.woovi.webhooks import PUBLISHED_KEY, Verifier, events

KEYS_AGE_SECONDS_MOST = 60 * 60


class WooviProvider:
    """A :class:`payments.protocol.PixProvider`, ``PixCollector`` and ``PixDisputes``.

    :param app_id: the AppID, which Woovi takes as it is for ``Authorization``.
    :param webhook_secrets: of our endpoint: the ``authorization`` it was registered with, or its HMAC secret;
        two while one is being replaced.
    :param public_keys: that sign Woovi's webhooks, in PEM; :meth:`refresh_keys` replaces them.
    :param checks_holder: refuse before anything is created when DICT says that the key is somebody else's.
        Without it, Woovi names the holder only once the money is on its way.
    :param timeout_seconds: for one payout, charge or refund from beginning to end, and for one page of a list.
    :raises ValueError: a webhook secret is shorter than 24 characters, or a key no RSA public key in PEM.

    A process that only verifies webhooks needs no ``app_id``, and one that only pays no secrets.
    """

    name: str = "woovi"

    def __init__(
        self,
        url: str = PRODUCTION_URL,
        *,
        app_id: str = "",
        webhook_secrets: Collection[str] = (),
        public_keys: Collection[str] = (PUBLISHED_KEY,),
        checks_holder: bool = True,
        timeout_seconds: float = 15,
    ) -> None:
        self._verifier = Verifier(public_keys=public_keys, secrets=webhook_secrets)
        self._client = WooviClient(url, app_id=app_id, timeout_seconds=timeout_seconds)
        self._payouts = Payouts(self._client, checks_holder=checks_holder)
        self._charges = Charges(self._client)
        self._disputes = Disputes(self._client)
        self._keys_asked_at: float | None = None

    async def close(self) -> None:
        await self._client.close()

    async def payout(self, order: PayoutOrder) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.payout`."""
        return await self._payouts.send(order)

    async def find_payout(self, key: str, provider_id: str | None = None) -> PayoutReport:
        """See :meth:`payments.protocol.PixProvider.find_payout`."""
        return await self._payouts.find(key)

    async def balance(self) -> int:
        """See :meth:`payments.protocol.PixProvider.balance`: of the account that payouts leave from, the default."""
        accounts = (await self._client.call("GET", "/api/v1/account/")).read(Accounts).accounts
        default = [account for account in accounts if account.is_default]
        if len(default) != 1:
            raise PayoutUnknown("the provider does not say which account is the default")
        return default[0].balance.available

    async def statement(self, day: date) -> list[StatementLine]:
        """See :meth:`payments.protocol.PixProvider.statement`."""
        return await pages.statement(self._client, day)

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.verify_webhook`. Woovi signs no time, so ``now`` plays no part."""
        return self._verifier.read(headers, body)

    def read_webhook(self, body: bytes, *, event_id: str) -> list[WebhookEvent]:
        """See :meth:`payments.protocol.PixProvider.read_webhook`. Woovi names no event: each is told by its words."""
        return events(body)

    async def refresh_keys(self) -> bool:
        """Fetch the keys that sign webhooks, at most once an hour; whether they were fetched.

        Those we have stay in use when Woovi does not answer, or not with keys.
        """
        if self._keys_asked_at is not None and time.monotonic() - self._keys_asked_at < KEYS_AGE_SECONDS_MOST:
            return False
        self._keys_asked_at = time.monotonic()
        try:
            answer = await self._client.call("GET", "/api/v1/webhook/public-keys", is_public=True)
            self._verifier.trust([entry.key for entry in answer.read(PublicKeys).public_keys])
        except (PayoutUnknown, ValueError):
            return False
        return True

    async def find_dispute(self, dispute_id: str) -> DisputeReport:
        """See :meth:`payments.protocol.PixDisputes.find_dispute`."""
        return await self._disputes.find(dispute_id)

    async def defend(self, dispute_id: str, statement: str) -> None:
        """See :meth:`payments.protocol.PixDisputes.defend`."""
        await self._disputes.defend(dispute_id, statement)

    async def charge(self, order: ChargeOrder) -> ChargeReport:
        """See :meth:`payments.protocol.PixCollector.charge`."""
        return await self._charges.charge(order)

    async def find_charge(self, key: str) -> ChargeReport:
        """See :meth:`payments.protocol.PixCollector.find_charge`."""
        return await self._charges.find_charge(key)

    async def refund(self, order: RefundOrder) -> RefundReport:
        """See :meth:`payments.protocol.PixCollector.refund`."""
        return await self._charges.refund(order)

    async def find_refund(self, order: RefundOrder) -> RefundReport:
        """See :meth:`payments.protocol.PixCollector.find_refund`."""
        return await self._charges.find_refund(order)
