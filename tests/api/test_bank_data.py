"""PIX keys: taken strictly, shown masked, and never repeated in an error."""

import asyncio
import secrets

import pytest
from sqlalchemy import text

from tests.api.door import API, CPF, Door, Person, problem

BANK = f"{API}/bank-data"
GOOD = {"pix_key": CPF, "pix_key_kind": "cpf", "holder_name": "Ana Beatriz", "holder_tax_id": CPF}


class TestBankData:
    @pytest.mark.parametrize(
        ("key", "kind", "masked"),
        [
            (CPF, "cpf", "***.982.247-**"),
            ("11.222.333/0001-81", "cnpj", "**.222.333/****-**"),
            ("(11) 98765-4321", "phone", "+55*******4321"),
            ("Ana@Example.com", "email", "a***@example.com"),
            ("123E4567-E89B-12D3-A456-426655440000", "evp", "********-****-****-****-********0000"),
        ],
    )
    async def test_is_shown_masked(self, door: Door, key: str, kind: str, masked: str):
        bea = await door.person()

        reply = await door.post(bea, BANK, GOOD | {"pix_key": key, "pix_key_kind": kind})
        listed = (await door.get(bea, BANK)).json()

        assert (201, masked) == (reply.status_code, reply.json()["pix_key_masked"])
        assert [reply.json()] == listed

    async def test_is_one_row_for_one_key_however_often_it_is_added(self, door: Door):
        people = [await door.person() for _ in range(6)]

        replies = await asyncio.gather(*(door.post(bea, BANK, GOOD) for bea in people for _ in range(6)))

        assert {201} == {reply.status_code for reply in replies}
        assert len(people) == len({reply.json()["id"] for reply in replies})

    async def test_is_stored_sealed(self, door: Door):
        bea = await door.person()
        await door.post(bea, BANK, GOOD)

        async with door.engine.connect() as conn:
            rows = text(
                "SELECT user_bank_data::text || coalesce(idempotency_keys::text, '') FROM user_bank_data "
                "LEFT JOIN idempotency_keys USING (user_id) WHERE user_id = :id"
            )
            dump = "".join((await conn.execute(rows, {"id": bea.id})).scalars())

        assert dump
        assert not any(part in dump for part in (CPF, "52998224725", "Beatriz", b"Beatriz".hex()))

    @pytest.mark.parametrize(
        ("change", "kind", "field"),
        [
            ({"pix_key": "529.982.247-26"}, "invalid-pix-key", "pix_key"),
            ({"pix_key": "ana@example.com"}, "invalid-pix-key", "pix_key"),
            ({"pix_key": "9" * 10_000}, "invalid-input", "pix_key"),
            ({"pix_key": 52998224725}, "invalid-input", "pix_key"),
            ({"pix_key": "5\x0029"}, "invalid-pix-key", "pix_key"),
            ({"pix_key_kind": "iban"}, "invalid-input", "pix_key_kind"),
            ({"holder_name": ""}, "invalid-input", "holder_name"),
            ({"holder_name": "   "}, "invalid-input", "holder_name"),
            ({"holder_name": "Ana\x00"}, "invalid-input", "holder_name"),
            ({"holder_tax_id": "529.982.247-26"}, "invalid-input", "holder_tax_id"),
            ({"holder_tax_id": None}, "invalid-input", "holder_tax_id"),
            ({"Ana Beatriz": "secret"}, "invalid-input", "(a name we do not know)"),
        ],
        ids=lambda value: str(value)[:50],
    )
    async def test_names_the_field_at_fault_and_not_what_was_typed(
        self, door: Door, change: dict, kind: str, field: str
    ):
        bea = await door.person()

        reply = await door.post(bea, BANK, GOOD | change)

        body = problem(reply, kind, field=field)
        assert 422 == reply.status_code
        typed = [str(value) for value in change.values() if value and str(value).strip()]
        assert not any(value in str(body) for value in typed)

    async def test_is_removed_by_its_owner_only(self, door: Door, ana: Person, bob: Person):
        path = f"{BANK}/{ana.bank_data_id}"
        headers = [{"authorization": f"Bearer {person.key}"} for person in (bob, ana, ana)]

        replies = [await door.http.delete(path, headers=given) for given in headers]

        assert [404, 204, 404] == [reply.status_code for reply in replies]
        assert [] == (await door.get(ana, BANK)).json()

    async def test_once_removed_pays_no_new_trade(self, door: Door, ana: Person):
        quote = (await door.quote(ana)).json()
        await door.http.delete(f"{BANK}/{ana.bank_data_id}", headers={"authorization": f"Bearer {ana.key}"})

        reply = await door.create(ana, quote["id"])

        problem(reply, "not-found", field="bank_data_id")

    async def test_of_nobody_is_not_found(self, door: Door, ana: Person):
        headers = {"authorization": f"Bearer {ana.key}"}

        replies = [await door.http.delete(f"{BANK}/{i}", headers=headers) for i in (secrets.token_hex(16), "1", "é")]

        assert [404, 404, 404] == [reply.status_code for reply in replies]
