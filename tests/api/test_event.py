"""Events arrive once each, in order, at whom they are for, however often a client goes and comes back."""

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.auth import issue
from api.event_hub import EventHub, StreamRules
from models.event import queries
from models.event.types import Event, EventKind
from models.event.wake import wake
from models.event.writes import tell
from tests.api.door import API, Door, Person, problem, serving

EVENTS = f"{API}/events"
RULES = StreamRules(heartbeat_seconds=0.2, poll_seconds=0.05, first_message_seconds=0.3, per_user=3, page=3)
WOKEN_ONLY = StreamRules(heartbeat_seconds=30, poll_seconds=60)
NO_TIME = 15


def event(person: Person | None, name: str, kind: EventKind = EventKind.P2P_MESSAGE) -> Event:
    return Event(kind, None if person is None else person.id, {"name": name})


async def say(door: Door, *events: Event, and_wake: bool = False) -> None:
    async with door.engine.begin() as conn:
        await tell(conn, *events)
        if and_wake:
            await wake(conn)


async def latest(door: Door) -> str:
    async with door.engine.connect() as conn:
        return str(await queries.last(conn))


class Sse:
    """A client as browsers are: it keeps the last id, and nothing else."""

    def __init__(self, url: str, key: str, *, cursor: str | None = None) -> None:
        self._url = url
        self._key = key
        self.cursor = cursor
        self.comments = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        headers = {"authorization": f"Bearer {self._key}", "accept": "text/event-stream"}
        if self.cursor is not None:
            headers["last-event-id"] = self.cursor
        async with (
            httpx.AsyncClient(trust_env=False, timeout=NO_TIME) as http,
            http.stream("GET", f"{self._url}{EVENTS}", headers=headers) as reply,
        ):
            kind = reply.headers["content-type"].partition(";")[0]
            assert (200, "text/event-stream") == (reply.status_code, kind)
            lines = self._read(reply)
            assert {} == await anext(lines)
            yield lines

    async def _read(self, reply: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        """An empty one for each comment, and for the cursor that a stream begins with."""
        fields: dict[str, str] = {}
        async for line in reply.aiter_lines():
            name, _, value = line.partition(":")
            if line:
                fields[name] = value.strip()
                continue
            self.cursor = fields.get("id", self.cursor)
            message: dict[str, Any] = json.loads(fields["data"]) if "data" in fields else {}
            if message:
                assert (message["id"], message["type"]) == (fields["id"], fields["event"])
            fields = {}
            yield message


async def take(messages: AsyncIterator[dict[str, Any]], most: int) -> list[str]:
    """The names of the next events; comments are passed over."""
    found: list[str] = []
    async with asyncio.timeout(NO_TIME):
        while len(found) < most:
            if message := await anext(messages):
                found.append(message["data"]["name"])
    return found


@asynccontextmanager
async def socket(
    url: str, person: Person | None, cursor: str | None = None, *, first: Any = None
) -> AsyncIterator[ClientConnection]:
    address = url.replace("http", "ws", 1) + "/ws" + ("" if cursor is None else f"?cursor={cursor}")
    headers = {} if person is None else {"authorization": f"Bearer {person.key}"}
    async with connect(address, additional_headers=headers, proxy=None, compression=None) as ws:
        if first is not None:
            await ws.send(json.dumps(first))
        yield ws


async def hear(ws: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(NO_TIME):
        message: dict[str, Any] = json.loads(await ws.recv())
        return message


async def names(ws: ClientConnection, most: int) -> list[str]:
    return [(await hear(ws))["data"]["name"] for _ in range(most)]


@pytest.fixture
async def live(door: Door) -> AsyncIterator[str]:
    async with door.other(streams=RULES) as other, serving(other) as url:
        yield url


class TestPage:
    async def test_has_own_and_public_events_oldest_first(self, door: Door, ana: Person, bob: Person) -> None:
        start = (await door.get(ana, EVENTS, params={"limit": 500})).json()["next_cursor"]
        public = secrets.token_hex(4)
        await say(door, event(ana, "mine"), event(bob, "his"), event(None, public, EventKind.P2P_AD_CREATED))

        page = (await door.get(ana, EVENTS, params={"cursor": start})).json()

        assert ["mine", public] == [one["data"]["name"] for one in page["events"]]
        assert ["p2p_message", "p2p_ad_created"] == [one["type"] for one in page["events"]]
        assert page["next_cursor"] == page["events"][-1]["id"]

    async def test_is_followed_by_the_next_one_without_gap_or_repetition(self, door: Door) -> None:
        person, cursor, seen = await door.person(), "0", []
        await say(door, *(event(person, str(number)) for number in range(7)))
        while page := (await door.get(person, EVENTS, params={"cursor": cursor, "limit": 2})).json()["events"]:
            cursor = page[-1]["id"]
            seen += [one["data"]["name"] for one in page if one["type"] == "p2p_message"]

        assert list(map(str, range(7))) == seen

    @pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "1e3", "٣", "9" * 18, "0" * 19, ""])
    async def test_refuses_what_is_no_cursor(self, door: Door, ana: Person, cursor: str) -> None:
        problem(await door.get(ana, EVENTS, params={"cursor": cursor}), "invalid-input", field="cursor")

    async def test_is_for_those_who_say_who_they_are(self, door: Door) -> None:
        problem(await door.get(None, EVENTS), "unauthenticated")

    async def test_tells_of_a_trade_and_of_what_it_did_to_the_balance(self, door: Door) -> None:
        rich = await door.rich()
        start = (await door.get(rich, EVENTS)).json()["next_cursor"]

        trade = await door.trade(rich, funding="custody", amount="0.1", refund_address=None)
        events = (await door.get(rich, EVENTS, params={"cursor": start})).json()["events"]

        told = {one["type"]: one["data"] for one in events}
        assert {"trade_status_change", "balance_update"} == set(told)
        assert ("transferring", trade["id"]) == (
            told["trade_status_change"]["status"],
            told["trade_status_change"]["trade_id"],
        )
        assert ("0.900000000000000000", "0.100000000000000000") == (
            told["balance_update"]["available"],
            told["balance_update"]["locked"],
        )


class TestStream:
    async def test_tells_what_happens_from_now_on(self, live: str, door: Door, ana: Person, bob: Person) -> None:
        await say(door, event(ana, "before"))
        async with Sse(live, ana.key).open() as messages:
            await say(door, event(bob, "his"), event(ana, "first"))
            await say(door, event(ana, "second"))

            assert ["first", "second"] == await take(messages, 2)

    async def test_is_resumed_without_gap_or_repetition_while_events_go_on(self, live: str, door: Door) -> None:
        person, pace, heard = await door.person(), random.Random(3), []
        client = Sse(live, person.key, cursor=await latest(door))
        everything = [str(number) for number in range(60)]

        async def go_on() -> None:
            for name in everything:
                await say(door, event(person, name))
                await asyncio.sleep(pace.random() / 100)

        telling = asyncio.create_task(go_on())
        while len(heard) < len(everything):
            async with client.open() as messages:
                heard += await take(messages, min(pace.randrange(1, 12), len(everything) - len(heard)))
        await telling

        assert everything == heard

    async def test_that_is_opened_just_as_the_last_one_leaves_is_woken(self, door: Door) -> None:
        """Whatever the process is doing at that moment to stop looking."""
        person = await door.person()
        hub = EventHub(door.engine, StreamRules(poll_seconds=0.05))
        for moment in range(0, 60, 3):
            first = hub.enter(person.id)
            await asyncio.wait_for(first.bell.wait(), NO_TIME) if moment == 0 else await asyncio.sleep(0.06)
            hub.leave(first)
            await asyncio.sleep(0.05)
            for _ in range(moment):
                await asyncio.sleep(0)
            second = hub.enter(person.id)
            await say(door, event(person, str(moment)))

            await asyncio.wait_for(second.bell.wait(), 5)
            hub.leave(second)
        await hub.close()

    async def test_is_resumed_even_before_its_first_event(self, live: str, door: Door, ana: Person) -> None:
        client = Sse(live, ana.key)
        async with client.open():
            pass
        await say(door, event(ana, "meanwhile"))

        async with client.open() as messages:
            assert ["meanwhile"] == await take(messages, 1)

    async def test_is_woken_from_another_process(self, door: Door, ana: Person) -> None:
        async with (
            door.other(streams=WOKEN_ONLY) as one,
            serving(one) as first,
            door.other(streams=WOKEN_ONLY) as two,
            serving(two) as second,
            Sse(first, ana.key).open() as here,
            Sse(second, ana.key).open() as there,
        ):
            await asyncio.sleep(0.3)
            await say(door, event(ana, "both"), and_wake=True)

            assert [["both"], ["both"]] == [await take(here, 1), await take(there, 1)]

    async def test_listens_again_after_its_connection_was_lost(self, door: Door, ana: Person) -> None:
        async with (
            door.other(streams=WOKEN_ONLY) as other,
            serving(other) as url,
            Sse(url, ana.key).open() as messages,
        ):
            await asyncio.sleep(0.3)
            async with door.engine.begin() as conn:
                ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                assert 1 == (await conn.execute(text(ended))).scalar_one()
            await say(door, event(ana, "after"))

            assert ["after"] == await take(messages, 1)

    async def test_says_now_and_then_that_it_is_alive(self, live: str, ana: Person) -> None:
        async with Sse(live, ana.key).open() as messages, asyncio.timeout(NO_TIME):
            assert [{}, {}] == [await anext(messages), await anext(messages)]

    async def test_ends_after_a_while_and_is_resumed(self, door: Door, ana: Person) -> None:
        brief = StreamRules(heartbeat_seconds=30, poll_seconds=0.05, life_seconds=0.2)
        async with (
            door.other(streams=brief) as other,
            serving(other) as url,
            asyncio.timeout(NO_TIME),
            Sse(url, ana.key).open() as messages,
        ):
            assert [] == [message async for message in messages if message]

    async def test_does_not_keep_the_server_from_stopping(self, door: Door, ana: Person) -> None:
        async with door.other(streams=WOKEN_ONLY) as other, asyncio.timeout(NO_TIME):
            async with serving(other) as url:
                streams = Sse(url, ana.key).open()
                messages = await streams.__aenter__()
                ws = await connect(
                    url.replace("http", "ws") + "/ws",
                    additional_headers={"authorization": f"Bearer {ana.key}"},
                    proxy=None,
                )
            assert [] == [message async for message in messages]
            await streams.__aexit__(None, None, None)
            await ws.close()

    async def test_of_one_user_are_limited(self, live: str, ana: Person, bob: Person) -> None:
        clients = [Sse(live, ana.key).open() for _ in range(RULES.per_user)]
        for client in clients:
            await client.__aenter__()
        headers = {"authorization": f"Bearer {ana.key}", "accept": "text/event-stream"}
        async with httpx.AsyncClient(trust_env=False) as http:
            problem(await http.get(f"{live}{EVENTS}", headers=headers), "too-many-streams")
        async with Sse(live, bob.key).open():
            pass
        for client in clients:
            await client.__aexit__(None, None, None)
        await asyncio.sleep(0.1)

        async with Sse(live, ana.key).open():
            pass

    async def test_holds_no_connection_of_the_database_while_it_waits(self, door: Door) -> None:
        people = [await door.person() for _ in range(30)]
        pool: Any = door.engine.pool
        async with door.other(streams=WOKEN_ONLY) as other, serving(other) as url:
            clients = [Sse(url, person.key).open() for person in people]
            for client in clients:
                await client.__aenter__()
            await asyncio.sleep(0.2)

            assert 0 == pool.checkedout()
            for client in clients:
                await client.__aexit__(None, None, None)

    async def test_of_a_slow_reader_waits_for_it_in_the_database(self, live: str, door: Door) -> None:
        person, big = await door.person(), "x" * 7_000
        async with Sse(live, person.key).open() as messages:
            for number in range(10):
                await say(door, *(event(person, f"{number}/{place}/{big}") for place in range(100)))
            held: Any = door.engine.pool
            async with asyncio.timeout(20):
                while held.checkedout():
                    await asyncio.sleep(0.1)
            heard = await take(messages, 1_000)

        assert [f"{number}/{place}" for number in range(10) for place in range(100)] == [
            name.rpartition("/")[0] for name in heard
        ]


class TestSocket:
    async def test_tells_the_same_as_the_stream(self, live: str, door: Door, ana: Person) -> None:
        async with socket(live, ana) as ws, Sse(live, ana.key).open() as messages:
            assert "ready" == (await hear(ws))["type"]
            await say(door, event(ana, "one"))
            async with asyncio.timeout(NO_TIME):
                streamed = await anext(messages) or await anext(messages)

            assert streamed == await hear(ws)

    async def test_takes_a_token_as_first_message(self, live: str, door: Door, ana: Person) -> None:
        token = issue(ana.id, door.services.jwt_secret.get_secret_value(), minutes=1)
        async with socket(live, None, first={"token": token}) as ws:
            assert "ready" == (await hear(ws))["type"]
            await say(door, event(ana, "one"))

            assert ["one"] == await names(ws, 1)

    async def test_is_resumed_without_gap_or_repetition_while_events_go_on(self, live: str, door: Door) -> None:
        person, pace, heard, cursor = await door.person(), random.Random(5), [], await latest(door)
        everything = [str(number) for number in range(60)]

        async def go_on() -> None:
            for name in everything:
                await say(door, event(person, name))
                await asyncio.sleep(pace.random() / 100)

        telling = asyncio.create_task(go_on())
        while len(heard) < len(everything):
            async with socket(live, person, cursor) as ws:
                assert {"id": cursor, "type": "ready"}.items() <= (await hear(ws)).items()
                for _ in range(min(pace.randrange(1, 12), len(everything) - len(heard))):
                    message = await hear(ws)
                    cursor = message["id"]
                    heard.append(message["data"]["name"])
        await telling

        assert everything == heard

    async def test_shows_nobody_elses_events(self, live: str, door: Door, ana: Person, bob: Person) -> None:
        async with socket(live, ana) as ws:
            await hear(ws)
            await say(door, event(bob, "his"), event(None, "public"))

            assert ["public"] == await names(ws, 1)

    @pytest.mark.parametrize("header", ["Bearer nobody", "Bearer", "Basic eDp5", ""])
    async def test_with_a_bad_header_is_refused_before_it_opens(self, live: str, header: str) -> None:
        address = live.replace("http", "ws") + "/ws"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address, additional_headers={"authorization": header}, proxy=None):
                pass

        assert 401 == refused.value.response.status_code
        assert b"unauthenticated" in (refused.value.response.body or b"")

    @pytest.mark.parametrize(
        "first",
        [None, {}, {"token": 5}, {"token": "lq_nobody"}, {"token": "x", "more": 1}, "token"],
        ids=["silence", "empty", "number", "unknown", "more", "text"],
    )
    async def test_without_a_token_is_closed(self, live: str, first: Any) -> None:
        async with socket(live, None, first=first) as ws:
            with pytest.raises(ConnectionClosed) as closed:
                await hear(ws)

        assert closed.value.rcvd is not None
        assert (4401, "unauthenticated") == (closed.value.rcvd.code, closed.value.rcvd.reason)

    async def test_with_a_malformed_cursor_is_refused(self, live: str, ana: Person) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(live, ana, "yesterday"):
                pass

        assert 422 == refused.value.response.status_code

    async def test_of_one_user_are_limited(self, live: str, ana: Person) -> None:
        async with socket(live, ana), socket(live, ana), socket(live, ana):
            with pytest.raises(InvalidStatus) as refused:
                async with socket(live, ana):
                    pass

        assert 429 == refused.value.response.status_code

    async def test_forgets_what_its_client_says(self, live: str, door: Door, ana: Person) -> None:
        async with socket(live, ana) as ws:
            await hear(ws)
            for _ in range(20):
                await ws.send("hello" * 100)
            await say(door, event(ana, "one"))

            assert ["one"] == await names(ws, 1)

    async def test_ends_after_a_while_with_the_advice_to_resume(self, door: Door, ana: Person) -> None:
        brief = StreamRules(heartbeat_seconds=30, poll_seconds=0.05, life_seconds=0.2)
        async with door.other(streams=brief) as other, serving(other) as url, socket(url, ana) as ws:
            await hear(ws)
            with pytest.raises(ConnectionClosed) as closed:
                await hear(ws)

        assert closed.value.rcvd is not None
        assert 1001 == closed.value.rcvd.code
