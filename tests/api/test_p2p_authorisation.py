"""Who may do what in the marketplace, with its disputes, commissions, events and webhooks: every endpoint for everybody.

One line of ``TABLE`` for each endpoint of the program, and each request is one that somebody is allowed: so a refusal
is about who asks, and never hides behind a fault in what is asked. What is refused must have changed nothing.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api.app import create_app
from tests.api.door import API, Door, Person, _headers, serving
from tests.api.p2p_stages import Fair, everything, open_fair, send, with_two_arbiters

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
POST   /p2p/blocks                                        foe       401  201  201  201  201  201  201  201  201  201
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


@pytest.fixture(scope="module")
async def fair(door: Door) -> AsyncIterator[Fair]:
    async with open_fair(door) as fair:
        yield fair


@pytest.fixture(scope="module")
async def strict(fair: Fair) -> AsyncIterator[Fair]:
    async with with_two_arbiters(fair) as strict:
        yield strict


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
    spent: list[Fair] = []
    for who in (each for each in WHO if each not in refused):
        if scenes[who] in spent:
            await scenes[who].set(line.stage)
        answers[who] = await asks(scenes[who], line, who)
        if line.method != "GET":
            spent.append(scenes[who])

    assert line.cells == answers
    assert before == after


async def asks(scene: Fair, line: Line, who: str) -> int:
    person = scene.people[who]
    body = scene.body(line.name, person or scene.person("user"))
    return (await send(scene.door, person, line.method, scene.path(line.name), body)).status_code


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
