"""``liquida evidence ...`` as anybody runs it: with no settings, no database and no network."""

import asyncio
import base64
import os
import sys
from pathlib import Path

from tests.models.test_evidence_pack import SIGNER, changed, packed


async def evidence(cwd: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """In an empty directory; exit code, output and errors."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LIQUIDA_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "liquida", "evidence", *arguments),
        cwd=cwd,
        env=plain | environment,
        stdout=-1,
        stderr=-1,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


class TestVerify:
    async def test_says_what_is_in_a_whole_pack(self, tmp_path: Path) -> None:
        (tmp_path / "pack.zip").write_bytes(packed())

        code, said, _ = await evidence(tmp_path, "verify", "pack.zip", "--public-key", SIGNER.public_key)

        assert 0 == code
        assert "entries of kind message: 2" in said
        assert "nothing was changed" in said

    async def test_fails_and_names_what_is_amiss(self, tmp_path: Path) -> None:
        (tmp_path / "pack.zip").write_bytes(changed(lambda lines: lines[:2] + lines[3:]))

        code, said, _ = await evidence(tmp_path, "verify", "pack.zip")

        assert 1 == code
        assert "AMISS: entry 3 was removed" in said
        assert "nothing was changed" not in said

    async def test_fails_where_there_is_no_pack(self, tmp_path: Path) -> None:
        code, _, said = await evidence(tmp_path, "verify", "none.zip")

        assert (1, "none.zip cannot be read: No such file or directory\n") == (code, said)


class TestPublicKey:
    async def test_is_the_one_that_packs_name(self, tmp_path: Path) -> None:
        key = base64.b64encode(bytes(range(32))).decode()

        code, said, _ = await evidence(tmp_path, "public-key", LIQUIDA_EVIDENCE_KEY=key)

        assert (0, f"{SIGNER.public_key}\n") == (code, said)
