"""Attach a file to a trade's chat."""

import hashlib
from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import LimitExceeded
from models.ids import new_id
from models.p2p_file import queries
from models.p2p_file.rules import require
from models.p2p_file.tables import p2p_files
from models.p2p_file.types import FILES_MOST, P2PFile
from models.p2p_message import writes as messages
from models.p2p_message.types import ChatRules, MessageKind
from models.secret_box import SecretBox


async def attach(
    conn: AsyncConnection,
    box: SecretBox,
    trade_id: str,
    *,
    user_id: str,
    body: bytes,
    said: str,
    rules: ChatRules,
    now: datetime,
) -> P2PFile:
    """Keep a file, sealed, with its line in the chat.

    :param said: the request's ``Content-Type``.
    :raises InvalidInput: not a file that may be attached.
    :raises NotFound: there is no such trade, or it is not this user's.
    :raises IllegalTransition: the chat is closed.
    :raises TooManyMessages: it counts as a message.
    :raises LimitExceeded: the trade has as many files as it may have.
    """
    media_type = require(body, said)
    trade = await messages.admit(conn, trade_id, user_id, rules, now)
    if await queries.count(conn, trade_id) >= FILES_MOST:
        raise LimitExceeded(f"a trade has at most {FILES_MOST} files")
    file_id, digest = new_id(), hashlib.sha256(body)
    await conn.execute(
        insert(p2p_files).values(
            id=file_id,
            trade_id=trade_id,
            user_id=user_id,
            media_type=media_type,
            size_bytes=len(body),
            sha256=digest.digest(),
            body_sealed=box.seal_bytes(body, place=queries.place(file_id)),
            at=now,
        )
    )
    await messages.append(conn, box, trade, MessageKind.FILE, sender_id=user_id, now=now, file_id=file_id)
    return P2PFile(file_id, trade_id, user_id, media_type, len(body), digest.hexdigest(), now)
