"""Cursors: opaque to clients, stable while new rows arrive."""

import base64
import binascii
import re
from datetime import datetime

from models.errors import InvalidInput

_CURSOR = re.compile(r"(?P<at>[0-9T:.-]{19,26}\+00:00)/(?P<id>[0-9a-f]{32})")


def encode(cursor: tuple[datetime, str] | None) -> str | None:
    if cursor is None:
        return None
    at, row_id = cursor
    return base64.urlsafe_b64encode(f"{at.isoformat()}/{row_id}".encode()).decode()


def decode(text: str | None) -> tuple[datetime, str] | None:
    """:raises InvalidInput: not a cursor that we gave out."""
    if text is None:
        return None
    try:
        found = _CURSOR.fullmatch(base64.b64decode(text, altchars=b"-_", validate=True).decode("ascii"))
        at = None if found is None else datetime.fromisoformat(found["at"])
    except (binascii.Error, ValueError):
        found = at = None
    if found is None or at is None:
        raise InvalidInput("pass the next_cursor of the page before, unchanged, or leave it out", field="cursor")
    return at, found["id"]
