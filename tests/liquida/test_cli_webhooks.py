"""``liquida webhooks replay`` as an operator runs it: a process of its own, its output, and the bells it rang."""

import asyncio
import base64
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from models.inbound_webhook.writes import keep
from models.quote.types import Funding
from tests.liquida.test_cli_ledger import Ended, run
from tests.models.world import BOX, COIN, World

KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PERSONAL = "529.982.247-25"


async def replay(world: World, cwd: Path, *arguments: str, key: str = KEY) -> Ended:
    """On a machine whose own clock is not UTC."""
    environment = {
        "LIQUIDA_DATABASE_URL": str(world.engine.url),
        "LIQUIDA_STATE_DIR": str(cwd / "state"),
        "LIQUIDA_DATA_KEY": key,
    }
    return await run("liquida", "webhooks", "replay", *arguments, cwd=cwd, TZ="BRT3", **environment)


async def tell(world: World, event: str, key: str, *, state: str = "paid", provider: str = "sandbox") -> None:
    """As the route keeps it; nobody's bell is rung."""
    body = json.dumps({"type": f"payout.{state}", "data": {"key": key, "payee": PERSONAL}}).encode()
    async with world.engine.begin() as conn:
        await keep(conn, BOX, provider=provider, event_id=event, key=key, state=state, body=body)


async def received(world: World, event: str, at: datetime) -> None:
    await world.execute(f"UPDATE webhook_events SET received_at = '{at.isoformat()}' WHERE event_id = '{event}'")


async def rung(world: World, trade: str) -> list[tuple[str, str]]:
    """The messages about the trade's payout since."""
    statement = text("SELECT kind, workflow_id FROM outbox WHERE workflow_id LIKE 'payout%' || :trade ORDER BY id")
    async with world.engine.connect() as conn:
        return [(row.kind, row.workflow_id) for row in await conn.execute(statement, {"trade": trade})]


def done(shown: Ended) -> dict[str, str]:
    """What was done, by event."""
    return {row[2]: row[4] for row in shown.rows if row[2] not in {"event", ""}}


@pytest.fixture
async def payout(world: World) -> str:
    """A payout that was ordered; its key, and its trade's id."""
    trade = await world.sell(Funding.DEPOSIT)
    await world.make_final(await world.deposit(trade, COIN))
    await world.advance(trade)
    return trade


class TestReplay:
    async def test_rings_as_the_route_did_and_shows_no_body(self, world: World, payout: str, tmp_path: Path) -> None:
        await tell(world, "e1", payout)
        await tell(world, "e2", payout, state="returned")
        await tell(world, "e3", "0" * 32)
        at = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
        await received(world, "e1", at)

        shown = await replay(world, tmp_path, "--provider", "sandbox")

        bell, start = f"payout/{payout}", f"payout-return/{payout}"
        assert (0, "") == (shown.code, shown.err)
        assert ("2026-01-05T12:00:30+00:00", "sandbox", "e1", payout, f"rang {bell}") in shown.rows
        assert f"rang {bell}" == done(shown)["e2"]
        assert ("", "", "", "", f"asked to start {start}") in shown.rows
        assert "nobody waits for it" == done(shown)["e3"]
        assert [("look", bell), ("look", bell), ("start", start)] == await rung(world, payout)
        assert PERSONAL not in shown.out

    async def test_dry_says_what_it_would_do_and_does_nothing(
        self, world: World, payout: str, tmp_path: Path
    ) -> None:
        await tell(world, "e1", payout)

        shown = await replay(world, tmp_path, "--event", "e1", "--dry-run")

        assert (0, {"e1": f"would ring payout/{payout}"}) == (shown.code, done(shown))
        assert [] == await rung(world, payout)

    async def test_of_unmatched_ones_finds_what_has_come_to_be_ours(self, world: World, tmp_path: Path) -> None:
        """The webhook overtook the order, as when a database was restored from a moment before it."""
        trade = await world.sell(Funding.DEPOSIT)
        await tell(world, "early", trade)
        await world.make_final(await world.deposit(trade, COIN))
        await world.advance(trade)
        await tell(world, "in-time", trade)

        shown = await replay(world, tmp_path, "--unmatched")

        assert {"early": f"rang payout/{trade}"} == done(shown)
        assert [("look", f"payout/{trade}")] == await rung(world, trade)

    async def test_takes_only_what_was_asked_for(self, world: World, payout: str, tmp_path: Path) -> None:
        noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
        for hour in range(4):
            await tell(world, f"e{hour}", payout)
            await received(world, f"e{hour}", noon + timedelta(hours=hour))
        await tell(world, "theirs", payout, provider="other")

        between, other, one, nothing = await asyncio.gather(
            replay(world, tmp_path, "--dry-run", "--since", "2026-01-05T13:00:00", "--until", "2026-01-05T14:00:00Z"),
            replay(world, tmp_path, "--dry-run", "--provider", "other"),
            replay(world, tmp_path, "--dry-run", "--event", "e3", "--provider", "sandbox"),
            replay(world, tmp_path, "--dry-run"),
        )

        assert {"e1", "e2"} == set(done(between))
        assert {"theirs": "not read: its provider is not known"} == done(other)
        assert {"e3"} == set(done(one))
        assert (1, "") == (nothing.code, nothing.out)
        assert "say which: --provider, --event, --since, --until or --unmatched" in nothing.err

    async def test_goes_on_after_what_does_not_open_and_fails_at_the_end(
        self, world: World, payout: str, tmp_path: Path
    ) -> None:
        for event in ("moved", "good"):
            await tell(world, event, payout)
        await world.execute("UPDATE webhook_events SET event_id = 'elsewhere' WHERE event_id = 'moved'")

        shown, other_key = await asyncio.gather(
            replay(world, tmp_path, "--provider", "sandbox"),
            replay(world, tmp_path, "--event", "good", key=base64.b64encode(secrets.token_bytes(32)).decode()),
        )

        not_opened = "not read: its body does not open with this LIQUIDA_DATA_KEY"
        assert (1, 1) == (shown.code, other_key.code)
        assert {"elsewhere": not_opened, "good": f"rang payout/{payout}"} == done(shown)
        assert {"good": not_opened} == done(other_key)
        assert "1 of 2 events could not be read again" in shown.err
        assert [("look", f"payout/{payout}")] == await rung(world, payout)

    async def test_goes_through_more_than_a_page(self, world: World, payout: str, tmp_path: Path) -> None:
        await world.execute(
            "INSERT INTO webhook_events (provider, event_id, claimed_key, claimed_state, body_sealed)"
            " SELECT 'other', 'e' || n, 'k', 'paid', '' FROM generate_series(1, 450) AS n"
        )

        shown = await replay(world, tmp_path, "--unmatched")

        assert {f"e{number}" for number in range(1, 451)} == set(done(shown))
        assert "450 of 450 events could not be read again" in shown.err
