"""A person's words that are kept for ever, in audit logs, histories and ledgers, where nothing personal may be."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_TAX_ID = re.compile(r"(?<![0-9A-Za-z])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![0-9A-Za-z])")
_PLAIN = r"^[A-Za-z0-9 ._:/#-]+$"
_WORDS = r"^[\w .,;:/#()-]+$"


def _without_person(words: str) -> str:
    if _TAX_ID.search(words):
        raise ValueError("must be a document's reference without personal data, such as a CPF or a phone number")
    return words


Evidence = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=_PLAIN,
        description="a document's reference, such as a ticket or a statement line; nothing personal",
        examples=["ticket 4711 statement 2026-01-05 line 12"],
    ),
    AfterValidator(_without_person),
]

Reason = Annotated[
    str,
    Field(
        min_length=3,
        max_length=200,
        pattern=_WORDS,
        description="why, for the user's history to show: a document's reference or a few words; nothing personal",
        examples=["ticket 4711: goodwill for the outage of 2026-01-05"],
    ),
    AfterValidator(_without_person),
]
