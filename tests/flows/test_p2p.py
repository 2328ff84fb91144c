"""P2P trades through the HTTP door with Temporal's real clock: each path to its end, and workers that are away."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from models.ledger import queries as ledger
from models.ledger.chart import held
from tests.desk import Desk, Person, open_desk
from tests.flows.test_replay_and_privacy import history_of, personal, record, replayer

TRADES, ORDERS = "/api/v1/p2p/trades", "/api/v1/p2p/orders"
ETH = "ETH.ethereum"
TAKE, FEE, PAID = 10**17, 2 * 10**15, 1_500_00
LONG = 900
"""Seconds of a window that no test waits for."""


@asynccontextmanager
async def ruled(desk: Desk, *, confirm: int = LONG) -> AsyncIterator[None]:
    """Orders and trades made inside this block may have windows of a second."""
    before = desk.app.state.services
    rules = replace(before.p2p, window_least_seconds=1, confirm_seconds=confirm)
    desk.app.state.services = replace(before, p2p=rules)
    try:
        yield
    finally:
        desk.app.state.services = before


async def rich(desk: Desk, boss: Person) -> Person:
    """Somebody with a coin and R$ 10,000.00 of the house's."""
    person = await desk.person()
    for body in ({"asset": "ETH", "network": "ethereum", "amount": "1"}, {"asset": "BRL", "amount": "10000"}):
        await desk.post(boss, "/api/v1/wallet/deposit", body | {"user_id": person.id, "reason": "ticket 1"})
    return person


async def couple(desk: Desk) -> tuple[Person, Person]:
    """A seller, and a buyer."""
    boss = await desk.operator()
    seller, buyer = await asyncio.gather(rich(desk, boss), rich(desk, boss))
    return seller, buyer


async def opened(desk: Desk, seller: Person, buyer: Person, settlement: str = "direct", *, window: int = LONG) -> Any:
    method = {"kind": "pix", "label": "mine", "holder_name": "Ana Beatriz Nogueira", "pix_key": seller.pix_key}
    terms = {
        "side": "sell",
        "asset": "ETH",
        "network": "ethereum",
        "amount": "0.5",
        "price_kind": "fixed",
        "price": "15000.00",
        "min_total": "100.00",
        "max_total": "7500.00",
        "settlements": [settlement],
        "method_ids": [],
        "window_seconds": window,
    }
    if settlement == "direct":
        terms["method_ids"] = [(await desk.post(seller, "/api/v1/p2p/payment-methods", method))["id"]]
    order = await desk.post(seller, ORDERS, terms)
    return await desk.post(buyer, TRADES, {"order_id": order["id"], "amount": "0.1", "settlement": settlement})


async def say(desk: Desk, person: Person, trade: Any, command: str) -> Any:
    body = {"reason": "other", "statement": "we disagree"} if command == "dispute" else None
    return await desk.post(person, f"{TRADES}/{trade['id']}/{command}", body)


async def until(desk: Desk, person: Person, trade: Any, *statuses: str, seconds: float = 40) -> Any:
    seen: dict[str, Any] = {}

    async def reached() -> bool:
        seen.update(await desk.get(person, f"{TRADES}/{trade['id']}"))
        return seen["status"] in statuses

    await desk.eventually(reached, f"{statuses}", seconds=seconds, say=lambda: str(seen))
    return seen


async def log(desk: Desk, person: Person, trade: Any) -> list[tuple[str, str | None]]:
    lines = await desk.get(person, f"{TRADES}/{trade['id']}/audit-log")
    return [(line["new_status"], line["reason"]) for line in lines]


async def moved(desk: Desk, person: Person) -> tuple[int, int, int, int]:
    """What the person has more than in the beginning: coins, coins held, reais, reais held."""
    async with desk.engine.connect() as conn:
        kept = [await ledger.balance(conn, held(person.id, asset)) for asset in (ETH, "BRL")]
    coins, reais = await desk.available(person, ETH), await desk.available(person, "BRL")
    return coins - 10**18, kept[0], reais - 10_000_00, kept[1]


async def available(desk: Desk, seller: Person, trade: Any) -> str:
    return str((await desk.get(seller, f"{ORDERS}/{trade['order_id']}"))["available"])


async def over(desk: Desk, trade: Any) -> None:
    await desk.ended(trade["workflow_id"])


class TestTrade:
    async def test_completes_by_a_payment_outside(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await opened(desk, seller, buyer)

        await say(desk, buyer, trade, "payment-sent")
        done = await say(desk, seller, trade, "confirm-payment")
        await over(desk, trade)

        assert "completed" == done["status"]
        assert ((-TAKE, 0, 0, 0), (TAKE - FEE, 0, 0, 0)) == (await moved(desk, seller), await moved(desk, buyer))
        assert "0.400000000000000000" == await available(desk, seller, trade)
        await desk.balanced()

    async def test_completes_by_the_balance(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await opened(desk, seller, buyer, "balance")
        before = await moved(desk, seller), await moved(desk, buyer)

        done = await say(desk, buyer, trade, "payment-sent")
        await over(desk, trade)

        assert ((-TAKE, TAKE, 0, 0), (0, 0, -PAID, PAID)) == before
        assert "completed" == done["status"]
        assert ((-TAKE, 0, PAID, 0), (TAKE - FEE, 0, -PAID, 0)) == (
            await moved(desk, seller),
            await moved(desk, buyer),
        )
        await desk.balanced()

    @pytest.mark.parametrize("settlement", ["direct", "balance"])
    async def test_that_is_not_paid_expires_at_its_time(self, desk: Desk, settlement: str):
        seller, buyer = await couple(desk)
        async with ruled(desk):
            trade = await opened(desk, seller, buyer, settlement, window=2)

        done = await until(desk, buyer, trade, "expired")
        await over(desk, trade)

        assert "not_paid_in_time" == done["reason"]
        assert trade["deadline_at"] <= done["ended_at"]
        assert ((0,) * 4, (0,) * 4) == (await moved(desk, seller), await moved(desk, buyer))
        assert "0.500000000000000000" == await available(desk, seller, trade)
        await desk.balanced()

    async def test_that_is_cancelled_gives_all_of_it_back(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await opened(desk, seller, buyer)

        await say(desk, buyer, trade, "cancel")
        await over(desk, trade)

        assert (0,) * 4 == await moved(desk, seller)
        assert "0.500000000000000000" == await available(desk, seller, trade)
        await desk.balanced()

    async def test_whose_payment_is_undone_waits_for_it_again(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await opened(desk, seller, buyer)

        sent = await say(desk, buyer, trade, "payment-sent")
        undone = await say(desk, buyer, trade, "undo-payment-sent")
        again = await say(desk, buyer, trade, "payment-sent")
        await say(desk, seller, trade, "complete")
        await over(desk, trade)

        assert ["payment_sent", "open", "payment_sent"] == [one["status"] for one in (sent, undone, again)]
        assert trade["deadline_at"] == undone["deadline_at"]
        assert (TAKE - FEE, 0, 0, 0) == await moved(desk, buyer)
        await desk.balanced()

    async def test_that_nobody_confirms_is_reminded_of_and_then_in_dispute(self, desk: Desk):
        seller, buyer = await couple(desk)
        async with ruled(desk, confirm=4):
            trade = await opened(desk, seller, buyer)

        await say(desk, buyer, trade, "payment-sent")
        await until(desk, buyer, trade, "disputed")
        frozen = await moved(desk, seller)
        await say(desk, seller, trade, "confirm-payment")
        await over(desk, trade)

        assert [
            ("open", None),
            ("payment_sent", None),
            ("payment_sent", "seller_reminded"),
            ("disputed", "confirmation_window_over"),
            ("completed", "confirmed_by_seller"),
        ] == await log(desk, seller, trade)
        assert (-TAKE, TAKE, 0, 0) == frozen
        assert (TAKE - FEE, 0, 0, 0) == await moved(desk, buyer)
        await desk.balanced()

    async def test_given_up_in_a_dispute_goes_back(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await opened(desk, seller, buyer)
        await say(desk, buyer, trade, "payment-sent")

        await say(desk, seller, trade, "dispute")
        done = await say(desk, buyer, trade, "cancel")
        await over(desk, trade)

        assert "refunded" == done["status"]
        assert ((0,) * 4, "0.500000000000000000") == (await moved(desk, seller), await available(desk, seller, trade))
        await desk.balanced()

    async def test_names_nobody_in_its_history_and_replays(self, desk: Desk):
        seller, buyer = await couple(desk)
        paid = await opened(desk, seller, buyer)
        await say(desk, buyer, paid, "payment-sent")
        await say(desk, seller, paid, "confirm-payment")
        async with ruled(desk):
            unpaid = await opened(desk, seller, buyer, "balance", window=1)

        for name, trade in (("paid-outside", paid), ("never-paid", unpaid)):
            await over(desk, trade)
            history = await history_of(desk, trade["workflow_id"])
            await replayer().replay_workflow(history)
            said = history.to_json()
            assert [] == [secret for who in (seller, buyer) for secret in personal(who) if secret in said]
            if os.environ.get("LIQUIDA_RECORD_HISTORIES"):
                record(f"{name}--p2p-trade", said)


class TestRaces:
    async def test_of_expiry_and_payment_sent_have_one_winner(self, desk: Desk):
        """The word comes just before, at, or after the end of the window, while Temporal's timer fires."""
        seller, buyer = await couple(desk)
        async with ruled(desk):
            trades = [await opened(desk, seller, buyer, window=2) for _ in range(2)]

        async def race(trade: Any, after: float) -> tuple[int, str]:
            await asyncio.sleep(after)
            reply = await desk.call(buyer, "POST", f"{TRADES}/{trade['id']}/payment-sent")
            seen = await until(desk, buyer, trade, "payment_sent", "expired")
            return reply.status_code, seen["status"]

        found = await asyncio.gather(*(race(trade, 1.6 + 0.1 * number) for number, trade in enumerate(trades)))

        assert set(found) <= {(200, "payment_sent"), (409, "expired")}
        for trade, (code, _) in zip(trades, found, strict=True):
            if code == 200:
                await say(desk, seller, trade, "confirm-payment")
            await over(desk, trade)
        await desk.balanced()


class TestWorkers:
    async def test_away_lose_no_word_and_extend_no_window(self):
        with TemporaryDirectory(prefix="liquida-p2p-") as name:
            directory = Path(name)
            directory.chmod(0o755)
            async with open_desk(directory, working=False) as desk:
                async with desk.working():
                    await desk.open()
                    seller, buyer = await couple(desk)

                async with ruled(desk, confirm=2):
                    said = await opened(desk, seller, buyer)
                    late = await opened(desk, seller, buyer, window=1)
                    sent = await say(desk, buyer, said, "payment-sent")
                await asyncio.sleep(2.2)
                too_late = await desk.call(buyer, "POST", f"{TRADES}/{late['id']}/payment-sent")
                waiting = await desk.get(buyer, f"{TRADES}/{late['id']}")
                async with desk.working():
                    expired = await until(desk, buyer, late, "expired")
                    disputed = await until(desk, buyer, said, "disputed")
                    await say(desk, seller, said, "confirm-payment")
                    await over(desk, said)

                assert ("payment_sent", 409, "open") == (sent["status"], too_late.status_code, waiting["status"])
                assert ["not_paid_in_time", "confirmation_window_over"] == [expired["reason"], disputed["reason"]]
                assert (TAKE - FEE, 0, 0, 0) == await moved(desk, buyer)
                await desk.balanced()
