"""One line of a user's block list."""

from datetime import datetime

from pydantic.dataclasses import dataclass

BLOCKS_MOST = 1_000
"""On one user's list."""


@dataclass(frozen=True, slots=True)
class Block:
    """``user_id``: who is blocked."""

    user_id: str
    created_at: datetime
