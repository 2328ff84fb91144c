"""Histories: they replay on today's code, and nobody can be recognised in them; nor in the logs.

``make histories`` (this file with ``LIQUIDA_RECORD_HISTORIES=1``) records new ones under ``tests/histories/``.
A recorded history is never edited: if it does not replay, running trades would be stuck by the change.
"""

import io
import json
import logging
import os
import re
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from liquida.logging import configure
from liquida.worker import RUNNER, WORKFLOWS
from tests.desk import ETHER, PERSON, Desk
from tests.people import cpf

STRANGER = cpf(999_999)
RECORDED = Path(__file__).parents[1] / "histories"


def replayer() -> Replayer:
    return Replayer(workflows=WORKFLOWS, workflow_runner=RUNNER, data_converter=pydantic_data_converter)


async def history_of(desk: Desk, workflow_id: str) -> WorkflowHistory:
    return await desk.client.get_workflow_handle(workflow_id).fetch_history()


def record(name: str, history: str) -> None:
    """Keep a history, without the name of the machine it ran on."""
    anonymous = re.sub(r'"\d+@[\w.-]+"', '"worker"', history)
    (RECORDED / f"{name}.json").write_text(json.dumps(json.loads(anonymous), indent=1) + "\n")


async def stories(desk: Desk) -> dict[str, tuple]:
    """One trade of each kind, ended: name → (person, trade, workflow ids)."""
    told = {}
    ana = await desk.person()
    await desk.give(ana, ETHER)
    trade = await desk.sell(ana, "0.5")
    await desk.until(ana, trade, "completed")
    told["custody-completed"] = (ana, trade, [f"transfer/{trade['id']}/transfer", f"payout/{trade['id']}"])

    bia, refund = await desk.person(), desk.fresh_address()
    trade = await desk.sell(bia, "0.1", funding="deposit", refund_address=refund)
    await desk.send(trade["deposit_address"], 15 * ETHER // 100)
    await desk.until(bia, trade, "completed")
    told["deposit-excess"] = (bia, trade, [])

    caio = await desk.person("rejected")
    trade = await desk.sell(caio, "0.1", funding="deposit")
    await desk.send(trade["deposit_address"], ETHER // 10)
    await desk.until(caio, trade, "refunded")
    told["deposit-refunded"] = (caio, trade, [f"transfer/{trade['id']}/refund", f"payout/{trade['id']}"])

    davi = await desk.person()
    trade = await desk.sell(davi, "0.1", funding="deposit")
    await desk.post(davi, f"/api/v1/instant-trade/{trade['id']}/cancel")
    told["cancelled"] = (davi, trade, [])

    eva = await desk.person()
    trade = await desk.buy(eva, "150.00", to=desk.fresh_address())
    desk.bank.pay(trade["id"])
    await desk.until(eva, trade, "completed")
    told["bought"] = (eva, trade, [f"transfer/{trade['id']}/delivery", f"charge/{trade['id']}"])

    gil = await desk.person()
    async with desk.agreed(payment_window_seconds=7, payment_leniency_seconds=0.2):
        trade = await desk.buy(gil, "150.00")
    paid = desk.bank.pay(trade["id"], payer_tax_id=STRANGER)
    await desk.until(gil, trade, "refunded")
    back = [refund for refund in desk.bank.refunds() if refund["end_to_end_id"] == paid["end_to_end_id"]]
    told["paid-by-a-stranger"] = (gil, trade, [f"pix-refund/{back[0]['key']}"])
    return told


@pytest.mark.timeout(240)
async def test_histories_and_logs_name_nobody_and_replay(desk: Desk):
    configure(level="DEBUG", json=True)
    heard = io.StringIO()
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(heard)
    try:
        told = await stories(desk)
    finally:
        handler.setStream(before)

    for name, (person, trade, children) in told.items():
        for workflow_id in [trade["workflow_id"], *children]:
            history = await history_of(desk, workflow_id)
            await replayer().replay_workflow(history)
            text = history.to_json()
            for secret in [*personal(person), STRANGER]:
                assert secret not in text, f"{name}: {workflow_id}"
            if os.environ.get("LIQUIDA_RECORD_HISTORIES"):
                record(f"{name}--{workflow_id.split('/')[0]}", text)
    logs = heard.getvalue()
    assert "\n" in logs, "nothing was logged, so nothing was shown"
    for person, _, _ in told.values():
        for secret in [*personal(person), person.key, STRANGER]:
            assert secret not in logs


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.json")), ids=lambda file: file.stem)
async def test_recorded_histories_replay_on_todays_code(file: Path):
    history = WorkflowHistory.from_json(f"replayed/{file.stem}", file.read_text())

    await replayer().replay_workflow(history)


def test_there_are_recorded_histories():
    assert 12 <= len(list(RECORDED.glob("*.json")))


def personal(person) -> list[str]:
    t = person.tax_id
    return [person.pix_key, PERSON["holder_name"], t, f"{t[:3]}.{t[3:6]}.{t[6:9]}-{t[9:]}"]
