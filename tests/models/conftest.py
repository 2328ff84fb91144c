"""A migrated and settled template once, and a copy of it for every test."""

import itertools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.database import engine as make_engine
from liquida.database import migrate
from liquida.stack.postgres import Postgres
from tests.models.world import World
from tests.parts import create_database, drop_database, parts_directory, postgres_server

__all__ = ["parts_directory", "postgres_server"]

TEMPLATE = "liquida"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
async def template(postgres_server: Postgres) -> str:
    await migrate(postgres_server.owner_url)
    made = make_engine(postgres_server.url())
    await World(made).settle()
    await made.dispose()
    return TEMPLATE


@pytest.fixture
async def database(postgres_server: Postgres, template: str) -> AsyncIterator[str]:
    name = f"books_{next(_NUMBERS)}"
    yield await create_database(postgres_server.admin_url, name, template=template)
    await drop_database(postgres_server.admin_url, name)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = make_engine(database)
    yield made
    await made.dispose()


@pytest.fixture
async def world(engine: AsyncEngine) -> World:
    return await World(engine).begin()
