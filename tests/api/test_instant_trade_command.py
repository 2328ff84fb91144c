"""Commands: done, refused in words, or honestly unknown. On a real Temporal with the real workflow and books."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.instant_trade import InstantTradeActivities
from api import commands
from api.courier import DELIVERIES_MOST
from api.engine import LazyClient
from liquida.stack.temporal import Temporal
from liquida.wiring import QueueParts
from liquida.worker import worker_for
from models.deposit import writes as deposits
from models.deposit.types import BlockMark, Found
from models.user.types import Role
from models.wallet import allocate
from tests.api.door import ETHER, OUTSIDE, TRADES, Door, Person, now, problem
from workflows.options import SETTLEMENT


@pytest.fixture(scope="module")
async def client(temporal_server: Temporal) -> Client:
    return await Client.connect(temporal_server.address, namespace="liquida", data_converter=pydantic_data_converter)


@pytest.fixture(scope="module")
async def idle(door: Door, client: Client) -> AsyncIterator[Door]:
    """Temporal is there, and nobody works."""

    async def connected() -> Client:
        return client

    brisk = replace(door.services.waits, recheck_first_seconds=0.3, recheck_most_seconds=0.3)
    async with door.other(temporal=connected, waits=brisk) as other:
        yield other


@pytest.fixture
async def busy(idle: Door, client: Client) -> AsyncIterator[Door]:
    """Temporal is there, and a worker with the books; no chain and no bank."""
    books = InstantTradeActivities(idle.engine)
    worker = worker_for(client, SETTLEMENT, QueueParts([books.advance, books.operate, books.close_return]))
    async with worker:
        yield idle


@pytest.fixture
async def operator(door: Door) -> Person:
    return await door.person(role=Role.OPERATOR)


def path(trade: dict[str, Any], action: str) -> str:
    return f"{TRADES}/{trade['id']}/{action}"


async def _see_deposit(door: Door, trade: dict[str, Any]) -> None:
    """A deposit is in a block, and the workflow has not heard of it."""
    async with door.engine.begin() as conn:
        address = (await allocate.by_text(conn, "ethereum", [trade["deposit_address"]]))[trade["deposit_address"]]
        txid, block = "0x" + secrets.token_hex(32), "0x" + "b" * 64
        found = Found(txid, -1, "ETH.ethereum", address.id, trade["id"], OUTSIDE, ETHER // 100, 5000, block, now())
        await deposits.record(conn, "ethereum", [BlockMark(5000, block)], [found])


class TestCancel:
    async def test_ends_the_trade_at_once(self, busy: Door, ana: Person):
        trade = await busy.trade(ana)

        reply = await busy.post(ana, path(trade, "cancel"))

        assert (200, "cancelled") == (reply.status_code, reply.json()["status"])
        assert "cancelled_by_user" == reply.json()["reason"]
        assert reply.json()["expires_at"] is None

    async def test_sent_again_gives_the_first_answer(self, busy: Door, ana: Person):
        trade = await busy.trade(ana)

        first = await busy.post(ana, path(trade, "cancel"), key="stop")
        again = await busy.post(ana, path(trade, "cancel"), key="stop")

        assert (200, first.json()) == (again.status_code, again.json())
        assert "true" == again.headers["idempotency-replayed"]

    async def test_of_a_cancelled_trade_has_nothing_left_to_do(self, busy: Door, client: Client, ana: Person):
        trade = await busy.trade(ana)
        await busy.post(ana, path(trade, "cancel"))
        await client.get_workflow_handle(trade["workflow_id"]).result()

        reply = await busy.post(ana, path(trade, "cancel"))

        assert (200, "cancelled") == (reply.status_code, reply.json()["status"])

    async def test_of_a_trade_that_ended_otherwise_is_refused(self, busy: Door, client: Client, ana: Person):
        brief = replace(busy.services.terms, deposit_window_seconds=0.1)
        async with busy.other(terms=brief) as other:
            trade = await other.trade(ana)
        await client.get_workflow_handle(trade["workflow_id"]).result()

        reply = await busy.post(ana, path(trade, "cancel"))

        assert 409 == reply.status_code
        assert "expired" in problem(reply, "illegal-transition")["detail"]

    async def test_is_refused_by_the_books_when_coins_were_seen(self, busy: Door, ana: Person):
        """The workflow's own check passes; the activity's refusal comes back through it by name."""
        trade = await busy.trade(ana)
        await _see_deposit(busy, trade)

        reply = await busy.post(ana, path(trade, "cancel"))

        assert 409 == reply.status_code
        assert "coins have moved" in problem(reply, "illegal-transition")["detail"]


class TestOperator:
    @pytest.mark.parametrize(
        ("action", "body"),
        [
            ("complete", {"ruling": "refund", "evidence": "ticket 7"}),
            ("confirm-payment", {"paid": True, "evidence": "ticket 7", "end_to_end_id": "E" + "1" * 31}),
        ],
    )
    async def test_is_told_what_the_trade_does_not_ask_for(
        self, busy: Door, ana: Person, operator: Person, action: str, body: object
    ):
        trade = await busy.trade(ana)

        reply = await busy.post(operator, path(trade, action), body)

        assert 409 == reply.status_code
        assert "awaiting_deposit" in problem(reply, "illegal-transition")["detail"]

    async def test_looks_after_transfers(self, busy: Door, ana: Person, operator: Person):
        trade = await busy.trade(ana)

        reply = await busy.post(operator, path(trade, "transfer"), {"evidence": "ticket 7"})

        log = (await busy.get(operator, path(trade, "audit-log"))).json()
        assert 200 == reply.status_code
        assert (operator.id, {"evidence": "ticket 7"}) == (log[-1]["actor"], log[-1]["details"])

    async def test_whose_answer_was_lost_does_not_act_twice(self, busy: Door, ana: Person, operator: Person):
        """The process died between the update and the storing of its answer: Temporal still knows the key."""
        trade = await busy.trade(ana)
        body = {"evidence": "ticket 7"}
        await busy.post(operator, path(trade, "transfer"), body, key="look")
        async with busy.engine.begin() as conn:
            lost = text("UPDATE idempotency_keys SET status = NULL WHERE user_id = :id")
            await conn.execute(lost, {"id": operator.id})

        again = await busy.post(operator, path(trade, "transfer"), body, key="look")

        log = (await busy.get(operator, path(trade, "audit-log"))).json()
        assert 200 == again.status_code
        assert ["transfer_nudged"] == [line["reason"] for line in log if line["actor"] == operator.id]

    @pytest.mark.parametrize(
        ("action", "body", "field"),
        [
            ("transfer", {}, "evidence"),
            ("transfer", {"evidence": ""}, "evidence"),
            ("transfer", {"evidence": "x" * 201}, "evidence"),
            ("transfer", {"evidence": "mail of ana@example.com"}, "evidence"),
            ("transfer", {"evidence": "CPF 529.982.247-25"}, "evidence"),
            ("transfer", {"evidence": "CPF 52998224725"}, "evidence"),
            ("complete", {"ruling": "split", "evidence": "t"}, "ruling"),
            ("confirm-payment", {"evidence": "t"}, "paid"),
            ("confirm-payment", {"paid": True, "evidence": "t", "end_to_end_id": "E 1"}, "end_to_end_id"),
        ],
    )
    async def test_must_bring_proper_evidence(
        self, door: Door, ana: Person, operator: Person, action: str, body: object, field: str
    ):
        trade = await door.trade(ana)

        reply = await door.post(operator, path(trade, action), body)

        problem(reply, "invalid-input", field=field)
        assert "52998224725" not in reply.text
        assert "ana@example.com" not in reply.text


class TestSilence:
    async def test_of_temporal_is_a_503_that_may_be_sent_again(self, door: Door, idle: Door, ana: Person):
        trade = await door.trade(ana)

        reply = await door.post(ana, path(trade, "cancel"), key="stop")

        assert 503 == reply.status_code
        problem(reply, "engine-unavailable")
        assert "1" == reply.headers["retry-after"]

    async def test_of_the_relay_is_a_503_until_the_workflow_has_started(self, door: Door, idle: Door, ana: Person):
        trade = await door.trade(ana)

        reply = await idle.post(ana, path(trade, "cancel"))

        assert 503 == reply.status_code
        assert "not started" in problem(reply, "engine-unavailable")["detail"]

    async def test_of_the_workers_is_a_202_and_the_key_stays_open(
        self, idle: Door, client: Client, ana: Person, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(commands, "PATIENCE", timedelta(seconds=0.5))
        trade = await idle.trade(ana)

        early = await idle.post(ana, path(trade, "cancel"), key="stop")
        books = InstantTradeActivities(idle.engine)
        async with worker_for(client, SETTLEMENT, QueueParts([books.advance, books.operate, books.close_return])):
            for _ in range(20):
                later = await idle.post(ana, path(trade, "cancel"), key="stop")
                if later.status_code == 200:
                    break

        assert (202, "accepted") == (early.status_code, early.json()["status"])
        assert f"{TRADES}/{trade['id']}" == early.headers["location"]
        assert (200, "cancelled") == (later.status_code, later.json()["status"])


class TestEagerDelivery:
    async def test_starts_the_workflow_without_a_relay(self, idle: Door, client: Client, ana: Person):
        trade = await idle.trade(ana)

        described = await client.get_workflow_handle(trade["workflow_id"]).describe()

        assert "otc-sell" == described.workflow_type

    async def test_that_hangs_never_takes_all_the_database_has(self, door: Door, ana: Person):
        """Temporal accepts connections and says nothing: trades are still accepted, and few wait for it."""
        waiting: list[int] = []

        async def hangs() -> Client:
            waiting.append(other.app.state.courier._running)
            await asyncio.sleep(60)
            raise AssertionError

        async with door.other(temporal=hangs) as other:
            async with asyncio.timeout(20):
                trades = await asyncio.gather(*(other.trade(ana) for _ in range(12)))

        assert 12 == len({trade["id"] for trade in trades})
        assert DELIVERIES_MOST == max(waiting)


class TestLazyClient:
    async def test_connects_once_for_all_who_wait(self, client: Client):
        asked = 0

        async def connect() -> Client:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.01)
            return client

        lazy = LazyClient(connect)

        found = await asyncio.gather(*(lazy() for _ in range(10)))

        assert (1, {id(client)}) == (asked, {id(one) for one in found})

    async def test_does_not_ask_again_right_after_a_failure(self):
        asked = 0

        async def connect() -> Client:
            nonlocal asked
            asked += 1
            raise RuntimeError("connection refused")

        lazy = LazyClient(connect)

        failures = await asyncio.gather(*(lazy() for _ in range(10)), return_exceptions=True)

        assert (1, {"EngineUnavailable"}) == (asked, {type(failure).__name__ for failure in failures})
