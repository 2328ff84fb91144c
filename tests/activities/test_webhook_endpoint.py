"""What an unknown program may do to us: answer late, too much, elsewhere or not at all. Nothing of it gets far."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from activities.webhook_endpoint import ANSWER_BYTES_MOST, EndpointDoor, Reply

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"id":"1"}'


@asynccontextmanager
async def endpoint(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, int]]:
    """A program on a port of its own, that has read each request's head when it behaves."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await reader.readuntil(b"\r\n\r\n")
            await behaviour(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}/hook", port


def saying(*lines: str, body: bytes = b"") -> Behaviour:
    head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode()

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + body)
        await writer.drain()

    return behave


async def post(url: str, *, seconds: float = 5) -> Reply:
    return await EndpointDoor(allow_private=True, seconds_most=seconds).post(url, {"webhook-id": "m"}, BODY)


def resolving(*addresses: str) -> tuple[list[str], Callable[[str, int], Awaitable[Sequence[str]]]]:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return addresses

    return asked, resolve


class TestPost:
    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    async def test_is_taken_by_a_2xx(self, status: int) -> None:
        async with endpoint(saying(f"HTTP/1.1 {status} x")) as (url, _):
            reply = await post(url)

        assert (status, None) == (reply.status_code, reply.error)

    @pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
    async def test_is_not_taken_by_another_status(self, status: int) -> None:
        async with endpoint(saying(f"HTTP/1.1 {status} x")) as (url, _):
            reply = await post(url)

        assert (status, "status") == (reply.status_code, reply.error)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_follows_no_redirect(self, status: int) -> None:
        reached: list[bytes] = []

        async def inner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(b"x")

        async with (
            endpoint(inner) as (private, _),
            endpoint(saying(f"HTTP/1.1 {status} x", f"location: {private}")) as (url, _),
        ):
            reply = await post(url)

        assert ([], status, "redirect") == (reached, reply.status_code, reply.error)

    async def test_does_not_wait_for_a_slow_answer(self) -> None:
        async def sleep(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with endpoint(sleep) as (url, _):
            reply = await post(url, seconds=0.2)

        assert (None, "timeout") == (reply.status_code, reply.error)
        assert 190 <= reply.duration_ms < 3_000

    async def test_does_not_wait_for_an_answer_that_drips(self) -> None:
        async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for byte in b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 1_000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)

        async with endpoint(drip) as (url, _):
            reply = await post(url, seconds=0.3)

        assert "timeout" == reply.error

    async def test_is_not_taken_by_who_hangs_up(self) -> None:
        async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with endpoint(reset) as (url, _):
            assert "connection_lost" == (await post(url)).error

    async def test_is_not_taken_by_who_talks_something_else(self) -> None:
        async with endpoint(saying("220 smtp ready")) as (url, _):
            assert "connection_lost" == (await post(url)).error

    async def test_is_not_taken_where_nobody_listens(self) -> None:
        async with endpoint(saying()) as (url, _):
            pass

        assert "not_connected" == (await post(url)).error

    async def test_is_not_taken_by_a_name_that_is_none(self) -> None:
        assert "name_not_found" == (await post("http://nobody.invalid/")).error

    @pytest.mark.parametrize("host", ["a..example.com", "a" * 64 + ".example.com"], ids=["empty-label", "long-label"])
    async def test_is_not_taken_by_a_name_that_no_resolver_takes(self, host: str) -> None:
        reply = await post(f"http://{host}/")

        assert (None, "name_not_found") == (reply.status_code, reply.error)

    @pytest.mark.parametrize(
        "fault",
        [RuntimeError(), LookupError(), ExceptionGroup("", [ValueError()])],
        ids=lambda fault: type(fault).__name__,
    )
    async def test_is_not_taken_where_something_unforeseen_goes_wrong(self, fault: Exception) -> None:
        async def resolve(host: str, port: int) -> Sequence[str]:
            raise fault

        reply = await EndpointDoor(resolve=resolve).post("https://example.com/", {}, BODY)

        assert (None, "unexpected") == (reply.status_code, reply.error)

    async def test_is_not_taken_by_a_name_without_addresses(self) -> None:
        _, resolve = resolving()

        assert "unexpected" == (await EndpointDoor(resolve=resolve).post("https://example.com/", {}, BODY)).error

    async def test_ends_when_it_is_cancelled(self) -> None:
        is_asked = asyncio.Event()

        async def resolve(host: str, port: int) -> Sequence[str]:
            is_asked.set()
            await asyncio.Event().wait()
            return ()

        posting = asyncio.create_task(EndpointDoor(resolve=resolve).post("https://example.com/", {}, BODY))
        await is_asked.wait()
        posting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await posting

    async def test_reads_little_of_a_long_answer(self) -> None:
        sent = 0

        async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536

        async with endpoint(flood) as (url, _):
            reply = await post(url)

        assert (200, None) == (reply.status_code, reply.error)
        assert ANSWER_BYTES_MOST < sent < 50_000_000

    @pytest.mark.parametrize(
        ("text", "least", "most"),
        [
            ("120", 120, 120),
            ("000000000120", 120, 120),
            ("0", 0, 0),
            ("soon", 0, 0),
            ("-5", 0, 0),
            ("1.5", 0, 0),
            ("inf", 0, 0),
            ("", 0, 0),
            ("9" * 30, 10**8, 10**9),
            ("9" * 5_000, 10**8, 10**9),
            ("date", 50, 60),
            ("Mon, 01 Jan 1990 00:00:00 GMT", 0, 0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 10**8, 10**9),
            ("Mon, 01 Jan 99999999999 00:00:00 GMT", 0, 0),
            ("Mon, 01 Jan 2024 00:00:00 +99999999999", 0, 0),
            ("Mon, 01 Jan 2024 00:00:00", 0, 0),
        ],
        ids=[
            "seconds",
            "zeros",
            "none",
            "word",
            "negative",
            "fraction",
            "infinite",
            "empty",
            "huge",
            "endless",
            "date",
            "past",
            "last-year-of-all",
            "year-beyond",
            "zone-beyond",
            "no-zone",
        ],
    )
    async def test_reads_how_long_to_wait(self, text: str, least: float, most: float) -> None:
        value = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True) if text == "date" else text
        async with endpoint(saying("HTTP/1.1 503 x", f"Retry-After: {value}")) as (url, _):
            reply = await post(url)

        assert (503, "status") == (reply.status_code, reply.error)
        assert least <= reply.retry_after_seconds <= most

    async def test_is_taken_by_a_2xx_that_asks_to_wait_for_nonsense(self) -> None:
        async with endpoint(saying("HTTP/1.1 200 OK", "Retry-After: Mon, 01 Jan 99999999999 00:00:00 GMT")) as (
            url,
            _,
        ):
            reply = await post(url)

        assert (200, None, 0) == (reply.status_code, reply.error, reply.retry_after_seconds)


class TestSsrf:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "[::1]",
            "169.254.169.254",
            "10.0.0.1",
            "192.168.0.1",
            "[::ffff:127.0.0.1]",
            "2130706433",
            "127.1",
        ],
    )
    async def test_to_an_address_of_our_own_is_refused(self, host: str) -> None:
        reply = await EndpointDoor(seconds_most=3).post(f"http://{host}:9/", {}, BODY)

        assert "address_not_public" == reply.error

    @pytest.mark.parametrize(
        "addresses",
        [("10.0.0.1",), ("8.8.8.8", "127.0.0.1"), ("::1",), ("169.254.169.254",), ("fd00::1", "8.8.8.8")],
        ids="+".join,
    )
    async def test_by_a_name_that_leads_to_one_is_refused(self, addresses: tuple[str, ...]) -> None:
        _, resolve = resolving(*addresses)

        reply = await EndpointDoor(resolve=resolve).post("https://evil.example.com/", {}, BODY)

        assert (None, "address_not_public") == (reply.status_code, reply.error)

    async def test_by_a_name_that_leads_elsewhere_the_second_time_reaches_what_was_judged(self) -> None:
        """The name is asked for once; the machine's own resolver, which knows nothing of it, never."""
        async with endpoint(saying("HTTP/1.1 200 OK")) as (_, port):
            asked, resolve = resolving("127.0.0.1")
            door = EndpointDoor(allow_private=True, resolve=resolve)

            reply = await door.post(f"http://rebinding.invalid:{port}/", {}, BODY)

        assert (200, ["rebinding.invalid"]) == (reply.status_code, asked)


class TestTls:
    async def test_checks_the_name_and_not_the_address(self, tmp_path: Path) -> None:
        server, client = certificates(tmp_path, "hooks.example.com")
        async with endpoint(saying("HTTP/1.1 200 OK"), server) as (_, port):
            _, resolve = resolving("127.0.0.1")
            door = EndpointDoor(allow_private=True, tls=client, resolve=resolve)

            right = await door.post(f"https://hooks.example.com:{port}/", {}, BODY)
            wrong = await door.post(f"https://other.example.com:{port}/", {}, BODY)
            unknown = await EndpointDoor(allow_private=True, resolve=resolve).post(
                f"https://hooks.example.com:{port}/", {}, BODY
            )

        assert (200, "tls_failed", "tls_failed") == (right.status_code, wrong.error, unknown.error)


def certificates(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's, for that name, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = directory / "server.pem"
    file.write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=pem.decode())
