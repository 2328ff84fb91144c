"""Disputes of P2P trades through the HTTP door with Temporal's real clock: what ends them when nobody acts."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from models.p2p_dispute.types import DisputeRules
from models.user.types import Role
from tests.desk import Desk, Person
from tests.flows.test_p2p import FEE, TAKE, TRADES, couple, moved, opened, over, ruled, say, until
from tests.flows.test_replay_and_privacy import history_of, personal, record, replayer

OPS = "/api/v1/ops/p2p-disputes"
RULING = {"buyer_bps": 10_000, "reason": "payment_proven", "text": "the receipt is good"}
WORDS = "we disagree"


@asynccontextmanager
async def judged(desk: Desk, **rules: Any) -> AsyncIterator[None]:
    """Disputes ruled on inside this block have other windows."""
    before = desk.app.state.services
    desk.app.state.services = replace(before, p2p_disputes=replace(DisputeRules(), **rules))
    try:
        yield
    finally:
        desk.app.state.services = before


async def fight(desk: Desk) -> tuple[Person, Person, Any, Any]:
    """A seller and a buyer, their trade, and the dispute over it."""
    seller, buyer = await couple(desk)
    trade = await opened(desk, seller, buyer)
    await say(desk, buyer, trade, "payment-sent")
    return seller, buyer, trade, await say(desk, seller, trade, "dispute")


async def rule(desk: Desk, dispute: Any) -> Any:
    arbiter = await desk.person(role=Role.ARBITER)
    return await desk.post(arbiter, f"{OPS}/{dispute['id']}/rule", RULING)


async def reached(desk: Desk, person: Person, trade: Any, status: str) -> Any:
    seen: dict[str, Any] = {}

    async def there() -> bool:
        seen.update(await desk.get(person, f"{TRADES}/{trade['id']}/dispute"))
        return bool(seen["status"] == status)

    await desk.eventually(there, status, seconds=40, say=lambda: str(seen["status"]))
    return seen


class TestDispute:
    async def test_is_carried_out_when_nobody_appeals_and_names_nobody(self, desk: Desk):
        seller, buyer, trade, dispute = await fight(desk)
        async with judged(desk, appeal_seconds=2):
            found = await rule(desk, dispute)
        frozen = await moved(desk, seller)

        done = await until(desk, buyer, trade, "completed")
        await over(desk, trade)
        await desk.ended(found["workflow_id"])

        assert (-TAKE, TAKE, 0, 0) == frozen
        assert found["deadline_at"] <= done["ended_at"]
        assert ((-TAKE, 0, 0, 0), (TAKE - FEE, 0, 0, 0)) == (await moved(desk, seller), await moved(desk, buyer))
        await desk.balanced()
        history = await history_of(desk, found["workflow_id"])
        await replayer().replay_workflow(history)
        said = history.to_json()
        secrets = [*personal(seller), *personal(buyer), WORDS, RULING["text"]]
        assert [] == [secret for secret in secrets if str(secret) in said]
        if os.environ.get("LIQUIDA_RECORD_HISTORIES"):
            record("ruled--p2p-dispute", said)

    async def test_forgets_a_proposal_that_no_second_arbiter_took_up(self, desk: Desk):
        seller, buyer, trade, dispute = await fight(desk)
        async with judged(desk, alone_most_centavos=0, proposal_seconds=1):
            proposed = await rule(desk, dispute)

        again = await reached(desk, buyer, trade, "open")
        await desk.post(seller, f"{TRADES}/{trade['id']}/dispute/settle", {"concede": True})
        await desk.ended(proposed["workflow_id"])

        assert ["ruling_proposed", "proposal_expired"] == [step["step"] for step in again["history"]][1:]
        assert (TAKE - FEE, 0, 0, 0) == await moved(desk, buyer)
        await desk.balanced()

    async def test_opens_by_itself_and_is_given_up_by_a_release(self, desk: Desk):
        seller, buyer = await couple(desk)
        async with ruled(desk, confirm=1):
            trade = await opened(desk, seller, buyer)
        await say(desk, buyer, trade, "payment-sent")
        await until(desk, buyer, trade, "disputed")

        found = await desk.get(buyer, f"{TRADES}/{trade['id']}/dispute")
        await say(desk, seller, trade, "confirm-payment")
        await desk.ended(f"p2p-dispute/{found['id']}")
        after = await desk.get(buyer, f"{TRADES}/{trade['id']}/dispute")

        assert ("system", "not_confirmed_in_time") == (found["opened_by"], found["reason"])
        assert ("settled", "conceded", 10_000) == (after["status"], after["history"][-1]["step"], after["buyer_bps"])
        await desk.balanced()
