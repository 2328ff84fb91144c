"""What ended trades say of their two sides, and to whom which end is charged."""

import secrets
from typing import Any

import pytest

from models.p2p_order.types import Settlement
from models.p2p_trade.states import P2PTradeStatus
from tests.api.door import Door, Person, problem
from tests.api.p2p import P2P, reputation, trade

S = P2PTradeStatus


class TestReputation:
    async def test_of_a_beginner_is_empty_and_names_nobody(self, door: Door, ana: Person, bob: Person):
        reply = await door.get(bob, f"{P2P}/users/{ana.id}/reputation")

        assert {
            "user_id": ana.id,
            "trades": 0,
            "volume": "0.00",
            "completion_bps": None,
            "release_seconds": None,
            "disputes_lost": 0,
            "rating": None,
            "reviews": 0,
        } == reply.json()

    @pytest.mark.parametrize(
        ("how", "seller", "buyer"),
        [
            ({}, (1, 10_000, 0), (1, 10_000, 0)),
            ({"status": S.OPEN}, (0, None, 0), (0, None, 0)),
            ({"status": S.DISPUTED}, (0, None, 0), (0, None, 0)),
            ({"status": S.EXPIRED}, (0, None, 0), (0, 0, 0)),
            ({"status": S.CANCELLED, "by": "buyer"}, (0, None, 0), (0, 0, 0)),
            ({"status": S.CANCELLED, "by": "seller"}, (0, None, 0), (0, None, 0)),
            ({"status": S.COMPLETED, "ruled": True}, (1, 0, 1), (1, 10_000, 0)),
            ({"status": S.REFUNDED, "ruled": True}, (0, None, 0), (0, 0, 1)),
            ({"status": S.REFUNDED}, (0, None, 0), (0, None, 0)),
            ({"status": S.REFUNDED, "by": "buyer"}, (0, None, 0), (0, 0, 0)),
            ({"status": S.SPLIT, "ruled": True, "buyer_bps": 5_000}, (0, None, 0), (0, None, 0)),
            ({"status": S.SPLIT, "ruled": True, "buyer_bps": 5_001}, (0, 0, 1), (0, None, 0)),
            ({"status": S.SPLIT, "ruled": True, "buyer_bps": 4_999}, (0, None, 0), (0, 0, 1)),
            ({"status": S.SPLIT, "buyer_bps": 1}, (0, None, 0), (0, None, 0)),
        ],
    )
    async def test_charges_each_end_to_whom_it_belongs(
        self, door: Door, how: dict[str, Any], seller: tuple[int, int | None, int], buyer: tuple[int, int | None, int]
    ):
        """(trades, completion in basis points, disputes lost) of the two sides."""
        ana, bob = await door.person(), await door.person()
        who = {"buyer": bob.id, "seller": ana.id}
        await trade(door, ana, bob, **how | {"by": who.get(how.get("by", ""), "system")})

        found = [await reputation(door, person) for person in (ana, bob)]

        assert [seller, buyer] == [(one["trades"], one["completion_bps"], one["disputes_lost"]) for one in found]

    async def test_tells_volume_and_the_median_release(self, door: Door):
        ana, bob = await door.person(), await door.person()
        for seconds in (30, 60, 600):
            await trade(door, ana, bob, release_seconds=seconds)
        await trade(door, ana, bob, release_seconds=9_000, ruled=True)
        for _ in range(3):
            await trade(door, ana, bob, release_seconds=1, settlement=Settlement.CHARGE)
        await trade(door, bob, ana, release_seconds=5, total_centavos=1)

        seller, buyer = await reputation(door, ana), await reputation(door, bob)

        assert (8, "1050.01", 60) == (seller["trades"], seller["volume"], seller["release_seconds"])
        assert 5 == buyer["release_seconds"]

    async def test_rounds_completion_down(self, door: Door):
        ana, bob = await door.person(), await door.person()
        for status in (S.COMPLETED, S.COMPLETED, S.EXPIRED):
            await trade(door, ana, bob, status=status)

        assert 6_666 == (await reputation(door, bob))["completion_bps"]

    async def test_of_nobody_is_not_found(self, door: Door, ana: Person):
        for path in ("reputation", "reviews"):
            reply = await door.get(ana, f"{P2P}/users/{secrets.token_hex(16)}/{path}")

            problem(reply, "not-found", field="user_id")
