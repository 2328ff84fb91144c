"""Who holds this key or this password?"""

import asyncio
import hashlib

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.user.tables import api_keys, users
from models.user.types import Actor, Role

HASHER = PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1)
"""argon2id with the least cost OWASP's password sheet allows (19 MiB, 2 passes)."""

_NOBODY = HASHER.hash("the hash that is checked when there is no such user, so that time tells nothing")


def key_hash(api_key: str) -> bytes:
    """API keys are 32 random bytes, so one SHA-256 is enough; passwords are not, see ``HASHER``."""
    return hashlib.sha256(api_key.encode()).digest()


async def by_api_key(conn: AsyncConnection, api_key: str) -> Actor | None:
    statement = (
        select(users.c.id, users.c.role)
        .join(api_keys, api_keys.c.user_id == users.c.id)
        .where(api_keys.c.key_hash == key_hash(api_key), api_keys.c.revoked_at.is_(None))
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else Actor(row.id, Role(row.role))


async def by_id(conn: AsyncConnection, user_id: str) -> Actor | None:
    row = (await conn.execute(select(users.c.id, users.c.role).where(users.c.id == user_id))).first()
    return None if row is None else Actor(row.id, Role(row.role))


async def by_password(conn: AsyncConnection, email: str, password: str) -> Actor | None:
    statement = select(users.c.id, users.c.role, users.c.password_hash).where(users.c.email == email.lower())
    row = (await conn.execute(statement)).first()
    try:
        await asyncio.to_thread(HASHER.verify, (row and row.password_hash) or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return None
    return None if row is None or row.password_hash is None else Actor(row.id, Role(row.role))
