"""The OpenAPI document and the API say the same: Schemathesis against a live server, on real parts."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.instant_trade import InstantTradeActivities
from activities.pix_withdrawal import PixWithdrawalActivities
from api.app import document
from liquida.stack.temporal import Temporal
from liquida.wiring import QueueParts
from liquida.worker import worker_for
from models.user.types import Role
from tests.api.door import Door, Person, serving
from workflows.options import SETTLEMENT

SECONDS_MOST = 100
EXAMPLES = 12
PARTS = {"desk": "exclude", "marketplace": "include"}
"""Of the operations, so that no test goes on for minutes."""
MARKETPLACE = r"^/api/v1/(p2p|ops/(p2p|commissions)|events|webhook)"
LEFT_OUT = {
    # A schema cannot say that a CPF has check digits, or that one of two amounts is named.
    "positive_data_acceptance",
}


@dataclass
class Live:
    url: str
    door: Door


@pytest.fixture
async def live(door: Door, temporal_server: Temporal) -> AsyncIterator[Live]:
    """The API on a port of its own, with Temporal and the books behind it; so nothing has a reason for a 503."""
    client = await Client.connect(
        temporal_server.address, namespace="liquida", data_converter=pydantic_data_converter
    )

    async def connected() -> Client:
        return client

    brisk = replace(door.services.waits, recheck_first_seconds=0.5, recheck_most_seconds=5)
    books = InstantTradeActivities(door.engine)
    withdrawals = PixWithdrawalActivities(door.engine)
    part = QueueParts([books.advance, books.operate, books.close_return, withdrawals.advance])
    async with (
        worker_for(client, SETTLEMENT, part),
        door.other(temporal=connected, waits=brisk) as other,
        serving(other) as url,
    ):
        yield Live(url, other)


async def schemathesis(url: str, person: Person, directory: Path, part: str, **parameters: str) -> tuple[int, str]:
    """Run it as its users do; its exit code and what it said."""
    config = directory / "schemathesis.toml"
    config.write_text("[parameters]\n" + "".join(f'"{name}" = "{value}"\n' for name, value in parameters.items()))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        f"--config-file={config}",
        "run",
        f"{url}/openapi.json",
        f"--header=Authorization:Bearer {person.key}",
        f"--exclude-checks={','.join(LEFT_OUT)}",
        f"--max-examples={EXAMPLES}",
        f"--{PARTS[part]}-path-regex={MARKETPLACE}",
        "--continue-on-failure",
        "--generation-database=none",
        "--no-shrink",
        "--seed=1",
        "--no-color",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=directory,
        env={"PATH": "", "NO_PROXY": "127.0.0.1", "PYTHONUTF8": "1"},
    )
    try:
        async with asyncio.timeout(SECONDS_MOST):
            output, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    return process.returncode or 0, output.decode()


class TestDocument:
    @pytest.mark.parametrize("part", PARTS)
    async def test_holds_for_an_operator_on_a_real_trade(self, live: Live, ana: Person, tmp_path: Path, part: str):
        trade, operator = await live.door.trade(ana), await live.door.person(role=Role.OPERATOR)

        code, said = await schemathesis(live.url, operator, tmp_path, part, **{"path.trade_id": trade["id"]})

        assert 0 == code, said

    @pytest.mark.parametrize("part", PARTS)
    async def test_holds_for_a_user(self, live: Live, ana: Person, tmp_path: Path, part: str):
        code, said = await schemathesis(live.url, ana, tmp_path, part)

        assert 0 == code, said

    def test_needs_no_service_to_be_printed(self):
        found = json.loads(json.dumps(document()))

        assert "/api/v1/instant-trade/create" in found["paths"]

    def test_asks_for_a_key_on_every_post_but_signing_in_and_webhooks(self):
        without = {
            path
            for path, operations in document()["paths"].items()
            if "post" in operations
            and not any(
                parameter["name"] == "Idempotency-Key" and parameter["required"]
                for parameter in operations["post"].get("parameters", [])
            )
        }

        assert {"/api/v1/auth/token", "/webhooks/{provider}"} == without

    def test_declares_every_error_as_a_problem(self):
        for path, operations in document()["paths"].items():
            for method, operation in operations.items():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        assert ["application/problem+json"] == list(response["content"]), (method, path, status)
