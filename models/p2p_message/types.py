"""One line of a P2P trade's chat."""

from dataclasses import field
from datetime import datetime
from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.p2p_file.types import P2PFile

TEXT_MOST = 2_000
DAY_SECONDS = 24 * 60 * 60


class MessageKind(StrEnum):
    """``AUTO_REPLY``: what the maker had prepared for everybody who takes the order. ``FILE``: an attachment."""

    TEXT = "text"
    AUTO_REPLY = "auto_reply"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class P2PMessage:
    """``number``: its place in the trade's chat, from 1 without gaps. ``text``: in clear, in no repr; empty of a
    file's line.
    """

    id: str
    trade_id: str
    number: int
    kind: MessageKind
    sender_id: str
    at: datetime
    text: str = field(default="", repr=False)
    file: P2PFile | None = None


@dataclass(frozen=True, slots=True)
class ChatRules:
    """``most_per_minute``: of one user, in all their chats. ``open_seconds``: how long after the trade's end a chat
    may still be written to.
    """

    most_per_minute: int = 30
    open_seconds: float = 30 * DAY_SECONDS
