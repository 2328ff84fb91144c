"""Whether an evidence pack is as it was made, offline. What is not is named: which entry or file, and what happened.

The signed list of all entries' hashes says what must be there; without a valid signature each entry's own hash and
the chain are what is left to compare with, and the pack proves nothing.
"""

import base64
import binascii
import difflib
import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from models.evidence_pack.chain import GENESIS, canonical, hash_of
from models.evidence_pack.seal import ENTRIES, FILES, FORMAT, PACK, Member, assemble, signed_bytes

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_NOT_EXPECTED = "?"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``statement``: what ``pack.json`` says, as far as it can be read. ``kinds``: how many entries of each kind.
    ``findings``: what is amiss, each a sentence; empty: nothing.
    """

    statement: dict[str, Any] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    files: int = 0
    findings: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class _Line:
    """``hash``: of its content, if it is written as an entry of ours would be, else None. ``number``: its own."""

    hash: str | None
    number: int | None
    previous: str | None
    kind: str


def verify(pack: bytes, *, public_key: str | None = None) -> Verdict:
    """Examine a pack.

    :param public_key: the house's, base64, from elsewhere than the pack; without it, the pack's own word is taken.
    """
    try:
        members = _members(pack)
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError, OverflowError):
        return Verdict(findings=("the container cannot be read: it is cut short, or was changed",))
    findings = [f"{name} is there more than once" for name in _repeated([member.name for member in members])]
    by_name = {member.name: member.body for member in members}
    statement, faults = _statement(by_name.get(PACK), public_key)
    findings += faults
    lines, faults = _lines(by_name.get(ENTRIES))
    findings += faults
    listed = _texts(statement.get("hashes")) if not any(fault.startswith(PACK) for fault in findings) else None
    findings += _chain_faults(lines) if listed is None else _entry_faults(lines, listed)
    findings += _file_faults(by_name, statement)
    if not findings and not _is_as_made(pack, members):
        findings.append("the container was changed beside its members")
    kinds: dict[str, int] = {}
    for line in lines:
        kinds[line.kind] = kinds.get(line.kind, 0) + 1
    files = sum(name.startswith(FILES) for name in by_name)
    return Verdict(statement, kinds, files, tuple(dict.fromkeys(findings)))


def _members(pack: bytes) -> list[Member]:
    """Their bytes as they lie there, whatever the container's own checksums say of them.

    :raises ValueError: it is not a container that we made.
    """
    found = []
    with zipfile.ZipFile(io.BytesIO(pack)) as container:
        for info in container.infolist():
            header = _LOCAL_HEADER.unpack_from(pack, info.header_offset)
            start = info.header_offset + _LOCAL_HEADER.size + header[9] + header[10]
            body = pack[start : start + info.file_size]
            if info.compress_type != zipfile.ZIP_STORED or len(body) != info.file_size:
                raise ValueError(info.filename)
            found.append(Member(info.filename, body))
    return found


def _statement(body: bytes | None, public_key: str | None) -> tuple[dict[str, Any], list[str]]:
    if body is None:
        return {}, [f"{PACK} was removed: nothing says what must be here"]
    statement = _object(body.removesuffix(b"\n"))
    lists = (None, None) if statement is None else (_texts(statement.get("hashes")), _texts(statement.get("files")))
    is_ours = statement is not None and body == canonical(statement) + b"\n" and statement.get("format") == FORMAT
    if statement is None or not is_ours or None in lists:
        return statement or {}, [f"{PACK} was changed: it is not written as ours"]
    if public_key is not None and statement.get("public_key") != public_key.strip():
        return statement, [f"{PACK} is signed by another key than the one given"]
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(str(statement.get("public_key")), validate=True))
        signature = base64.b64decode(str(statement.get("signature")), validate=True)
        key.verify(signature, signed_bytes(statement))
    except (InvalidSignature, ValueError, binascii.Error):
        return statement, [f"{PACK} was changed: its signature does not fit"]
    if base64.b64encode(signature).decode() != statement["signature"]:
        return statement, [f"{PACK} was changed: its signature is not written as ours"]
    return statement, []


def _lines(body: bytes | None) -> tuple[list[_Line], list[str]]:
    if body is None:
        return [], [f"{ENTRIES} was removed"]
    texts = body.split(b"\n")
    faults = [] if texts[-1] == b"" else [f"{ENTRIES} does not end as it was written"]
    return [_line(text) for text in (texts[:-1] if texts[-1] == b"" else texts)], faults


def _line(text: bytes) -> _Line:
    entry = _object(text)
    if entry is None:
        return _Line(None, None, None, _NOT_EXPECTED)
    number = entry.get("number")
    own = hash_of(entry)
    is_ours = entry.get("hash") == own and canonical(entry) == text
    return _Line(
        own if is_ours else None,
        number if isinstance(number, int) else None,
        str(entry.get("previous")),
        str(entry.get("kind", _NOT_EXPECTED)),
    )


def _entry_faults(lines: Sequence[_Line], listed: Sequence[str]) -> Iterator[str]:
    """What happened to the entries of the signed list."""
    there = {line.hash for line in lines}
    known = set(listed)
    hashes = [line.hash or _NOT_EXPECTED for line in lines]
    seen: set[str] = set()
    matcher = difflib.SequenceMatcher(a=list(listed), b=hashes, autojunk=False)
    for kind, was, until, now, end in matcher.get_opcodes():
        if kind == "equal":
            seen.update(hashes[now:end])
            continue
        gone = [number for number in range(was, until) if listed[number] not in there]
        strange = [number for number in range(now, end) if hashes[number] not in known]
        for number, _ in zip(gone, strange, strict=False):
            yield f"entry {number + 1} was changed"
        for number in gone[len(strange) :]:
            yield f"entry {number + 1} was removed"
        for number in strange[len(gone) :]:
            yield f"an entry was added as line {number + 1}"
    places = {digest: number for number, digest in enumerate(listed, start=1)}
    kept = [places[digest] for digest in hashes if digest in known]
    for number in sorted(set(kept)):
        if kept.count(number) > 1:
            yield f"entry {number} is there more than once"
    order = list(dict.fromkeys(kept))
    for number in _moved(order):
        yield f"entry {number} was moved"


def _moved(order: Sequence[int]) -> list[int]:
    """The fewest whose absence would leave the rest in their order."""
    matcher = difflib.SequenceMatcher(a=sorted(order), b=list(order), autojunk=False)
    kept = {order[block.b + step] for block in matcher.get_matching_blocks() for step in range(block.size)}
    return [number for number in order if number not in kept]


def _chain_faults(lines: Sequence[_Line]) -> Iterator[str]:
    """Without a list that can be trusted: what the entries say of each other."""
    before = GENESIS
    for place, line in enumerate(lines, start=1):
        if line.hash is None:
            yield f"entry {line.number or place} was changed"
        elif line.number != place or line.previous != before:
            yield f"entry {line.number} does not follow the one before it, as line {place}"
        before = line.hash or _NOT_EXPECTED


def _file_faults(by_name: dict[str, bytes], statement: dict[str, Any]) -> Iterator[str]:
    wanted = {f"{FILES}{digest}" for digest in _texts(statement.get("files")) or ()}
    for name, body in by_name.items():
        if name in {ENTRIES, PACK}:
            continue
        if name not in wanted:
            yield f"{name} was added"
        elif hashlib.sha256(body).hexdigest() != name.removeprefix(FILES):
            yield f"{name} was changed"
    for name in sorted(wanted - set(by_name)):
        yield f"{name} was removed"


def _is_as_made(pack: bytes, members: Sequence[Member]) -> bool:
    again = io.BytesIO()
    assemble(members, again)
    return again.getvalue() == pack and [member.name for member in members] == _order(members)


def _order(members: Sequence[Member]) -> list[str]:
    return [ENTRIES, *sorted(member.name for member in members if member.name.startswith(FILES)), PACK]


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _object(text: bytes) -> dict[str, Any] | None:
    """What may be written canonically, so that nothing a stranger wrote can stop the examination."""
    try:
        found = json.loads(text)
        canonical(found)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _texts(value: object) -> list[str] | None:
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else None
