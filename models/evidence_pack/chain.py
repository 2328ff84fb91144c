"""The entries of an evidence pack: canonical JSON, each with its number, the hash of the one before, and its own."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import field
from datetime import UTC, datetime

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

GENESIS = "0" * 64
"""What the first entry names as the one before."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened. ``kind``: what it is; ``body``: in clear, in no repr."""

    at: datetime
    kind: str
    body: dict[str, JsonValue] = field(repr=False)


def canonical(value: JsonValue) -> bytes:
    """One text for one value: keys sorted, no spaces, UTF-8. There are no floats in a pack."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def hash_of(entry: dict[str, JsonValue]) -> str:
    """SHA-256 of the entry without its own hash, in hexadecimal."""
    return hashlib.sha256(canonical({name: value for name, value in entry.items() if name != "hash"})).hexdigest()


def chained(facts: Iterable[Fact]) -> list[dict[str, JsonValue]]:
    """The facts as entries, in the order given."""
    entries: list[dict[str, JsonValue]] = []
    before = GENESIS
    for number, fact in enumerate(facts, start=1):
        entry: dict[str, JsonValue] = {
            "number": number,
            "at": moment(fact.at),
            "kind": fact.kind,
            "body": fact.body,
            "previous": before,
        }
        before = hash_of(entry)
        entries.append({**entry, "hash": before})
    return entries


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
