"""One furnished database and one door for all tests of the API; every test brings its own people."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida import database
from liquida.stack.postgres import Postgres
from tests.api.door import Door, Person, furnish, services


@pytest.fixture(scope="session")
async def engine(postgres_server: Postgres) -> AsyncIterator[AsyncEngine]:
    await database.migrate(postgres_server.owner_url)
    engine = database.engine(postgres_server.url())
    await furnish(engine)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
async def door(engine: AsyncEngine) -> AsyncIterator[Door]:
    door = Door(await services(engine))
    yield door
    await door.http.aclose()


@pytest.fixture
async def ana(door: Door) -> Person:
    return await door.seller()


@pytest.fixture
async def bob(door: Door) -> Person:
    return await door.seller()
