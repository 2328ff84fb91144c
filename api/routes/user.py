"""People sign in; machines use API keys and never come here."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.auth import issue
from api.deps import Deps
from api.problems import problems
from models.errors import InvalidInput, PayloadTooLarge, Unauthenticated
from models.user import queries

router = APIRouter(prefix="/api/v1/auth", tags=["sign in"])


class TokenRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=254, pattern=r"^[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+$", examples=["ana@example.com"])
    password: SecretStr = Field(min_length=1, max_length=256)


class Token(BaseModel):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 the scheme's name
    expires_in: int = Field(description="seconds")


@router.post("/token", responses=problems(PayloadTooLarge, Unauthenticated, InvalidInput))
async def token(body: TokenRequest, services: Deps, response: Response) -> Token:
    """A short-lived token for e-mail and password. The only POST without an `Idempotency-Key`."""
    async with services.engine.connect() as conn:
        actor = await queries.by_password(conn, body.email, body.password.get_secret_value())
    if actor is None:
        raise Unauthenticated("e-mail or password is wrong")
    response.headers["Cache-Control"] = "no-store"
    minutes = services.jwt_minutes
    text = issue(actor.user_id, services.jwt_secret.get_secret_value(), minutes=minutes)
    return Token(access_token=text, expires_in=minutes * 60)
