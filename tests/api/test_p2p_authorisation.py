"""Who may do what in the marketplace, with its disputes, commissions, events and webhooks: every endpoint for everybody.

One line of ``TABLE`` for each endpoint of the program, and each request is one that somebody is allowed: so a refusal
is about who asks, and never hides behind a fault in what is asked. What is refused must have changed nothing.
"""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api.app import create_app
from models.p2p_dispute.types import DisputeRules
from models.p2p_message.types import ChatRules
from models.p2p_order.types import P2PRules
from models.user.types import Role
from models.webhook_delivery import writes as deliveries
from tests.api.door import API, ETHER, Door, Person, _headers, serving
from tests.models.test_evidence_pack import SIGNER

WHO = ("none", "user", "buyr", "sell", "blkd", "oper", "admn", "arbi", "read", "both")
"""Nobody; a user who is none of the two; the buyer; the seller, who made the order and owns what else is named; a user
whom the seller has blocked; an operator; an admin; an arbiter; one who reads what arbiters read; an arbiter who is the
buyer."""

TABLE = """
                                                          stage     none user buyr sell blkd oper admn arbi read both
GET    /p2p/payment-methods                               -         401  200  200  200  200  200  200  200  200  200
POST   /p2p/payment-methods                               -         401  201  201  201  201  201  201  201  201  201
GET    /p2p/payment-methods/{id}                          method    401  404  404  200  404  404  404  404  404  404
PUT    /p2p/payment-methods/{id}                          method    401  404  404  200  404  404  404  404  404  404
DELETE /p2p/payment-methods/{id}                          method    401  404  404  204  404  404  404  404  404  404

GET    /p2p/orders                                        order     401  200  200  200  200  200  200  200  200  200
POST   /p2p/orders                                        -         401  201  201  201  201  201  201  201  201  201
GET    /p2p/my-orders                                     order     401  200  200  200  200  200  200  200  200  200
GET    /p2p/orders/{id}                                   order     401  200  200  200  404  200  200  200  200  200
PUT    /p2p/orders/{id}                                   order     401  404  404  200  404  404  404  404  404  404
DELETE /p2p/orders/{id}                                   order     401  404  404  204  404  404  404  404  404  404
POST   /p2p/orders/{id}/pause                             order     401  404  404  200  404  404  404  404  404  404
POST   /p2p/orders/{id}/resume                            paused    401  404  404  200  404  404  404  404  404  404
GET    /p2p/market-stats                                  order     401  200  200  200  200  200  200  200  200  200
GET    /p2p/config                                        -         401  200  200  200  200  200  200  200  200  200

GET    /p2p/trades                                        open      401  200  200  200  200  200  200  200  200  200
POST   /p2p/trades                                        order     401  201  201  409  409  201  201  201  201  201
GET    /p2p/trades/{id}                                   open      401  404  200  200  404  200  200  404  404  200
GET    /p2p/trades/{id}/escrow                            open      401  404  200  200  404  200  200  404  404  200
GET    /p2p/trades/{id}/qr.svg                            open      401  404  200  404  404  404  404  404  404  200
GET    /p2p/trades/{id}/audit-log                         open      401  404  200  200  404  200  200  404  404  200
GET    /p2p/trades/{id}/why                               open      401  404  200  200  404  200  200  404  404  200
POST   /p2p/trades/{id}/payment-sent                      open      401  404  200  403  404  403  403  404  404  200
POST   /p2p/trades/{id}/undo-payment-sent                 paid      401  404  200  403  404  403  403  404  404  200
POST   /p2p/trades/{id}/confirm-payment                   paid      401  404  403  200  404  403  403  404  404  403
POST   /p2p/trades/{id}/complete                          paid      401  404  403  200  404  403  403  404  404  403
POST   /p2p/trades/{id}/cancel                            open      401  404  200  409  404  403  403  404  404  200

GET    /p2p/trades/{id}/messages                          open      401  404  200  200  404  404  404  404  404  200
GET    /p2p/trades/{id}/messages                          disputed  401  404  200  200  404  404  200  200  200  200
POST   /p2p/trades/{id}/messages                          disputed  401  404  201  201  404  404  404  404  404  201
POST   /p2p/trades/{id}/files                             disputed  401  404  201  201  404  404  404  404  404  201
GET    /p2p/trades/{id}/files/{id}                        open      401  404  200  200  404  404  404  404  404  200
GET    /p2p/trades/{id}/files/{id}                        disputed  401  404  200  200  404  404  200  200  200  200

GET    /p2p/trades/{id}/dispute                           disputed  401  404  200  200  404  404  404  404  404  200
POST   /p2p/trades/{id}/dispute                           paid      401  404  201  201  404  404  404  404  404  201
POST   /p2p/trades/{id}/dispute/statements                disputed  401  404  201  201  404  404  404  404  404  201
POST   /p2p/trades/{id}/dispute/settle                    disputed  401  404  201  201  404  404  404  404  404  201
POST   /p2p/trades/{id}/dispute/settle/{id}/accept        offered   401  404  200  404  404  404  404  404  404  200
POST   /p2p/trades/{id}/dispute/accept-ruling             ruled     401  404  200  200  404  404  404  404  404  200
POST   /p2p/trades/{id}/dispute/appeal                    ruled     401  404  200  200  404  404  404  404  404  200
GET    /p2p/trades/{id}/dispute/evidence-pack             disputed  401  404  200  200  404  404  404  404  404  200
GET    /ops/p2p-disputes                                  disputed  401  403  403  403  403  403  200  200  200  200
GET    /ops/p2p-disputes/{id}                             disputed  401  403  403  403  403  403  200  200  200  403
GET    /ops/p2p-disputes/{id}/evidence-pack               disputed  401  403  403  403  403  403  200  200  200  403
POST   /ops/p2p-disputes/{id}/rule                        disputed  401  403  403  403  403  403  200  200  403  403
POST   /ops/p2p-disputes/{id}/approve                     proposed  401  403  403  403  403  403  200  200  403  403
POST   /ops/p2p-disputes/{id}/reject                      proposed  401  403  403  403  403  403  200  200  403  403

GET    /ops/commissions                                   ended     401  403  403  403  403  200  200  403  403  403
POST   /ops/commissions/payout                            ended     401  403  403  403  403  200  200  403  403  403

POST   /p2p/trades/{id}/review                            ended     401  404  201  201  404  404  404  404  404  201
POST   /p2p/reviews/{id}/reply                            reviewed  401  404  404  200  404  404  404  404  404  404
GET    /p2p/users/{id}/reviews                            reviewed  401  200  200  200  200  200  200  200  200  200
GET    /p2p/users/{id}/reputation                         ended     401  200  200  200  200  200  200  200  200  200
GET    /p2p/blocks                                        -         401  200  200  200  200  200  200  200  200  200
POST   /p2p/blocks                                        -         401  201  201  201  201  201  201  201  201  201
DELETE /p2p/blocks/{id}                                   block     401  404  404  204  404  404  404  404  404  404

GET    /events                                            open      401  200  200  200  200  200  200  200  200  200
WS     /ws                                                -         401  101  101  101  101  101  101  101  101  101
GET    /webhook-endpoints                                 endpoint  401  200  200  200  200  200  200  200  200  200
POST   /webhook-endpoints                                 -         401  201  201  201  201  201  201  201  201  201
GET    /webhook-endpoints/{id}                            endpoint  401  404  404  200  404  404  404  404  404  404
PATCH  /webhook-endpoints/{id}                            endpoint  401  404  404  200  404  404  404  404  404  404
DELETE /webhook-endpoints/{id}                            endpoint  401  404  404  204  404  404  404  404  404  404
POST   /webhook-endpoints/{id}/rotate-secret              endpoint  401  404  404  200  404  404  404  404  404  404
POST   /webhook-endpoints/{id}/test                       endpoint  401  404  404  202  404  404  404  404  404  404
GET    /webhook-endpoints/{id}/deliveries                 endpoint  401  404  404  200  404  404  404  404  404  404
GET    /webhook-deliveries/{id}                           delivery  401  404  404  200  404  404  404  404  404  404
POST   /webhook-deliveries/{id}/redeliver                 delivery  401  404  404  202  404  404  404  404  404  404
"""
"""409: the same order may be taken by others, and the same trade be cancelled by its buyer."""

ELSEWHERE = (
    "/api/v1/instant-trade",
    "/api/v1/bank-data",
    "/api/v1/users/",
    "/api/v1/wallet/",
    "/api/v1/ops/breaks",
    "/api/v1/ops/disputes",
    "/api/v1/ops/reconciliations",
    "/api/v1/auth/",
    "/webhooks/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/redoc",
    "/openapi.json",
)
"""What is no part of the marketplace; the tests of those places say who may what there."""

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


@dataclass(frozen=True)
class Line:
    method: str
    path: str
    stage: str
    cells: dict[str, int]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def _line(words: list[str]) -> Line:
    return Line(words[0], words[1], words[2], dict(zip(WHO, map(int, words[3:]), strict=True)))


LINES = [_line(line.split()) for line in TABLE.splitlines()[2:] if line]


def routes(door: Door) -> set[str]:
    """Each endpoint of the app that is no other place's, with every parameter in its path as ``{id}``."""
    found = set()
    for route in create_app(door.services).routes:
        contexts = route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else [route]
        for each in contexts:
            original = getattr(each, "original_route", each)
            path = each.path or original.path
            methods = getattr(each, "methods", None) or getattr(original, "methods", None) or {"WS"}
            if not path.startswith(ELSEWHERE):
                plain = re.sub(r"\{[^}]*\}", "{id}", path).removeprefix(API)
                found |= {f"{method} {plain}" for method in methods - {"HEAD"}}
    return found


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

    async def with_block(self) -> None:
        foe = await self.door.person()
        await self.do(self.seller, "/p2p/blocks", {"user_id": foe.id})
        self.ids = (foe.id,)

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
        return {"order_id": self.order, "amount": "0.1", "settlement": "direct"}

    async def body(self, line: Line, person: Person) -> Any:
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
            "POST /p2p/blocks": {"user_id": self.more["anybody"]},
            "POST /webhook-endpoints": HOOK,
            "PATCH /webhook-endpoints/{id}": {"description": "books"},
        }
        return bodies.get(line.name)

    def path(self, line: Line) -> str:
        path = line.path
        for one in self.named(path):
            path = path.replace("{id}", one, 1)
        if line.name in {"GET /p2p/market-stats", "GET /p2p/orders"}:
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


async def send(door: Door, person: Person | None, method: str, path: str, body: Any = None) -> httpx.Response:
    """Any request whatever, with a key of its own."""
    headers = _headers(person) | {"idempotency-key": secrets.token_hex(8)}
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


@pytest.fixture(scope="module")
async def fair(door: Door) -> AsyncIterator[Fair]:
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
        made.more["anybody"] = (await other.person()).id
        yield made


@pytest.fixture(scope="module")
async def strict(fair: Fair) -> AsyncIterator[Fair]:
    """The same, where a ruling needs two arbiters."""
    async with fair.door.other(p2p_disputes=TOGETHER) as other:
        yield replace(fair, door=other)


def test_the_table_has_each_endpoint(fair: Fair) -> None:
    assert routes(fair.door) == {line.name for line in LINES}


@pytest.mark.parametrize("line", [x for x in LINES if x.method != "WS"], ids=lambda line: f"{line.name} {line.stage}")
async def test_everybody_gets_what_the_table_says(fair: Fair, strict: Fair, line: Line) -> None:
    place = strict if line.stage == "proposed" else fair
    scene = replace(place, more=dict(place.more))
    other = replace(place, more=dict(place.more), people=place.people | {"buyr": place.people["both"]})
    scenes = {who: other if who == "both" else scene for who in WHO}
    for each in (scene, other):
        await each.set(line.stage)
    refused = [who for who in WHO if line.cells[who] >= 400]

    before = await everything(place.door)
    answers = {who: await asks(scenes[who], line, who) for who in refused}
    after = await everything(place.door)
    for who in WHO:
        if who not in refused:
            answers[who] = await asks(scenes[who], line, who)
            if line.method != "GET":
                await scenes[who].set(line.stage)

    assert line.cells == answers
    assert before == after


async def asks(scene: Fair, line: Line, who: str) -> int:
    person = scene.people[who]
    body = await scene.body(line, person or scene.person("user"))
    return (await send(scene.door, person, line.method, scene.path(line), body)).status_code


async def test_the_socket_is_for_whom_the_table_says(fair: Fair) -> None:
    (line,) = [line for line in LINES if line.method == "WS"]

    async with serving(fair.door) as address:
        answers = {who: await knocks(address, fair.people[who]) for who in WHO}

    assert line.cells == answers


async def knocks(address: str, person: Person | None) -> int:
    headers = _headers(person) or {"authorization": "Bearer nobody"}
    try:
        async with connect(address.replace("http", "ws", 1) + "/ws", additional_headers=headers, proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code
