"""One call to Woovi: within a time, without floats, and with nothing of its answer in our errors.

Woovi's errors are ``{"error": "<a sentence>"}`` with 400, in Portuguese or English, mostly without a code.
Each sentence that we act on is listed here; any other is no answer.
"""

import asyncio
import json
import re
import unicodedata
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field, ValidationError

from models.errors import PayoutUnknown

OPENERS_MOST = 10_000
PRODUCTION_URL = "https://api.woovi.com"
SANDBOX_URL = "https://api.woovi-sandbox.com"

PAYMENT = ("payment", "payment request", "pagamento")
CHARGE = ("charge", "cobranca")
REFUND = ("refund", "reembolso")

FINAL_CODES = frozenset(
    {
        "INVALID_PIX_KEY",
        "PIX_KEY_INFO_NOT_FOUND",
        "ENTRY_ASSOCIATED_WITH_RESTRICTED_ACCOUNT_OR_USER",
    }
)
"""No repetition changes these. Limits (``REACH_TRANSFER_LIMIT``) and faults of DICT pass, so they are not here."""

_CODE = re.compile(r"[A-Z]+(_[A-Z]+)+")
_BALANCE_CODE = "NOT_ENOUGH_BALANCE"
_BALANCE_WORDS = ("nao possui saldo", "saldo insuficiente", "enough balance", "insufficient balance")
_FILLERS = ("correlationid", "id", "com", "o", "with", "the")
_FRAUD_WORDS = "pix key related to an account suspected of fraud"

Model = TypeVar("Model", bound=BaseModel)
Json = Mapping[str, object]


class _Problem(BaseModel):
    error: str = ""
    code: str | None = Field(default=None, alias="errorCode")


@dataclass(frozen=True, slots=True)
class Answer:
    """``body``: the JSON of the answer; None where it is none."""

    status: int
    body: object

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_problem(self) -> bool:
        """Woovi itself says no; other 4xx and all 5xx are what proxies and outages say too."""
        return self.status == 400 and bool(self._problem.error)

    def read(self, model: type[Model]) -> Model:
        """:raises PayoutUnknown: not 2xx, or not the shape that Woovi publishes."""
        if not self.is_success:
            raise self.unknown()
        try:
            return model.model_validate(self.body)
        except ValidationError:
            raise PayoutUnknown("the provider's answer is not readable") from None

    def unknown(self) -> PayoutUnknown:
        return PayoutUnknown(f"the provider answered {self.status}")

    @property
    def code(self) -> str | None:
        """Its error code, wherever it stands: Woovi also puts codes where its sentences go."""
        problem = self._problem
        for text in (problem.code or "", problem.error):
            if _CODE.fullmatch(text):
                return text
        return None

    @property
    def final_code(self) -> str | None:
        """Why it will never be, where it says so."""
        if self.status not in {400, 404}:
            return None
        if _words(self._problem.error) == _FRAUD_WORDS:
            return "FRAD"
        return self.code if self.code in FINAL_CODES else None

    @property
    def is_about_balance(self) -> bool:
        words = _words(self._problem.error)
        return self.is_problem and (self.code == _BALANCE_CODE or any(some in words for some in _BALANCE_WORDS))

    def is_missing(self, nouns: tuple[str, ...], key: str) -> bool:
        """It says, of one of these things and of no other, that there is none."""
        if self.status not in {400, 404}:
            return False
        said = " ".join(word for word in _words(self._problem.error).split() if word not in {*_FILLERS, _words(key)})
        return any(
            said in {f"{noun} not found", f"{noun} nao encontrado", f"{noun} nao encontrada"} for noun in nouns
        )

    @property
    def _problem(self) -> _Problem:
        try:
            return _Problem.model_validate(self.body)
        except ValidationError:
            return _Problem()


class WooviClient:
    """:param timeout_seconds: for one call, connecting included, and for one :meth:`limited` block."""

    def __init__(self, url: str, *, app_id: str, timeout_seconds: float) -> None:
        self._app_id = app_id
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(base_url=url, timeout=timeout_seconds, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """Bound several calls together, so that no slow attempt is still at work when the next begins.

        :raises PayoutUnknown: the time is over.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except TimeoutError:
            raise PayoutUnknown("the provider did not answer in time") from None

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Json | None = None,
        params: Mapping[str, str] | None = None,
        is_public: bool = False,
    ) -> Answer:
        """One attempt.

        :raises PayoutUnknown: no whole answer within the time.
        """
        headers = {} if is_public else self._headers
        return await self._send(self._client.build_request(method, path, json=json, params=params, headers=headers))

    async def upload(self, purpose: str, key: str, name: str, content: bytes) -> Answer:
        """Store a PDF, or find the earlier storing of, this key. One attempt.

        :raises PayoutUnknown: no whole answer within the time.
        """
        return await self._send(
            self._client.build_request(
                "POST",
                "/api/v1/files",
                data={"purpose": purpose, "correlationID": key},
                files={"file": (name, content, "application/pdf")},
                headers=self._headers,
            )
        )

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": self._app_id} if self._app_id else {}

    async def _send(self, request: httpx.Request) -> Answer:
        try:
            # httpx's own timeouts bound each read; an answer that drips would pass them for ever.
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._client.send(request)
        except (TimeoutError, httpx.HTTPError) as error:
            raise PayoutUnknown(f"the provider did not answer: {type(error).__name__}") from None
        return Answer(answer.status_code, parse_json(answer.content))


def segment(key: str) -> str:
    """A key as one piece of a path, whatever it holds."""
    return quote(key, safe="")


def parse_json(content: bytes) -> object:
    """JSON without floats; None where it is none, or nested deeper than any answer is.

    The parser calls itself for each level, and a library may have raised the interpreter's limit beyond the stack.
    """
    if content.count(b"[") + content.count(b"{") > OPENERS_MOST:
        return None
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _words(text: str) -> str:
    """Lower case, without accents and punctuation."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return " ".join(re.findall(r"[a-z0-9]+", "".join(each for each in plain if not unicodedata.combining(each))))
