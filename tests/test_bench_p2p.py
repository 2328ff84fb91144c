"""The bench of P2P trades works: its figures are the business of whoever runs it on a quiet machine."""

import asyncio
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class TestBenchP2P:
    async def test_expires_every_trade_and_says_how_late(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.p2p", "--quick"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )

        output, _ = await process.communicate()

        assert process.returncode == 0
        result = json.loads(output.decode().splitlines()[-1].removeprefix("RESULT "))
        assert {} == result["broken_laws"]
        assert 20 == result["open_at_once"]
        assert 0 <= result["p2p_trades"]["lag_ms_p50"] <= result["p2p_trades"]["lag_ms_most"]
        assert set(result["p2p_trades"]) == set(result["bare_timers"])
