"""The chat of a P2P trade: for its two, and, once there is a dispute, for arbiters to read."""

from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller
from api.deps import Deps
from api.ids import IdInPath
from api.p2p_parts import Part, part_of
from api.problems import problems
from api.sealed_once import SealedOncePerKey
from models.errors import (
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    TooManyMessages,
)
from models.p2p_dispute.queries import visible_trade
from models.p2p_file.types import MediaType, P2PFile
from models.p2p_message import queries, writes
from models.p2p_message.types import TEXT_MOST, MessageKind, P2PMessage
from models.p2p_trade.types import P2PTrade

router = APIRouter(prefix="/api/v1/p2p/trades", tags=["p2p chat"])


class FileShown(BaseModel):
    """An attachment: `GET .../files/{id}` gives its bytes."""

    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    media_type: MediaType
    size_bytes: int
    sha256: str = Field(examples=["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"])
    at: datetime

    @classmethod
    def of(cls, file: P2PFile) -> Self:
        return cls(id=file.id, media_type=file.media_type, size_bytes=file.size_bytes, sha256=file.sha256, at=file.at)


class MessageShown(BaseModel):
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    number: int = Field(ge=1, description="its place in the chat, from 1 without gaps")
    kind: MessageKind = Field(description="`auto_reply`: what the maker had prepared; `file`: an attachment")
    sender: Part
    text: str = Field(examples=["I have paid, the receipt is attached."])
    file: FileShown | None
    at: datetime

    @classmethod
    def of(cls, message: P2PMessage, trade: P2PTrade) -> Self:
        return cls(
            id=message.id,
            number=message.number,
            kind=message.kind,
            sender=part_of(trade, message.sender_id),
            text=message.text,
            file=None if message.file is None else FileShown.of(message.file),
            at=message.at,
        )


class MessagePage(BaseModel):
    messages: list[MessageShown] = Field(description="oldest first")
    next_cursor: int | None = Field(description="pass it back for the messages that follow; null at the end")


class MessageRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(
        min_length=1,
        max_length=TEXT_MOST,
        pattern=r"^[^\x00]*[^\s\x00][^\x00]*$",
        examples=["I have paid, the receipt is attached."],
    )


@router.get("/{trade_id:id}/messages", responses=problems(NotFound, InvalidInput))
async def chat(
    trade_id: IdInPath,
    services: Deps,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[int, Query(ge=0, le=2**31 - 1, description="the number of the last message that you have")] = 0,
) -> MessagePage:
    """The trade's chat. Any message's number is a cursor: ask again with the last one for what is new."""
    async with services.engine.connect() as conn:
        trade = await visible_trade(conn, trade_id, caller)
        page = await queries.page(conn, services.box, trade_id, limit=limit, after=cursor)
    shown = [MessageShown.of(message, trade) for message in page.messages]
    return MessagePage(messages=shown, next_cursor=page.next_number)


@router.post(
    "/{trade_id:id}/messages",
    status_code=201,
    response_model=MessageShown,
    responses=problems(
        PayloadTooLarge, NotFound, IllegalTransition, InvalidInput, IdempotencyMismatch, TooManyMessages
    ),
)
async def say(
    trade_id: IdInPath, body: MessageRequest, services: Deps, caller: Caller, once: SealedOncePerKey
) -> JSONResponse:
    """Write to the other party. What was said stays: nothing is changed or deleted.

    The chat closes some time after the trade's end. Kept encrypted; arbiters may read it once there is a dispute.
    """
    async with services.engine.begin() as conn:
        trade = await visible_trade(conn, trade_id, caller)
        if (known := await once.claim(conn)) is not None:
            return known
        message = await writes.say(
            conn,
            services.box,
            trade_id,
            sender_id=caller.user_id,
            text=body.text,
            rules=services.chat,
            now=datetime.now(UTC),
        )
        return await once.answer(conn, 201, MessageShown.of(message, trade))
