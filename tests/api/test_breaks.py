"""Operators read what differs from the bank, take it up and end it with evidence; users see none of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.ids import new_id
from models.reconciliation import bank_lines
from models.reconciliation.reconcile import reconcile
from models.reconciliation.types import Line, Question, Reading, bank_day
from models.user.types import Role
from tests.api.door import API, Door, Person, problem

BREAKS, DAYS = f"{API}/ops/breaks", f"{API}/ops/reconciliations"
AMOUNT = -14_512


@pytest.fixture(scope="module")
async def operator(door: Door) -> Person:
    return await door.person(role=Role.OPERATOR)


@pytest.fixture
async def bank(door: Door) -> AsyncIterator[str]:
    """A provider of its own for each test, with one line that our books do not have."""
    yield (name := f"bank-{new_id()[:8]}")
    await shown(door, name, [])


@pytest.fixture
async def found(door: Door, operator: Person, bank: str) -> dict[str, Any]:
    await shown(door, bank, [Line(f"line-{bank}", f"k{bank}", None, AMOUNT, datetime.now(UTC))])
    (one,) = await listed(door, operator, provider=bank)
    return one


async def shown(door: Door, bank: str, lines: list[Line]) -> None:
    """The bank's statement of today, compared."""
    now = datetime.now(UTC)
    day = bank_day(now)
    async with door.engine.begin() as conn:
        await bank_lines.store(conn, provider=bank, day=day, lines=lines)
        question = Question(bank, day, Reading(now + timedelta(hours=3), len(lines), 10_000), new_id(), now)
        await reconcile(conn, question, tolerance=timedelta(hours=2))


async def listed(door: Door, operator: Person, **params: Any) -> list[dict[str, Any]]:
    reply = await door.get(operator, BREAKS, params=params)
    assert 200 == reply.status_code, reply.text
    found: list[dict[str, Any]] = reply.json()["breaks"]
    return found


class TestBreaks:
    async def test_are_shown_with_age_side_and_class(self, found: dict[str, Any], bank: str):
        assert ("missing_in_ledger", "open", "-145.12", bank) == tuple(
            found[name] for name in ("class", "state", "amount", "provider")
        )
        assert ("-145.12", f"line-{bank}") == (found["bank"]["amount"], found["bank"]["id"])
        assert (None, None, []) == (found["ledger"], found["owner_id"], found["suggestions"])
        assert 0 <= found["age_hours"] < 1

    async def test_are_filtered(self, door: Door, operator: Person, found: dict[str, Any], bank: str):
        for wanted, params in (
            (1, {"class": "missing_in_ledger", "state": "open", "day": found["day"], "older_than": 0}),
            (0, {"class": "amount"}),
            (0, {"state": ["resolved", "cleared"]}),
            (0, {"older_than": 1}),
            (0, {"day": "2020-01-01"}),
        ):
            assert wanted == len(await listed(door, operator, provider=bank, **params)), params

    async def test_come_in_pages(self, door: Door, operator: Person, bank: str):
        at = datetime.now(UTC)
        await shown(door, bank, [Line(f"{bank}-{number}", f"{bank}{number}", None, 100, at) for number in range(5)])
        seen, cursor = [], None
        for _ in range(3):
            params = {"provider": bank, "limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await door.get(operator, BREAKS, params=params)).json()
            seen += [one["id"] for one in page["breaks"]]
            cursor = page["next_cursor"]

        assert (5, 5, None) == (len(seen), len(set(seen)), cursor)

    async def test_are_refused_to_users(self, door: Door, ana: Person, found: dict[str, Any]):
        one = f"{BREAKS}/{found['id']}"

        replies = [
            await door.get(ana, BREAKS),
            await door.get(ana, one),
            await door.get(ana, DAYS),
            await door.post(ana, f"{one}/acknowledge", {}),
            await door.post(ana, f"{one}/resolve", {"reason": "bank_fee", "evidence": "ticket 7"}),
        ]

        assert {403} == {reply.status_code for reply in replies}
        for reply in replies:
            problem(reply, "forbidden")

    @pytest.mark.parametrize(
        "params",
        [{"day": "2026-02-30"}, {"day": "today"}, {"class": "matchd"}, {"older_than": "-1"}, {"cursor": "x"}],
    )
    async def test_refuse_what_is_no_filter(self, door: Door, operator: Person, params: dict[str, str]):
        reply = await door.get(operator, BREAKS, params=params)

        assert 422 == reply.status_code
        problem(reply, "invalid-input", field=next(iter(params)))


class TestBreak:
    async def test_is_taken_up_and_ended_with_evidence(
        self, door: Door, operator: Person, found: dict[str, Any], bank: str
    ):
        one = f"{BREAKS}/{found['id']}"
        taken = await door.post(operator, f"{one}/acknowledge", {})

        ended = await door.post(operator, f"{one}/resolve", {"reason": "not_ours", "evidence": "ticket 4711"})

        assert (200, "acknowledged", operator.id) == (
            taken.status_code,
            taken.json()["state"],
            taken.json()["owner_id"],
        )
        assert ("resolved", "not_ours", "ticket 4711", "missing_in_ledger") == tuple(
            ended.json()[name] for name in ("state", "resolution", "evidence", "class")
        )
        assert ended.json() == (await door.get(operator, one)).json()
        assert [("open", "system"), ("acknowledged", operator.id), ("resolved", operator.id)] == [
            (entry["new_state"], entry["actor"]) for entry in ended.json()["history"]
        ]
        assert [] == await listed(door, operator, provider=bank)

    async def test_of_one_key_is_ended_once_however_many_send_it(
        self, door: Door, operator: Person, found: dict[str, Any]
    ):
        one, key = f"{BREAKS}/{found['id']}", new_id()

        replies = await asyncio.gather(*(door.post(operator, f"{one}/acknowledge", {}, key=key) for _ in range(5)))

        assert {200} == {reply.status_code for reply in replies}
        assert 4 == sum("idempotency-replayed" in reply.headers for reply in replies)
        assert 2 == len((await door.get(operator, one)).json()["history"])

    async def test_is_not_ended_by_who_did_not_take_it_up(self, door: Door, operator: Person, found: dict[str, Any]):
        other = await door.person(role=Role.OPERATOR)
        one, body = f"{BREAKS}/{found['id']}", {"reason": "not_ours", "evidence": "ticket 4711"}

        early = await door.post(operator, f"{one}/resolve", body)
        await door.post(operator, f"{one}/acknowledge", {})
        others = await door.post(other, f"{one}/resolve", body)
        twice = await door.post(other, f"{one}/acknowledge", {})
        taken = await door.post(other, f"{one}/acknowledge", {"take_over": True})

        for reply in (early, others, twice):
            assert 409 == reply.status_code
            problem(reply, "illegal-transition")
        assert other.id == taken.json()["owner_id"]

    @pytest.mark.parametrize(
        ("reason", "evidence", "field"),
        [
            ("because", "ticket 7", "reason"),
            ("not_ours", "", "evidence"),
            ("not_ours", "CPF 529.982.247-25", "evidence"),
        ],
    )
    async def test_is_not_ended_without_a_reason_and_a_document(
        self, door: Door, operator: Person, found: dict[str, Any], reason: str, evidence: str, field: str
    ):
        one = f"{BREAKS}/{found['id']}"
        await door.post(operator, f"{one}/acknowledge", {})

        reply = await door.post(operator, f"{one}/resolve", {"reason": reason, "evidence": evidence})

        assert 422 == reply.status_code
        problem(reply, "invalid-input", field=field)

    async def test_that_nobody_knows_is_not_found(self, door: Door, operator: Person):
        for reply in (
            await door.get(operator, f"{BREAKS}/{new_id()}"),
            await door.post(operator, f"{BREAKS}/{new_id()}/acknowledge", {}),
        ):
            assert 404 == reply.status_code
            problem(reply, "not-found")


class TestReconciliations:
    async def test_show_each_day_with_its_classes_and_sums(
        self, door: Door, operator: Person, found: dict[str, Any], bank: str
    ):
        (day,) = (await door.get(operator, DAYS, params={"provider": bank})).json()["reconciliations"]

        assert (1, "-145.12", "100.00", "245.12", 1, True) == tuple(
            day[name] for name in ("lines", "lines_sum", "closing", "opening", "live_breaks", "bank_answered")
        )
        assert found["day"] == day["day"]
        assert {"class": "missing_in_ledger", "lines": 1, "movements": 0, "bank": "-145.12", "ledger": "0.00"} in day[
            "classes"
        ]

    async def test_of_a_silent_bank_keep_the_figures_of_the_last_answer(
        self, door: Door, operator: Person, found: dict[str, Any], bank: str
    ):
        now = datetime.now(UTC)
        async with door.engine.begin() as conn:
            silent = Question(bank, bank_day(now), Reading(None), new_id(), now)
            await reconcile(conn, silent, tolerance=timedelta(hours=2))

        (day,) = (await door.get(operator, DAYS, params={"provider": bank})).json()["reconciliations"]

        assert (False, 1) == (day["bank_answered"], day["lines"])
        assert day["compared_at"] < day["last_run_at"]

    @pytest.mark.parametrize(
        ("params", "kind"),
        [
            ({"from": "2026-01-02", "to": "2026-01-02"}, "invalid-input"),
            ({"from": "2024-01-01", "to": "2026-01-02"}, "limit-exceeded"),
            ({"from": "0001-01-01"}, "invalid-input"),
        ],
    )
    async def test_refuse_days_that_cannot_be(self, door: Door, operator: Person, params: dict[str, str], kind: str):
        reply = await door.get(operator, DAYS, params=params)

        assert 422 == reply.status_code
        problem(reply, kind)


class TestMetrics:
    async def test_count_breaks_by_class_and_age_and_say_when_a_bank_was_last_compared(
        self, door: Door, found: dict[str, Any], bank: str
    ):
        said = (await door.http.get("/metrics")).text

        assert 'liquida_breaks_open{age="hour",class="missing_in_ledger"}' in said
        assert 'liquida_breaks_open{age="older",class="duplicate"} 0.0' in said
        assert f'liquida_reconciliation_age_seconds{{provider="{bank}"}}' in said
        assert 'class="matched"' not in said
