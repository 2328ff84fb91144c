"""Kill a process between any two lines that move money: the trade completes, once.

For each step a worker is stopped dead at that line; then the worker, Temporal or PostgreSQL is killed with
``kill -9`` and started again. Afterwards a sale has completed with one transfer on chain and one payout at the bank, a
purchase with one charge, one delivery and as many devoluções as there were wrong payments; every law of the books
holds, and ledger, chain and bank agree to the last unit.
"""

import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.steps import STEPS, Fault, Step
from tests.chaos.world import World
from tests.desk import ETHER, Desk, Person
from tests.people import cpf

RECORDING = os.environ.get("LIQUIDA_CRASH_MATRIX")
CASES = [
    (step, fault)
    for step in STEPS
    for fault in Fault
    if RECORDING or step.edge or (fault is Fault.WORKER and not step.rare)
]
SALES = [(step, fault) for step, fault in CASES if not step.is_purchase]
PURCHASES = [(step, fault) for step, fault in CASES if step.is_purchase]
STRANGER = cpf(888_888)


def _ids(cases: list[tuple[Step, Fault]]) -> list[str]:
    return [f"{step.name}-{fault.name.lower()}" for step, fault in cases]


@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("step", "fault"), SALES, ids=_ids(SALES))
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
    record(step, fault, ended["status"], seconds, payouts=len(payouts), transfers=len(transfers))


@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("step", "fault"), PURCHASES, ids=_ids(PURCHASES))
async def test_a_purchase_is_delivered_exactly_once(world: World, step: Step, fault: Fault) -> None:
    desk = world.desk
    ana, there = await desk.person(), desk.fresh_address()
    wrong = 1 if step.funding == "stranger" else 0
    halt_dir = await world.work(step.at)
    async with desk.left_to_the_relay():
        trade = await accepted(desk, ana, there)
    if not step.name.startswith("charge-"):
        await desk.payable(ana, trade, seconds=90)
        desk.bank.pay(trade["id"], **({"payer_tax_id": STRANGER} if wrong else {}))
    await world.reached(halt_dir)

    await world.strike(fault, halt_dir)
    started = time.monotonic()
    if step.name.startswith("charge-"):
        await desk.payable(ana, trade, seconds=90)
        desk.bank.pay(trade["id"])
    if wrong:
        await refunded(desk, ana, trade)
        desk.bank.pay(trade["id"])
    ended = await desk.until(ana, trade, "completed", seconds=90)
    seconds = time.monotonic() - started

    await desk.balanced()
    deliveries = [t["status"] for t in (await desk.why(ana, trade))["transfers"]]
    charges = [charge for charge in desk.bank.charges() if charge["key"] == trade["id"]]
    came = {receipt["end_to_end_id"]: receipt["status"] for receipt in ended["payment"]["receipts"]}
    refunds = [refund["state"] for refund in desk.bank.refunds() if refund["end_to_end_id"] in came]
    assert ["final"] == deliveries
    assert int(Decimal(ended["amount"]) * ETHER) == await desk.coins(there)
    assert 1 == len(charges)
    assert ["refunded"] * wrong == refunds
    assert ["credited"] + ["refunded"] * wrong == sorted(came.values())
    counts = {"charges": len(charges), "deliveries": len(deliveries), "refunds": len(refunds)}
    record(step, fault, ended["status"], seconds, **counts)


async def accepted(desk: Desk, person: Person, there: str) -> Any:
    order = {
        "operation": "buy",
        "asset": "ETH",
        "network": "ethereum",
        "pay_brl": "150.00",
        "delivery_address": there,
    }
    quote = await desk.post(person, "/api/v1/instant-trade/quote", order)
    return await desk.post(person, "/api/v1/instant-trade/create", {"quote_id": quote["id"]})


async def refunded(desk: Desk, person: Person, trade: Any) -> None:
    async def is_back() -> bool:
        shown = await desk.get(person, f"/api/v1/instant-trade/{trade['id']}")
        return ["refunded"] == [receipt["status"] for receipt in shown["payment"]["receipts"]]

    await desk.eventually(is_back, "the stranger's reais to go back", seconds=90)


def record(step: Step, fault: Fault, status: str, seconds: float, **counts: int) -> None:
    """For ``make crash-matrix``: one line per case."""
    if RECORDING:
        line = {
            "step": step.name,
            "fault": fault.value,
            "status": status,
            "seconds": round(seconds, 1),
            **counts,
        }
        with Path(RECORDING).open("a") as output:
            output.write(json.dumps(line) + "\n")
