"""One attachment of a P2P trade's chat."""

from dataclasses import field
from datetime import datetime
from enum import StrEnum

from pydantic.dataclasses import dataclass

FILE_BYTES_MOST = 5 * 1024 * 1024
FILES_MOST = 20
"""Of one trade."""


class MediaType(StrEnum):
    """What may be attached, by the names that HTTP gives them."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    PDF = "application/pdf"


@dataclass(frozen=True, slots=True)
class P2PFile:
    """``sha256``: of the clear bytes, in hexadecimal. ``user_id``: who attached it."""

    id: str
    trade_id: str
    user_id: str
    media_type: MediaType
    size_bytes: int
    sha256: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A file with its clear bytes, which are in no repr."""

    file: P2PFile
    body: bytes = field(repr=False)
