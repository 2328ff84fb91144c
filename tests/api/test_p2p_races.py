"""Two who come at once, at two doors of one house: exactly one of them is served, and the other learns why not.

Each door is a server of its own, on a port of its own, with database connections of its own, as two API processes are.
Every POST of the marketplace is clicked four times at once here, under one key and under four. How the commands of a
trade race each other is in ``test_p2p_trade.py``; how those of a dispute do, in ``tests/models/test_p2p_dispute.py``.
"""

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from liquida import database
from tests.api.door import API, Door, Person, _headers, serving
from tests.api.p2p_stages import ORDER, Fair, counts, open_fair, with_two_arbiters
from tests.api.test_p2p_authorisation import LINES, Line

CLICKS = 4
AGAIN = {
    "POST /p2p/payment-methods",
    "POST /p2p/orders",
    "POST /p2p/orders/{id}/pause",
    "POST /p2p/orders/{id}/resume",
    "POST /p2p/trades",
    "POST /p2p/trades/{id}/messages",
    "POST /p2p/trades/{id}/files",
    "POST /p2p/trades/{id}/dispute/statements",
    "POST /p2p/blocks",
    "POST /ops/commissions/payout",
    "POST /webhook-endpoints",
    "POST /webhook-endpoints/{id}/rotate-secret",
    "POST /webhook-endpoints/{id}/test",
}
"""What may be done more than once, each time anew. Everything else happens once, whatever the keys."""
POSTS = [line for line in LINES if line.method == "POST"]


@dataclass
class House:
    """``doors``: of the same house, to be knocked at in turn."""

    fair: Fair
    doors: list[httpx.AsyncClient]

    async def rush(self, *requests: tuple[Person, str, str, Any, str]) -> list[httpx.Response]:
        """All at once: who, method and path, body, key."""
        return await asyncio.gather(
            *(
                self._send(door, *request)
                for door, request in zip(itertools.cycle(self.doors), requests, strict=False)
            )
        )

    async def _send(
        self, door: httpx.AsyncClient, person: Person, method: str, path: str, body: Any, key: str
    ) -> httpx.Response:
        headers = _headers(person) | {"idempotency-key": key}
        if isinstance(body, bytes):
            return await door.request(
                method, API + path, content=body, headers=headers | {"content-type": "image/png"}
            )
        return await door.request(method, API + path, json=body, headers=headers)


@pytest.fixture(scope="module")
async def fair(door: Door) -> AsyncIterator[Fair]:
    async with open_fair(door) as fair:
        yield fair


@pytest.fixture(scope="module")
async def house(fair: Fair) -> AsyncIterator[House]:
    async with opened(fair) as house:
        yield house


@pytest.fixture(scope="module")
async def strict(fair: Fair) -> AsyncIterator[House]:
    """Where a ruling needs two arbiters."""
    async with with_two_arbiters(fair) as other, opened(other) as house:
        yield house


@asynccontextmanager
async def opened(fair: Fair) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            engine = database.engine(str(fair.door.engine.url), pool=CLICKS)
            stack.push_async_callback(engine.dispose)
            door = await stack.enter_async_context(fair.door.other(engine=engine))
            address = await stack.enter_async_context(serving(door))
            clients.append(
                await stack.enter_async_context(httpx.AsyncClient(base_url=address, trust_env=False, timeout=30))
            )
        yield House(fair, clients)


def clicker(line: Line) -> str:
    """Whoever of the table may do it; of the two, the one who may."""
    return next(who for who in ("buyr", "sell", "arbi", "oper") if line.cells[who] < 300)


@pytest.mark.parametrize("line", POSTS, ids=lambda line: line.name)
class TestEverything:
    async def test_clicked_many_times_under_one_key_happens_once(
        self, house: House, strict: House, line: Line
    ) -> None:
        place = strict if line.stage == "proposed" else house
        once, often = [replace(place.fair, more=dict(place.fair.more)) for _ in range(2)]
        changed = []

        for scene, clicks in ((once, 1), (often, CLICKS)):
            await scene.set(line.stage)
            before = await counts(scene.door)
            replies = await place.rush(*[request(scene, line, secrets.token_hex(8))] * clicks)
            after = await counts(scene.door)
            changed.append({name: after[name] - before[name] for name in after if after[name] != before[name]})

        assert [line.cells[clicker(line)]] * CLICKS == [reply.status_code for reply in replies]
        assert CLICKS - 1 == sum("idempotency-replayed" in reply.headers for reply in replies)
        assert changed[0] == changed[1]

    async def test_clicked_many_times_under_other_keys_happens_once_or_each_time_anew(
        self, house: House, strict: House, line: Line
    ) -> None:
        place = strict if line.stage == "proposed" else house
        scene = replace(place.fair, more=dict(place.fair.more))
        await scene.set(line.stage)

        replies = await place.rush(*[request(scene, line, secrets.token_hex(8)) for _ in range(CLICKS)])

        done = line.cells[clicker(line)]
        expected = {done: CLICKS} if line.name in AGAIN else {done: 1, 409: CLICKS - 1}
        assert expected == Counter(reply.status_code for reply in replies), [reply.text for reply in replies]


def request(scene: Fair, line: Line, key: str) -> tuple[Person, str, str, Any, str]:
    person = scene.person(clicker(line))
    return person, line.method, scene.path(line.name), scene.body(line.name, person), key


class TestOrder:
    async def test_of_which_two_want_the_last_serves_one(self, house: House) -> None:
        scene = replace(house.fair, more=dict(house.fair.more))
        await scene.set("order")
        body = scene.taking() | {"amount": "1"}
        rivals = [scene.person(who) for who in ("user", "buyr", "oper", "read")]

        replies = await house.rush(
            *((person, "POST", "/p2p/trades", body, secrets.token_hex(8)) for person in rivals)
        )

        assert {201: 1, 409: 3} == Counter(reply.status_code for reply in replies)
        assert {"urn:liquida:problem:illegal-transition"} == {
            reply.json()["type"] for reply in replies if reply.status_code == 409
        }

    @pytest.mark.parametrize("ending", ["cancel", "payment-sent"])
    async def test_changed_while_a_trade_of_it_goes_on_is_whole_and_the_trade_as_agreed(
        self, house: House, ending: str
    ) -> None:
        scene = replace(house.fair, more=dict(house.fair.more))
        await scene.set("open")
        terms = {key: value for key, value in ORDER.items() if key not in {"side", "asset", "network"}}
        terms |= {"amount": "2", "price": "20000.00", "max_total": "20000.00"}
        terms |= {"settlements": ["direct"], "method_ids": [scene.method], "version": 1}

        changed, ended = await house.rush(
            (scene.seller, "PUT", f"/p2p/orders/{scene.order}", terms, "-"),
            (scene.buyer, "POST", f"/p2p/trades/{scene.trade}/{ending}", None, secrets.token_hex(8)),
        )

        order = await scene.do(scene.seller, f"/p2p/orders/{scene.order}", method="GET")
        assert [200, 200] == [changed.status_code, ended.status_code]
        assert ("15000.00", "0.100000000000000000") == (ended.json()["price"], ended.json()["amount"])
        left = "2.000000000000000000" if ending == "cancel" else "1.900000000000000000"
        assert ("20000.00", left) == (order["price"], order["available"])


class TestTrade:
    @pytest.mark.parametrize(
        ("stage", "rivals", "ends"),
        [
            ("open", [("buyr", "cancel"), ("buyr", "payment-sent")], {"cancelled"}),
            ("paid", [("sell", "confirm-payment"), ("buyr", "dispute")], {"completed"}),
            ("paid", [("sell", "confirm-payment"), ("sell", "dispute")], {"completed"}),
            ("paid", [("sell", "complete"), ("buyr", "cancel")], {"completed", "cancelled"}),
            ("disputed", [("sell", "confirm-payment"), ("buyr", "cancel")], {"completed", "refunded"}),
        ],
        ids=["cancel-sent", "confirm-dispute", "confirm-own-dispute", "complete-cancel", "release-give-up"],
    )
    async def test_of_two_words_at_once_ends_by_one(
        self, house: House, stage: str, rivals: list[tuple[str, str]], ends: set[str]
    ) -> None:
        for turn in range(3):
            scene = replace(house.fair, more=dict(house.fair.more))
            await scene.set(stage)
            requests = [
                (
                    scene.person(who),
                    "POST",
                    f"/p2p/trades/{scene.trade}/{word}",
                    scene.body("POST /p2p/trades/{id}/dispute", scene.buyer) if word == "dispute" else None,
                    secrets.token_hex(8),
                )
                for who, word in (rivals if turn % 2 else rivals[::-1])
            ]

            replies = await house.rush(*requests)

            trade = await scene.do(scene.buyer, f"/p2p/trades/{scene.trade}", method="GET")
            refused = [reply for reply in replies if reply.status_code >= 300]
            assert {409} >= {reply.status_code for reply in refused}, [reply.text for reply in replies]
            assert trade["status"] in ends
            legs = {leg["status"] for leg in trade["escrow"]}
            assert {"released" if trade["status"] == "completed" else "refunded"} == legs
