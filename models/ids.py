"""Identifiers: 32 hexadecimal characters, random.

Short and plain enough to be, unchanged, a trade's id, the tail of its workflow id, the head of its
ledger keys and the idempotency key at any PIX provider (they take ``[A-Za-z0-9]{1,35}``).
"""

from uuid import uuid4


def new_id() -> str:
    return uuid4().hex
