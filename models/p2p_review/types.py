"""One review."""

from datetime import datetime

from pydantic.dataclasses import dataclass

WORDS_MOST = 500
"""Characters of a comment, and of a reply."""


@dataclass(frozen=True, slots=True)
class Review:
    """``subject_id``: who is reviewed. ``stars``: 1 to 5."""

    id: str
    trade_id: str
    author_id: str
    subject_id: str
    stars: int
    comment: str
    reply: str | None
    created_at: datetime
    replied_at: datetime | None
