"""Who is calling: an API key (machines) or a short-lived token (people). The role is the database's word."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.deps import Deps, Services
from models.errors import Unauthenticated
from models.ids import new_id
from models.user import queries as users
from models.user.types import Actor
from models.user.writes import API_KEY_PREFIX

ALGORITHM = "HS256"
ISSUER = "liquida"
AUDIENCE = "liquida-api"
CLAIMS = ("iss", "aud", "sub", "iat", "exp", "jti")

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    bearerFormat="API key (lq_...) or JWT",
    description="An API key, or a token from `POST /api/v1/auth/token`.",
)


async def authenticate(
    services: Deps, given: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
) -> Actor:
    """:raises Unauthenticated: no key or token, or one that is not valid."""
    if given is None:
        raise Unauthenticated("send the header Authorization: Bearer <API key or token>")
    return await actor_of(services, given.credentials)


async def actor_of(services: Services, credentials: str) -> Actor:
    """Whose API key or token it is.

    :raises Unauthenticated: nobody's, or not any more.
    """
    by_key = credentials.startswith(API_KEY_PREFIX)
    user_id = "" if by_key else subject(credentials, services.jwt_secret.get_secret_value())
    async with services.engine.connect() as conn:
        find = users.by_api_key(conn, credentials) if by_key else users.by_id(conn, user_id)
        actor = await find
    if actor is None:
        raise Unauthenticated("this API key or token is not valid, or not any more")
    return actor


Caller = Annotated[Actor, Depends(authenticate)]


async def authorise_operator(caller: Caller) -> Actor:
    """:raises Forbidden: a plain user."""
    caller.require_operator()
    return caller


Operator = Annotated[Actor, Depends(authorise_operator)]


async def authorise_arbiter(caller: Caller) -> Actor:
    """:raises Forbidden: anybody else, operators too."""
    caller.require_arbiter()
    return caller


async def authorise_dispute_reader(caller: Caller) -> Actor:
    """:raises Forbidden: neither an arbiter nor one who reads what arbiters read."""
    caller.require_dispute_reader()
    return caller


Arbiter = Annotated[Actor, Depends(authorise_arbiter)]
DisputeReader = Annotated[Actor, Depends(authorise_dispute_reader)]


def issue(user_id: str, secret: str, *, minutes: int) -> str:
    """A token for this user. It says who, not what they may: roles are read anew at each request."""
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user_id,
        "iat": now,
        "exp": now + timedelta(minutes=minutes),
        "jti": new_id(),
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def subject(token: str, secret: str) -> str:
    """The user id of a valid token.

    The algorithm is ours, never the token's own word (RFC 8725, 3.1).
    :raises Unauthenticated: forged, expired, for somebody else, or incomplete.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": list(CLAIMS)},
        )
    except jwt.InvalidTokenError:
        raise Unauthenticated("the token is not valid or has expired; ask for a new one") from None
    return str(claims["sub"])
