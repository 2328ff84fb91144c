"""Where users pay each other: taken strictly, sealed, masked, and fast while somebody may be paying there."""

import asyncio
import secrets

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from models.p2p_trade.states import P2PTradeStatus
from models.payment_method import queries
from models.payment_method.rules import METHODS_MOST
from tests.api.door import BOX, CPF, Door, Person, problem
from tests.api.p2p import METHODS, Market, delete, open_market, pix
from tests.models.p2p_rows import trade_row

BOTH_KINDS = "11987654021"
TED = {
    "kind": "ted",
    "label": "savings",
    "holder_name": "Ana Beatriz",
    "bank": "341",
    "branch": "0123",
    "account": "45678-x",
}


class TestMethod:
    @pytest.mark.parametrize(
        ("key", "kind", "masked"),
        [
            ("(11) 98765-4321", "phone", "+55*******4321"),
            ("Ana@Example.com", "email", "a***@example.com"),
            ("123E4567-E89B-12D3-A456-426655440000", "evp", "********-****-****-****-********0000"),
        ],
    )
    async def test_of_a_key_of_one_kind_needs_no_kind(
        self, door: Door, ana: Person, key: str, kind: str, masked: str
    ):
        kept = await pix(door, ana, pix_key=key)

        listed = (await door.get(ana, METHODS)).json()
        shown = (await door.get(ana, f"{METHODS}/{kept['id']}")).json()

        assert ([kept], masked) == (listed, kept["masked"])
        assert (kind, "Ana Beatriz") == (shown["details"]["pix_key_kind"], shown["details"]["holder_name"])

    async def test_of_eleven_digits_needs_one(self, door: Door, ana: Person):
        body = {"kind": "pix", "label": "x", "holder_name": "Ana", "pix_key": BOTH_KINDS}

        unsaid = await door.post(ana, METHODS, body)
        phone = await door.post(ana, METHODS, body | {"pix_key_kind": "phone"})
        cpf = await door.post(ana, METHODS, body | {"pix_key_kind": "cpf"})

        problem(unsaid, "invalid-input", field="pix_key_kind")
        assert (201, "+55*******4021") == (phone.status_code, phone.json()["masked"])
        problem(cpf, "not-the-holder", field="pix_key")

    async def test_of_ones_own_cpf_is_taken(self, door: Door, ana: Person):
        kept = await pix(door, ana, pix_key=ana.tax_id, pix_key_kind="cpf")

        assert kept["masked"].startswith("***.")

    async def test_of_a_bank_account_is_kept_in_one_spelling(self, door: Door, ana: Person):
        reply = await door.post(ana, METHODS, TED | {"holder_tax_id": ana.tax_id})

        details = (await door.get(ana, f"{METHODS}/{reply.json()['id']}")).json()["details"]
        assert 201 == reply.status_code
        assert {
            "bank": "341",
            "branch": "0123",
            "account": "45678-X",
            "holder_name": "Ana Beatriz",
            "holder_tax_id": ana.tax_id,
        } == details
        assert reply.json()["masked"].startswith("341 ****-X ***.")

    @pytest.mark.parametrize(
        ("change", "kind", "field"),
        [
            ({"kind": "boleto"}, "invalid-input", "kind"),
            ({"label": ""}, "invalid-input", "label"),
            ({"label": "  "}, "invalid-input", "label"),
            ({"label": "a\x00"}, "invalid-input", "label"),
            ({"label": "a" * 65}, "invalid-input", "label"),
            ({"holder_name": None}, "invalid-input", "holder_name"),
            ({"bank": None}, "invalid-input", "bank"),
            ({"bank": "34"}, "invalid-input", "bank"),
            ({"bank": "1234567"}, "invalid-input", "bank"),
            ({"branch": None}, "invalid-input", "branch"),
            ({"branch": "abc"}, "invalid-input", "branch"),
            ({"branch": "123456"}, "invalid-input", "branch"),
            ({"account": None}, "invalid-input", "account"),
            ({"account": "4-5-6"}, "invalid-input", "account"),
            ({"account": "45678-\u0663"}, "invalid-input", "account"),
            ({"holder_tax_id": None}, "invalid-input", "holder_tax_id"),
            ({"holder_tax_id": "529.982.247-26"}, "invalid-input", "holder_tax_id"),
            ({"holder_tax_id": CPF}, "not-the-holder", "holder_tax_id"),
            ({"pix_key": "ana@example.com"}, "invalid-input", "pix_key"),
            ({"pix_key_kind": "email"}, "invalid-input", "pix_key_kind"),
            ({"iban": "x"}, "invalid-input", "iban"),
            ({"kind": "pix", "pix_key": "ana@example.com"}, "invalid-input", "bank"),
        ],
        ids=lambda value: str(value)[:40].replace("\x00", "NUL"),
    )
    async def test_names_the_field_at_fault_and_not_what_was_typed(
        self, door: Door, ana: Person, change: dict, kind: str, field: str
    ):
        body = {k: v for k, v in (TED | {"holder_tax_id": ana.tax_id} | change).items() if v is not None}

        reply = await door.post(ana, METHODS, body)

        found = problem(reply, kind, field=field)
        assert 422 == reply.status_code
        assert not any(secret in str(found) for secret in (CPF, ana.tax_id, "45678", "529.982.247-26"))

    @pytest.mark.parametrize(
        ("key", "named", "kind", "field"),
        [
            (None, None, "invalid-input", "pix_key"),
            ("not a key", None, "invalid-pix-key", "pix_key"),
            ("ana@example.com", "phone", "invalid-pix-key", "pix_key"),
            ("a" * 101, None, "invalid-input", "pix_key"),
            ("ana@example.com", "iban", "invalid-input", "pix_key_kind"),
            (CPF, None, "not-the-holder", "pix_key"),
        ],
    )
    async def test_of_a_bad_key_is_refused(
        self, door: Door, ana: Person, key: str | None, named: str | None, kind: str, field: str
    ):
        body = {"kind": "pix", "label": "x", "holder_name": "Ana", "pix_key": key, "pix_key_kind": named}

        reply = await door.post(ana, METHODS, {k: v for k, v in body.items() if v is not None})

        problem(reply, kind, field=field)

    async def test_of_somebody_unknown_is_refused(self, door: Door):
        eve = await door.person()

        reply = await door.post(
            eve, METHODS, {"kind": "pix", "label": "x", "holder_name": "Eve", "pix_key": eve.email}
        )

        problem(reply, "document-missing")

    async def test_is_sealed_in_every_table_and_absent_from_logs(self, door: Door, ana: Person):
        with capture_logs() as logs:
            kept = await pix(door, ana, label="nickname")
            ted = await door.post(ana, METHODS, TED | {"holder_tax_id": ana.tax_id})
            again = await door.put(
                ana, f"{METHODS}/{kept['id']}", TED | {"holder_tax_id": ana.tax_id, "branch": "77"}
            )

        async with door.engine.connect() as conn:
            rows = text(
                "SELECT string_agg(m::text, '') || (SELECT string_agg(answer::text, '') FROM idempotency_keys"
                " WHERE user_id = :id) FROM payment_methods AS m WHERE user_id = :id"
            )
            dump = (await conn.execute(rows, {"id": ana.id})).scalar_one()
        assert (201, 200) == (ted.status_code, again.status_code)
        secret = [ana.tax_id, ana.email, "45678", "Beatriz", b"Beatriz".hex(), ana.email.encode().hex()]
        assert not any(part in dump or part in str(logs) for part in secret)
        assert kept["id"] in dump

    async def test_of_others_is_not_found(self, door: Door, ana: Person, bob: Person):
        kept = await pix(door, ana)
        path = f"{METHODS}/{kept['id']}"
        body = {"kind": "pix", "label": "mine", "holder_name": "Bob", "pix_key": bob.email}

        replies = [await door.get(bob, path), await door.put(bob, path, body), await delete(door, bob, path)]
        nobody = await door.get(ana, f"{METHODS}/{secrets.token_hex(16)}")

        assert [404] * 4 == [reply.status_code for reply in (*replies, nobody)]
        assert [] == (await door.get(bob, METHODS)).json()

    async def test_is_changed_and_removed_by_its_owner(self, door: Door, ana: Person):
        kept = await pix(door, ana)
        path = f"{METHODS}/{kept['id']}"
        body = {"kind": "pix", "label": "other", "holder_name": "Ana", "pix_key": "other@example.com"}

        changed = await door.put(ana, path, body)
        removed = [await delete(door, ana, path) for _ in range(2)]

        assert (200, "other", "o***@example.com") == (
            changed.status_code,
            changed.json()["label"],
            changed.json()["masked"],
        )
        assert [204, 404] == [reply.status_code for reply in removed]
        assert (404, []) == ((await door.get(ana, path)).status_code, (await door.get(ana, METHODS)).json())

    async def test_is_one_of_so_many_at_most(self, door: Door, ana: Person):
        body = {"kind": "pix", "label": "x", "holder_name": "Ana", "pix_key": ana.email}
        for _ in range(METHODS_MOST - 1):
            await pix(door, ana)

        replies = await asyncio.gather(*(door.post(ana, METHODS, body) for _ in range(4)))

        assert [201, 422, 422, 422] == sorted(reply.status_code for reply in replies)


class TestUse:
    """A change while somebody may be paying there would redirect the payment."""

    @pytest.mark.parametrize("status", [P2PTradeStatus.OPEN, P2PTradeStatus.PAYMENT_SENT, P2PTradeStatus.DISPUTED])
    async def test_by_a_live_trade_keeps_it_as_it_is(
        self, door: Door, ana: Person, bob: Person, status: P2PTradeStatus
    ):
        kept = await pix(door, ana)
        path = f"{METHODS}/{kept['id']}"
        async with door.engine.begin() as conn:
            await trade_row(
                conn, seller=ana.id, buyer=bob.id, status=status, settlement="direct", method_id=kept["id"]
            )
        body = {"kind": "pix", "label": "new label", "holder_name": "Ana Beatriz", "pix_key": ana.email}

        redirected = await door.put(ana, path, body | {"pix_key": "mule@example.com"})
        removed = await delete(door, ana, path)
        relabelled = await door.put(ana, path, body)

        for reply in (redirected, removed):
            assert "a trade is to be paid there" in problem(reply, "in-use")["detail"]
            assert 409 == reply.status_code
        assert (200, "new label") == (relabelled.status_code, relabelled.json()["label"])
        async with door.engine.connect() as conn:
            assert ana.email == (await queries.clear(conn, BOX, kept["id"])).details["pix_key"]

    async def test_by_a_trade_that_ended_keeps_its_details_for_ever(self, door: Door, ana: Person, bob: Person):
        kept = await pix(door, ana)
        path = f"{METHODS}/{kept['id']}"
        async with door.engine.begin() as conn:
            await trade_row(conn, seller=ana.id, buyer=bob.id, settlement="direct", method_id=kept["id"])
        body = {"kind": "pix", "label": "x", "holder_name": "Ana", "pix_key": "new@example.com"}

        changed = await door.put(ana, path, body)
        removed = await delete(door, ana, path)

        assert "add another" in problem(changed, "in-use")["detail"]
        assert 204 == removed.status_code
        async with door.engine.connect() as conn:
            assert ana.email == (await queries.clear(conn, BOX, kept["id"])).details["pix_key"]

    @pytest.mark.parametrize("pause", [False, True])
    async def test_by_an_order_that_is_not_closed_keeps_it(self, door: Door, ana: Person, pause: bool):
        kept = await pix(door, ana)
        path = f"{METHODS}/{kept['id']}"
        body = {"kind": "pix", "label": "x", "holder_name": "Ana", "pix_key": "new@example.com"}
        async with open_market(door) as market:
            order = await market.order(ana, settlements=["direct"], method_ids=[kept["id"]])
            if pause:
                await door.post(ana, f"/api/v1/p2p/orders/{order['id']}/pause")

            refused = [await door.put(ana, path, body), await delete(door, ana, path)]
            await delete(door, ana, f"/api/v1/p2p/orders/{order['id']}")
            after = [await door.put(ana, path, body), await delete(door, ana, path)]

        assert [409, 409, 200, 204] == [reply.status_code for reply in (*refused, *after)]
        assert all(order["id"] in problem(reply, "in-use")["detail"] for reply in refused)

    async def test_and_removal_at_once_never_leave_an_order_without_it(self, door: Door, ana: Person):
        async with open_market(door) as market:
            for _ in range(4):
                await self._race(market, ana)

    async def _race(self, market: Market, ana: Person) -> None:
        kept = await pix(market.door, ana)
        offered, removed = await asyncio.gather(
            market.offer(ana, settlements=["direct"], method_ids=[kept["id"]]),
            delete(market.door, ana, f"{METHODS}/{kept['id']}"),
        )

        assert (offered.status_code, removed.status_code) in {(201, 409), (404, 204)}
