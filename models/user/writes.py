"""New users and their keys."""

import secrets

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NotFound
from models.ids import new_id
from models.user.queries import HASHER, key_hash
from models.user.tables import api_keys, users
from models.user.types import Actor, Role

API_KEY_PREFIX = "lq_"


async def add_user(
    conn: AsyncConnection, *, email: str, role: Role = Role.USER, password: str | None = None
) -> Actor:
    actor = Actor(new_id(), role)
    password_hash = None if password is None else HASHER.hash(password)
    await conn.execute(
        insert(users).values(id=actor.user_id, email=email.lower(), role=role, password_hash=password_hash)
    )
    return actor


async def add_api_key(conn: AsyncConnection, *, user_id: str, name: str) -> str:
    """A new key, shown this once; only its hash is kept."""
    api_key = API_KEY_PREFIX + secrets.token_urlsafe(32)
    await conn.execute(insert(api_keys).values(id=new_id(), user_id=user_id, name=name, key_hash=key_hash(api_key)))
    return api_key


async def set_role(conn: AsyncConnection, *, email: str, role: Role) -> str:
    """Give a user another role in the place of the one they have; their id. It counts from their next request on.

    :raises NotFound: there is no such user.
    """
    statement = update(users).where(users.c.email == email.lower()).values(role=role).returning(users.c.id)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("there is no such user", field="email")
    return str(row.id)


async def lock(conn: AsyncConnection, user_id: str) -> None:
    """Whoever else asks for this user waits until the transaction ends; foreign keys to it do not.

    :raises NotFound: there is no such user.
    """
    statement = select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)
    if (await conn.execute(statement)).first() is None:
        raise NotFound("there is no such user", field="user_id")
