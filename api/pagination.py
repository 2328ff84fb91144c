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
    return encode_text(f"{at.isoformat()}/{row_id}")


def decode(text: str | None) -> tuple[datetime, str] | None:
    """:raises InvalidInput: not a cursor that we gave out."""
    if text is None:
        return None
    found = decode_text(text, _CURSOR)
    try:
        return datetime.fromisoformat(found["at"]), found["id"]
    except ValueError:
        raise _foreign() from None


def encode_text(place: str) -> str:
    """The cursor of a list that is sorted by something else than time."""
    return base64.urlsafe_b64encode(place.encode()).decode()


def decode_text(cursor: str, form: re.Pattern[str]) -> re.Match[str]:
    """:raises InvalidInput: not a cursor of this form."""
    try:
        found = form.fullmatch(base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii"))
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise _foreign()
    return found


def _foreign() -> InvalidInput:
    return InvalidInput("pass the next_cursor of the page before, unchanged, or leave it out", field="cursor")
