"""A world of its own for a whole module, where tests bring their own people and disturb nobody."""

import itertools
from collections.abc import AsyncIterator

import pytest

from liquida.database import engine as make_engine
from liquida.stack.postgres import Postgres
from tests.models.world import World
from tests.parts import create_database, drop_database

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
async def arena(postgres_server: Postgres, template: str) -> AsyncIterator[World]:
    name = f"arena_{next(_NUMBERS)}"
    engine = make_engine(await create_database(postgres_server.admin_url, name, template=template))
    yield await World(engine).begin()
    await engine.dispose()
    await drop_database(postgres_server.admin_url, name)
