"""One call to the gateway: within a time, without floats, and with nothing of its answer in our errors."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from models.errors import PayoutUnknown

OPENERS_MOST = 10_000

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """``body``: the JSON of the answer; None where it is none."""

    status: int
    body: object

    def read(self, model: type[Model]) -> Model:
        """:raises PayoutUnknown: not 2xx, or not readable."""
        if not 200 <= self.status < 300:
            raise PayoutUnknown(f"the provider answered {self.status}")
        try:
            return model.model_validate(self.body)
        except ValidationError:
            raise PayoutUnknown("the provider's answer is not readable") from None


class GatewayClient:
    """:param timeout_seconds: for one call from beginning to end, connecting included."""

    def __init__(self, url: str, *, api_key: str, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {api_key}"}, timeout=timeout_seconds, trust_env=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(self, method: str, path: str, *, content: bytes | None = None) -> Answer:
        """One attempt.

        :raises PayoutUnknown: no whole answer within the time.
        """
        headers: Mapping[str, str] = {} if content is None else {"content-type": "application/json"}
        try:
            # httpx's own timeouts bound each read; an answer that drips would pass them for ever.
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._client.request(method, path, content=content, headers=headers)
        except (TimeoutError, httpx.HTTPError) as error:
            raise PayoutUnknown(f"the provider did not answer: {type(error).__name__}") from None
        return Answer(answer.status_code, parse_json(answer.content))


def parse_json(content: bytes) -> object:
    """JSON without floats; None where it is none, or nested deeper than any answer is."""
    if content.count(b"[") + content.count(b"{") > OPENERS_MOST:
        return None
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> object:
    raise ValueError(name)
