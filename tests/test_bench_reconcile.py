"""The bench of reconciliation works: its figures are the business of whoever runs it on a quiet machine."""

import asyncio
import json
import sys
from pathlib import Path

from models.reconciliation.types import Class

ROOT = Path(__file__).parents[1]


class TestBenchReconcile:
    async def test_accounts_for_every_row_and_meets_its_aim(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.reconcile", "--quick"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )

        output, _ = await process.communicate()

        assert process.returncode == 0
        result = json.loads(output.decode().splitlines()[-1].removeprefix("RESULT "))
        assert result["is_met"]
        assert set(result["lines_per_s"]) == {"match", "the join", "whole run"}
        assert set(result["with_an_identity"]) == set(Class)
        assert result["the_join"]["duplicate"]["recall"] == 0
