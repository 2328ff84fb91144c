from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.chaos.world import World, open_world


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[World]:
    with TemporaryDirectory(prefix="liquida-chaos-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        async with open_world(directory) as world:
            yield world
