"""Whatever goes wrong is a problem document that says what to do and repeats nothing."""

import re

import asyncpg
import httpx
import pytest
from sqlalchemy import exc as sql
from sqlalchemy import text

from api import app as application
from liquida import database
from models.errors import LedgerUnbalanced
from tests.api.door import API, TRADES, Door, Person, problem, services

QUOTE = f"{TRADES}/quote"
JSON = {"content-type": "application/json", "idempotency-key": "k"}


class TestRouting:
    @pytest.mark.parametrize(
        "path", ["/", "/nothing", f"{TRADES}/", f"{TRADES}/1", f"{TRADES}/x/why", "/a%00b", "/é"]
    )
    async def test_answers_addresses_that_are_none(self, door: Door, ana: Person, path: str):
        reply = await door.get(ana, path)

        assert 404 == reply.status_code
        problem(reply, "not-found")

    @pytest.mark.parametrize("before", ["", "a", "aa"])
    async def test_names_no_address_that_is_cut_within_an_escape(self, door: Door, ana: Person, before: str):
        reply = await door.get(ana, f"/{before}" + "%C3%A9" * 100)

        assert re.fullmatch("/a*(%[0-9A-F]{2})+", reply.json()["instance"])

    @pytest.mark.parametrize(("method", "path"), [("DELETE", QUOTE), ("GET", QUOTE), ("PUT", "/healthz")])
    async def test_answers_methods_that_are_none(self, door: Door, method: str, path: str):
        reply = await door.http.request(method, path)

        assert 405 == reply.status_code
        problem(reply, "method-not-allowed")
        assert reply.headers["allow"]


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'"x"',
            b"\xff\xfe",
            b"[" * 60_000,
            b'{"amount": "\\ud800"}',
            b'{"\\ud800": 1}',
            b'{"amount": NaN}',
            b'{"amount": 1e999999}',
        ],
        ids=lambda body: str(body[:20]),
    )
    async def test_that_cannot_be_read_is_named(self, door: Door, ana: Person, body: bytes):
        headers = JSON | {"authorization": f"Bearer {ana.key}"}

        reply = await door.http.post(QUOTE, content=body, headers=headers)

        assert 422 == reply.status_code
        problem(reply, "invalid-input")

    @pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", ""])
    async def test_must_be_json(self, door: Door, ana: Person, kind: str):
        headers = {"authorization": f"Bearer {ana.key}", "idempotency-key": "k", "content-type": kind}

        reply = await door.http.post(QUOTE, content=b"{}", headers=headers)

        assert 422 == reply.status_code
        problem(reply, "invalid-input")

    async def test_above_the_limit_is_refused_unread(self, door: Door, ana: Person):
        headers = JSON | {"authorization": f"Bearer {ana.key}"}

        reply = await door.http.post(QUOTE, content=b" " * (64 * 1024 + 1), headers=headers)

        assert 413 == reply.status_code
        problem(reply, "payload-too-large")

    async def test_above_the_limit_is_refused_when_its_length_is_not_announced(self, door: Door, ana: Person):
        async def endless():
            for _ in range(100):
                yield b" " * 4096

        headers = JSON | {"authorization": f"Bearer {ana.key}"}

        reply = await door.http.post(QUOTE, content=endless(), headers=headers)

        assert 413 == reply.status_code
        problem(reply, "payload-too-large")


class TestDatabase:
    async def test_that_is_away_is_a_503(self, door: Door, ana: Person):
        engine = database.engine("postgresql+asyncpg://liquida@127.0.0.1:9/none")

        async with door.other(engine=engine) as other:
            reply = await other.get(ana, f"{API}/wallet/balances")
        await engine.dispose()

        assert 503 == reply.status_code
        problem(reply, "database-unavailable")
        assert "1" == reply.headers["retry-after"]

    async def test_that_cuts_the_connection_is_a_503_and_then_works_again(
        self, door: Door, ana: Person, postgres_server
    ):
        engine = database.engine(postgres_server.url(), pool=1)
        async with door.other(engine=engine) as other:
            await other.get(ana, f"{API}/wallet/balances")
            async with engine.connect() as conn:
                pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            async with door.engine.connect() as conn:
                await conn.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

            first = await other.get(ana, f"{API}/wallet/balances")
            second = await other.get(ana, f"{API}/wallet/balances")
        await engine.dispose()

        assert (503, 200) == (first.status_code, second.status_code)
        problem(first, "database-unavailable")

    async def test_whose_connections_are_all_taken_is_a_503(self, door: Door, ana: Person, postgres_server):
        engine = database.engine(postgres_server.url(), pool=1)
        engine.pool._timeout = 0.1
        async with door.other(engine=engine) as other, engine.connect():
            reply = await other.get(ana, f"{API}/wallet/balances")
        await engine.dispose()

        problem(reply, "database-unavailable")


class TestOurFault:
    @pytest.mark.parametrize(
        ("error", "kind", "status"),
        [
            (ZeroDivisionError("secret"), "internal-error", 500),
            (LedgerUnbalanced("secret"), "ledger-unbalanced", 500),
            (sql.ProgrammingError("SELECT secret", {}, ValueError("secret")), "internal-error", 500),
            (asyncpg.exceptions.CannotConnectNowError("secret"), "database-unavailable", 503),
        ],
        ids=lambda value: type(value).__name__,
    )
    async def test_is_answered_without_a_word_of_what_it_was(self, engine, error: Exception, kind: str, status: int):
        """A door of its own, with a route that fails."""
        app = application.create_app(await services(engine))

        async def fail() -> None:
            raise error

        app.add_api_route("/fails", fail)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as http:
            reply = await http.get("/fails")

        assert status == reply.status_code
        problem(reply, kind)
        assert "secret" not in reply.text

    async def test_of_an_unforeseen_kind_is_logged_by_place_not_by_content(
        self, engine, capsys: pytest.CaptureFixture[str]
    ):
        app = application.create_app(await services(engine))

        async def fail() -> None:
            raise ValueError("529.982.247-25")

        app.add_api_route("/fails", fail)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as http:
            await http.get("/fails")

        said = "".join(capsys.readouterr())
        assert "request.failed" in said
        assert "test_problems.py" in said
        assert "529.982" not in said
