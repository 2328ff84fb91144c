"""Users' webhook endpoints as counterpart: programs that we do not know, at addresses that we did not choose."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anyio
import httpcore
from temporalio import activity

from models.webhook_endpoint.rules import is_public

SECONDS_MOST = 15.0
ANSWER_BYTES_MOST = 4 * 1024
"""As much of an answer as is read; it is kept nowhere."""
GONE = 410
RETRY_AFTER_SECONDS_MOST = 1e9
"""Whatever longer time is asked for."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Reply:
    """``error``: why it was not taken; None: a 2xx. ``retry_after_seconds``: what it asked for."""

    status_code: int | None
    error: str | None
    duration_ms: int
    retry_after_seconds: float = 0


class NotPublicError(Exception):
    """A name leads to an address that is not of the public internet."""


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name, as this machine finds them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class EndpointDoor:
    """Posts one message at a time, follows no redirect, and connects only to the address that it has judged.

    :param allow_private: for development and tests: any address.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        seconds_most: float = SECONDS_MOST,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._network = _JudgedNetwork(resolve, allow_private=allow_private)
        self._seconds_most = seconds_most
        self._tls = tls or httpcore.default_ssl_context()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Reply:
        """Never raises, or the attempt would be made again without end and never be recorded. What goes wrong is an
        outcome, and so is a fault that nobody thought of: ``unexpected``. Being cancelled goes through.
        """
        began = time.monotonic()
        status, retry_after, error = None, 0.0, None
        try:
            async with asyncio.timeout(self._seconds_most), self._sent(url, headers, body) as answer:
                status, error = answer.status, _error(answer.status)
                retry_after = _retry_after(answer)
                await _read_a_little(answer)
        except TimeoutError:
            error = error if status is not None else "timeout"
        except NotPublicError:
            error = "address_not_public"
        except (socket.gaierror, UnicodeError):  # the latter: a name with a label that is empty or too long
            error = "name_not_found"
        except ssl.SSLError:
            error = "tls_failed"
        except httpcore.ConnectError as fault:
            error = "tls_failed" if isinstance(fault.__context__, ssl.SSLError) else "not_connected"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError):
            error = error if status is not None else "connection_lost"
        except Exception as fault:  # noqa: BLE001 the attempt must be recorded, whatever it was
            activity.logger.warning("webhook.unexpected", extra={"fault": type(fault).__name__})
            error = error if status is not None else "unexpected"
        return Reply(status, error, int((time.monotonic() - began) * 1000), retry_after)

    @asynccontextmanager
    async def _sent(self, url: str, headers: dict[str, str], body: bytes) -> AsyncIterator[httpcore.Response]:
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._tls, max_keepalive_connections=0, network_backend=self._network
            ) as pool,
            pool.stream("POST", url, headers=list(headers.items()), content=body) as answer,
        ):
            yield answer


class _JudgedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a name once, refuses it if any of its addresses is not public, and connects to one of just those.

    So a name that resolves to something else a moment later (DNS rebinding) leads nowhere. TLS still checks the name.
    """

    def __init__(self, resolve: Resolve, *, allow_private: bool) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._resolve = resolve
        self._allow_private = allow_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the base class's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        if not self._allow_private and not all(map(is_public, addresses)):
            raise NotPublicError
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


async def _read_a_little(answer: httpcore.Response) -> None:
    read = 0
    async for part in answer.aiter_stream():
        read += len(part)
        if read >= ANSWER_BYTES_MOST:
            return


def _error(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return "redirect" if 300 <= status < 400 else "status"


def _retry_after(answer: httpcore.Response) -> float:
    """RFC 9110, 10.2.3: seconds or a date; anything else is nothing."""
    given = dict(answer.headers).get(b"retry-after") or dict(answer.headers).get(b"Retry-After") or b""
    text = given.decode("ascii", "replace").strip()
    try:
        if text.isascii() and text.isdigit():
            seconds = float(text)
        else:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError, LookupError):
        return 0.0
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MOST)
