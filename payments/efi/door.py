"""The way to Efí: our client certificate on every call, a token that is renewed in time, one limit for it all."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from models.errors import PayoutUnknown

RENEW_BEFORE_SECONDS = 60


class _Token(BaseModel):
    access_token: str = Field(min_length=1)
    expires_in: int = Field(gt=0)


class Door:
    """One attempt per call; only a token that the bank no longer takes is renewed, once, and the call made again.

    :param timeout_seconds: for one call from beginning to end, a new token included.
    :raises OSError: the certificate or its key is not there or not readable.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: str,
        certificate: Path | None,
        certificate_key: Path | None,
        authorities: Path | None,
        timeout_seconds: float,
    ) -> None:
        self._credentials = httpx.BasicAuth(client_id, client_secret)
        self._timeout_seconds = timeout_seconds
        self._token: str | None = None
        self._renew_at = 0.0
        self._renewing = asyncio.Lock()
        self._client = httpx.AsyncClient(
            base_url=url,
            verify=_tls(certificate, certificate_key, authorities),
            timeout=timeout_seconds,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The bank's answer, whatever it is.

        :raises PayoutUnknown: no whole answer within the time, or no token.
        """
        try:
            # httpx's own timeouts bound each read; an answer that drips would pass them for ever.
            async with asyncio.timeout(self._timeout_seconds):
                token = await self._valid_token()
                answer = await self._send(method, path, token, json, params)
                if answer.status_code != 401:
                    return answer
                # 401 is decided before the order is read, and the order's key is the same.
                self._forget(token)
                return await self._send(method, path, await self._valid_token(), json, params)
        except (TimeoutError, httpx.HTTPError) as error:
            raise PayoutUnknown(f"the provider did not answer: {type(error).__name__}") from None

    async def _send(
        self,
        method: str,
        path: str,
        token: str,
        json: Mapping[str, Any] | None,
        params: Mapping[str, str] | None,
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return await self._client.request(method, path, json=json, params=params, headers=headers)

    async def _valid_token(self) -> str:
        async with self._renewing:
            if self._token is None or time.monotonic() >= self._renew_at:
                self._token = None
                asked_at = time.monotonic()
                answer = await self._client.post(
                    "/oauth/token", json={"grant_type": "client_credentials"}, auth=self._credentials
                )
                token = _read_token(answer)
                early = min(RENEW_BEFORE_SECONDS, token.expires_in / 2)
                self._token, self._renew_at = token.access_token, asked_at + token.expires_in - early
            return self._token

    def _forget(self, token: str) -> None:
        """Another call may have renewed it meanwhile; that one stays."""
        if self._token == token:
            self._token = None


def _read_token(answer: httpx.Response) -> _Token:
    if not answer.is_success:
        raise PayoutUnknown(f"the provider answered {answer.status_code} to our credentials")
    try:
        return _Token.model_validate_json(answer.content)
    except ValidationError:
        raise PayoutUnknown("the provider's answer to our credentials is not readable") from None


def _tls(certificate: Path | None, certificate_key: Path | None, authorities: Path | None) -> ssl.SSLContext:
    if authorities is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        context = ssl.create_default_context(cafile=str(authorities))
    if certificate is not None:
        # With a password, if a useless one, an encrypted key is an error; without, OpenSSL asks the terminal.
        context.load_cert_chain(certificate, certificate_key, password="")
    return context
