"""A pack proves itself: whatever was done to it is found, and named."""

import base64
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from models.errors import SealBroken
from models.evidence_pack.chain import GENESIS, Fact, canonical, chained, hash_of
from models.evidence_pack.seal import (
    ENTRIES,
    FILES,
    PACK,
    EvidenceSigner,
    Member,
    assemble,
    entries_member,
    pack_member,
    signed_bytes,
)
from models.evidence_pack.verify import verify

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
SIGNER = EvidenceSigner(base64.b64encode(bytes(range(32))).decode())
OTHER = EvidenceSigner(base64.b64encode(bytes(32)).decode())
PICTURES = [b"\xff\xd8\xff" + bytes([number]) * 40 for number in range(3)]
DIGESTS = sorted(hashlib.sha256(picture).hexdigest() for picture in PICTURES)
Lines = list[bytes]


def facts() -> list[Fact]:
    return [
        Fact(NOW + timedelta(seconds=number), kind, {"text": f"line {number}: pagué ✓", "units": str(10**20)})
        for number, kind in enumerate(["trade", "message", "message", "statement", "ruling", "dispute_step"])
    ]


def members(signer: EvidenceSigner = SIGNER) -> list[Member]:
    entries = chained(facts())
    files = {hashlib.sha256(picture).hexdigest(): picture for picture in PICTURES}
    pack = pack_member(signer, trade_id="t", dispute_id="d", made_at=NOW, entries=entries, files=files)
    return [entries_member(entries), *(Member(f"{FILES}{d}", files[d]) for d in sorted(files)), pack]


def packed(*made: Member) -> bytes:
    output = io.BytesIO()
    assemble(made or members(), output)
    return output.getvalue()


def changed(change: Callable[[Lines], Lines]) -> bytes:
    """The pack with other lines in ``entries.jsonl``; its container is in order."""
    first, *rest = members()
    lines = first.body.splitlines(keepends=True)
    return packed(Member(ENTRIES, b"".join(change(lines))), *rest)


def rewritten(line: bytes, **fields: object) -> bytes:
    """An entry with other content, and the hash that fits it."""
    entry = json.loads(line) | fields
    entry["hash"] = hash_of(entry)
    return canonical(entry) + b"\n"


def rechained(lines: Lines) -> Lines:
    """As a forger would do it who knows how entries are made."""
    before, found = GENESIS, []
    for number, line in enumerate(lines, start=1):
        made = rewritten(line, number=number, previous=before)
        before = json.loads(made)["hash"]
        found.append(made)
    return found


class TestPack:
    def test_is_whole_as_it_was_made(self) -> None:
        verdict = verify(packed(), public_key=SIGNER.public_key)

        assert () == verdict.findings
        assert {"trade": 1, "message": 2, "statement": 1, "ruling": 1, "dispute_step": 1} == verdict.kinds
        assert (3, 6, "t") == (verdict.files, verdict.statement["count"], verdict.statement["trade_id"])

    def test_is_the_same_bytes_for_the_same_facts(self) -> None:
        assert packed() == packed()

    def test_is_made_to_be_read_by_anybodys_tools(self) -> None:
        """The chain and the signature, recomputed here from the format's description alone."""
        with zipfile.ZipFile(io.BytesIO(packed())) as container:
            entries = [json.loads(line) for line in container.read(ENTRIES).splitlines()]
            statement = json.loads(container.read(PACK))
            bodies = {name: container.read(name) for name in container.namelist() if name.startswith(FILES)}
        before = "0" * 64
        for number, entry in enumerate(entries, start=1):
            digest = entry.pop("hash")
            plain = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            assert (number, before, hashlib.sha256(plain).hexdigest()) == (entry["number"], entry["previous"], digest)
            before = digest
        signature = base64.b64decode(statement.pop("signature"))
        plain = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        key = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
        key.verify(signature, b"liquida evidence pack 1\n" + plain)

        assert before == statement["head"]
        assert base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode() == statement["public_key"]
        assert {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()} == {
            f"{FILES}{digest}": digest for digest in statement["files"]
        }

    def test_of_another_house_is_seen_by_its_key(self) -> None:
        forged = packed(*members(OTHER))

        assert verify(forged).is_whole
        assert ("pack.json is signed by another key than the one given",) == verify(
            forged, public_key=SIGNER.public_key
        ).findings


class TestChange:
    @pytest.mark.parametrize("name", [ENTRIES, PACK, f"{FILES}{DIGESTS[0]}"], ids=["entries", "pack", "file"])
    def test_of_any_byte_of_a_member_is_found_and_named(self, name: str) -> None:
        """Every byte in turn, to one other value each; the container is made anew each time, so it tells nothing."""
        made = members()
        place = next(number for number, member in enumerate(made) if member.name == name)
        body, pick = made[place].body, random.Random(1)

        for at in range(len(body)):
            other = body[:at] + bytes([body[at] ^ pick.randrange(1, 256)]) + body[at + 1 :]
            made[place] = Member(name, other)
            findings = verify(packed(*made)).findings

            assert findings, at
            number = body[:at].count(b"\n") + 1
            if name == ENTRIES:
                assert any(f"entry {number} " in said or f"line {number}" in said for said in findings), (
                    at,
                    findings,
                )
            else:
                assert any(said.startswith(name) for said in findings), (at, findings)

    def test_of_any_byte_of_the_container_is_found(self) -> None:
        pack, pick = packed(), random.Random(2)

        for at in range(len(pack)):
            other = pack[:at] + bytes([pack[at] ^ pick.randrange(1, 256)]) + pack[at + 1 :]

            assert not verify(other, public_key=SIGNER.public_key).is_whole, at

    @pytest.mark.parametrize("lost", [1, 2, 30, 100, 500, 1000])
    def test_cut_short_anywhere_is_found(self, lost: int) -> None:
        assert not verify(packed()[:-lost]).is_whole

    def test_of_bytes_before_or_behind_it_is_found(self) -> None:
        for other in (packed() + b"x", b"x" + packed(), packed() + packed()):
            assert not verify(other).is_whole

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (lambda ls: ls[:2] + ls[3:], ["entry 3 was removed"]),
            (lambda ls: ls[:-2], ["entry 5 was removed", "entry 6 was removed"]),
            (lambda ls: ls[1:], ["entry 1 was removed"]),
            (lambda ls: [], [f"entry {number} was removed" for number in range(1, 7)]),
            (lambda ls: [ls[0], ls[2], ls[1], *ls[3:]], ["entry 3 was moved"]),
            (lambda ls: [ls[0], *ls[2:5], ls[1], ls[5]], ["entry 2 was moved"]),
            (lambda ls: [*ls, ls[2]], ["entry 3 is there more than once"]),
            (lambda ls: [*ls[:3], rewritten(ls[2], body={"text": "new"}), *ls[3:]], ["an entry was added as line 4"]),
            (lambda ls: [*ls[:3], rewritten(ls[3], body={"text": "no"}), *ls[4:]], ["entry 4 was changed"]),
            (lambda ls: [*ls[:3], b"not json\n", *ls[4:]], ["entry 4 was changed"]),
            (lambda ls: [*ls[:3], ls[3].replace(b'","', b'", "', 1), *ls[4:]], ["entry 4 was changed"]),
            (
                lambda ls: [rewritten(ls[0], kind="x"), *ls[1:4], *ls[5:]],
                ["entry 1 was changed", "entry 5 was removed"],
            ),
            (lambda ls: [*ls[:-1], ls[-1].rstrip(b"\n")], ["entries.jsonl does not end as it was written"]),
        ],
        ids=[
            *("one removed", "cut at the end", "first removed", "all removed", "two swapped", "moved down"),
            *("repeated", "added", "rewritten", "garbage", "reformatted", "two things at once", "no newline"),
        ],
    )
    def test_of_entries_is_named(self, change: Callable[[Lines], Lines], expected: list[str]) -> None:
        assert expected == list(verify(changed(change)).findings)

    def test_of_all_hashes_that_fit_again_is_named_all_the_same(self) -> None:
        """Whoever makes the chain anew cannot sign it."""
        findings = verify(changed(lambda ls: rechained([ls[0], *ls[2:]]))).findings

        assert "entry 2 was changed" in findings
        assert "entry 6 was removed" in findings

    def test_of_the_list_with_the_chain_breaks_the_signature(self) -> None:
        entries = chained([*facts()[:2], *facts()[3:]])
        statement = json.loads(members()[-1].body)
        hashes = [entry["hash"] for entry in entries]
        statement |= {"count": len(hashes), "head": hashes[-1], "hashes": hashes}
        forged = Member(PACK, canonical(statement) + b"\n")

        findings = verify(packed(entries_member(entries), *members()[1:-1], forged)).findings

        assert ("pack.json was changed: its signature does not fit",) == findings

    def test_of_entries_without_a_list_to_compare_with_is_named_by_the_chain(self) -> None:
        first, *files, _ = members()
        lines = first.body.splitlines(keepends=True)
        body = b"".join([*lines[:2], *lines[3:5], lines[5].replace(b"line 5", b"line 6")])

        findings = verify(packed(Member(ENTRIES, body), *files)).findings

        assert "pack.json was removed: nothing says what must be here" in findings
        assert "entry 4 does not follow the one before it, as line 3" in findings
        assert "entry 6 was changed" in findings

    def test_of_files_is_named(self) -> None:
        first, *files, last = members()
        gone, kept = files[0], files[1:]
        stranger = Member(f"{FILES}{'a' * 64}", b"other")
        assert (f"{gone.name} was removed",) == verify(packed(first, *kept, last)).findings
        assert (f"{stranger.name} was added",) == verify(packed(first, *files, stranger, last)).findings
        assert ("note.txt was added",) == verify(packed(first, *files, Member("note.txt", b""), last)).findings
        assert ("entries.jsonl was removed" in verify(packed(*files, last)).findings) is True

        swapped = [Member(files[0].name, files[1].body), Member(files[1].name, files[0].body), *files[2:]]
        assert {f"{files[0].name} was changed", f"{files[1].name} was changed"} == set(
            verify(packed(first, *swapped, last)).findings
        )

    def test_of_the_members_order_or_number_is_found(self) -> None:
        first, *files, last = members()

        with pytest.warns(UserWarning, match="Duplicate name"):
            twice = packed(first, *files, files[0], last)

        assert not verify(packed(last, *files, first)).is_whole
        assert (f"{files[0].name} is there more than once",) == verify(twice).findings

    def test_of_the_container_alone_is_found(self) -> None:
        """The same members, packed by another program."""
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as container:
            for member in members():
                container.writestr(member.name, member.body)

        assert not verify(output.getvalue()).is_whole


class TestStranger:
    """A pack that somebody made to do harm is examined like any other."""

    @pytest.mark.parametrize(
        "line",
        [b'{"number": NaN}', b'{"text": "\\ud800"}', b"[" * 5000, b"\xff\xfe", b"1e999", b'{"number": 1e999}', b""],
        ids=["nan", "surrogate", "nested", "not utf-8", "number", "infinite", "empty"],
    )
    def test_line_stops_nothing(self, line: bytes) -> None:
        first, *rest = members()
        body = first.body.splitlines(keepends=True)

        strange = packed(Member(ENTRIES, b"".join([line + b"\n", *body[1:]])), *rest)

        assert ("entry 1 was changed",) == verify(strange).findings

    @pytest.mark.parametrize("name", ["hashes", "files"])
    @pytest.mark.parametrize("value", [None, "x", [1], [[]], {}], ids=["none", "text", "number", "list", "object"])
    def test_list_stops_nothing(self, name: str, value: object) -> None:
        statement = json.loads(members()[-1].body) | {name: value, "public_key": OTHER.public_key}
        statement["signature"] = OTHER.sign(statement)

        strange = packed(*members()[:-1], Member(PACK, canonical(statement) + b"\n"))

        assert "pack.json was changed: it is not written as ours" in verify(strange).findings

    def test_bytes_are_no_pack(self) -> None:
        for strange in (b"", b"PK", random.Random(3).randbytes(500), packed()[:22]):
            assert ("the container cannot be read: it is cut short, or was changed",) == verify(strange).findings


class TestSigner:
    @pytest.mark.parametrize("key", ["", "c2hvcnQ=", "not base64!"])
    def test_needs_a_whole_seed(self, key: str) -> None:
        with pytest.raises(SealBroken, match="LIQUIDA_EVIDENCE_KEY"):
            EvidenceSigner(key)

    def test_signs_packs_and_nothing_that_looks_like_one(self) -> None:
        assert signed_bytes({"a": 1}).startswith(b"liquida evidence pack 1\n")
