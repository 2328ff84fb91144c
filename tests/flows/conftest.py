from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.desk import Desk, open_desk


@pytest.fixture(scope="session")
async def desk() -> AsyncIterator[Desk]:
    """One desk with a worker, for all flows of this process; every trade is a person of its own."""
    with TemporaryDirectory(prefix="liquida-flows-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        async with open_desk(directory) as desk:
            yield desk
