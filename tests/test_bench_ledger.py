"""The ledger's bench works: its figures are the business of whoever runs it on a quiet machine."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RATIOS = {
    "single_vs_raw",
    "batched_per_s",
    "batched_vs_raw_batched",
    "hot_vs_uniform_batched",
    "door_vs_raw",
    "duplicates_cost",
    "sealing_p99",
    "vs_tpcb_hot",
}


class TestBenchLedger:
    @pytest.mark.timeout(300)  # half a minute on a machine that does nothing else
    async def test_measures_every_load_and_finds_the_books_right_after_each(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.ledger", "--quick"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )

        output, _ = await process.communicate()

        assert process.returncode == 0
        last = output.decode().splitlines()[-1]
        result = json.loads(last.removeprefix("RESULT "))
        assert result["failures"] == {}
        assert set(result["ratios"]) == RATIOS
        assert all(row["per_second"] > 0 and row["p50_ms"] <= row["p99_ms"] for row in result["rows"])
