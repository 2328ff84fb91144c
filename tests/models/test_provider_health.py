"""A provider fails from its first silence to its next answer; a new trade changes it only when that is sure."""

import pytest

from models.provider_health import queries, writes
from models.provider_health.rules import choose
from models.provider_health.types import Failover, ProviderHealth
from tests.models.world import World

FAILOVER = Failover("efi", down_after_seconds=300, stale_after_seconds=150)
WELL, DOWN, SILENT = None, 301.0, 299.0


def known(*rows: tuple[str, float | None, float]) -> dict[str, ProviderHealth]:
    return {name: ProviderHealth(name, failing, checked) for name, failing, checked in rows}


async def note(world: World, provider: str, *, answers: bool) -> None:
    async with world.engine.begin() as conn:
        await writes.note(conn, provider, answers=answers)


async def health(world: World, provider: str) -> ProviderHealth:
    async with world.engine.connect() as conn:
        return (await queries.all_known(conn))[provider]


class TestHealth:
    async def test_is_unknown_of_a_provider_never_asked(self, world: World) -> None:
        async with world.engine.connect() as conn:
            assert {} == await queries.all_known(conn)

    async def test_is_good_after_an_answer(self, world: World) -> None:
        await note(world, "woovi", answers=True)

        found = await health(world, "woovi")

        assert ("woovi", None) == (found.provider, found.failing_seconds)
        assert 0 <= found.checked_seconds < 60

    async def test_fails_since_the_first_silence(self, world: World) -> None:
        await note(world, "woovi", answers=False)
        await world.execute("UPDATE provider_health SET failing_since = failing_since - interval '10 minutes'")

        await note(world, "woovi", answers=False)

        found = await health(world, "woovi")
        assert found.failing_seconds is not None
        assert 600 <= found.failing_seconds < 660
        assert found.checked_seconds < 60

    async def test_is_good_again_with_one_answer_and_then_fails_anew(self, world: World) -> None:
        await note(world, "woovi", answers=False)
        await world.execute("UPDATE provider_health SET failing_since = failing_since - interval '10 minutes'")

        await note(world, "woovi", answers=True)
        good = await health(world, "woovi")
        await note(world, "woovi", answers=False)

        assert good.failing_seconds is None
        assert ((await health(world, "woovi")).failing_seconds or 600) < 60

    async def test_is_each_providers_own(self, world: World) -> None:
        await note(world, "woovi", answers=False)
        await note(world, "efi", answers=True)

        assert (await health(world, "woovi")).failing_seconds is not None
        assert (await health(world, "efi")).failing_seconds is None


class TestChoice:
    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ([("woovi", WELL, 10), ("efi", WELL, 10)], "woovi"),
            ([("woovi", DOWN, 10), ("efi", WELL, 10)], "efi"),
            ([("woovi", SILENT, 10), ("efi", WELL, 10)], "woovi"),
            ([("woovi", DOWN, 10), ("efi", DOWN, 10)], "woovi"),
            ([("woovi", DOWN, 10), ("efi", 1.0, 10)], "woovi"),
            ([("woovi", WELL, 10), ("efi", DOWN, 10)], "woovi"),
            ([("woovi", DOWN, 151), ("efi", WELL, 10)], "woovi"),
            ([("woovi", DOWN, 10), ("efi", WELL, 151)], "woovi"),
            ([("woovi", DOWN, 10)], "woovi"),
            ([("efi", WELL, 10)], "woovi"),
            ([], "woovi"),
        ],
        ids=[
            "both well",
            "main down",
            "main silent for a moment",
            "both down",
            "fallback just failed",
            "fallback down",
            "main not asked lately",
            "fallback not asked lately",
            "fallback never asked",
            "main never asked",
            "nobody asked",
        ],
    )
    def test_leaves_the_main_one_only_when_it_is_surely_down(
        self, rows: list[tuple[str, float | None, float]], expected: str
    ) -> None:
        assert expected == choose("woovi", FAILOVER, known(*rows))

    def test_without_a_fallback_is_the_main_one(self) -> None:
        assert "woovi" == choose("woovi", None, known(("woovi", DOWN, 10)))
