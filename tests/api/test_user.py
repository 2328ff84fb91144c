"""Who may come in."""

import secrets
from datetime import timedelta

import jwt
import pytest
from sqlalchemy import text

from api.auth import AUDIENCE, ISSUER, issue
from models.user.types import Role
from tests.api.door import API, Door, Person, now, problem

BALANCES = f"{API}/wallet/balances"


async def _with(door: Door, token: str):
    return await door.http.get(BALANCES, headers={"authorization": f"Bearer {token}"})


class TestApiKey:
    async def test_opens_the_door(self, door: Door, ana: Person):
        reply = await door.get(ana, BALANCES)

        assert 200 == reply.status_code

    async def test_is_refused_when_unknown(self, door: Door):
        reply = await _with(door, "lq_" + secrets.token_urlsafe(32))

        problem(reply, "unauthenticated")
        assert reply.headers["www-authenticate"].startswith("Bearer")

    async def test_is_refused_once_revoked(self, door: Door, ana: Person):
        async with door.engine.begin() as conn:
            await conn.execute(text("UPDATE api_keys SET revoked_at = now() WHERE user_id = :id"), {"id": ana.id})

        reply = await door.get(ana, BALANCES)

        problem(reply, "unauthenticated")

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer \x00", "Bearer é"])
    async def test_is_refused_when_missing_or_garbled(self, door: Door, header: str):
        reply = await door.http.get(BALANCES, headers={"authorization": header.encode("latin-1")})

        problem(reply, "unauthenticated")


class TestToken:
    async def test_is_given_for_a_password_and_opens_the_door(self, door: Door):
        bea = await door.person(password="correct horse")

        reply = await door.http.post(
            f"{API}/auth/token", json={"email": bea.email.upper(), "password": "correct horse"}
        )
        used = await _with(door, reply.json()["access_token"])

        assert 200 == reply.status_code
        assert 900 == reply.json()["expires_in"]
        assert "no-store" == reply.headers["cache-control"]
        assert 200 == used.status_code

    async def test_is_not_given_for_a_wrong_password_or_an_unknown_person(self, door: Door):
        bea = await door.person(password="correct horse")
        keyless = await door.person()
        tried = [(bea.email, "wrong"), (keyless.email, "any"), ("nobody@example.com", "any")]

        replies = [
            await door.http.post(f"{API}/auth/token", json={"email": email, "password": password})
            for email, password in tried
        ]

        assert 1 == len({problem(reply, "unauthenticated")["detail"] for reply in replies})

    async def test_says_nothing_of_the_role_which_is_read_anew_each_time(self, door: Door, ana: Person):
        bea = await door.person(role=Role.OPERATOR)
        trade = await door.trade(ana)
        token = issue(bea.id, door.services.jwt_secret.get_secret_value(), minutes=1)
        headers = {"authorization": f"Bearer {token}"}
        path = f"{API}/instant-trade/{trade['id']}"
        before = await door.http.get(path, headers=headers)

        async with door.engine.begin() as conn:
            await conn.execute(text("UPDATE users SET role = 'user' WHERE id = :id"), {"id": bea.id})
        after = await door.http.get(path, headers=headers)

        assert 200 == before.status_code
        problem(after, "not-found")

    @pytest.mark.parametrize(
        "change",
        [
            {"exp": now() - timedelta(seconds=1)},
            {"iss": "somebody"},
            {"aud": "another-api"},
            {"sub": None},
            {"jti": None},
            {"iat": None},
            {"exp": None},
        ],
        ids="-".join,
    )
    async def test_is_refused_when_a_claim_is_wrong_or_missing(self, door: Door, ana: Person, change: dict):
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": ana.id,
            "iat": now(),
            "exp": now() + timedelta(minutes=1),
            "jti": "1",
        }
        wrong = {name: value for name, value in (claims | change).items() if value is not None}
        token = jwt.encode(wrong, door.services.jwt_secret.get_secret_value(), algorithm="HS256")

        reply = await _with(door, token)

        problem(reply, "unauthenticated")

    @pytest.mark.parametrize("algorithm", ["none", "HS512"])
    async def test_is_refused_when_it_names_its_own_algorithm(self, door: Door, ana: Person, algorithm: str):
        good = issue(ana.id, door.services.jwt_secret.get_secret_value(), minutes=1)
        claims = jwt.decode(good, options={"verify_signature": False})
        secret = None if algorithm == "none" else door.services.jwt_secret.get_secret_value() * 2

        reply = await _with(door, jwt.encode(claims, secret, algorithm=algorithm))

        problem(reply, "unauthenticated")
