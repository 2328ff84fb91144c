"""Webhooks: stored before they are answered; a repetition changes nothing; a forgery enters nothing."""

import asyncio
import json
import secrets
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from tests.api.door import BOX, ETHER, WEBHOOK_SECRET, Door, Person, now, problem
from tests.api.test_instant_trade import _deposited

SANDBOX = "/webhooks/sandbox"


def signed(body: bytes, *, event_id: str | None = None, age: timedelta = timedelta()) -> dict[str, str]:
    event_id, at = event_id or f"evt_{secrets.token_hex(8)}", now() - age
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(WEBHOOK_SECRET).sign(event_id, at, body.decode()),
        "content-type": "application/json",
    }


def event(key: str, kind: str = "payout.paid") -> bytes:
    return json.dumps({"type": kind, "timestamp": "2026-01-05T12:00:00Z", "data": {"key": key}}).encode()


async def stored(door: Door, event_id: str) -> list[tuple[Any, ...]]:
    async with door.engine.connect() as conn:
        found = text("SELECT payout_key, claimed_state, body_sealed FROM webhook_events WHERE event_id = :id")
        return [tuple(row) for row in await conn.execute(found, {"id": event_id})]


async def messages(door: Door, workflow_id: str) -> list[str]:
    async with door.engine.connect() as conn:
        found = text("SELECT kind FROM outbox WHERE workflow_id = :id ORDER BY id")
        return list((await conn.execute(found, {"id": workflow_id})).scalars())


@pytest.fixture
async def key(door: Door, ana: Person) -> str:
    """The key of a payout that was ordered."""
    trade = await door.trade(ana, amount="0.1")
    await _deposited(door, trade, ETHER // 10)
    return trade["id"]


class TestWebhook:
    async def test_is_stored_sealed_and_rings_the_payouts_bell(self, door: Door, key: str):
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")

        reply = await door.http.post(SANDBOX, content=body, headers=headers)

        [(payout_key, state, sealed)] = await stored(door, f"evt_{key}")
        assert (200, {"events": 1, "new": 1}) == (reply.status_code, reply.json())
        assert (key, "paid") == (payout_key, state)
        assert body.decode() == BOX.open(sealed, place=f"webhook_events/sandbox/evt_{key}")
        assert ["look"] == await messages(door, f"payout/{key}")

    async def test_repeated_changes_nothing(self, door: Door, key: str):
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")
        await door.http.post(SANDBOX, content=body, headers=headers)

        again = await door.http.post(SANDBOX, content=body, headers=headers)

        assert (200, 0) == (again.status_code, again.json()["new"])
        assert 1 == len(await stored(door, f"evt_{key}"))
        assert ["look"] == await messages(door, f"payout/{key}")

    async def test_of_a_returned_payout_starts_a_workflow_of_its_own(self, door: Door, key: str):
        for _ in range(2):
            body = event(key, "payout.returned")
            await door.http.post(SANDBOX, content=body, headers=signed(body))

        assert ["look", "look"] == await messages(door, f"payout/{key}")
        assert {"start"} == set(await messages(door, f"payout-return/{key}"))

    async def test_about_a_payout_of_nobody_is_kept_and_answered(self, door: Door):
        stranger = secrets.token_hex(16)
        body = event(stranger)

        reply = await door.http.post(SANDBOX, content=body, headers=signed(body, event_id=f"evt_{stranger}"))

        assert (200, 1) == (reply.status_code, reply.json()["new"])
        assert [(None, "paid")] == [row[:2] for row in await stored(door, f"evt_{stranger}")]

    @pytest.mark.parametrize("strange", ["k" * 5000, "\x00", "ключ", "a b", ""], ids=lambda text: repr(text)[:12])
    async def test_with_a_strange_key_or_id_is_kept_and_answered(self, door: Door, strange: str):
        body = event(strange)
        headers = signed(body, event_id=f"evt_{secrets.token_hex(100)}")

        reply = await door.http.post(SANDBOX, content=body, headers=headers)

        assert (200, 1) == (reply.status_code, reply.json()["new"])

    async def test_of_a_kind_we_do_not_use_is_answered(self, door: Door):
        body = event("x", "account.closed")

        reply = await door.http.post(SANDBOX, content=body, headers=signed(body))

        assert (200, 0) == (reply.status_code, reply.json()["events"])

    async def test_is_refused_when_forged(self, door: Door, key: str):
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")

        replies = [
            await door.http.post(SANDBOX, content=body.replace(b"paid", b"PAID"), headers=headers),
            await door.http.post(SANDBOX, content=body, headers=headers | {"webhook-id": "evt_other"}),
            await door.http.post(SANDBOX, content=body, headers=headers | {"webhook-signature": "v1,AAAA"}),
            await door.http.post(SANDBOX, content=body, headers=headers | {"webhook-signature": ""}),
            await door.http.post(SANDBOX, content=body),
        ]

        for reply in replies:
            assert 401 == reply.status_code
            problem(reply, "webhook-rejected")
        assert [] == await stored(door, f"evt_{key}")

    @pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6)], ids=["old", "of the future"])
    async def test_is_refused_when_stale(self, door: Door, key: str, age: timedelta):
        body = event(key)

        reply = await door.http.post(SANDBOX, content=body, headers=signed(body, age=age))

        problem(reply, "webhook-rejected")

    async def test_is_refused_when_too_large(self, door: Door, key: str):
        body = event(key)[:-1] + b', "more": "' + b"x" * 70_000 + b'"}'

        reply = await door.http.post(SANDBOX, content=body, headers=signed(body))

        assert 413 == reply.status_code
        problem(reply, "payload-too-large")

    async def test_is_refused_when_it_is_no_event(self, door: Door):
        body = b"\xff not json"
        at = now()
        headers = {"webhook-id": "evt_x", "webhook-timestamp": str(int(at.timestamp()))}
        headers["webhook-signature"] = "v1,AAAA"

        reply = await door.http.post(SANDBOX, content=body, headers=headers)

        problem(reply, "webhook-rejected")

    async def test_of_an_unknown_provider_has_no_address(self, door: Door):
        reply = await door.http.post("/webhooks/nobody", content=b"{}")

        assert 404 == reply.status_code
        problem(reply, "not-found")

    async def test_is_not_answered_well_unless_it_is_stored(self, door: Door, key: str):
        """Row and bell are one transaction: while the bell cannot be rung, there is no answer and no row."""
        body = event(key)
        headers = signed(body, event_id=f"evt_{key}")
        async with door.engine.connect() as conn:
            await conn.execute(text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await door.http.post(SANDBOX, content=body, headers=headers)
            await conn.rollback()

        assert [] == await stored(door, f"evt_{key}")
        reply = await door.http.post(SANDBOX, content=body, headers=headers)
        assert (200, 1) == (reply.status_code, reply.json()["new"])
