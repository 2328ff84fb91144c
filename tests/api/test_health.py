"""Alive, ready, and measured."""

import re

from temporalio.client import Client

from liquida import database
from tests.api.door import TRADES, Door, Person, problem


class TestHealth:
    async def test_is_alive_without_any_other_part(self, door: Door):
        reply = await door.http.get("/healthz")

        assert (200, {"status": "ok"}) == (reply.status_code, reply.json())

    async def test_is_not_ready_without_temporal(self, door: Door):
        reply = await door.http.get("/readyz")

        assert 503 == reply.status_code
        assert ["temporal"] == [error["field"] for error in problem(reply, "not-ready")["errors"]]

    async def test_says_of_each_part_that_it_is_away(self, door: Door):
        engine = database.engine("postgresql+asyncpg://liquida@127.0.0.1:9/none")

        async with door.other(engine=engine) as other:
            reply = await other.http.get("/readyz")
        await engine.dispose()

        assert ["database", "temporal"] == [error["field"] for error in problem(reply, "not-ready")["errors"]]

    async def test_is_ready_with_both(self, door: Door, temporal_server):
        client = await Client.connect(temporal_server.address, namespace="liquida")

        async def connected() -> Client:
            return client

        async with door.other(temporal=connected) as other:
            reply = await other.http.get("/readyz")

        assert (200, {"database": "ok", "temporal": "ok"}) == (reply.status_code, reply.json())


class TestMetrics:
    async def test_count_requests_by_route_not_by_id(self, door: Door, ana: Person):
        trade = await door.trade(ana)
        await door.get(ana, f"{TRADES}/{trade['id']}")
        await door.get(ana, "/nothing/here")

        said = (await door.http.get("/metrics")).text

        assert f'route="{TRADES}/{{trade_id}}",status="200"' in said
        assert 'route="none",status="404"' in said
        assert trade["id"] not in said

    async def test_show_open_trades_and_what_the_relay_owes(self, door: Door, ana: Person):
        await door.trade(ana)

        said = (await door.http.get("/metrics")).text

        def value(name: str) -> float:
            found = re.search(rf"^{re.escape(name)} (\S+)$", said, re.MULTILINE)
            assert found, name
            return float(found[1])

        assert value('liquida_trades_open{status="awaiting_deposit"}') >= 1
        assert value("liquida_outbox_waiting") >= 1
        assert value("liquida_review_oldest_seconds") >= 0
        assert 1 == value("liquida_database_up")

    async def test_outlive_the_database(self, door: Door):
        engine = database.engine("postgresql+asyncpg://liquida@127.0.0.1:9/none")

        async with door.other(engine=engine) as other:
            reply = await other.http.get("/metrics")
        await engine.dispose()

        assert 200 == reply.status_code
        assert "liquida_database_up 0.0" in reply.text
