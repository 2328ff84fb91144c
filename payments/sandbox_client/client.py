"""One call to the sandbox bank: within a time, and with nothing of its answer in our errors."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from models.errors import PayoutUnknown

Model = TypeVar("Model", bound=BaseModel)


class _Problem(BaseModel):
    code: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, in whole."""

    status: int
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def told(self) -> tuple[int, str]:
        """The status and the bank's own code; an empty one where the body is not the bank's."""
        return self.status, self._problem.code

    @property
    def reason(self) -> str:
        """Why it refused: the reason, or else the code."""
        return self._problem.reason or self._problem.code

    def read(self, model: type[Model]) -> Model:
        """:raises PayoutUnknown: not 2xx, or not of the bank's shape."""
        if not self.is_success:
            raise self.unknown()
        try:
            return model.model_validate_json(self.content)
        except ValidationError:
            raise PayoutUnknown("the provider's answer is not readable") from None

    def unknown(self) -> PayoutUnknown:
        return PayoutUnknown(f"the provider answered {self.status}")

    @property
    def _problem(self) -> _Problem:
        try:
            return _Problem.model_validate_json(self.content)
        except ValidationError:
            return _Problem()


class SandboxClient:
    """:param timeout_seconds: for one call from beginning to end, connecting included."""

    def __init__(self, url: str, *, api_key: str, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {api_key}"},
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
        json: Mapping[str, str | int] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """One attempt.

        :raises PayoutUnknown: no whole answer within the time.
        """
        try:
            # httpx's own timeouts bound each read; an answer that drips would pass them for ever.
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._client.request(method, path, json=json, params=params)
        except (TimeoutError, httpx.HTTPError) as error:
            raise PayoutUnknown(f"the provider did not answer: {type(error).__name__}") from None
        return Answer(answer.status_code, answer.content)


def segment(key: str) -> str:
    """A key as one piece of a path, whatever it holds."""
    return quote(key, safe="")
