"""``liquida demo``: the embedded stack; through the HTTP door sales, a purchase and trades between users; and tables
of what came of them.

Ends with an error if any trade ended otherwise than told, or if ledger, chain and bank disagree.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection
from validate_docbr import CPF

from chains import registry
from liquida import accounts, database, wiring
from liquida.checks import against_the_world, check_all
from liquida.demo_p2p import Couple, Scene, disputed, paid_by_pix, told
from liquida.settings import Settings, settings
from liquida.stack.environment import adopt
from liquida.stack.evm_node import ask
from liquida.stack.up import Stack
from models.errors import Broken
from models.ledger import queries as ledger
from models.ledger.chart import Purpose, house
from models.money import units_text
from models.network import queries as network_queries
from models.wallet import allocate

ETHER = 10**18
HOUSE_ETHER = 5
NAME = "Pessoa de Demonstracao"
TRADE_SECONDS = 90
WIDTH = 130
"""Of the tables, where no terminal says how wide it is."""

ENDED = {"completed", "refunded", "expired", "cancelled", "needs_review"}


@dataclass
class Story:
    """One trade: what is tried, how it must end, and what it came to."""

    title: str
    expected: str
    trade: dict[str, Any] = field(default_factory=dict)
    why: dict[str, Any] = field(default_factory=dict)
    notes: str = ""


class Client:
    """A user of the API, as any outside program would be one. Their PIX keys are new, so they sell little."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self._http = http
        self._key = key
        self.address = ""
        self.bank_data_id = ""
        self.pix_key = ""

    async def get(self, path: str) -> Any:
        return await self._call("GET", path)

    async def put(self, path: str, body: dict[str, str]) -> Any:
        return await self._call("PUT", path, json=body)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        return await self._call("POST", path, json=body, headers={"idempotency-key": secrets.token_hex(16)})

    async def _call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        bearer = {"authorization": f"Bearer {self._key}", **(headers or {})}
        reply = await self._http.request(method, path, headers=bearer, **more)
        if not reply.is_success:
            raise Broken(f"{method} {path} answered {reply.status_code}: {reply.text}")
        return reply.json()


class Demo:
    def __init__(self, found: Settings, console: Console) -> None:
        self._settings = found
        self._console = console
        self._engine = database.engine(found.database_url, pool=5)
        self._http = httpx.AsyncClient(base_url=found.public_url, trust_env=False, timeout=30)
        self._node = found.networks["ethereum"].rpc_urls[0]
        self._rich = ""
        self._operator: Client | None = None

    async def run(self) -> None:
        """:raises Broken: something ended otherwise than told."""
        self._rich = (await ask(self._node, "eth_accounts"))[0]
        await self._fund_the_house()
        stories = [
            await self._told("sell 0.05 ETH held on the platform", "completed", self._from_custody),
            await self._told("sell 0.05 ETH by deposit, sending 0.10", "completed", self._by_deposit),
            await self._told("sell 0.05 ETH, the bank rejects the PIX", "refunded", self._rejected),
            await self._told("buy ETH for R$ 150.00, a stranger pays first", "completed", self._bought),
        ]
        scenes = [
            Scene("P2P: sell 0.05 ETH to another user, paid by PIX", "completed"),
            Scene("P2P: the two disagree about what was paid", "split"),
        ]
        peace, strife = scenes
        couple = await self._couple()
        await self._shown(peace, lambda: paid_by_pix(peace, couple, self._pay_charge, self._until))
        await self._shown(strife, lambda: self._disputed(strife, couple))
        await self._agree()
        self._console.print(_trades(stories))
        self._console.print(told(scenes))
        async with self._engine.connect() as conn:
            self._console.print(await _balances(conn))
        self._where_to_look(stories)
        played: list[Story | Scene] = [*stories, *scenes]
        wrong = [each.title for each in played if each.trade["status"] != each.expected]
        if wrong:
            raise Broken(f"ended otherwise than told: {'; '.join(wrong)}")

    async def close(self) -> None:
        await self._http.aclose()
        await self._engine.dispose()

    async def _told(self, title: str, expected: str, play: Callable[[Story], Awaitable[None]]) -> Story:
        story = Story(title, expected)
        started = time.monotonic()
        with self._console.status(f"{title} ..."):
            await play(story)
        self._say(story, started)
        return story

    async def _shown(self, scene: Scene, play: Callable[[], Awaitable[None]]) -> None:
        started = time.monotonic()
        with self._console.status(f"{scene.title} ..."):
            await play()
        self._say(scene, started)

    def _say(self, ended: Story | Scene, started: float) -> None:
        ending = ended.trade["status"]
        mark = "[green]ok[/]" if ending == ended.expected else "[red]wrong[/]"
        seconds = time.monotonic() - started
        self._console.print(f"  {mark} {ended.title}: {ending} after {seconds:.1f} s", highlight=False)

    async def _couple(self) -> Couple:
        seller, buyer = await self._client(), await self._client()
        await self._send(seller.address, ETHER // 10)
        await self._until(lambda: self._has(seller, "0.1"), "the seller's coins to be credited")
        return Couple(seller, buyer, seller.pix_key, NAME)

    async def _disputed(self, scene: Scene, couple: Couple) -> None:
        name = secrets.token_hex(4)
        _, arbiter = await self._user(f"demo.{name}.arbiter@example.com", "arbiter")
        await disputed(scene, couple, arbiter)

    async def _from_custody(self, story: Story) -> None:
        ana = await self._client()
        await self._send(ana.address, ETHER // 2)
        await self._until(lambda: self._has(ana, "0.5"), "the deposit to be credited")
        await self._sell(ana, story, amount="0.05", funding="custody")
        await self._finish(ana, story)

    async def _by_deposit(self, story: Story) -> None:
        bia, refund = await self._client(), await self._outside()
        await self._sell(bia, story, amount="0.05", funding="deposit", refund_address=refund)
        await self._send(story.trade["deposit_address"], ETHER // 10)
        await self._finish(bia, story)
        await self._until(lambda: self._arrived(refund, 5 * ETHER // 100), "the excess to come back")
        story.notes = "0.05 ETH too much came back"
        story.why = await bia.get(f"/api/v1/instant-trade/{story.trade['id']}/why")

    async def _rejected(self, story: Story) -> None:
        caio, refund = await self._client("+rejected"), await self._outside()
        await self._sell(caio, story, amount="0.05", funding="deposit", refund_address=refund)
        await self._send(story.trade["deposit_address"], ETHER // 20)
        await self._finish(caio, story)
        await self._until(lambda: self._arrived(refund, ETHER // 20), "the refund to arrive")
        story.notes = "0.05 ETH came back"

    async def _bought(self, story: Story) -> None:
        dora, there = await self._client(), await self._outside()
        order = {"operation": "buy", "asset": "ETH", "network": "ethereum", "pay_brl": "150.00"}
        quote = await dora.post("/api/v1/instant-trade/quote", order | {"delivery_address": there})
        story.trade = await dora.post("/api/v1/instant-trade/create", {"quote_id": quote["id"]})
        await self._until(lambda: self._shows(dora, story, "br_code"), "the BR Code")
        await self._pay(story, payer_tax_id=CPF().generate())
        await self._until(lambda: self._shows(dora, story, "refunded"), "the stranger's PIX to go back")
        await self._pay(story)
        await self._finish(dora, story)
        units = int(Decimal(story.trade["amount"]) * ETHER)
        await self._until(lambda: self._arrived(there, units), "the coins to arrive")
        story.notes = "the stranger's PIX went back"

    async def _shows(self, client: Client, story: Story, what: str) -> bool:
        """Whether the purchase's payment has this: its BR Code, or a receipt in this state."""
        story.trade = await client.get(f"/api/v1/instant-trade/{story.trade['id']}")
        payment = story.trade["payment"]
        return bool(payment.get(what)) or any(receipt["status"] == what for receipt in payment["receipts"])

    async def _pay(self, story: Story, **payer: str) -> None:
        await self._pay_charge(story.trade["id"], **payer)

    async def _pay_charge(self, key: str, **payer: str) -> None:
        """Somebody pays this charge at the sandbox bank."""
        url = f"{self._settings.sandbox_url}/sandbox/charges/{key}/pay"
        bearer = {"authorization": f"Bearer {self._settings.sandbox_api_key.get_secret_value()}"}
        reply = await self._http.post(url, headers=bearer, json={"moods": [], **payer})
        reply.raise_for_status()

    async def _client(self, mood: str = "") -> Client:
        """A new user with a verified document, a platform address and a PIX key. ``mood`` steers the sandbox bank."""
        name, tax_id = secrets.token_hex(4), CPF().generate()
        user_id, client = await self._user(f"demo.{name}@example.com", "user")
        if self._operator is None:
            _, self._operator = await self._user(f"demo.{name}.operator@example.com", "operator")
        evidence = {"tax_id": tax_id, "name": NAME, "evidence": "demo"}
        await self._operator.put(f"/api/v1/users/{user_id}/document", evidence)
        client.pix_key = f"demo.{name}{mood}@example.com"
        payee = {
            "pix_key": client.pix_key,
            "pix_key_kind": "email",
            "holder_name": NAME,
            "holder_tax_id": tax_id,
        }
        client.address = (await client.post("/api/v1/wallet/addresses", {"network": "ethereum"}))["address"]
        client.bank_data_id = (await client.post("/api/v1/bank-data", payee))["id"]
        return client

    async def _user(self, email: str, role: str) -> tuple[str, Client]:
        user_id, key = await accounts.add(self._settings.database_url, email=email, role=role, password=None)
        return user_id, Client(self._http, key)

    async def _sell(self, client: Client, story: Story, **order: str) -> None:
        whole = {"operation": "sell", "asset": "ETH", "network": "ethereum", **order}
        quote = await client.post("/api/v1/instant-trade/quote", whole)
        body = {"quote_id": quote["id"], "bank_data_id": client.bank_data_id}
        story.trade = await client.post("/api/v1/instant-trade/create", body)

    async def _finish(self, client: Client, story: Story) -> None:
        path = f"/api/v1/instant-trade/{story.trade['id']}"

        async def ended() -> bool:
            story.trade = await client.get(path)
            return story.trade["status"] in ENDED

        await self._until(ended, f"the trade to end ({story.title})")
        story.why = await client.get(f"{path}/why")

    async def _fund_the_house(self) -> None:
        async with self._engine.connect() as conn:
            desk = await allocate.house(conn, "ethereum")
        before = await self._desk_units()
        await self._send(desk.address, HOUSE_ETHER * ETHER)

        async def booked() -> bool:
            return await self._desk_units() > before

        with self._console.status("funding the house wallet ..."):
            await self._until(booked, "the house wallet to be funded")

    async def _desk_units(self) -> int:
        async with self._engine.connect() as conn:
            return await ledger.balance(conn, house(Purpose.DESK, "ETH.ethereum"))

    async def _has(self, client: Client, amount: str) -> bool:
        balances = await client.get("/api/v1/wallet/balances")
        return any(Decimal(row["available"]) == Decimal(amount) for row in balances if row["asset"] == "ETH")

    async def _arrived(self, address: str, units: int) -> bool:
        return int(await ask(self._node, "eth_getBalance", address, "latest"), 16) == units

    async def _outside(self) -> str:
        """An address that nobody has used yet."""
        parse = registry.address_format(wiring.networks(self._settings)[0].family).parse
        return parse("0x" + secrets.token_hex(20))

    async def _send(self, to: str, units: int) -> None:
        await ask(self._node, "eth_sendTransaction", {"from": self._rich, "to": to, "value": hex(units)})

    async def _until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        give_up = time.monotonic() + TRADE_SECONDS
        while not await holds():
            if time.monotonic() > give_up:
                raise Broken(f"waited {TRADE_SECONDS} s in vain for {what}")
            await asyncio.sleep(0.2)

    async def _agree(self) -> None:
        """Every law of the books holds, and ledger, chain and bank agree.

        :raises Broken: they do not, even after things had time to come to rest.
        """
        by_name = wiring.providers(self._settings)
        found = {network.id: network for network in wiring.networks(self._settings)}
        problems: list[str] = []
        async with wiring.nodes(self._settings, found) as chains:

            async def at_rest() -> bool:
                async with self._engine.connect() as conn:
                    laws = await check_all(conn)
                    world = await against_the_world.violations(conn, chains=chains, banks=by_name)
                problems[:] = [f"{law}: {row}" for law, rows in laws.items() for row in rows] + world
                return not problems

            try:
                await self._until(at_rest, "ledger, chain and bank to agree")
            except Broken as error:
                raise Broken(f"{error.detail}: {'; '.join(problems)}") from None
            finally:
                for provider in by_name.values():
                    await provider.close()
        self._console.print("  [green]ok[/] every law of the books holds; ledger = chain = bank", highlight=False)

    def _where_to_look(self, stories: list[Story]) -> None:
        first = stories[0].trade
        ui = f"{self._settings.temporal_ui_url}/namespaces/{self._settings.temporal_namespace}/workflows"
        self._console.print("Where to look, after [bold]make up[/]:")
        self._console.print(f"  workflow   {ui}/{first['workflow_id'].replace('/', '%2F')}", soft_wrap=True)
        self._console.print(f"  API        {self._settings.public_url}/docs", soft_wrap=True)


async def run() -> None:
    """Start the stack, run the trades, stop.

    :raises StackUnavailable: a part does not start.
    :raises Broken: something ended otherwise than told.
    """
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    console.print("[bold]Liquida[/]: users sell ETH for reais, buy it, and trade with each other")
    async with Stack(settings(), console=console):
        demo = Demo(adopt(settings()), console)
        try:
            await demo.run()
        finally:
            await demo.close()
    console.print("[green]The demo ended as told.[/] State is kept; [bold]make up[/] starts it again.")


def _trades(stories: list[Story]) -> Table:
    table = Table(title="What happened", title_justify="left", show_lines=True)
    for column in ("trade", "ended", "reais", "on chain", "PIX endToEndId", "notes"):
        table.add_column(column, overflow="fold")
    for story in stories:
        pix = _pix(story)
        transactions = [
            f"{transfer['purpose']} {_short(transfer['txid'])}"
            for transfer in story.why["transfers"]
            if transfer["txid"]
        ] + [f"deposit {_short(deposit['txid'])}" for deposit in story.why["deposits"]]
        table.add_row(
            f"{story.trade['reference']}\n{story.title}",
            story.trade["status"],
            story.trade["total"] if pix.get("status") in {"paid", "credited"} else f"({pix.get('status', 'none')})",
            "\n".join(transactions),
            pix.get("end_to_end_id") or "",
            story.notes,
        )
    return table


def _pix(story: Story) -> dict[str, Any]:
    """The PIX that paid the trade, one way or the other."""
    payment = story.trade["payment"] or {"receipts": []}
    credited = [receipt for receipt in payment["receipts"] if receipt["status"] == "credited"]
    return credited[0] if credited else story.why.get("payout") or {}


async def _balances(conn: AsyncConnection) -> Table:
    """The ledger by account; users' accounts in one line each. Every asset adds up to zero."""
    catalogue = await network_queries.catalogue(conn)
    sums: dict[tuple[str, str], int] = {}
    for account, units in await ledger.balances(conn):
        whose = "users" if account.owner else "house"
        key = (account.asset, f"{whose}: {account.purpose}")
        sums[key] = sums.get(key, 0) + units
    table = Table(title="Ledger (owed +, owned -)", title_justify="left")
    for column, justify in (("asset", "left"), ("account", "left"), ("balance", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for asset in sorted({asset for asset, _ in sums}):
        decimals = catalogue.by_id(asset).decimals
        rows = {name: units for (row_asset, name), units in sums.items() if row_asset == asset}
        for name, units in sorted(rows.items()):
            table.add_row(asset, name, units_text(units, decimals))
        table.add_row(asset, "[bold]sum[/]", f"[bold]{units_text(sum(rows.values()), decimals)}[/]", end_section=True)
    return table


def _short(txid: str) -> str:
    return f"{txid[:10]}…{txid[-4:]}"
