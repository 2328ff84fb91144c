"""PIX keys: taken strictly, shown masked, and never repeated in an error."""

import asyncio
import secrets
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from models.bank_data.types import NewKeyRule
from models.instant_trade.advance import advance
from models.instant_trade.types import Advance
from tests.api.door import API, CPF, TERMS, TRADES, Door, Person, now, problem

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

    async def test_of_eleven_digits_is_what_its_kind_says(self, door: Door):
        """These are both a CPF and a mobile number of Sao Paulo; guessing would pay a stranger."""
        bea = await door.person()
        both = GOOD | {"pix_key": "11987654021"}

        cpf = await door.post(bea, BANK, both | {"pix_key_kind": "cpf"})
        phone = await door.post(bea, BANK, both | {"pix_key_kind": "phone"})
        unsaid = await door.post(bea, BANK, {k: v for k, v in both.items() if k != "pix_key_kind"})

        assert ["***.876.540-**", "+55*******4021"] == [one.json()["pix_key_masked"] for one in (cpf, phone)]
        problem(unsaid, "invalid-input", field="pix_key_kind")

    @pytest.mark.parametrize(("kind", "digits"), [("cpf", "(11) 98765-4321"), ("phone", CPF)])
    async def test_of_eleven_digits_of_the_other_kind_is_told_so(self, door: Door, kind: str, digits: str):

        reply = await door.post(await door.person(), BANK, GOOD | {"pix_key": digits, "pix_key_kind": kind})

        body = problem(reply, "invalid-pix-key", field="pix_key")
        assert "11 digits may be a CPF or a phone number: pix_key_kind must say which" in body["detail"]
        assert digits not in str(body)

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


async def add(door: Door, person: Person, *, tax_id: str = "", **change: str) -> dict:
    """One more PIX key, by default of the person's own."""
    body = GOOD | {"pix_key_kind": "email", "pix_key": f"{secrets.token_hex(6)}@example.com"}
    reply = await door.post(person, BANK, body | {"holder_tax_id": tax_id or person.tax_id} | change)
    assert 201 == reply.status_code, reply.text
    return reply.json()


async def listed(door: Door, person: Person) -> dict[str, dict]:
    return {row["id"]: row for row in (await door.get(person, BANK)).json()}


async def primaries(door: Door, person: Person) -> list[str]:
    return [row_id for row_id, row in (await listed(door, person)).items() if row["is_primary"]]


async def sell(door: Door, person: Person, bank_data_id: str | None = None, **changes: str):
    """Create, with or without naming where the reais go."""
    quote = (await door.quote(person, **changes)).json()
    body = {"quote_id": quote["id"]} | ({} if bank_data_id is None else {"bank_data_id": bank_data_id})
    return await door.post(person, f"{TRADES}/create", body)


class TestPrimary:
    async def test_is_the_first_until_another_is_made_it(self, door: Door, ana: Person):
        second = await add(door, ana)
        before = await primaries(door, ana)

        reply = await door.post(ana, f"{BANK}/{second['id']}/primary")

        assert [ana.bank_data_id] == before
        assert (200, second | {"is_primary": True}) == (reply.status_code, reply.json())
        assert [second["id"]] == await primaries(door, ana)

    async def test_removed_leaves_it_to_the_newest_of_the_others(self, door: Door, ana: Person):
        _, newest = await add(door, ana), await add(door, ana)
        headers = {"authorization": f"Bearer {ana.key}"}

        await door.http.delete(f"{BANK}/{ana.bank_data_id}", headers=headers)

        assert [newest["id"]] == await primaries(door, ana)

    async def test_stays_when_another_is_removed_and_ends_with_the_last(self, door: Door, ana: Person):
        second = await add(door, ana)
        headers = {"authorization": f"Bearer {ana.key}"}

        await door.http.delete(f"{BANK}/{second['id']}", headers=headers)
        kept = await primaries(door, ana)
        await door.http.delete(f"{BANK}/{ana.bank_data_id}", headers=headers)
        reply = await sell(door, ana)

        assert [ana.bank_data_id] == kept
        problem(reply, "not-found", field="bank_data_id")
        again = await add(door, ana)
        assert [again["id"]] == await primaries(door, ana)

    async def test_is_where_a_trade_that_names_none_is_paid(self, door: Door, ana: Person):
        second = await add(door, ana)
        await door.post(ana, f"{BANK}/{second['id']}/primary")

        reply = await sell(door, ana)

        assert (201, second["id"]) == (reply.status_code, reply.json()["bank_data_id"])

    async def test_is_one_however_many_ask_at_once(self, door: Door):
        bea = await door.person()
        await door.verify(bea)
        added = await asyncio.gather(*(add(door, bea) for _ in range(6)))

        replies = await asyncio.gather(*(door.post(bea, f"{BANK}/{one['id']}/primary") for one in added))

        assert {200} == {reply.status_code for reply in replies}
        assert 1 == len(await primaries(door, bea))

    async def test_is_not_made_of_anothers(self, door: Door, ana: Person, bob: Person):
        reply = await door.post(bob, f"{BANK}/{ana.bank_data_id}/primary")

        problem(reply, "not-found", field="bank_data_id")
        assert [ana.bank_data_id] == await primaries(door, ana)


class TestHolder:
    async def test_is_known_to_be_the_user_when_the_documents_agree(self, door: Door):
        bea = await door.person()
        bea.tax_id = CPF
        own = await add(door, bea)

        await door.verify(bea)
        other = await listed(door, bea)
        mine = await add(door, bea)

        assert [None, None] == [own["verified_at"], other[own["id"]]["verified_at"]]
        assert mine["verified_at"] is not None

    async def test_is_compared_anew_when_a_document_comes(self, door: Door):
        bea = await door.person()
        await door.verify(bea)
        own, mothers = await add(door, bea), await add(door, bea, tax_id=CPF)

        rows = await listed(door, bea)
        await door.verify(bea, replace=True)
        after = await listed(door, bea)

        assert (True, False) == tuple(rows[one["id"]]["verified_at"] is not None for one in (own, mothers))
        assert [None, None] == [row["verified_at"] for row in after.values()]

    async def test_without_a_verified_document_is_not_paid(self, door: Door):
        bea = await door.person()
        own = await add(door, bea, tax_id=CPF)

        reply = await sell(door, bea, own["id"])

        body = problem(reply, "document-missing")
        assert 422 == reply.status_code
        assert f"an operator does that: PUT {API}/users/{bea.id}/document" in body["detail"]

    async def test_who_is_somebody_else_is_not_paid(self, door: Door, ana: Person):
        mothers = await add(door, ana, tax_id=CPF)

        reply = await sell(door, ana, mothers["id"])

        body = problem(reply, "not-the-holder", field="bank_data_id")
        assert 422 == reply.status_code
        assert not any(secret in str(body) for secret in (CPF, "52998224725", ana.tax_id))

    async def test_refused_costs_no_quote(self, door: Door, ana: Person):
        mothers = await add(door, ana, tax_id=CPF)
        quote = (await door.quote(ana)).json()["id"]

        refused = await door.post(ana, f"{TRADES}/create", {"quote_id": quote, "bank_data_id": mothers["id"]})
        accepted = await door.create(ana, quote)

        assert [422, 201] == [refused.status_code, accepted.status_code]


class TestNewKey:
    """With the values that production has: a day, and a thousand reais. 0.1 ETH is worth R$ 1,451.25."""

    RULE = NewKeyRule(24 * 3600, 100_000)

    async def test_receives_little_for_a_day(self, door: Door, ana: Person):
        async with door.other(new_key=self.RULE) as strict:
            large = await sell(strict, ana, amount="0.1")
            small = await sell(strict, ana, amount="0.05")
            (row,) = (await listed(strict, ana)).values()

        body = problem(large, "key-too-new", field="bank_data_id")
        until = datetime.fromisoformat(row["usable_from"])
        assert timedelta(days=1) == until - datetime.fromisoformat(row["created_at"])
        assert until.replace(microsecond=0).isoformat() in body["detail"]
        assert "R$ 1000.00 in all, of which R$ 1000.00 are left" in body["detail"]
        assert (422, 201) == (large.status_code, small.status_code)

    async def test_receives_no_more_in_parts(self, door: Door, ana: Person):
        """0.03 ETH are R$ 435.37; those of a cancelled trade are free again."""
        async with door.other(new_key=self.RULE) as strict:
            replies = await asyncio.gather(*(sell(strict, ana, amount="0.03") for _ in range(4)))
            accepted = [reply.json() for reply in replies if reply.status_code == 201]
            refused = next(reply for reply in replies if reply.status_code != 201)
            await _cancelled(door, accepted[0]["id"])
            again = await sell(strict, ana, amount="0.03")

        assert [201, 201, 422, 422] == sorted(reply.status_code for reply in replies)
        left = problem(refused, "key-too-new")["detail"].rpartition("of which R$ ")[2]
        assert "129.26 are left" == left
        assert 201 == again.status_code

    async def test_does_not_shorten_the_waiting_by_being_added_again(self, door: Door, ana: Person):
        headers = {"authorization": f"Bearer {ana.key}"}
        async with door.other(new_key=NewKeyRule(0.001, 0)) as mild:
            assert 201 == (await sell(mild, ana)).status_code
        await door.http.delete(f"{BANK}/{ana.bank_data_id}", headers=headers)
        again = await add(door, ana, pix_key=ana.email)

        async with door.other(new_key=NewKeyRule(24 * 3600, 0)) as strict:
            reply = await sell(strict, ana, again["id"])

        assert again["id"] != ana.bank_data_id
        problem(reply, "key-too-new")

    async def test_receives_anything_once_it_is_old(self, door: Door, ana: Person):
        async with door.engine.begin() as conn:
            aged = "UPDATE user_bank_data SET created_at = now() - interval '1 day' WHERE user_id = :id"
            await conn.execute(text(aged), {"id": ana.id})

        async with door.other(new_key=self.RULE) as strict:
            reply = await sell(strict, ana, amount="1")

        assert 201 == reply.status_code


async def _cancelled(door: Door, trade_id: str) -> None:
    """As its workflow leaves it."""
    async with door.engine.begin() as conn:
        await advance(conn, Advance(trade_id, TERMS, cancel=True), now=now())
