"""The parts and the database that any test may ask for: one of each for a whole test process.

A conftest or a module that imported one of these fixtures would make a second of it, over the first one's files.
"""

import itertools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.database import engine as make_engine
from liquida.database import migrate
from liquida.stack.postgres import Postgres, as_owner
from tests.models.world import World
from tests.parts import (
    create_database,
    drop_database,
    evm_node,
    parts_directory,
    postgres_server,
    temporal_server,
)

__all__ = ["evm_node", "parts_directory", "postgres_server", "temporal_server"]

TEMPLATE = "books"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
async def template(postgres_server: Postgres) -> str:
    """The name of a migrated and settled database, to copy."""
    made = make_engine(await create_database(postgres_server.admin_url, TEMPLATE))
    await migrate(as_owner(postgres_server.url(TEMPLATE)))
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
