"""The marketplace at each stage that its endpoints are for, with everybody there: set through the API itself."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from sqlalchemy import text

from models.p2p_dispute.types import DisputeRules
from models.p2p_message.types import ChatRules
from models.p2p_order.types import P2PRules
from models.user.types import Role
from models.webhook_delivery import writes as deliveries
from tests.api.door import API, ETHER, Door, Person, _headers
from tests.models.test_evidence_pack import SIGNER

CHAT = ChatRules(most_per_minute=10**6)
RULES = P2PRules(unpaid_most=10**6, unpaid_day_most=10**6, orders_most=10**6)
ALONE, TOGETHER = DisputeRules(alone_most_centavos=10**12), DisputeRules(alone_most_centavos=0)
PNG = b"\x89PNG\r\n\x1a\npicture"
OPENING = {"reason": "fraud", "statement": "no"}
RULING = {"buyer_bps": 4_000, "reason": "other", "text": "so it is"}
ORDER = {
    "side": "sell",
    "asset": "ETH",
    "network": "ethereum",
    "amount": "1",
    "price_kind": "fixed",
    "price": "15000.00",
    "min_total": "100.00",
    "max_total": "15000.00",
}
HOOK = {"url": "https://example.com/hook", "kinds": ["p2p_message"]}
_TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")


@dataclass
class Fair:
    """The two and all the others. ``ids``: what the line's path names, in its order."""

    door: Door
    people: dict[str, Person | None]
    ids: tuple[str, ...] = ()
    trade: str = ""
    order: str = ""
    method: str = ""
    more: dict[str, str] = field(default_factory=dict)

    @property
    def seller(self) -> Person:
        return self.person("sell")

    @property
    def buyer(self) -> Person:
        return self.person("buyr")

    def person(self, who: str) -> Person:
        found = self.people[who]
        assert found is not None
        return found

    async def do(self, person: Person, path: str, body: Any = None, *, method: str = "POST") -> Any:
        """What must go well, for the scene to be set."""
        reply = await send(self.door, person, method, path, body)
        assert reply.status_code < 300, (path, reply.text)
        return reply.json() if reply.content else None

    # The stages.

    async def set(self, stage: str) -> None:
        await self.stages()[stage]()

    def stages(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "-": self.nothing,
            "method": self.with_method,
            "order": self.with_order,
            "paused": self.with_paused_order,
            "open": self.with_open,
            "paid": self.with_paid,
            "disputed": self.with_disputed,
            "offered": self.with_offer,
            "proposed": self.with_proposal,
            "ruled": self.with_ruling,
            "ended": self.with_ended,
            "reviewed": self.with_review,
            "foe": self.with_foe,
            "block": self.with_block,
            "endpoint": self.with_endpoint,
            "delivery": self.with_delivery,
        }

    async def nothing(self) -> None:
        self.ids = ()

    async def with_method(self) -> None:
        made = await self.do(self.seller, "/p2p/payment-methods", method_body(self.seller))
        self.ids = (made["id"],)

    async def with_order(self) -> None:
        terms = ORDER | {"settlements": ["direct"], "method_ids": [self.method]}
        self.order = (await self.do(self.seller, "/p2p/orders", terms))["id"]
        self.ids = (self.order,)

    async def with_paused_order(self) -> None:
        await self.with_order()
        await self.do(self.seller, f"/p2p/orders/{self.order}/pause")

    async def with_open(self) -> None:
        """And a file in its chat."""
        await self.with_order()
        self.trade = (await self.do(self.buyer, "/p2p/trades", self.taking()))["id"]
        file_id = (await self.do(self.seller, f"/p2p/trades/{self.trade}/files", PNG))["id"]
        self.ids = (self.trade, file_id)

    async def with_paid(self) -> None:
        await self.with_open()
        await self.do(self.buyer, f"/p2p/trades/{self.trade}/payment-sent")

    async def with_disputed(self) -> None:
        await self.with_paid()
        dispute = await self.do(self.buyer, f"/p2p/trades/{self.trade}/dispute", OPENING)
        self.more["dispute"] = dispute["id"]

    async def with_offer(self) -> None:
        await self.with_disputed()
        path = f"/p2p/trades/{self.trade}/dispute/settle"
        offers = (await self.do(self.seller, path, {"buyer_bps": 4_000}))["proposals"]
        self.ids = (self.trade, offers[0]["id"])

    async def with_ruling(self) -> None:
        await self.with_disputed()
        found = await self.do(self.person("judge"), f"/ops/p2p-disputes/{self.more['dispute']}/rule", RULING)
        self.more["ruling"] = found["rulings"][-1]["id"]

    async def with_proposal(self) -> None:
        await self.with_ruling()

    async def with_ended(self) -> None:
        await self.with_paid()
        await self.do(self.seller, f"/p2p/trades/{self.trade}/confirm-payment")

    async def with_review(self) -> None:
        await self.with_ended()
        review = await self.do(self.buyer, f"/p2p/trades/{self.trade}/review", {"stars": 5})
        self.more["review"] = review["id"]

    async def with_foe(self) -> None:
        self.more["foe"] = (await self.door.person()).id

    async def with_block(self) -> None:
        await self.with_foe()
        await self.do(self.seller, "/p2p/blocks", {"user_id": self.more["foe"]})
        self.ids = (self.more["foe"],)

    async def with_endpoint(self) -> None:
        """A user has few, so old ones make room."""
        for one in (await self.do(self.seller, "/webhook-endpoints", method="GET"))["endpoints"][:-3]:
            await self.do(self.seller, f"/webhook-endpoints/{one['id']}", method="DELETE")
        self.ids = ((await self.do(self.seller, "/webhook-endpoints", HOOK))["id"],)

    async def with_delivery(self) -> None:
        """One that has ended, so that it can be sent again."""
        await self.with_endpoint()
        sent = await self.do(self.seller, f"/webhook-endpoints/{self.ids[0]}/test")
        self.ids = (sent["id"],)
        async with self.door.engine.begin() as conn:
            await deliveries.give_up(conn, sent["id"], round_=1)

    # The requests.

    def taking(self) -> dict[str, Any]:
        return {"order_id": self.order, "order_version": 1, "amount": "0.1", "settlement": "direct"}

    def body(self, name: str, person: Person) -> Any:
        """As who may would send it."""
        reason = {"asset": "ETH", "network": "ethereum", "amount": "0.000000000000000001", "reason": "ticket 7"}
        terms = {key: value for key, value in ORDER.items() if key not in {"side", "asset", "network"}}
        bodies: dict[str, Any] = {
            "POST /p2p/payment-methods": method_body(person),
            "PUT /p2p/payment-methods/{id}": method_body(self.seller) | {"label": "another"},
            "POST /p2p/orders": ORDER | {"settlements": ["balance"]},
            "PUT /p2p/orders/{id}": terms | {"settlements": ["direct"], "method_ids": [self.method], "version": 1},
            "POST /p2p/trades": self.taking(),
            "POST /p2p/trades/{id}/messages": {"text": "Hello"},
            "POST /p2p/trades/{id}/files": PNG,
            "POST /p2p/trades/{id}/dispute": OPENING,
            "POST /p2p/trades/{id}/dispute/statements": {"statement": "and more"},
            "POST /p2p/trades/{id}/dispute/settle": {"concede": True},
            "POST /p2p/trades/{id}/dispute/appeal": {"statement": "no"},
            "POST /ops/p2p-disputes/{id}/rule": RULING,
            "POST /ops/p2p-disputes/{id}/approve": {"ruling_id": self.more.get("ruling")},
            "POST /ops/p2p-disputes/{id}/reject": {"ruling_id": self.more.get("ruling"), "why": "ticket 7"},
            "POST /ops/commissions/payout": reason,
            "POST /p2p/trades/{id}/review": {"stars": 5},
            "POST /p2p/reviews/{id}/reply": {"reply": "thank you"},
            "POST /p2p/blocks": {"user_id": self.more.get("foe")},
            "POST /webhook-endpoints": HOOK,
            "PATCH /webhook-endpoints/{id}": {"description": "books"},
        }
        return bodies.get(name)

    def path(self, name: str) -> str:
        """``name``: method and path, whose ids are the stage's."""
        path = name.split()[1]
        for one in self.named(path):
            path = path.replace("{id}", one, 1)
        if name in {"GET /p2p/market-stats", "GET /p2p/orders"}:
            path += "?asset=ETH&network=ethereum"
        return path

    def named(self, path: str) -> tuple[str, ...]:
        """The ids that go into a line's path."""
        if path.startswith("/p2p/users/"):
            return (self.seller.id,)
        for prefix, name in (("/ops/p2p-disputes/", "dispute"), ("/p2p/reviews/", "review")):
            if path.startswith(prefix):
                return (self.more[name],)
        return self.ids


def method_body(person: Person) -> dict[str, Any]:
    return {"kind": "pix", "label": "mine", "holder_name": "Ana Beatriz", "pix_key": person.email}


async def send(
    door: Door, person: Person | None, method: str, path: str, body: Any = None, *, key: str | None = None
) -> httpx.Response:
    """Any request whatever; with a key of its own, if none is named."""
    headers = _headers(person) | {"idempotency-key": key or secrets.token_hex(8)}
    if isinstance(body, bytes):
        headers["content-type"] = "image/png"
        return await door.http.request(method, API + path, content=body, headers=headers)
    return await door.http.request(method, API + path, json=body, headers=headers)


async def everything(door: Door) -> dict[str, str]:
    """A sum of each table's rows: another one, if anything at all has changed."""
    async with door.engine.connect() as conn:
        names = (await conn.execute(_TABLES)).scalars().all()
        sums = " UNION ALL ".join(
            f"SELECT '{name}' AS name, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS sum FROM {name} AS t"
            for name in names
        )
        return {row.name: row.sum for row in await conn.execute(text(sums))}


async def counts(door: Door) -> dict[str, int]:
    """How many rows each table has; but names of accounts, which stay once anything was in them."""
    async with door.engine.connect() as conn:
        names = [name for name in (await conn.execute(_TABLES)).scalars() if name != "ledger_accounts"]
        sums = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS rows FROM {name}" for name in names)
        return {row.name: row.rows for row in await conn.execute(text(sums))}


@asynccontextmanager
async def open_fair(door: Door) -> AsyncIterator[Fair]:
    """Where one arbiter rules alone."""
    async with door.other(p2p=RULES, chat=CHAT, p2p_disputes=ALONE, evidence=SIGNER) as other:
        people: dict[str, Person | None] = {"none": None}
        roles = {"oper": Role.OPERATOR, "admn": Role.ADMIN, "read": Role.ARBITER_READ}
        roles |= dict.fromkeys(("arbi", "judge", "both"), Role.ARBITER)
        for who in ("user", "buyr", "blkd", *roles):
            person = await other.person(role=roles.get(who, Role.USER))
            await other.verify(person)
            people[who] = person
        people["sell"] = await other.rich(10**6 * ETHER)
        made = Fair(other, people)
        made.method = (await made.do(made.seller, "/p2p/payment-methods", method_body(made.seller)))["id"]
        await made.do(made.seller, "/p2p/blocks", {"user_id": made.person("blkd").id})
        yield made


@asynccontextmanager
async def with_two_arbiters(fair: Fair) -> AsyncIterator[Fair]:
    """The same, where a ruling needs two."""
    async with fair.door.other(p2p_disputes=TOGETHER) as other:
        yield replace(fair, door=other)
