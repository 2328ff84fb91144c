"""The container of an evidence pack: a ZIP without compression, in which every byte follows from its members.

So a pack that was changed anywhere, between its members too, is not the one that :class:`Pack` makes of them.
"""

import base64
import binascii
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import JsonValue

from models.errors import SealBroken
from models.evidence_pack.chain import GENESIS, canonical, moment

FORMAT = "liquida-evidence-pack/1"
ENTRIES, PACK, FILES = "entries.jsonl", "pack.json", "files/"
_DOMAIN = b"liquida evidence pack 1\n"
"""Before what is signed, so that no signature of another thing passes for one of a pack."""
_KEY_BYTES = 32
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_READ_ONLY = 0o100444 << 16


class EvidenceSigner:
    """Signs packs with Ed25519 (RFC 8032).

    :param key_base64: the seed: 32 random bytes, base64.
    :raises SealBroken: it is not 32 bytes.
    """

    def __init__(self, key_base64: str) -> None:
        try:
            seed = base64.b64decode(key_base64, validate=True)
        except (ValueError, binascii.Error):
            seed = b""
        if len(seed) != _KEY_BYTES:
            raise SealBroken("LIQUIDA_EVIDENCE_KEY must be 32 bytes in base64")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> str:
        """To be published: 32 bytes, base64."""
        return base64.b64encode(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

    def sign(self, statement: dict[str, JsonValue]) -> str:
        return base64.b64encode(self._key.sign(signed_bytes(statement))).decode()


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    body: bytes


def signed_bytes(statement: dict[str, JsonValue]) -> bytes:
    """What the signature of ``pack.json`` is over: all of it but the signature."""
    return _DOMAIN + canonical({name: value for name, value in statement.items() if name != "signature"})


def entries_member(entries: Iterable[dict[str, JsonValue]]) -> Member:
    return Member(ENTRIES, b"".join(canonical(entry) + b"\n" for entry in entries))


def pack_member(
    signer: EvidenceSigner,
    *,
    trade_id: str,
    dispute_id: str,
    made_at: datetime,
    entries: list[dict[str, JsonValue]],
    files: Iterable[str],
) -> Member:
    """``pack.json``: which entries and files there are, signed.

    :param files: their SHA-256 in hexadecimal.
    """
    hashes = [entry["hash"] for entry in entries]
    statement: dict[str, JsonValue] = {
        "format": FORMAT,
        "trade_id": trade_id,
        "dispute_id": dispute_id,
        "made_at": moment(made_at),
        "count": len(hashes),
        "head": hashes[-1] if hashes else GENESIS,
        "hashes": hashes,
        "files": [*sorted(set(files))],
        "public_key": signer.public_key,
    }
    return Member(PACK, canonical({**statement, "signature": signer.sign(statement)}) + b"\n")


class Pack:
    """Writes the container: each member once, in the order in which they are added, as it is."""

    def __init__(self, output: IO[bytes]) -> None:
        self._container = zipfile.ZipFile(output, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def add(self, member: Member) -> None:
        self._container.writestr(_info(member.name), member.body)


def assemble(members: Iterable[Member], output: IO[bytes]) -> None:
    """Write a whole container."""
    with Pack(output) as pack:
        for member in members:
            pack.add(member)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIRST_DAY)
    info.create_system, info.external_attr = _UNIX, _READ_ONLY
    return info
