"""What the API is given by ``liquida/wiring.py``, and how a route gets hold of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request
from pydantic import SecretStr, TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import HTTPConnection
from temporalio.client import Client

from api.courier import Courier
from api.engine import Defaults
from api.event_hub import EventHub, StreamRules
from api.prices import PriceFeed
from models.assets import Family
from models.bank_data.types import NewKeyRule
from models.errors import PurchasesUnavailable
from models.evidence_pack.seal import EvidenceSigner
from models.instant_trade.types import Terms, Waits
from models.network.queries import Catalogue
from models.p2p_dispute.types import DisputeRules
from models.p2p_message.types import ChatRules
from models.p2p_order.types import P2PRules
from models.pix_limit.types import PixLimits
from models.provider_health import queries as provider_health
from models.provider_health.rules import choose
from models.provider_health.types import Failover
from models.quote.types import Rates
from models.secret_box import SecretBox
from models.webhook_delivery.types import STANDARD, SendingPlan
from payments.protocol import WebhookEvent

_TERMS = TypeAdapter(Terms)
_WAITS = TypeAdapter(Waits)


class WebhookVerifier(Protocol):
    """:meth:`payments.protocol.PixProvider.verify_webhook` of one provider."""

    def __call__(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        """:raises models.errors.WebhookRejected: forged, stale or malformed."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the API needs from outside.

    ``temporal``: gives a connected client or raises an ``Unknown`` soon; see :class:`api.engine.LazyClient`.
    ``address_parsers``: text → the address in its one spelling, or ``InvalidAddress``.
    ``jwt_secret``: at least 32 bytes.
    ``failover``: a second payment provider for new trades; None where there is only one.
    ``collectors``: the names of the payment providers that can also receive.
    ``p2p``: the rules of the marketplace; ``chat`` and ``p2p_disputes``: of its chats and disputes.
    ``evidence``: signs evidence packs; None: there are none here.
    ``sending``: how users' webhooks are tried; ``allow_private_webhooks``: for development, to any address.
    """

    engine: AsyncEngine
    box: SecretBox
    temporal: Callable[[], Awaitable[Client]]
    catalogue: Catalogue
    address_parsers: Mapping[Family, Callable[[str], str]]
    feed: PriceFeed
    rates: Rates
    quote_valid_seconds: float
    terms: Terms
    waits: Waits
    new_key: NewKeyRule
    pix_limits: PixLimits
    webhooks: Mapping[str, WebhookVerifier]
    jwt_secret: SecretStr
    jwt_minutes: int
    temporal_ui_url: str
    namespace: str
    failover: Failover | None = None
    collectors: frozenset[str] = frozenset({"sandbox"})
    p2p: P2PRules = field(default_factory=P2PRules)
    chat: ChatRules = field(default_factory=ChatRules)
    p2p_disputes: DisputeRules = field(default_factory=DisputeRules)
    evidence: EvidenceSigner | None = None
    streams: StreamRules = field(default_factory=StreamRules)
    sending: SendingPlan = STANDARD
    allow_private_webhooks: bool = False

    async def purchase_terms_now(self, conn: AsyncConnection) -> Terms:
        """As :meth:`terms_now`, of a purchase.

        :raises PurchasesUnavailable: the provider that new trades go to cannot receive.
        """
        terms = await self.terms_now(conn)
        if terms.provider not in self.collectors:
            raise PurchasesUnavailable("nothing can be bought here now: the payment provider does not receive PIX")
        return terms

    async def terms_now(self, conn: AsyncConnection) -> Terms:
        """The terms of a trade that is accepted now: paid by the fallback while the main provider is down."""
        if self.failover is None:
            return self.terms
        provider = choose(self.terms.provider, self.failover, await provider_health.all_known(conn))
        return replace(self.terms, provider=provider)

    @property
    def defaults(self) -> Defaults:
        return Defaults(_TERMS.dump_python(self.terms, mode="json"), _WAITS.dump_python(self.waits, mode="json"))


def services(request: HTTPConnection) -> Services:
    found: Services = request.app.state.services
    return found


def courier(request: Request) -> Courier:
    found: Courier = request.app.state.courier
    return found


def event_hub(request: HTTPConnection) -> EventHub:
    found: EventHub = request.app.state.event_hub
    return found


Deps = Annotated[Services, Depends(services)]
Post = Annotated[Courier, Depends(courier)]
Hub = Annotated[EventHub, Depends(event_hub)]
