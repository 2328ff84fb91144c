"""Who a user is: an operator's word, kept sealed, changed only with evidence, and one person's only."""

import asyncio
import secrets
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.user.types import Role
from tests.api.door import API, Door, Person, problem
from tests.people import fresh_cpf

CNPJ = "12.ABC.345/01DE-35"
"""The sample that the federal revenue published for CNPJs with letters."""


@pytest.fixture
async def operator(door: Door) -> Person:
    return await door.person(role=Role.OPERATOR)


@pytest.fixture
async def bea(door: Door) -> Person:
    return await door.person()


def path(person: Person) -> str:
    return f"{API}/users/{person.id}/document"


def body(**change: Any) -> dict[str, Any]:
    return {"tax_id": fresh_cpf(), "name": "Beatriz Souza", "evidence": "ticket 7"} | change


class TestDocument:
    async def test_is_shown_masked_to_its_user(self, door: Door, operator: Person, bea: Person):
        tax_id = fresh_cpf()

        reply = await door.put(operator, path(bea), body(tax_id=tax_id))
        shown = await door.get(bea, f"{API}/users/me/document")

        masked = f"***.{tax_id[3:6]}.{tax_id[6:9]}-**"
        assert 200 == reply.status_code
        assert {"kind": "cpf", "tax_id_masked": masked, "verified_at": reply.json()["verified_at"]} == shown.json()
        assert tax_id not in reply.text
        assert "Beatriz" not in reply.text + shown.text

    async def test_of_a_company_is_its_cnpj(self, door: Door, operator: Person, bea: Person):
        reply = await door.put(operator, path(bea), body(tax_id=CNPJ))

        assert ("cnpj", "**.ABC.345/****-**") == (reply.json()["kind"], reply.json()["tax_id_masked"])

    async def test_that_is_not_there_says_who_verifies_it(self, door: Door, bea: Person):
        reply = await door.get(bea, f"{API}/users/me/document")

        assert 404 == reply.status_code
        assert f"PUT {path(bea)}" in problem(reply, "not-found")["detail"]

    async def test_is_an_operators_word_alone(self, door: Door, bea: Person, ana: Person):
        given = [await door.put(who, path(bea), body()) for who in (bea, ana)]
        asked = await door.get(bea, path(bea))

        for reply in (*given, asked):
            assert 403 == reply.status_code
            problem(reply, "forbidden")

    async def test_of_nobody_is_not_found(self, door: Door, operator: Person):
        paths = [f"{API}/users/{who}/document" for who in (secrets.token_hex(16), "me", "1")]

        replies = [await door.put(operator, one, body()) for one in paths]

        assert [404, 405, 404] == [reply.status_code for reply in replies]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"tax_id": "529.982.247-26"}, "tax_id"),
            ({"tax_id": "111.111.111-11"}, "tax_id"),
            ({"tax_id": 52998224725}, "tax_id"),
            ({"name": " "}, "name"),
            ({"name": "Bea\x00triz"}, "name"),
            ({"evidence": ""}, "evidence"),
            ({"evidence": "CPF 529.982.247-25"}, "evidence"),
            ({"replace": "perhaps"}, "replace"),
            ({"more": 1}, "more"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_that_is_none_names_the_field_and_not_what_was_typed(
        self, door: Door, operator: Person, bea: Person, change: dict, field: str
    ):
        reply = await door.put(operator, path(bea), body() | change)

        said = problem(reply, "invalid-input", field=field)
        assert 422 == reply.status_code
        assert not any(len(str(typed).strip()) > 3 and str(typed) in str(said) for typed in change.values())
        assert 404 == (await door.get(operator, path(bea))).status_code

    async def test_said_again_changes_nothing(self, door: Door, operator: Person, bea: Person):
        said = body()

        first = await door.put(operator, path(bea), said)
        again = await door.put(operator, path(bea), said | {"name": f" {said['name']} ", "evidence": "ticket 8"})

        assert (200, first.json()) == (again.status_code, again.json())
        assert ["ticket 7"] == [line["evidence"] for line in again.json()["history"]]

    @pytest.mark.parametrize("change", [{"tax_id": "111.444.777-35"}, {"name": "Beatriz Lima"}], ids=str)
    async def test_never_changes_silently(self, door: Door, operator: Person, bea: Person, change: dict):
        said = body()
        first = await door.put(operator, path(bea), said)

        reply = await door.put(operator, path(bea), said | change)

        assert 409 == reply.status_code
        assert "replace: true" in problem(reply, "document-differs")["detail"]
        assert first.json() == (await door.get(operator, path(bea))).json()

    async def test_is_replaced_with_evidence_and_remembers_what_was(self, door: Door, operator: Person, bea: Person):
        old, new = fresh_cpf(), fresh_cpf()
        await door.put(operator, path(bea), body(tax_id=old))
        second = await door.person(role=Role.OPERATOR)

        reply = await door.put(second, path(bea), body(tax_id=new, evidence="ticket 9", replace=True))

        lines = [(one["change"], one["tax_id_masked"], one["evidence"]) for one in reply.json()["history"]]
        masked_old, masked_new = (f"***.{tax_id[3:6]}.{tax_id[6:9]}-**" for tax_id in (old, new))
        assert [("verified", masked_old, "ticket 7"), ("replaced", masked_new, "ticket 9")] == lines
        assert [operator.id, second.id] == [one["verified_by"] for one in reply.json()["history"]]
        assert (second.id, masked_new) == (reply.json()["verified_by"], reply.json()["tax_id_masked"])

    async def test_is_one_persons_only(self, door: Door, operator: Person, bea: Person, ana: Person):
        others = body(tax_id=f"{ana.tax_id[:3]}.{ana.tax_id[3:6]}.{ana.tax_id[6:9]}-{ana.tax_id[9:]}")
        taken = await door.put(operator, path(bea), others)
        await door.put(operator, path(bea), body())

        replaced = await door.put(operator, path(bea), others | {"replace": True})

        for reply in (taken, replaced):
            assert 409 == reply.status_code
            problem(reply, "document-taken", field="tax_id")
        assert 1 == len((await door.get(operator, path(bea))).json()["history"])

    async def test_is_one_persons_only_when_many_are_told_at_once(self, door: Door, operator: Person):
        people = [await door.person() for _ in range(8)]
        said = body()

        replies = await asyncio.gather(*(door.put(operator, path(one), said) for one in people))

        assert [200] + [409] * 7 == sorted(reply.status_code for reply in replies)

    async def test_told_twice_at_once_is_one_line(self, door: Door, operator: Person, bea: Person):
        said = body()

        replies = await asyncio.gather(*(door.put(operator, path(bea), said) for _ in range(8)))

        assert {200} == {reply.status_code for reply in replies}
        assert 1 == len((await door.get(operator, path(bea))).json()["history"])

    async def test_is_stored_sealed(self, door: Door, operator: Person, bea: Person):
        tax_id = fresh_cpf()
        await door.put(operator, path(bea), body(tax_id=tax_id))

        async with door.engine.connect() as conn:
            rows = (
                "SELECT d::text || h::text FROM user_documents AS d JOIN user_document_history AS h USING (user_id)"
            )
            (dump,) = (await conn.execute(text(f"{rows} WHERE user_id = :id"), {"id": bea.id})).scalars()

        secrets_of_bea = (tax_id, tax_id.encode().hex(), "Beatriz", b"Beatriz".hex())
        assert not any(secret in dump for secret in secrets_of_bea)

    async def test_has_a_history_that_nobody_edits(self, door: Door, operator: Person, bea: Person):
        await door.put(operator, path(bea), body())

        for statement in ("DELETE FROM user_document_history", "UPDATE user_document_history SET evidence = 'x'"):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with door.engine.begin() as conn:
                    await conn.execute(text(statement))
