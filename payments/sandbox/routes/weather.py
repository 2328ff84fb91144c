"""The weather over HTTP: what goes wrong next, and letters sent once more."""

import time
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from payments.sandbox.door import Problem, TheBank
from payments.sandbox.moods import Queue, UnknownMood, parse_moods

router = APIRouter(prefix="/sandbox")


class MoodsRequest(BaseModel):
    """``PUT /sandbox/moods``: these moods for the next ``count`` of the queue ``for``."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    moods: list[str]
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    queue: Annotated[Queue, Field(alias="for")] = Queue.PAYOUTS


@router.put("/moods")
async def set_moods(wanted: MoodsRequest, bank: TheBank) -> dict[str, Any]:
    try:
        moods = parse_moods(wanted.moods, wanted.queue)
    except UnknownMood:
        raise Problem(422, "unknown_mood") from None
    bank.books.weather.set_standing(wanted.queue, moods, wanted.count)
    return {"moods": sorted(moods), "count": wanted.count, "for": wanted.queue}


@router.delete("/moods", status_code=204)
async def clear_moods(bank: TheBank) -> None:
    bank.books.weather.clear()


@router.post("/webhooks/{key}/resend")
async def resend_webhooks(key: str, bank: TheBank) -> dict[str, int]:
    """``key``: a payout's, a charge's (with its receipts), a refund's, or a dispute's id."""
    books = bank.books
    nouns = (books.payouts, books.charges, books.refunds, books.disputes)
    if not any(noun.find(key) for noun in nouns):
        raise Problem(404, "key_not_found")
    return {"letters": books.letters.resend(key, now=time.time())}
