"""The block list: one's own, told to nobody."""

import secrets

import pytest

from tests.api.door import Door, Person, problem
from tests.api.p2p import P2P, delete

BLOCKS = f"{P2P}/blocks"


class TestBlock:
    async def test_is_listed_to_its_author_alone_until_removed(self, door: Door, ana: Person, bob: Person):
        added = [await door.post(ana, BLOCKS, {"user_id": bob.id}) for _ in range(2)]
        listed = [(await door.get(who, BLOCKS)).json() for who in (ana, bob)]
        foreign = await delete(door, bob, f"{BLOCKS}/{ana.id}")
        removed = [await delete(door, ana, f"{BLOCKS}/{bob.id}") for _ in range(2)]

        assert [201, 201] == [reply.status_code for reply in added]
        assert added[0].json() == added[1].json()
        assert [[added[0].json()], []] == listed
        assert [404, 204, 404] == [reply.status_code for reply in (foreign, *removed)]
        assert [] == (await door.get(ana, BLOCKS)).json()

    @pytest.mark.parametrize(
        ("user_id", "status", "kind"),
        [
            ("me", 422, "invalid-input"),
            ("0" * 32, 404, "not-found"),
            ("x", 422, "invalid-input"),
            (1, 422, "invalid-input"),
        ],
    )
    async def test_is_of_another_user(self, door: Door, ana: Person, user_id: str, status: int, kind: str):
        reply = await door.post(ana, BLOCKS, {"user_id": ana.id if user_id == "me" else user_id})

        problem(reply, kind, field="user_id")
        assert status == reply.status_code

    async def test_of_nobody_is_not_removed(self, door: Door, ana: Person):
        assert 404 == (await delete(door, ana, f"{BLOCKS}/{secrets.token_hex(16)}")).status_code
