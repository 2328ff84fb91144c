"""The webhooks' door under attack, through a real server and its sockets: nothing forged enters, nothing enters twice,
nothing that comes fills the memory, and what was not stored is not answered well.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from api.middleware import BODY_BYTES_MOST
from liquida import database
from models.inbound_webhook import queries as webhooks
from tests.api.door import WEBHOOK_SECRET, Door, Person, now, problem, serving
from tests.api.test_inbound_webhook import SANDBOX, event, messages, signed, stored
from tests.api.test_inbound_webhook import key as _key
from tests.parts import free_port

key = _key
MANY = 50
TEN_MEGABYTES = 10 * 2**20


def signed_raw(body: bytes, event_id: str) -> dict[str, str]:
    """Signed by the provider's own secret, whatever the bytes are."""
    at = str(int(now().timestamp()))
    secret = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
    code = base64.b64encode(hmac.digest(secret, f"{event_id}.{at}.".encode() + body, hashlib.sha256)).decode()
    return {"webhook-id": event_id, "webhook-timestamp": at, "webhook-signature": f"v1,{code}"}


def request(headers: dict[str, str], body: bytes = b"", *more: bytes) -> bytes:
    """A request as bytes on the wire; ``more``: lines of its head."""
    lines = [f"POST {SANDBOX} HTTP/1.1".encode(), b"Host: api.test"]
    lines += [f"{name}: {value}".encode() for name, value in headers.items()]
    return b"\r\n".join([*lines, *more, b"", b""]) + body


class Wire:
    """A connection by hand."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)

    async def send(self, *pieces: bytes, close: bool = False) -> int:
        """The status answered, 0 if the connection ended without one."""
        reader, writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if close:
                return 0
            async with asyncio.timeout(10):
                line = await reader.readline()
            return int(line.split()[1]) if line else 0
        finally:
            writer.close()

    async def pour(self, head: bytes, piece: bytes, *, most: int) -> tuple[int, int]:
        """Send ``piece`` again and again until an answer comes; its status, and how many bytes were taken."""
        reader, writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        answer = asyncio.create_task(reader.readline())
        poured = 0
        try:
            writer.write(head)
            while not answer.done() and poured < most:
                writer.write(piece)
                poured += len(piece)
                await writer.drain()
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                return int((await answer).split()[1]), poured
        finally:
            writer.close()


@pytest.fixture
async def url(door: Door) -> AsyncIterator[str]:
    async with serving(door) as address:
        yield address


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=MANY)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, limits=limits) as client:
        yield client


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """The events that would have called a person."""
    found: list[str] = []
    with capture_logs() as logs:
        yield found
        found += [line["event"] for line in logs if line["log_level"] == "error"]
    assert [] == found


@pytest.mark.usefixtures("errors")
class TestForgery:
    async def test_of_any_byte_is_refused(self, http: httpx.AsyncClient, door: Door, key: str):
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")
        changed = [body[:i] + bytes([body[i] ^ 1]) + body[i + 1 :] for i in range(0, len(body), 7)]

        replies = [await http.post(SANDBOX, content=each, headers=headers) for each in changed]

        assert {401} == {reply.status_code for reply in replies}
        assert [] == await stored(door, f"evt_{key}")

    async def test_by_a_cut_at_any_tenth_byte_is_refused(self, http: httpx.AsyncClient, door: Door, key: str):
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")

        for end in range(0, len(body), 10):
            cut = body[:end]
            for given in (headers, headers | signed_raw(cut, f"evt_{key}")):
                reply = await http.post(SANDBOX, content=cut, headers=given)

                assert 401 == reply.status_code
                problem(reply, "webhook-rejected")
        assert [] == await stored(door, f"evt_{key}")

    async def test_by_hanging_up_at_any_tenth_byte_is_no_event_and_calls_nobody(self, url: str, door: Door, key: str):
        body = event(key)
        head = signed(body, event_id=f"evt_{key}") | {"content-length": str(len(body))}

        for end in range(0, len(body), 10):
            await Wire(url).send(request(head, body[:end]), close=True)
        await asyncio.sleep(0.2)

        assert [] == await stored(door, f"evt_{key}")

    async def test_by_headers_that_stand_for_others_is_refused(self, url: str, door: Door, key: str):
        """What proves a webhook cannot be slipped in beside, or inside, another header."""
        body = event(key)
        good = signed(body, event_id=f"evt_{key}") | {"content-length": str(len(body))}
        bad = good | {"webhook-signature": "v1,AAAA"}
        real = f"webhook-signature: {good['webhook-signature']}".encode()
        pieces = [
            (bad, real),
            (bad, real.replace(b"webhook-signature", b"webhook_signature")),
            (bad | {"webhook-id": "evt\x0bwebhook-signature: x"}, b"x: y"),
            (bad, b"x: y\n" + real),
            (bad, b"x: y\r" + real),
            (bad, b"x: y\x00" + real),
            (bad, b" " + real),
            (bad, real.replace(b":", b" :")),
            (good, b"transfer-encoding: chunked"),
            (good, b"content-length: 5"),
            (good | {"content-length": "-1"}, b"x: y"),
            (good | {"content-length": "9" * 30}, b"x: y"),
            (good | {"content-length": "\u00b2"}, b"x: y"),
        ]

        ended = body + b"\r\n\r\n"
        statuses = [await Wire(url).send(request(head, ended, line)) for head, line in pieces]

        assert set(statuses) <= {400, 401, 413}, statuses
        assert [] == await stored(door, f"evt_{key}")

    async def test_by_our_own_word_for_the_query_is_overwritten(self, http: httpx.AsyncClient, door: Door):
        seen = []

        def verify(headers, body, *, now):
            seen.append(headers["x-liquida-query"])
            return []

        async with door.other(webhooks={"efi": verify}) as other, serving(other) as address:
            await http.post(f"{address}/webhooks/efi?hmac=a%0d%0ab", headers={"x-liquida-query": "hmac=secret"})

        assert ["hmac=a%0d%0ab"] == seen

    @pytest.mark.parametrize("name", ["nobody", "sandbox%00", "SANDBOX", "sandbox%2f..", "%E2%98%83", "x" * 5_000])
    async def test_of_a_providers_name_finds_nobody(self, http: httpx.AsyncClient, name: str):
        body = event("k")

        reply = await http.post(f"/webhooks/{name}", content=body, headers=signed(body))

        assert 404 == reply.status_code
        problem(reply, "not-found")


@pytest.mark.usefixtures("errors")
class TestBody:
    @pytest.mark.parametrize(
        "body",
        [
            b"\xff\xfe\x00",
            b'{"type": "payout.paid", "data": {"key": "\xc3\x28"}}',
            '{"type": "payout.paid", "data": {"key": "k"}}'.encode("utf-16"),
            b"[" * 30_000,
            b'{"a":' * 10_000,
            b'{"type": "payout.paid", "data": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
            b'{"type": "payout.paid", "data": {"key": "\\ud800"}}',
            b'{"type": "payout.paid", "data": {"key": 1e999999}}',
            b'{"type": ["payout.paid"], "data": null}',
            b"null",
            b"",
        ],
        ids=lambda body: str(body[:34]),
    )
    async def test_that_is_no_event_is_refused_though_it_is_signed(
        self, http: httpx.AsyncClient, door: Door, body: bytes
    ):
        event_id = f"evt_{secrets.token_hex(8)}"

        reply = await http.post(SANDBOX, content=body, headers=signed_raw(body, event_id))

        assert 401 == reply.status_code
        problem(reply, "webhook-rejected")
        assert [] == await stored(door, event_id)

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"content-type": "text/plain"},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "multipart/form-data; boundary=x"},
            {"content-type": "application/json; charset=utf-16"},
            {"content-type": "é;;;=x"},
            {"content-type": "application/json", "content-encoding": "gzip"},
        ],
        ids=str,
    )
    async def test_is_taken_as_the_bytes_that_were_signed_whatever_they_are_called(
        self, http: httpx.AsyncClient, door: Door, key: str, headers: dict[str, str]
    ):
        body = event(key)
        given = signed_raw(body, f"evt_{key}") | headers

        reply = await http.post(SANDBOX, content=body, headers={k: v.encode() for k, v in given.items()})

        assert (200, 1) == (reply.status_code, reply.json()["new"])

    async def test_of_ten_megabytes_is_refused_by_its_announcement(self, url: str):
        """The answer comes before the first byte of the body is sent."""
        head = signed_raw(b"", "evt_x") | {"content-length": str(TEN_MEGABYTES)}

        assert 413 == await Wire(url).send(request(head))

    async def test_of_ten_megabytes_is_answered_to_who_sends_it_all(self, http: httpx.AsyncClient):
        reply = await http.post(SANDBOX, content=b"x" * TEN_MEGABYTES, headers=signed_raw(b"", "evt_x"))

        assert 413 == reply.status_code
        problem(reply, "payload-too-large")

    async def test_without_an_end_or_a_length_is_refused_after_little_of_it(self, url: str):
        """Sockets hold some of it; were it read to its end, there would be no answer at all."""
        head = request(signed_raw(b"", "evt_x") | {"transfer-encoding": "chunked"})
        piece = b"%x\r\n%s\r\n" % (16_384, b"x" * 16_384)

        status, poured = await Wire(url).pour(head, piece, most=8 * TEN_MEGABYTES)

        assert 413 == status
        assert poured < TEN_MEGABYTES

    async def test_in_chunks_may_be_as_large_as_in_one_piece(self, url: str, door: Door, key: str):
        body = event(key)
        body += b" " * (BODY_BYTES_MOST - len(body))
        head = request(signed_raw(body, f"evt_{key}") | {"transfer-encoding": "chunked"})
        pieces = [b"%x\r\n%s\r\n" % (len(body[i : i + 999]), body[i : i + 999]) for i in range(0, len(body), 999)]

        assert 200 == await Wire(url).send(head, *pieces, b"0\r\n\r\n")
        assert 1 == len(await stored(door, f"evt_{key}"))


@pytest.mark.usefixtures("errors")
class TestRepetition:
    async def test_of_one_event_fifty_times_at_once_is_one_row_and_one_bell(
        self, http: httpx.AsyncClient, door: Door, key: str
    ):
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")

        replies = await asyncio.gather(*(http.post(SANDBOX, content=body, headers=headers) for _ in range(MANY)))

        assert {200} == {reply.status_code for reply in replies}
        assert 1 == sum(reply.json()["new"] for reply in replies)
        assert 1 == len(await stored(door, f"evt_{key}"))
        assert ["look"] == await messages(door, f"payout/{key}")

    async def test_under_the_id_of_another_event_does_not_replace_it(
        self, http: httpx.AsyncClient, door: Door, key: str
    ):
        for kind in ("payout.paid", "payout.rejected"):
            body = event(key, kind)
            reply = await http.post(SANDBOX, content=body, headers=signed(body, event_id=f"evt_{key}"))

        assert (200, 0) == (reply.status_code, reply.json()["new"])
        assert ["paid"] == [state for _, state, _ in await stored(door, f"evt_{key}")]

    async def test_of_a_recording_is_refused_once_it_is_old(self, http: httpx.AsyncClient, door: Door, key: str):
        body = event(key)
        recorded = signed(body, event_id=f"evt_{key}", age=timedelta(minutes=6))
        fresh = recorded | {"webhook-timestamp": str(int(now().timestamp()))}

        replies = [await http.post(SANDBOX, content=body, headers=given) for given in (recorded, fresh)]

        assert [401, 401] == [reply.status_code for reply in replies]
        assert [] == await stored(door, f"evt_{key}")

    async def test_in_another_order_is_kept_as_it_came_and_decides_nothing(
        self, http: httpx.AsyncClient, door: Door, ana: Person, key: str
    ):
        order = ("payout.returned", "payout.paid", "payout.processing")
        for kind in order:
            body = event(key, kind)
            reply = await http.post(SANDBOX, content=body, headers=signed(body, event_id=f"evt_{key}_{kind}"))
            assert 200 == reply.status_code

        async with door.engine.connect() as conn:
            told = [one.state for one in await webhooks.of_key(conn, "sandbox", key)]
        why = (await door.get(ana, f"/api/v1/instant-trade/{key}/why")).json()

        assert [kind.removeprefix("payout.") for kind in order] == told
        assert "created" == why["payout"]["status"]
        assert ["look"] * 3 == await messages(door, f"payout/{key}")


class TestStorage:
    async def test_comes_before_the_answer(self, http: httpx.AsyncClient, door: Door, key: str):
        """The server's database connection dies under the transaction; the provider tries again, and then it is kept."""
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")
        async with door.engine.connect() as conn:
            await conn.execute(text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"))
            waiting = asyncio.create_task(http.post(SANDBOX, content=body, headers=headers))
            blocked = text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while not (await conn.execute(blocked)).all():
                await asyncio.sleep(0.02)
            failed = await waiting
            await conn.rollback()
        assert 503 == failed.status_code
        problem(failed, "database-unavailable")
        assert [] == await stored(door, f"evt_{key}")

        again = await http.post(SANDBOX, content=body, headers=headers)

        assert (200, 1) == (again.status_code, again.json()["new"])
        assert ["look"] == await messages(door, f"payout/{key}")

    async def test_that_is_away_is_said_so_and_the_retry_is_kept(self, http: httpx.AsyncClient, door: Door, key: str):
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")
        away = database.engine(f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none", pool=1)

        async with door.other(engine=away) as other, serving(other) as address:
            replies = [await http.post(f"{address}{SANDBOX}", content=body, headers=headers) for _ in range(3)]
        await away.dispose()
        again = await http.post(SANDBOX, content=body, headers=headers)

        assert [503] * 3 == [reply.status_code for reply in replies]
        assert all(int(reply.headers["retry-after"]) > 0 for reply in replies)
        assert (200, 1) == (again.status_code, again.json()["new"])
