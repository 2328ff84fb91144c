"""Kill a process between any two lines that move money: the trade completes, once.

For each step a worker is stopped dead at that line; then the worker, Temporal or PostgreSQL is killed with
``kill -9`` and started again. Afterwards the trade has completed with one transfer on chain and one payout at the
bank, every law of the books holds, and ledger, chain and bank agree to the last unit.
"""

import json
import os
import time
from pathlib import Path

import pytest

from tests.chaos.steps import STEPS, Fault, Step
from tests.chaos.world import World
from tests.desk import ETHER

RECORDING = os.environ.get("LIQUIDA_CRASH_MATRIX")
CASES = [(step, fault) for step in STEPS for fault in Fault if RECORDING or step.edge or fault is Fault.WORKER]


@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("step", "fault"), CASES, ids=[f"{step.name}-{fault.name.lower()}" for step, fault in CASES])
async def test_a_trade_completes_exactly_once(world: World, step: Step, fault: Fault) -> None:
    desk = world.desk
    ana = await desk.person()
    if step.funding == "custody":
        await desk.give(ana, ETHER)
    halt_dir = await world.work(step.at)
    async with desk.left_to_the_relay():
        trade = await desk.sell(ana, "0.5", funding=step.funding)
    if step.funding == "deposit":
        await desk.send(trade["deposit_address"], ETHER // 2)
    await world.reached(halt_dir)

    await world.strike(fault, halt_dir)
    started = time.monotonic()
    ended = await desk.until(ana, trade, "completed", seconds=90)
    seconds = time.monotonic() - started

    await desk.balanced()
    transfers = [t for t in (await desk.why(ana, trade))["transfers"] if t["purpose"] == "custody"]
    payouts = desk.payouts_of(trade)
    assert ([1] if step.funding == "custody" else []) == [1 for t in transfers if t["status"] == "final"]
    assert ["paid"] == [payout["state"] for payout in payouts]
    record(step, fault, ended["status"], len(payouts), len(transfers), seconds)


def record(step: Step, fault: Fault, status: str, payouts: int, transfers: int, seconds: float) -> None:
    """For ``make crash-matrix``: one line per case."""
    if RECORDING:
        line = {
            "step": step.name,
            "fault": fault.value,
            "status": status,
            "payouts": payouts,
            "transfers": transfers,
            "seconds": round(seconds, 1),
        }
        with Path(RECORDING).open("a") as output:
            output.write(json.dumps(line) + "\n")
