"""One request, one effect."""

import asyncio

import pytest

from models.errors import IdempotencyMismatch
from models.idempotency import Answer, answer, claim, request_hash
from tests.models.world import World

REQUEST = request_hash("POST", "/api/v1/quotes", b"{}")


async def request(world: World, *, key: str = "k", request: bytes = REQUEST, crash: bool = False) -> Answer | None:
    """Claim, do the work, answer: one transaction, as the API does it."""
    async with world.engine.begin() as conn:
        known = await claim(conn, user_id=world.user_id, key=key, request=request)
        if known is None:
            await asyncio.sleep(0.05)
            if crash:
                raise ConnectionError
            await answer(conn, user_id=world.user_id, key=key, status=201, body={"id": "1"})
        return known


class TestClaim:
    async def test_lets_the_first_go_on_and_replays_its_answer(self, world: World) -> None:
        assert None is await request(world)
        assert Answer(201, {"id": "1"}) == await request(world)

    async def test_refuses_another_request_under_the_key(self, world: World) -> None:
        await request(world)

        with pytest.raises(IdempotencyMismatch):
            await request(world, request=request_hash("POST", "/api/v1/quotes", b'{"amount":"2"}'))

    async def test_lets_one_of_many_through_and_the_others_wait_for_its_answer(self, world: World) -> None:
        answers = await asyncio.gather(*(request(world) for _ in range(8)))

        assert 1 == answers.count(None)
        assert 7 == answers.count(Answer(201, {"id": "1"}))

    async def test_lets_the_next_go_on_when_the_first_crashed(self, world: World) -> None:
        first, second = await asyncio.gather(request(world, crash=True), request(world), return_exceptions=True)

        assert isinstance(first, ConnectionError) or isinstance(second, ConnectionError) or second is None
        assert Answer(201, {"id": "1"}) == await request(world)

    async def test_lets_it_go_on_while_the_answer_is_not_known(self, world: World) -> None:
        """A command that timed out answered 202: its repetition asks the workflow again."""
        async with world.engine.begin() as conn:
            await claim(conn, user_id=world.user_id, key="k", request=REQUEST)

        assert None is await request(world)

    async def test_keeps_users_apart(self, world: World) -> None:
        await request(world)
        world.user_id, _ = await world.join("bia@example.com")

        assert None is await request(world)

    @pytest.mark.parametrize("body", [None, [], {"total": "97.00"}, "text"])
    async def test_replays_any_json(self, world: World, body: object) -> None:
        async with world.engine.begin() as conn:
            await claim(conn, user_id=world.user_id, key="k", request=REQUEST)
            await answer(conn, user_id=world.user_id, key="k", status=200, body=body)
            known = await claim(conn, user_id=world.user_id, key="k", request=REQUEST)

        assert Answer(200, body) == known

    def test_hashes_method_path_and_body_apart(self) -> None:
        parts = [("POST", "/a", b"b"), ("POST", "/ab", b""), ("POST/", "a", b"b"), ("PUT", "/a", b"b")]

        assert 4 == len({request_hash(*part) for part in parts})
