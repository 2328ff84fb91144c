"""``Idempotency-Key`` where the answer is personal: what is kept for repetitions of the request is sealed.

Chats and statements are encrypted in their own rows; the first answer would otherwise lie beside them in clear.
"""

import base64
import json
from typing import Annotated

from fastapi import Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Deps
from api.idempotency import REPLAYED, Once, OncePerKey
from models import idempotency
from models.secret_box import SecretBox


class SealedOnce:
    """As :class:`api.idempotency.Once`."""

    def __init__(self, once: Once, box: SecretBox) -> None:
        self.user_id = once.user_id
        self._once = once
        self._box = box
        self._place = f"idempotency_keys/{once.user_id}/{once.key}"

    async def claim(self, conn: AsyncConnection) -> JSONResponse | None:
        """The first request's answer, or None: go on.

        :raises IdempotencyMismatch: the key belongs to another request.
        :raises SealBroken: the answer does not open with this key.
        """
        known = await self._once.known(conn)
        if known is None:
            return None
        body = self._box.open(base64.b64decode(str(known.body)), place=self._place)
        return JSONResponse(json.loads(body), known.status, headers={REPLAYED: "true"})

    async def answer(self, conn: AsyncConnection, status: int, view: BaseModel) -> JSONResponse:
        """Store the answer, sealed, and give it."""
        sealed: JsonValue = base64.b64encode(self._box.seal(view.model_dump_json(), place=self._place)).decode()
        once = self._once
        await idempotency.answer(conn, user_id=once.user_id, key=once.key, status=status, body=sealed)
        return JSONResponse(view.model_dump(mode="json"), status)


async def sealed_once(once: OncePerKey, services: Deps) -> SealedOnce:
    return SealedOnce(once, services.box)


SealedOncePerKey = Annotated[SealedOnce, Depends(sealed_once)]
