"""The whole desk for tests: real PostgreSQL, Temporal, EVM node, sandbox bank, API over HTTP, and a worker.

Everything a test does goes through the HTTP door, the chain or the bank, as users do; what it asserts it reads
from the same three, and from the laws of the books.
"""

import asyncio
import base64
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from api.app import create_app
from chains import registry
from chains.keys.sealed_file import SealedFile
from liquida import database, serve, wiring
from liquida.checks import against_the_world, check_all
from liquida.settings import NetworkSettings, Settings, TokenSettings
from liquida.stack.evm_node import EvmNode
from liquida.stack.postgres import Postgres
from liquida.stack.temporal import Temporal
from liquida.worker import QUEUES, serving
from models.user import writes as users
from models.user.types import Role
from models.wallet import allocate
from tests.chains.anvil import Anvil
from tests.parts import free_port, start_anvil, start_postgres, start_temporal
from tests.people import fresh_cpf
from tests.sandbox_process import SandboxProcess

ETHER = 10**18
PERSON = {
    "holder_name": "Ana Beatriz Nogueira",
    "pix_key_kind": "email",
}
"""What all have in common; each has a CPF and a PIX key of their own."""
FAST = {
    "RECHECK_FIRST": "0.5",
    "RECHECK_MOST": "2",
    "PAYOUT_POLL_FIRST": "0.3",
    "PAYOUT_POLL_MOST": "1",
    "PAYOUT_RESEND_AFTER": "1",
    "NEW_KEY_COOLDOWN": "0.001",
    "BUMP_AFTER": "1.5",
    "CHARGE_POLL_FIRST": "0.5",
    "CHARGE_POLL_MOST": "8",
    "CHARGE_WATCH": "30",
    "PAYER_PATIENCE": "0.5",
    "PAYMENT_LENIENCY": "1",
}


@dataclass
class Person:
    """A user with an API key, a verified document, a platform address and a PIX key. ``tax_id``: bare."""

    id: str
    key: str = field(repr=False)
    address: str = ""
    bank_data_id: str = ""
    pix_key: str = field(default="", repr=False)
    tax_id: str = field(default="", repr=False)


class Desk:
    def __init__(
        self,
        *,
        settings: Settings,
        engine: AsyncEngine,
        client: Client,
        api: httpx.AsyncClient,
        app: FastAPI,
        bank: SandboxProcess,
        anvil: Anvil,
        postgres: Postgres,
        temporal: Temporal,
        node: EvmNode,
    ) -> None:
        self.settings, self.engine, self.client, self.api, self.app = settings, engine, client, api, app
        self.bank, self.anvil, self.postgres, self.temporal, self.node = bank, anvil, postgres, temporal, node
        self._clerk: Person | None = None
        self._hiring = asyncio.Lock()
        self.house = ""
        self.rich = ""
        self.token = ""
        self._mining = asyncio.Event()
        self._mining.set()

    async def open(self) -> None:
        """Fund the house on chain and in the bank's books; the first is a real deposit."""
        self.rich = (await self.anvil.rpc("eth_accounts"))[0]
        async with self.engine.connect() as conn:
            self.house = (await allocate.house(conn, "ethereum")).address
        await self.send(self.house, 20 * ETHER)
        await self.eventually(self._house_is_funded, "the house's deposit to be booked")
        self.opening_centavos = self.bank.balance_centavos()

    async def _house_is_funded(self) -> bool:
        from models.ledger import queries
        from models.ledger.chart import Purpose, house

        async with self.engine.connect() as conn:
            return await queries.balance(conn, house(Purpose.DESK, "ETH.ethereum")) >= 20 * ETHER

    async def person(self, pix_tag: str = "", *, role: Role = Role.USER) -> Person:
        """A new user; ``pix_tag`` is a mood of the sandbox bank, such as ``rejected``."""
        name = secrets.token_hex(4)
        async with self.engine.begin() as conn:
            actor = await users.add_user(conn, email=f"{name}@example.com", role=role)
            key = await users.add_api_key(conn, user_id=actor.user_id, name="test")
        person = Person(actor.user_id, key, tax_id=fresh_cpf())
        await self._verify(person)
        reply = await self.post(person, "/api/v1/wallet/addresses", {"network": "ethereum"})
        person.address = reply["address"]
        person.pix_key = f"ana.{name}{'+' + pix_tag if pix_tag else ''}@example.com"
        body = PERSON | {"pix_key": person.pix_key, "holder_tax_id": person.tax_id}
        person.bank_data_id = (await self.post(person, "/api/v1/bank-data", body))["id"]
        return person

    async def _verify(self, person: Person) -> None:
        """An operator who does nothing else has seen the person's document."""
        async with self._hiring:
            if self._clerk is None:
                async with self.engine.begin() as conn:
                    actor = await users.add_user(conn, email="clerk@example.com", role=Role.OPERATOR)
                    key = await users.add_api_key(conn, user_id=actor.user_id, name="test")
                self._clerk = Person(actor.user_id, key)
        body = {"tax_id": person.tax_id, "name": PERSON["holder_name"], "evidence": "ticket 1"}
        reply = await self.call(self._clerk, "PUT", f"/api/v1/users/{person.id}/document", body)
        assert reply.is_success, reply.text

    async def operator(self) -> Person:
        return await self.person(role=Role.OPERATOR)

    async def call(
        self, person: Person, method: str, path: str, body: Any = None, *, key: str | None = None
    ) -> httpx.Response:
        """One request; told "try again shortly" (503), it does, with the same key, as every client should."""
        headers = {"authorization": f"Bearer {person.key}"}
        if method == "POST":
            headers["idempotency-key"] = key or secrets.token_hex(8)
        give_up = time.monotonic() + 20
        while True:
            reply = await self.api.request(method, path, json=body, headers=headers)
            if reply.status_code != 503 or time.monotonic() > give_up:
                return reply
            await asyncio.sleep(0.2)

    async def post(self, person: Person, path: str, body: Any = None, *, key: str | None = None) -> Any:
        reply = await self.call(person, "POST", path, body, key=key)
        assert reply.is_success, f"{path}: {reply.status_code} {reply.text}"
        return reply.json()

    async def get(self, person: Person, path: str) -> Any:
        reply = await self.call(person, "GET", path)
        assert reply.is_success, f"{path}: {reply.status_code} {reply.text}"
        return reply.json()

    async def give(self, person: Person, units: int) -> None:
        """Coins from outside to the person's platform address, until they are in the person's balance."""
        before = await self.available(person)
        await self.send(person.address, units)

        async def booked() -> bool:
            return await self.available(person) == before + units

        await self.eventually(booked, "the deposit to be in the balance")

    async def available(self, person: Person, asset: str = "ETH.ethereum") -> int:
        from models.ledger import queries
        from models.ledger.chart import available

        async with self.engine.connect() as conn:
            return await queries.balance(conn, available(person.id, asset))

    async def sell(
        self, person: Person, amount: str = "0.5", *, funding: str = "custody", asset: str = "ETH", **more: Any
    ) -> Any:
        """Quote and create; the trade as the API shows it."""
        order = {"operation": "sell", "asset": asset, "network": "ethereum", "funding": funding, "amount": amount}
        if funding == "deposit":
            order["refund_address"] = more.pop("refund_address", self.fresh_address())
        quote = await self.post(person, "/api/v1/instant-trade/quote", order | more)
        body = {"quote_id": quote["id"], "bank_data_id": person.bank_data_id}
        return await self.post(person, "/api/v1/instant-trade/create", body)

    async def buy(self, person: Person, pay: str = "150.00", *, to: str | None = None, **more: Any) -> Any:
        """Quote and create a purchase; the trade as the API shows it, once its BR Code is there."""
        order = {"operation": "buy", "asset": "ETH", "network": "ethereum", "pay_brl": pay}
        order |= {"delivery_address": to} if to else {}
        quote = await self.post(person, "/api/v1/instant-trade/quote", order | more)
        trade = await self.post(person, "/api/v1/instant-trade/create", {"quote_id": quote["id"]})
        return await self.payable(person, trade)

    async def payable(self, person: Person, trade: Any, *, seconds: float = 40) -> Any:
        """Wait for the purchase's BR Code; the trade then."""
        seen = dict(trade)

        async def is_there() -> bool:
            seen.update(await self.get(person, f"/api/v1/instant-trade/{trade['id']}"))
            return seen["payment"]["br_code"] is not None

        await self.eventually(is_there, "a BR Code", seconds=seconds, say=lambda: str(seen))
        return seen

    async def until(self, person: Person, trade: Any, *statuses: str, seconds: float = 40) -> Any:
        """Wait for the trade to be in one of these states; the trade then."""
        seen: dict[str, Any] = {}

        async def reached() -> bool:
            seen.update(await self.get(person, f"/api/v1/instant-trade/{trade['id']}"))
            return seen["status"] in statuses

        await self.eventually(reached, f"{statuses}, now {seen}", seconds=seconds, say=lambda: str(seen))
        return seen

    async def why(self, person: Person, trade: Any) -> Any:
        return await self.get(person, f"/api/v1/instant-trade/{trade['id']}/why")

    async def log(self, person: Person, trade: Any) -> list[str]:
        """The states the trade went through."""
        entries = await self.get(person, f"/api/v1/instant-trade/{trade['id']}/audit-log")
        states: list[str] = []
        for entry in entries:
            if not states or states[-1] != entry["new_status"]:
                states.append(entry["new_status"])
        return states

    async def send(self, to: str, units: int) -> str:
        """A payment from outside, from anvil's first account; its txid. Does not wait for a block."""
        return await self.anvil.rpc("eth_sendTransaction", {"from": self.rich, "to": to, "value": hex(units)})

    async def coins(self, address: str) -> int:
        return int(await self.anvil.rpc("eth_getBalance", address, "latest"), 16)

    def fresh_address(self) -> str:
        from eth_account import Account

        return Account.create().address

    async def eventually(
        self,
        holds: Callable[[], Any],
        what: str,
        *,
        seconds: float = 40,
        say: Callable[[], str] = lambda: "",
    ) -> None:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            with suppress(httpx.TransportError, DBAPIError, OSError):
                if await holds():
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {what} {say()}")

    async def balanced(self, *, seconds: float = 20) -> None:
        """Every law of the books holds, and ledger, chain and bank agree, once nothing is in flight."""
        found: dict[str, Any] = {}

        async def agree() -> bool:
            found.clear()
            chain, bank = registry.node(self.network, [self.node.address]), self.bank.provider()
            try:
                async with self.engine.connect() as conn:
                    found.update(await check_all(conn))
                    differences = await against_the_world.violations(
                        conn,
                        chains={"ethereum": chain},
                        banks={"sandbox": bank},
                        opening_centavos={"sandbox": self.opening_centavos},
                    )
            finally:
                await chain.close()
                await bank.close()
            if differences:
                found["the world"] = differences
            return not found

        await self.eventually(agree, "books, chain and bank to agree", seconds=seconds, say=lambda: str(found))

    @property
    def network(self) -> Any:
        return wiring.networks(self.settings)[0]

    def payouts_of(self, trade: Any) -> list[Any]:
        return [payout for payout in self.bank.payouts() if payout["key"] == trade["id"]]

    @asynccontextmanager
    async def agreed(self, **terms: float | str) -> AsyncIterator[None]:
        """Trades accepted inside this block get other terms, such as ``deposit_window_seconds=2``."""
        before = self.app.state.services
        self.app.state.services = replace(before, terms=replace(before.terms, **terms))
        try:
            yield
        finally:
            self.app.state.services = before

    @asynccontextmanager
    async def waiting(self, **waits: float) -> AsyncIterator[None]:
        """Trades accepted inside this block look by themselves at other times, such as ``charge_watch_seconds=2``."""
        before = self.app.state.services
        self.app.state.services = replace(before, waits=replace(before.waits, **waits))
        try:
            yield
        finally:
            self.app.state.services = before

    async def ended(self, workflow_id: str) -> None:
        """Wait for the end of a workflow."""
        await asyncio.wait_for(self.client.get_workflow_handle(workflow_id).result(), 30)

    async def mine(self, every_seconds: float) -> None:
        """Blocks come by themselves, except :meth:`by_hand`."""
        while True:
            await self._mining.wait()
            await self.anvil.mine()
            await asyncio.sleep(every_seconds)

    @contextmanager
    def by_hand(self) -> Iterator[None]:
        """No block comes inside this block of code unless the test mines it."""
        self._mining.clear()
        try:
            yield
        finally:
            self._mining.set()

    @asynccontextmanager
    async def left_to_the_relay(self) -> AsyncIterator[None]:
        """Nothing accepted inside this block is delivered eagerly."""
        with patch.object(self.app.state.courier, "soon", return_value=None):
            yield

    @asynccontextmanager
    async def working(self, queues: Iterable[str] = QUEUES) -> AsyncIterator[None]:
        """A worker in this process."""
        async with serving(self.settings, self.client, self.engine, tuple(queues)):
            yield


@asynccontextmanager
async def open_desk(
    directory: Path, *, durable: bool = False, block_seconds: float = 0.2, working: bool = True, tokens: bool = False
) -> AsyncIterator[Desk]:
    """Start every part, open the desk, and end all of it again. ``tokens``: it trades a USDT of its own chain."""
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {f"LIQUIDA_SECONDS_{k}": v for k, v in FAST.items()}))
        postgres = await stack.enter_async_context(start_postgres(directory, durable=durable))
        temporal = await stack.enter_async_context(start_temporal(directory, in_memory=not durable))
        node = await stack.enter_async_context(start_anvil(directory, mining=False))
        api_port = free_port()
        bank = stack.enter_context(
            SandboxProcess(
                directory / "bank.db",
                webhook_url=f"http://127.0.0.1:{api_port}/webhooks/sandbox",
                settle_seconds=0.05,
                slow_seconds=3,
                return_seconds=1,
                hang_seconds=12,
            )
        )
        rpc = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        anvil = Anvil(node.address, 31337, rpc)
        settings = _settings(directory, postgres, temporal, node, bank, api_port)
        if tokens:
            token = TokenSettings(contract=await anvil.deploy_erc20(), decimals=6)
            settings.networks["ethereum"].tokens["USDT"] = token
        SealedFile(settings.wallet_file, settings.wallet_passphrase, scrypt_n=2**14).create()
        await wiring.install(settings)
        engine = database.engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        client = await wiring.connect_temporal(settings)
        api = await stack.enter_async_context(
            httpx.AsyncClient(base_url=settings.public_url, trust_env=False, timeout=30)
        )
        app = await stack.enter_async_context(_serve(settings, engine))
        desk = Desk(
            settings=settings,
            engine=engine,
            client=client,
            api=api,
            app=app,
            bank=bank,
            anvil=anvil,
            postgres=postgres,
            temporal=temporal,
            node=node,
        )
        if tokens:
            desk.token = settings.networks["ethereum"].tokens["USDT"].contract
        mining = asyncio.create_task(desk.mine(block_seconds))
        stack.callback(mining.cancel)
        if working:
            await stack.enter_async_context(desk.working())
            await desk.open()
        yield desk


def _settings(
    directory: Path, postgres: Postgres, temporal: Temporal, node: EvmNode, bank: SandboxProcess, api_port: int
) -> Settings:
    return Settings(
        state_dir=directory,
        database_url=postgres.url(),
        database_owner_url=postgres.owner_url,
        temporal_address=temporal.address,
        api_port=api_port,
        public_url=f"http://127.0.0.1:{api_port}",
        data_key=SecretStr(base64.b64encode(secrets.token_bytes(32)).decode()),
        jwt_secret=SecretStr(secrets.token_urlsafe(48)),
        wallet_file=directory / "wallet.sealed",
        wallet_passphrase=SecretStr(secrets.token_urlsafe(16)),
        networks={"ethereum": NetworkSettings(rpc_urls=[node.address], chain_id=31337, confirmations=3)},
        sandbox_url=bank.url,
        sandbox_api_key=SecretStr(bank.api_key),
        sandbox_webhook_secret=SecretStr(bank.webhook_secret),
        watch_seconds=0.1,
        relay_seconds=0.05,
        address_pool=20,
    )


@asynccontextmanager
async def _serve(settings: Settings, engine: AsyncEngine) -> AsyncIterator[FastAPI]:
    async with serve.services(settings, engine) as services:
        app = create_app(services)
        server = serve.Server(app, serve.server_config(app, settings))
        server.capture_signals = _leave_signals_alone  # type: ignore[method-assign]
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        yield app
        server.should_exit = True
        await running


@contextmanager
def _leave_signals_alone() -> Iterator[None]:
    yield
