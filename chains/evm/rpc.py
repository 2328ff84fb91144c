"""Asking EVM nodes over HTTP: several endpoints, one answer, and no error but ours.

Endpoint URLs carry API keys, so errors and logs name hosts only, and exceptions of the HTTP client,
whose text holds the URL, are never chained to ours.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout
from web3 import AsyncWeb3
from web3.exceptions import Web3Exception, Web3RPCError
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from models.errors import Broken, NodeUnavailable

log = structlog.get_logger()

Answer = TypeVar("Answer")

NO_ANSWER = (ClientError, OSError, TimeoutError)
BAD_ANSWER = (Web3Exception, ValueError, KeyError, TypeError, AttributeError)
"""web3 raises its own errors for JSON-RPC ones, and the built-in ones for an answer of the wrong shape."""


class HttpProvider(AsyncJSONBaseProvider):
    """JSON-RPC over a session that is ours to close.

    web3's own HTTP provider writes whole URLs to the log and takes HTTP 4xx and 5xx for no answer, where
    some nodes put the JSON-RPC error in that very body. A contract cannot make this one fetch other URLs
    either (CCIP-Read, ERC-3668).
    """

    global_ccip_read_enabled = False

    def __init__(self, url: str, session: Callable[[], ClientSession]) -> None:
        super().__init__()
        self._url = url
        self._session = session

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        body = self.encode_rpc_request(method, params)
        async with self._session().post(self._url, data=body, headers={"Content-Type": "application/json"}) as reply:
            return self.decode_rpc_response(await reply.read())


Web3 = AsyncWeb3[HttpProvider]


@dataclass(slots=True, eq=False)
class Endpoint:
    """One URL. ``checked``: it has said that it serves the chain we expect."""

    host: str
    web3: Web3
    checked: bool = False


class Endpoints:
    """The nodes that serve one network, in order of preference; the one that answered last is asked first.

    Belongs to one event loop.

    :param timeout_seconds: for each HTTP request.
    """

    def __init__(self, urls: Sequence[str], *, chain_id: int, timeout_seconds: float) -> None:
        self._chain_id = chain_id
        self._timeout = ClientTimeout(total=timeout_seconds)
        self._endpoints = [self._endpoint(url) for url in urls]
        self._session: ClientSession | None = None

    async def ask(self, question: Callable[[Web3], Awaitable[Answer]], *, any_chain: bool = False) -> Answer:
        """Put the whole ``question`` to one endpoint after the other, until one answers.

        A question may be several requests: they all go to one node, so its answers fit together.
        Errors of ours that the question raises are answers.

        :param any_chain: do not ask first which chain the endpoint serves.
        :raises NodeUnavailable: no endpoint answered.
        :raises Broken: an endpoint serves another chain.
        """
        for endpoint in tuple(self._endpoints):
            try:
                if not endpoint.checked and not any_chain:
                    await self._check(endpoint)
                answer = await question(endpoint.web3)
            except (*NO_ANSWER, *BAD_ANSWER) as error:
                log.warning("chain.endpoint_failed", host=endpoint.host, error=type(error).__name__)
                continue
            self._prefer(endpoint)
            return answer
        hosts = ", ".join(endpoint.host for endpoint in self._endpoints)
        raise NodeUnavailable(f"no node of chain {self._chain_id} gives an answer: {hosts}")

    async def close(self) -> None:
        """Close the connections. A later question opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _endpoint(self, url: str) -> Endpoint:
        web3 = AsyncWeb3(HttpProvider(url, self._shared_session), middleware=[])
        web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        return Endpoint(host=urlsplit(url).hostname or "?", web3=web3)

    def _shared_session(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(timeout=self._timeout)
        return self._session

    async def _check(self, endpoint: Endpoint) -> None:
        reported = await endpoint.web3.eth.chain_id
        if reported != self._chain_id:
            raise Broken(f"{endpoint.host} serves chain {reported}, not {self._chain_id}: correct rpc_urls")
        endpoint.checked = True

    def _prefer(self, endpoint: Endpoint) -> None:
        self._endpoints.remove(endpoint)
        self._endpoints.insert(0, endpoint)


def message_of(error: Web3RPCError) -> str:
    """The node's own words, in lower case; empty when it gave none."""
    response = error.rpc_response
    return str(response["error"]["message"]).lower() if response and "error" in response else ""
