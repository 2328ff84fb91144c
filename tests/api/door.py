"""The API over a real database, reached through HTTP's own door; Temporal only where a test brings it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import httpx
import uvicorn
from eth_utils.address import to_checksum_address
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from api.deps import Services
from api.prices import CachedFeed
from chains import registry
from liquida.prices import FixedFeed
from liquida.serve import Server
from models.assets import Asset, Family, Network
from models.bank_data.types import NewKeyRule
from models.errors import EngineUnavailable
from models.instant_trade.types import Terms, Waits
from models.ledger.chart import available, custody
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.network import queries as networks
from models.network.writes import seed
from models.pix_limit.types import PixLimits
from models.quote.types import Rates
from models.secret_box import SecretBox
from models.user import writes as users
from models.user.types import Role
from models.wallet import allocate
from payments.sandbox_provider import SandboxProvider
from tests.parts import free_port
from tests.people import fresh_cpf

API = "/api/v1"
TRADES = f"{API}/instant-trade"
NETWORKS = (
    Network("ethereum", "Ethereum", Family.EVM, 1, 3, "ETH.ethereum"),
    Network("polygon", "Polygon", Family.EVM, 137, 3, "POL.polygon"),
)
ASSETS = (
    Asset("ETH.ethereum", "ETH", 18, "ethereum"),
    Asset("USDT.ethereum", "USDT", 6, "ethereum", "0xdAC17F958D2ee523a2206206994597C13D831ec7", 4),
    Asset("POL.polygon", "POL", 18, "polygon"),
)
PRICES = {"ETH": Decimal("15000.00"), "USDT": Decimal("5.4321"), "POL": Decimal("5.909")}
RATES = Rates(
    spread_bps=300,
    network_fee_bps=25,
    trade_min_centavos=1_000,
    trade_max_centavos=10_000_000,
    return_min_centavos=500,
)
TERMS = Terms(900, 1800, 3600, "sandbox")
WAITS = Waits(15, 600, 180, 2, 600, 60)
NEW_KEY = NewKeyRule(0.001, 100_000)
PIX_LIMITS = PixLimits(100, 5_000_000, 5_000_000)
BOX = SecretBox("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
WEBHOOK_SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OUTSIDE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
CPF = "529.982.247-25"
ETHER = 10**18


@dataclass
class Person:
    id: str
    key: str = field(repr=False)
    email: str
    bank_data_id: str = ""
    tax_id: str = field(default="", repr=False)


async def temporal_is_away() -> NoReturn:
    raise EngineUnavailable("Temporal does not answer; try again shortly")


class Door:
    def __init__(self, services: Services) -> None:
        self.services = services
        self.app = create_app(services)
        self._clerk: Person | None = None
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://api.test", trust_env=False
        )

    @property
    def engine(self) -> AsyncEngine:
        return self.services.engine

    @asynccontextmanager
    async def other(self, **changes: Any) -> AsyncIterator["Door"]:
        """The same API with other services, such as ``quote_valid_seconds=0.01``."""
        door = Door(replace(self.services, **changes))
        yield door
        await door.http.aclose()

    async def person(self, *, role: Role = Role.USER, password: str | None = None) -> Person:
        email = f"{secrets.token_hex(6)}@example.com"
        async with self.engine.begin() as conn:
            actor = await users.add_user(conn, email=email, role=role, password=password)
            key = await users.add_api_key(conn, user_id=actor.user_id, name="test")
        return Person(actor.user_id, key, email)

    async def verify(self, person: Person, tax_id: str | None = None, **more: Any) -> httpx.Response:
        """An operator has seen the person's document."""
        if self._clerk is None:
            self._clerk = await self.person(role=Role.OPERATOR)
        person.tax_id = tax_id or fresh_cpf()
        body = {"tax_id": person.tax_id, "name": "Ana Beatriz", "evidence": "ticket 1"} | more
        return await self.put(self._clerk, f"{API}/users/{person.id}/document", body)

    async def seller(self) -> Person:
        """A person with a verified document and a PIX key."""
        person = await self.person()
        await self.verify(person)
        body = {
            "pix_key": person.email,
            "pix_key_kind": "email",
            "holder_name": "Ana Beatriz",
            "holder_tax_id": person.tax_id,
        }
        person.bank_data_id = (await self.post(person, f"{API}/bank-data", body)).json()["id"]
        return person

    async def rich(self, units: int = ETHER) -> Person:
        """A seller with coins on the platform."""
        person = await self.seller()
        await self.post(person, f"{API}/wallet/addresses", {"network": "ethereum"})
        async with self.engine.begin() as conn:
            coins, mine = custody("ethereum", "ETH.ethereum"), available(person.id, "ETH.ethereum")
            key = f"test/{secrets.token_hex(8)}"
            await post(conn, move(key, Kind.DEPOSIT, key, coins, mine, units))
        return person

    async def get(self, person: Person | None, path: str, **more: Any) -> httpx.Response:
        return await self.http.get(path, headers=_headers(person), **more)

    async def put(self, person: Person | None, path: str, body: Any) -> httpx.Response:
        return await self.http.put(path, json=body, headers=_headers(person))

    async def post(
        self, person: Person | None, path: str, body: Any = None, *, key: str | None = None
    ) -> httpx.Response:
        headers = _headers(person) | {"idempotency-key": key or secrets.token_hex(8)}
        return await self.http.post(path, json=body, headers=headers)

    async def quote(self, person: Person, **changes: Any) -> httpx.Response:
        body = {
            "operation": "sell",
            "asset": "ETH",
            "network": "ethereum",
            "funding": "deposit",
            "amount": "0.1",
            "refund_address": OUTSIDE,
        }
        return await self.post(
            person, f"{TRADES}/quote", {k: v for k, v in (body | changes).items() if v is not None}
        )

    async def create(self, person: Person, quote_id: str, *, key: str | None = None) -> httpx.Response:
        body = {"quote_id": quote_id, "bank_data_id": person.bank_data_id}
        return await self.post(person, f"{TRADES}/create", body, key=key)

    async def trade(self, person: Person, **changes: Any) -> dict[str, Any]:
        quote = await self.quote(person, **changes)
        reply = await self.create(person, quote.json()["id"])
        assert 201 == reply.status_code, reply.text
        trade: dict[str, Any] = reply.json()
        return trade


def custody_funded(amount: str = "0.1") -> Mapping[str, Any]:
    return {"funding": "custody", "amount": amount, "refund_address": None}


def problem(reply: httpx.Response, kind: str, *, field: str | None = None) -> dict[str, Any]:
    """The reply as the problem ``kind``, at ``field`` if one is named."""
    body: dict[str, Any] = reply.json()
    assert "application/problem+json" == reply.headers["content-type"], body
    assert f"urn:liquida:problem:{kind}" == body["type"], body
    assert reply.status_code == body["status"]
    if field is not None:
        assert field in {error["field"] for error in body["errors"]}, body
    return body


async def furnish(engine: AsyncEngine, *, addresses: int = 400) -> None:
    """Networks, assets and derived addresses, as `liquida migrate` and the custody worker leave them."""
    async with engine.begin() as conn:
        await seed(conn, NETWORKS, ASSETS)
        await allocate.register_wallet(conn, "wallet")
        for network in NETWORKS:
            for index in range(addresses):
                address = to_checksum_address(f"0x{index:040x}")
                await allocate.add_address(
                    conn, wallet_id="wallet", network_id=network.id, index=index, address=address
                )


async def services(engine: AsyncEngine) -> Services:
    async with engine.connect() as conn:
        catalogue = await networks.catalogue(conn)
    bank = SandboxProvider("http://127.0.0.1:9", webhook_secrets=[WEBHOOK_SECRET])
    return Services(
        engine=engine,
        box=BOX,
        temporal=temporal_is_away,
        catalogue=catalogue,
        address_parsers={family: registry.address_format(family).parse for family in Family},
        feed=CachedFeed(FixedFeed(PRICES), seconds=30),
        rates=RATES,
        quote_valid_seconds=30,
        terms=TERMS,
        waits=WAITS,
        new_key=NEW_KEY,
        pix_limits=PIX_LIMITS,
        webhooks={"sandbox": bank.verify_webhook},
        jwt_secret=SecretStr("a secret of more than thirty-two bytes"),
        jwt_minutes=15,
        temporal_ui_url="http://127.0.0.1:8233",
        namespace="liquida",
    )


@asynccontextmanager
async def serving(door: Door) -> AsyncIterator[str]:
    """The same API on a port of its own, by the server that production runs; its address."""
    port = free_port()
    config = uvicorn.Config(door.app, port=port, log_config=None, lifespan="off", ws="websockets-sansio")
    server = Server(door.app, config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


def now() -> datetime:
    return datetime.now(UTC)


def _headers(person: Person | None) -> dict[str, str]:
    return {} if person is None else {"authorization": f"Bearer {person.key}"}
