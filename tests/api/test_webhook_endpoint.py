"""Users keep their own webhook endpoints; a secret is shown once, and nobody sees another's."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from models.event.types import Event, EventKind
from models.event.writes import tell
from models.webhook_delivery import writes as deliveries
from models.webhook_delivery.types import STANDARD
from tests.api.door import API, Door, Person, _headers, problem

ENDPOINTS = f"{API}/webhook-endpoints"
DELIVERIES = f"{API}/webhook-deliveries"
BODY = {"url": "https://example.com/hook", "kinds": ["p2p_message", "p2p_message"], "description": "books"}


async def create(door: Door, person: Person, **changes: Any) -> dict[str, Any]:
    reply = await door.post(person, ENDPOINTS, BODY | changes)
    assert 201 == reply.status_code, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def sent(door: Door, person: Person, count: int = 1) -> list[str]:
    """The ids of as many deliveries of new events, newest first."""
    endpoint = (await door.get(person, ENDPOINTS)).json()["endpoints"][-1]
    for _ in range(count):
        async with door.engine.begin() as conn:
            await tell(conn, Event(EventKind.P2P_MESSAGE, person.id, {}))
    more = True
    while more:
        async with door.engine.begin() as conn:
            more = await deliveries.fan_out(conn, STANDARD, most=500)
        await asyncio.sleep(0)
    page = (await door.get(person, f"{ENDPOINTS}/{endpoint['id']}/deliveries")).json()
    return [one["id"] for one in page["deliveries"]]


async def patch(door: Door, person: Person, path: str, body: Any) -> Any:
    return await door.http.patch(path, json=body, headers=_headers(person))


class TestEndpoint:
    async def test_is_made_with_a_secret_that_is_shown_once(self, door: Door) -> None:
        ana = await door.person()
        first = await door.post(ana, ENDPOINTS, BODY, key="one")
        again = await door.post(ana, ENDPOINTS, BODY, key="one")
        shown = await door.get(ana, f"{ENDPOINTS}/{first.json()['id']}")

        assert first.json()["secret"].startswith("whsec_")
        assert "no-store" == first.headers["cache-control"]
        assert [None, None] == [again.json()["secret"], shown.json()["secret"]]
        assert first.json() | {"secret": None} == again.json() == shown.json()
        assert ["p2p_message"] == shown.json()["kinds"]
        async with door.engine.connect() as conn:
            stored = await conn.execute(
                text("SELECT answer::text FROM idempotency_keys WHERE user_id = :id"), {"id": ana.id}
            )
            assert first.json()["secret"] not in stored.scalar_one()

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"url": "http://example.com/"}, "url"),
            ({"url": "https://169.254.169.254/"}, "url"),
            ({"url": "https://localhost/"}, "url"),
            ({"kinds": []}, "kinds"),
            ({"kinds": ["everything"]}, "kinds"),
            ({"description": "a\x00b"}, "description"),
            ({"secret": "mine"}, "secret"),
        ],
        ids=["http", "metadata", "localhost", "nothing", "unknown", "control", "secret"],
    )
    async def test_of_another_form_is_refused(self, door: Door, changes: dict[str, Any], field: str) -> None:
        problem(await door.post(await door.person(), ENDPOINTS, BODY | changes), "invalid-input", field=field)

    async def test_is_changed_and_switched_and_removed_by_its_owner(self, door: Door) -> None:
        ana = await door.person()
        path = f"{ENDPOINTS}/{(await create(door, ana))['id']}"

        changed = await patch(door, ana, path, {"url": "https://example.com/new", "kinds": ["balance_update"]})
        off = await patch(door, ana, path, {"is_enabled": False})
        on = await patch(door, ana, path, {"is_enabled": True})
        refused = await patch(door, ana, path, {"url": "https://10.0.0.1/"})
        removed = await door.http.delete(path, headers=_headers(ana))

        assert ("https://example.com/new", ["balance_update"], "books") == (
            changed.json()["url"],
            changed.json()["kinds"],
            changed.json()["description"],
        )
        assert [(False, "by_user"), (True, None)] == [
            (one.json()["is_enabled"], one.json()["disabled_reason"]) for one in (off, on)
        ]
        problem(refused, "invalid-input", field="url")
        assert 204 == removed.status_code
        problem(await door.get(ana, path), "not-found")
        assert [] == (await door.get(ana, ENDPOINTS)).json()["endpoints"]

    async def test_gets_a_new_secret_once(self, door: Door) -> None:
        ana = await door.person()
        endpoint = await create(door, ana)
        path = f"{ENDPOINTS}/{endpoint['id']}/rotate-secret"

        new = (await door.post(ana, path, key="rotate")).json()
        again = (await door.post(ana, path, key="rotate")).json()

        assert new["secret"].startswith("whsec_")
        assert new["secret"] != endpoint["secret"]
        assert new["old_secret_until"] is not None
        assert new | {"secret": None} == again

    async def test_of_somebody_else_is_not_there(self, door: Door) -> None:
        ana, bob = await door.person(), await door.person()
        endpoint = await create(door, ana)
        (delivery,) = await sent(door, ana)
        path = f"{ENDPOINTS}/{endpoint['id']}"
        replies = [
            await door.get(bob, path),
            await patch(door, bob, path, {"is_enabled": False}),
            await door.http.delete(path, headers=_headers(bob)),
            await door.post(bob, f"{path}/rotate-secret"),
            await door.post(bob, f"{path}/test"),
            await door.get(bob, f"{path}/deliveries"),
            await door.get(bob, f"{DELIVERIES}/{delivery}"),
            await door.post(bob, f"{DELIVERIES}/{delivery}/redeliver"),
        ]

        for reply in replies:
            problem(reply, "not-found")
        assert [] == (await door.get(bob, ENDPOINTS)).json()["endpoints"]
        assert (await door.get(ana, path)).json()["is_enabled"]


class TestDelivery:
    async def test_log_is_read_in_pages(self, door: Door) -> None:
        ana = await door.person()
        endpoint = await create(door, ana)
        everything = await sent(door, ana, 5)
        path, cursor, seen = f"{ENDPOINTS}/{endpoint['id']}/deliveries", None, []
        while True:
            page = (
                await door.get(
                    ana, path, params={"limit": 2, "status": "pending"} | ({"cursor": cursor} if cursor else {})
                )
            ).json()
            seen += [one["id"] for one in page["deliveries"]]
            if (cursor := page["next_cursor"]) is None:
                break

        assert everything == seen
        assert [] == (await door.get(ana, path, params={"status": "failed"})).json()["deliveries"]
        problem(await door.get(ana, path, params={"cursor": "x"}), "invalid-input", field="cursor")

    async def test_that_is_being_sent_is_not_sent_again(self, door: Door) -> None:
        ana = await door.person()
        await create(door, ana)
        (delivery,) = await sent(door, ana)

        problem(await door.post(ana, f"{DELIVERIES}/{delivery}/redeliver"), "illegal-transition")

    async def test_is_sent_again_once_for_a_request(self, door: Door) -> None:
        ana = await door.person()
        await create(door, ana)
        (delivery,) = await sent(door, ana)
        async with door.engine.begin() as conn:
            await deliveries.give_up(conn, delivery, round_=1)

        replies = [await door.post(ana, f"{DELIVERIES}/{delivery}/redeliver", key="again") for _ in range(2)]

        assert [202, 202] == [reply.status_code for reply in replies]
        assert replies[0].json() == replies[1].json()
        assert "pending" == replies[0].json()["status"]
        async with door.engine.connect() as conn:
            starts = text("SELECT count(*) FROM outbox WHERE workflow_id LIKE 'webhook/' || :id || '%'")
            assert 2 == (await conn.execute(starts, {"id": delivery})).scalar_one()

    async def test_to_a_disabled_endpoint_is_not_sent_again(self, door: Door) -> None:
        ana = await door.person()
        endpoint = await create(door, ana)
        (delivery,) = await sent(door, ana)
        async with door.engine.begin() as conn:
            await deliveries.give_up(conn, delivery, round_=1)
        await patch(door, ana, f"{ENDPOINTS}/{endpoint['id']}", {"is_enabled": False})

        problem(await door.post(ana, f"{DELIVERIES}/{delivery}/redeliver"), "illegal-transition")

    async def test_of_a_ping_belongs_to_no_event(self, door: Door) -> None:
        ana = await door.person()
        endpoint = await create(door, ana)

        ping = (await door.post(ana, f"{ENDPOINTS}/{endpoint['id']}/test")).json()

        assert ("ping", None, "pending") == (ping["kind"], ping["event_id"], ping["status"])
