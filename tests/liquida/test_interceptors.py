"""What an activity's failure looks like from outside: whether it is tried again, and what history may hold."""

from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from liquida.interceptors import LiquidaInterceptor
from models.errors import IntentMismatch, NodeUnavailable, QuoteUsed
from tests.parts import start_temporal

FAULTS = {
    "refused": QuoteUsed("ask for a new quote"),
    "unknown": NodeUnavailable("the node is away"),
    "broken": IntentMismatch("not what the books say"),
    "bug": ValueError("Key (email)=(ana@example.com)"),
}
calls: dict[str, int] = {}


@activity.defn
async def fail(name: str) -> None:
    calls[name] = calls.get(name, 0) + 1
    raise FAULTS[name]


@workflow.defn(sandboxed=False)
class Failing:
    @workflow.run
    async def run(self, name: str) -> None:
        await workflow.execute_activity(
            fail,
            name,
            start_to_close_timeout=timedelta(seconds=5),
            heartbeat_timeout=timedelta(seconds=1),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=3),
        )


@pytest.fixture(scope="module")
async def client(tmp_path_factory):
    async with start_temporal(tmp_path_factory.mktemp("temporal")) as temporal:
        yield await Client.connect(temporal.address, namespace="liquida", data_converter=pydantic_data_converter)


@pytest.mark.parametrize(
    ("name", "attempts", "type_"),
    [
        ("refused", 1, "QuoteUsed"),
        ("broken", 1, "IntentMismatch"),
        ("unknown", 3, "NodeUnavailable"),
        ("bug", 3, "ValueError"),
    ],
)
async def test_the_branch_of_the_error_decides_about_another_try(client, name: str, attempts: int, type_: str):
    calls.clear()
    queue = uuid4().hex

    async with Worker(
        client, task_queue=queue, workflows=[Failing], activities=[fail], interceptors=[LiquidaInterceptor()]
    ):
        handle = await client.start_workflow(Failing.run, name, id=uuid4().hex, task_queue=queue)
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
        history = (await handle.fetch_history()).to_json()

    assert attempts == calls[name]
    assert type_ == failure.value.cause.cause.type
    assert "ana@example.com" not in history
