"""Small errands of the command line at the database."""

from liquida import database
from liquida.checks import check_all
from models.errors import InvalidInput
from models.network import queries as network_queries
from models.user import writes
from models.user.types import Role
from models.wallet import allocate


async def add(url: str, *, email: str, role: str, password: str | None) -> tuple[str, str]:
    """A new user and a first API key.

    :raises InvalidInput: no such role.
    """
    if role not in set(Role):
        raise InvalidInput(f"role must be one of: {', '.join(Role)}", field="role")
    engine = database.engine(url, pool=1)
    async with engine.begin() as conn:
        actor = await writes.add_user(conn, email=email, role=Role(role), password=password)
        key = await writes.add_api_key(conn, user_id=actor.user_id, name="first")
    await engine.dispose()
    return actor.user_id, key


async def set_role(url: str, *, email: str, role: str) -> str:
    """Give a user another role; their id.

    :raises InvalidInput: no such role.
    :raises NotFound: there is no such user.
    """
    if role not in set(Role):
        raise InvalidInput(f"role must be one of: {', '.join(Role)}", field="role")
    engine = database.engine(url, pool=1)
    try:
        async with engine.begin() as conn:
            return await writes.set_role(conn, email=email, role=Role(role))
    finally:
        await engine.dispose()


async def broken_laws(url: str) -> dict[str, list[str]]:
    """The laws that do not hold on this database, each with the rows that break it."""
    engine = database.engine(url, pool=1)
    async with engine.connect() as conn:
        broken = await check_all(conn)
    await engine.dispose()
    return broken


async def house_addresses(url: str) -> dict[str, str]:
    """The house's address by network.

    :raises NodeUnavailable: the custody worker has not derived its addresses yet.
    """
    engine = database.engine(url, pool=1)
    async with engine.connect() as conn:
        found = await network_queries.catalogue(conn)
        houses = {network: (await allocate.house(conn, network)).address for network in found.networks}
    await engine.dispose()
    return houses
