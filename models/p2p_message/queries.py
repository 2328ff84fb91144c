"""Reads of chats."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic.dataclasses import dataclass
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.p2p_file.tables import p2p_files
from models.p2p_file.types import MediaType, P2PFile
from models.p2p_message.tables import p2p_messages
from models.p2p_message.types import MessageKind, P2PMessage
from models.secret_box import SecretBox

_M, _F = p2p_messages.c, p2p_files.c


@dataclass(frozen=True, slots=True)
class Page:
    """``next_number``: the number to read on after; None at the end."""

    messages: list[P2PMessage]
    next_number: int | None


def place(message_id: str) -> str:
    """Where a sealed text opens."""
    return f"p2p_messages/{message_id}/text"


async def page(conn: AsyncConnection, box: SecretBox, trade_id: str, *, limit: int, after: int = 0) -> Page:
    """A trade's chat, oldest first, after the line of that number.

    :raises SealBroken: a text does not open with this key.
    """
    statement = (
        select(
            *(_M.id, _M.trade_id, _M.number, _M.kind, _M.sender_id, _M.at, _M.text_sealed, _M.file_id),
            *(_F.media_type, _F.size_bytes, _F.sha256, _F.at.label("file_at")),
        )
        .select_from(p2p_messages.outerjoin(p2p_files, _F.id == _M.file_id))
        .where(_M.trade_id == trade_id, _M.number > after)
        .order_by(_M.number)
        .limit(limit + 1)
    )
    found = [_message(box, row) for row in await conn.execute(statement)]
    shown = found[:limit]
    return Page(shown, shown[-1].number if len(found) > limit else None)


async def everything(conn: AsyncConnection, box: SecretBox, trade_id: str) -> Sequence[P2PMessage]:
    """The whole chat, oldest first."""
    found: list[P2PMessage] = []
    after: int | None = 0
    while after is not None:
        read = await page(conn, box, trade_id, limit=500, after=after)
        found += read.messages
        after = read.next_number
    return found


async def last_number(conn: AsyncConnection, trade_id: str) -> int:
    """0 before the first line."""
    statement = select(func.coalesce(func.max(_M.number), 0)).where(_M.trade_id == trade_id)
    return int((await conn.execute(statement)).scalar_one())


async def sent_since(conn: AsyncConnection, sender_id: str, now: datetime, *, seconds: float) -> int:
    """How many lines a user wrote of late, in all chats, without those that were prepared."""
    since = now - timedelta(seconds=seconds)
    statement = select(func.count()).where(
        _M.sender_id == sender_id, _M.at > since, _M.kind != MessageKind.AUTO_REPLY
    )
    return int((await conn.execute(statement)).scalar_one())


def _message(box: SecretBox, row: Any) -> P2PMessage:
    file = None
    if row.file_id is not None:
        file = P2PFile(
            row.file_id,
            row.trade_id,
            row.sender_id,
            MediaType(row.media_type),
            row.size_bytes,
            row.sha256.hex(),
            row.file_at,
        )
    text = "" if row.text_sealed is None else box.open(row.text_sealed, place=place(row.id))
    return P2PMessage(row.id, row.trade_id, row.number, MessageKind(row.kind), row.sender_id, row.at, text, file)
