"""``Idempotency-Key``: one request, one effect, and one answer for every repetition of it."""

import hashlib
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth import Caller
from models import idempotency

REPLAYED = "Idempotency-Replayed"

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description=(
            "Your own name for this request, 1 to 200 printable ASCII characters, no spaces. Repeating the request "
            "with the same key and body has no second effect: it gives the first answer, with the header "
            "`Idempotency-Replayed: true`. A key belongs to one request for ever."
        ),
        examples=["7d1f0c6e-3c1e-4a54-9d0c-2f4f6a2b8f11"],
    ),
]


class Once:
    """One request under its key. :meth:`claim` first, :meth:`answer` last.

    Where both are in the transaction of the work itself, a failure gives the key back.
    """

    def __init__(self, user_id: str, key: str, request: bytes) -> None:
        self.user_id = user_id
        self.key = key
        self._request = request

    @property
    def update_id(self) -> str:
        """The name under which Temporal knows this request, should it be a command."""
        return f"{self.user_id}/{self.key}"

    @property
    def operation(self) -> str:
        """A name in the ledger for what this key stands for; the key itself may be anybody's words, and long."""
        return hashlib.sha256(self.update_id.encode()).hexdigest()[:32]

    async def claim(self, conn: AsyncConnection) -> JSONResponse | None:
        """The first request's answer, or None: go on.

        :raises IdempotencyMismatch: the key belongs to another request.
        """
        known = await self.known(conn)
        return None if known is None else JSONResponse(known.body, known.status, headers={REPLAYED: "true"})

    async def known(self, conn: AsyncConnection) -> idempotency.Answer | None:
        """As :meth:`claim`, the answer as it was stored."""
        return await idempotency.claim(conn, user_id=self.user_id, key=self.key, request=self._request)

    async def answer(self, conn: AsyncConnection, status: int, view: BaseModel) -> JSONResponse:
        """Store the answer and give it."""
        body = view.model_dump(mode="json")
        await idempotency.answer(conn, user_id=self.user_id, key=self.key, status=status, body=body)
        return JSONResponse(body, status)


async def once(request: Request, caller: Caller, key: Key) -> Once:
    """The whole request is what the key stands for: method, path and body, byte by byte."""
    content = idempotency.request_hash(request.method, request.scope["path"], await request.body())
    return Once(caller.user_id, key, content)


OncePerKey = Annotated[Once, Depends(once)]
