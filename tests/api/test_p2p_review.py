"""Reviews: one for each side of a completed trade, one reply, nothing changed after."""

import secrets
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.p2p_trade.states import P2PTradeStatus
from tests.api.door import Door, Person, now, problem
from tests.api.p2p import P2P, reputation, trade

S = P2PTradeStatus


class TestReview:
    async def test_is_one_for_each_side_and_counts(self, door: Door):
        ana, bob = await door.person(), await door.person()
        path = f"{P2P}/trades/{await trade(door, ana, bob)}/review"

        by_bob = await door.post(bob, path, {"stars": 5, "comment": " quick \n"})
        again = await door.post(bob, path, {"stars": 1})
        by_ana = await door.post(ana, path, {"stars": 4})

        assert [201, 409, 201] == [reply.status_code for reply in (by_bob, again, by_ana)]
        problem(again, "illegal-transition")
        assert (5, "quick", bob.id, ana.id) == tuple(
            by_bob.json()[name] for name in ("stars", "comment", "author_id", "subject_id")
        )
        found = await reputation(door, ana)
        assert ("5.00", 1) == (found["rating"], found["reviews"])

    async def test_is_repeated_with_its_key(self, door: Door):
        ana, bob = await door.person(), await door.person()
        path = f"{P2P}/trades/{await trade(door, ana, bob)}/review"

        replies = [await door.post(bob, path, {"stars": 5}, key="once") for _ in range(2)]

        assert [201, 201] == [reply.status_code for reply in replies]
        assert replies[0].json() == replies[1].json()

    @pytest.mark.parametrize("status", [status for status in S if status is not S.COMPLETED])
    async def test_is_of_a_completed_trade(self, door: Door, status: P2PTradeStatus):
        ana, bob = await door.person(), await door.person()

        reply = await door.post(
            bob, f"{P2P}/trades/{await trade(door, ana, bob, status=status)}/review", {"stars": 5}
        )

        assert status in problem(reply, "illegal-transition")["detail"]

    async def test_is_of_ones_own_trade(self, door: Door, ana: Person, bob: Person):
        eve = await door.person()

        replies = [
            await door.post(eve, f"{P2P}/trades/{trade_id}/review", {"stars": 1})
            for trade_id in (await trade(door, ana, bob), secrets.token_hex(16))
        ]

        assert [404, 404] == [reply.status_code for reply in replies]
        assert replies[0].json()["detail"] == replies[1].json()["detail"]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "stars"),
            ({"stars": 0}, "stars"),
            ({"stars": 6}, "stars"),
            ({"stars": 4.5}, "stars"),
            ({"stars": "5"}, "stars"),
            ({"stars": True}, "stars"),
            ({"stars": 5, "comment": "a" * 501}, "comment"),
            ({"stars": 5, "comment": "a\x00"}, "comment"),
            ({"stars": 5, "mood": "good"}, "mood"),
        ],
        ids=lambda value: str(value)[:40].replace("\x00", "NUL"),
    )
    async def test_names_the_field_at_fault(self, door: Door, ana: Person, body: dict[str, Any], field: str):
        reply = await door.post(ana, f"{P2P}/trades/{'0' * 32}/review", body)

        problem(reply, "invalid-input", field=field)

    async def test_is_replied_to_once_by_its_subject(self, door: Door):
        ana, bob = await door.person(), await door.person()
        trade_id = await trade(door, ana, bob)
        review = (await door.post(bob, f"{P2P}/trades/{trade_id}/review", {"stars": 1, "comment": "slow"})).json()
        path = f"{P2P}/reviews/{review['id']}/reply"

        own = await door.post(bob, path, {"reply": "and rude"})
        empty = await door.post(ana, path, {"reply": " "})
        replied = await door.post(ana, path, {"reply": " I was asleep "})
        again = await door.post(ana, path, {"reply": "no"})

        assert [404, 422, 200, 409] == [reply.status_code for reply in (own, empty, replied, again)]
        problem(empty, "invalid-input", field="reply")
        assert ("slow", "I was asleep") == (replied.json()["comment"], replied.json()["reply"])
        assert replied.json()["replied_at"] is not None

    async def test_is_listed_newest_first_in_pages(self, door: Door):
        ana, eve = await door.person(), await door.person()
        made = []
        for number in range(3):
            bob = await door.person()
            trade_id = await trade(door, ana, bob, ended_at=now() - timedelta(hours=1))
            reply = await door.post(bob, f"{P2P}/trades/{trade_id}/review", {"stars": 3, "comment": f"no {number}"})
            made.append(reply.json()["id"])
        path = f"{P2P}/users/{ana.id}/reviews"

        first = (await door.get(ana, path, params={"limit": 2})).json()
        rest = (await door.get(ana, path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        (strangers, *_) = (await door.get(eve, path)).json()["reviews"]
        bad = await door.get(eve, path, params={"cursor": "x"})

        assert list(reversed(made)) == [one["id"] for one in first["reviews"] + rest["reviews"]]
        assert (None, None) == (rest["next_cursor"], strangers["trade_id"])
        assert first["reviews"][0]["trade_id"]
        problem(bad, "invalid-input", field="cursor")

    async def test_stays_as_it_was_said_whatever_the_program_does(self, door: Door):
        ana, bob = await door.person(), await door.person()
        reply = await door.post(bob, f"{P2P}/trades/{await trade(door, ana, bob)}/review", {"stars": 1})
        review_id = reply.json()["id"]
        await door.post(ana, f"{P2P}/reviews/{review_id}/reply", {"reply": "sorry"})

        for statement in (
            "UPDATE p2p_reviews SET stars = 5 WHERE id = :id",
            "UPDATE p2p_reviews SET reply = 'never' WHERE id = :id",
            "UPDATE p2p_reviews SET reply = NULL, replied_at = NULL WHERE id = :id",
            "DELETE FROM p2p_reviews WHERE id = :id",
        ):
            with pytest.raises(DBAPIError, match=r"does not change|permission denied"):
                async with door.engine.begin() as conn:
                    await conn.execute(text(statement), {"id": review_id})
