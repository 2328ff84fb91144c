"""The watch of a network goes on after a turn that failed for good."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.parts import start_temporal
from workflows import deposits
from workflows.options import CHAIN


async def test_a_broken_turn_does_not_end_the_watch(tmp_path, monkeypatch):
    monkeypatch.setattr(deposits, "PAUSE", timedelta(milliseconds=10))
    turns: list[str] = []
    went_on = asyncio.Event()

    @activity.defn(name="deposit.watch")
    async def watch(network_id: str) -> None:
        turns.append(network_id)
        if len(turns) == 1:
            raise ApplicationError("a law is broken", type="Broken", non_retryable=True)
        went_on.set()
        await asyncio.sleep(0.1)

    async with start_temporal(tmp_path) as temporal:
        client = await Client.connect(temporal.address, namespace="liquida", data_converter=pydantic_data_converter)
        queue = uuid4().hex
        async with (
            Worker(
                client,
                task_queue=queue,
                workflows=[deposits.DepositsWorkflow],
                workflow_runner=UnsandboxedWorkflowRunner(),
            ),
            Worker(client, task_queue=CHAIN, activities=[watch]),
        ):
            handle = await client.start_workflow(
                deposits.DepositsWorkflow.run, "ethereum", id=uuid4().hex, task_queue=queue
            )
            await asyncio.wait_for(went_on.wait(), 20)
            await handle.terminate()

    assert len(turns) >= 2
