"""Purchases through the door: quoted, accepted, shown and explained; each bad input named."""

import asyncio
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from models.charge import queries as charges
from models.charge import writes as charge_writes
from models.instant_trade import queries as trades
from models.instant_trade.advance import advance
from models.instant_trade.types import Advance
from models.pix_refund import queries as refunds
from models.pix_refund import writes as refund_writes
from models.pix_refund.states import RefundStatus
from models.pix_refund.types import RefundNews
from models.receipt import queries as receipts
from models.receipt import settle
from models.receipt import writes as receipt_writes
from models.receipt.types import Payer, Seen
from models.user.types import Role
from tests.api.door import API, OUTSIDE, TERMS, TRADES, Door, Person, now, problem

BUY = {"operation": "buy", "asset": "ETH", "network": "ethereum", "pay_brl": "150.00"}


async def quote(door: Door, person: Person, **changes: Any) -> httpx.Response:
    body = {name: value for name, value in (BUY | changes).items() if value is not None}
    return await door.post(person, f"{TRADES}/quote", body)


async def create(door: Door, person: Person, quote_id: str, **more: Any) -> httpx.Response:
    key = more.pop("key", None)
    return await door.post(person, f"{TRADES}/create", {"quote_id": quote_id, **more}, key=key)


async def buy(door: Door, person: Person, **changes: Any) -> Any:
    reply = await create(door, person, (await quote(door, person, **changes)).json()["id"])
    assert 201 == reply.status_code, reply.text
    return reply.json()


async def pay(door: Door, trade: Any, payer: Payer = Payer.SAME) -> str:
    """The bank makes the charge if it has not, and shows one payment more; its endToEndId."""
    pix = f"E{secrets.token_hex(15)}"
    async with door.engine.begin() as conn:
        charge = await charges.charge(conn, trade["id"])
        assert charge is not None
        await settle.lock_trade(conn, charge)
        if charge.br_code is None:
            charge = await charge_writes.mark_submitted(conn, charge, window_seconds=900)
            charge = await charge_writes.activate(conn, charge, provider_id=None, br_code=f"br {trade['id']}")
        await receipt_writes.see(conn, charge, Seen(pix, charge.amount_centavos, now(), payer))
        await settle.settle(conn, charge, known_by=datetime.now(UTC), now=datetime.now(UTC))
        await advance(conn, Advance(trade["id"], TERMS), now=now())
    return pix


@pytest.fixture
async def ana(door: Door) -> Person:
    """Her document is verified; she has no bank data, and needs none."""
    person = await door.person()
    await door.verify(person)
    return person


class TestQuote:
    @pytest.mark.parametrize(
        "asked",
        [
            {},
            {"pay_brl": "10"},
            {"pay_brl": "99999.99"},
            {"pay_brl": None, "amount": "0.123456789012345678"},
            {"asset": "USDT", "pay_brl": "33.33"},
            {"asset": "USDT", "pay_brl": None, "amount": "77.777777"},
            {"asset": "POL", "network": "polygon"},
            {"delivery_address": OUTSIDE},
            {"funding": "pix"},
        ],
        ids=str,
    )
    async def test_has_parts_that_make_the_total(self, door: Door, ana: Person, asked: dict[str, Any]) -> None:
        reply = await quote(door, ana, **asked)

        shown = reply.json()
        part = {name: Decimal(shown[name]) for name in ("gross", "spread", "network_fee", "total")}
        assert 201 == reply.status_code, shown
        assert part["total"] == part["gross"] + part["spread"] + part["network_fee"]
        assert all(value >= 0 and value == round(value, 2) for value in part.values())
        named = (BUY | asked)["pay_brl"]
        assert ("pay" if named else "amount") == shown["locked_side"]
        assert part["total"] == Decimal(named) if named else Decimal(shown["amount"]) == Decimal(asked["amount"])
        assert ("buy", "pix", None) == (shown["operation"], shown["funding"], shown["refund_address"])

    async def test_charges_the_rates_of_the_desk(self, door: Door, ana: Person) -> None:
        """22 POL at 5.909: 5.91 at a price of two places up, 130.02 gross."""
        shown = (await quote(door, ana, asset="POL", network="polygon", pay_brl=None, amount="22")).json()

        expected = ("5.91", "130.02", "3.91", "0.33", "134.26")
        assert expected == tuple(shown[name] for name in ("price", "gross", "spread", "network_fee", "total"))

    async def test_is_dearer_than_a_sale(self, door: Door, ana: Person) -> None:
        dear = (await quote(door, ana, pay_brl=None, amount="0.1")).json()
        cheap = (await door.quote(ana, amount="0.1")).json()

        assert Decimal(cheap["total"]) < Decimal(dear["total"])

    async def test_takes_an_address_in_any_case_and_shows_its_checksum(self, door: Door, ana: Person) -> None:
        shown = (await quote(door, ana, delivery_address=OUTSIDE.lower())).json()

        assert OUTSIDE == shown["delivery_address"]

    @pytest.mark.parametrize(
        ("asked", "kind", "field"),
        [
            ({"asset": "DOGE"}, "unknown-asset", "asset"),
            ({"network": "solana"}, "unknown-network", "network"),
            ({"funding": "custody"}, "invalid-input", "funding"),
            ({"funding": "deposit"}, "invalid-input", "funding"),
            ({"amount": "0.1"}, "invalid-input", "amount"),
            ({"pay_brl": None}, "invalid-input", "amount"),
            ({"pay_brl": None, "receive_brl": "150.00"}, "invalid-input", "receive_brl"),
            ({"receive_brl": "150.00"}, "invalid-input", "receive_brl"),
            ({"pay_brl": "0"}, "not-an-amount", "pay_brl"),
            ({"pay_brl": "-150.00"}, "not-an-amount", "pay_brl"),
            ({"pay_brl": "1e3"}, "not-an-amount", "pay_brl"),
            ({"pay_brl": "150,00"}, "not-an-amount", "pay_brl"),
            ({"pay_brl": "NaN"}, "not-an-amount", "pay_brl"),
            ({"pay_brl": ""}, "invalid-input", "pay_brl"),
            ({"pay_brl": 150}, "invalid-input", "pay_brl"),
            ({"pay_brl": 150.5}, "invalid-input", "pay_brl"),
            ({"pay_brl": "150.001"}, "too-precise", "pay_brl"),
            ({"pay_brl": "9.99"}, "limit-exceeded", "pay_brl"),
            ({"pay_brl": "100000.01"}, "limit-exceeded", "pay_brl"),
            ({"pay_brl": "9" * 60}, "limit-exceeded", "pay_brl"),
            ({"pay_brl": None, "amount": "0"}, "not-an-amount", "amount"),
            ({"pay_brl": None, "amount": "0.0000001"}, "limit-exceeded", "amount"),
            ({"pay_brl": None, "amount": "1000"}, "limit-exceeded", "amount"),
            ({"pay_brl": None, "amount": "0.1000000000000000001"}, "too-precise", "amount"),
            ({"refund_address": OUTSIDE}, "invalid-input", "refund_address"),
            ({"delivery_address": OUTSIDE[:-1] + "D"}, "invalid-address", "delivery_address"),
            ({"delivery_address": OUTSIDE[:-1]}, "invalid-address", "delivery_address"),
            ({"delivery_address": ""}, "invalid-address", "delivery_address"),
            ({"delivery_address": "0x" + "0" * 40}, "invalid-address", "delivery_address"),
            ({"delivery_address": "0x" + f"{7:040x}"}, "invalid-address", "delivery_address"),
            (
                {"delivery_address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"},
                "invalid-address",
                "delivery_address",
            ),
            ({"delivery_address": 7}, "invalid-input", "delivery_address"),
            ({"bank_data_id": "a" * 32}, "invalid-input", "bank_data_id"),
        ],
        ids=lambda value: str(value)[:60],
    )
    async def test_names_the_field_at_fault(
        self, door: Door, ana: Person, asked: dict[str, Any], kind: str, field: str
    ) -> None:
        reply = await quote(door, ana, **asked)

        assert 422 == reply.status_code, reply.text
        problem(reply, kind, field=field)


class TestCreate:
    async def test_waits_for_a_pix_of_the_total(self, door: Door, ana: Person) -> None:
        trade = await buy(door, ana, delivery_address=OUTSIDE)

        assert ("awaiting_payment", "150.00", OUTSIDE) == (
            trade["status"],
            trade["total"],
            trade["delivery_address"],
        )
        assert (None, []) == (trade["payment"]["br_code"], trade["payment"]["receipts"])
        assert {"payment_window"} == {lock["kind"] for lock in trade["locks"]}
        assert f"otc-buy/{trade['id']}" == trade["workflow_id"]

    async def test_starts_both_workflows_once_temporal_is_there(self, door: Door, ana: Person) -> None:
        trade = await buy(door, ana)

        async with door.engine.connect() as conn:
            found = text("SELECT workflow_id FROM outbox WHERE workflow_id LIKE '%' || :id ORDER BY 1")
            rows = (await conn.execute(found, {"id": trade["id"]})).scalars().all()
        assert [f"charge/{trade['id']}", f"otc-buy/{trade['id']}"] == rows

    async def test_delivers_to_the_platform_when_no_address_is_named(self, door: Door, ana: Person) -> None:
        trade = await buy(door, ana)

        mine = (await door.get(ana, f"{API}/wallet/addresses")).json()
        mine = (await door.post(ana, f"{API}/wallet/addresses", {"network": "ethereum"})).json()
        assert mine["address"] == trade["delivery_address"]

    async def test_refuses_an_address_that_is_the_platforms_by_now(
        self, door: Door, ana: Person, bob: Person
    ) -> None:
        """It could be anybody's: coins sent there would be somebody else's deposit."""
        reply = await door.post(bob, f"{API}/wallet/addresses", {"network": "ethereum"})

        refused = await quote(door, ana, delivery_address=reply.json()["address"])

        problem(refused, "invalid-address", field="delivery_address")

    async def test_takes_no_bank_data(self, door: Door, ana: Person, bob: Person) -> None:
        """Not even an id that is somebody else's, of which nothing is told."""
        made = (await quote(door, ana)).json()

        for bank_data_id in (bob.bank_data_id, secrets.token_hex(16)):
            reply = await create(door, ana, made["id"], bank_data_id=bank_data_id)

            assert 422 == reply.status_code
            problem(reply, "invalid-input", field="bank_data_id")
        assert 201 == (await create(door, ana, made["id"])).status_code

    async def test_needs_a_verified_document(self, door: Door) -> None:
        nobody = await door.person()
        made = (await quote(door, nobody)).json()

        reply = await create(door, nobody, made["id"])
        await door.verify(nobody)
        later = await create(door, nobody, made["id"])

        assert f"/api/v1/users/{nobody.id}/document" in problem(reply, "document-missing")["detail"]
        assert 201 == later.status_code

    async def test_refuses_a_quote_whose_time_is_over(self, door: Door, ana: Person) -> None:
        async with door.other(quote_valid_seconds=0.01) as other:
            made = (await quote(other, ana)).json()
            await asyncio.sleep(0.02)
            reply = await create(other, ana, made["id"])

        assert 410 == reply.status_code
        problem(reply, "quote-expired", field="quote_id")

    async def test_refuses_a_quote_that_was_used(self, door: Door, ana: Person) -> None:
        trade = await buy(door, ana)

        reply = await create(door, ana, trade["quote_id"])

        assert 409 == reply.status_code
        problem(reply, "quote-used", field="quote_id")

    async def test_refuses_anothers_quote(self, door: Door, ana: Person, bob: Person) -> None:
        made = (await quote(door, bob)).json()

        problem(await create(door, ana, made["id"]), "not-found", field="quote_id")

    async def test_gives_the_first_answer_again(self, door: Door, ana: Person) -> None:
        made = (await quote(door, ana)).json()

        first, again = [await create(door, ana, made["id"], key="once") for _ in range(2)]

        assert (201, first.json()) == (again.status_code, again.json())
        assert "true" == again.headers["idempotency-replayed"]

    async def test_makes_one_charge_of_ten_at_the_same_time(self, door: Door, ana: Person) -> None:
        made = (await quote(door, ana)).json()

        replies = await asyncio.gather(*(create(door, ana, made["id"]) for _ in range(10)))

        assert [201] + [409] * 9 == sorted(reply.status_code for reply in replies)
        async with door.engine.connect() as conn:
            counted = text("SELECT count(*) FROM charges WHERE user_id = :id")
            assert 1 == (await conn.execute(counted, {"id": ana.id})).scalar()


class TestShown:
    async def test_to_nobody_else(self, door: Door, ana: Person, bob: Person) -> None:
        trade = await buy(door, ana)
        await pay(door, trade, Payer.OTHER)

        for path in ("", "/audit-log", "/why", "/qr.svg"):
            theirs = await door.get(bob, f"{TRADES}/{trade['id']}{path}")
            none = await door.get(bob, f"{TRADES}/{secrets.token_hex(16)}{path}")
            assert (404, 404) == (theirs.status_code, none.status_code)
            assert problem(theirs, "not-found")["detail"] == problem(none, "not-found")["detail"]

    async def test_among_the_callers_sales(self, door: Door, bob: Person) -> None:
        sale = await door.trade(bob)
        purchase = await buy(door, bob)
        another = await door.trade(bob)

        page = (await door.get(bob, f"{TRADES}/history/my-trades")).json()["trades"]

        assert [another["id"], purchase["id"], sale["id"]] == [trade["id"] for trade in page]
        assert ["sell", "buy", "sell"] == [trade["operation"] for trade in page]

    async def test_with_its_payments_and_why_they_went_back(self, door: Door, ana: Person) -> None:
        trade = await buy(door, ana, delivery_address=OUTSIDE)
        wrong, right = await pay(door, trade, Payer.OTHER), await pay(door, trade)

        shown = (await door.get(ana, f"{TRADES}/{trade['id']}")).json()

        assert "delivering" == shown["status"]
        came = {receipt["end_to_end_id"]: receipt for receipt in shown["payment"]["receipts"]}
        assert ("refunding", "payer_differs") == (came[wrong]["status"], came[wrong]["reason"])
        assert ("credited", None) == (came[right]["status"], came[right]["reason"])
        assert ana.tax_id not in str(shown)

    async def test_with_a_picture_once_it_can_be_paid(self, door: Door, ana: Person) -> None:
        trade = await buy(door, ana)

        before = await door.get(ana, f"{TRADES}/{trade['id']}/qr.svg")
        await pay(door, trade, Payer.OTHER)
        after = await door.get(ana, f"{TRADES}/{trade['id']}/qr.svg")

        problem(before, "not-found")
        assert (200, "image/svg+xml") == (after.status_code, after.headers["content-type"])


class TestWhy:
    async def test_says_who_must_act_and_until_when(self, door: Door, ana: Person) -> None:
        trade = await buy(door, ana, delivery_address=OUTSIDE)
        waiting = (await door.get(ana, f"{TRADES}/{trade['id']}/why")).json()
        await pay(door, trade)
        moving = (await door.get(ana, f"{TRADES}/{trade['id']}/why")).json()

        (window,) = trade["locks"]
        assert ("you", True) == (waiting["who_must_act"], waiting["can_cancel"])
        assert datetime.fromisoformat(window["expires_at"]) == datetime.fromisoformat(waiting["until"])
        assert "your PIX of R$ 150.00" in waiting["waits_for"]
        assert ("the network", False) == (moving["who_must_act"], moving["can_cancel"])
        assert OUTSIDE in moving["waits_for"]
        assert [("delivery", "intended")] == [(move["purpose"], move["status"]) for move in moving["transfers"]]

    async def test_shows_every_posting_and_each_key_sums_to_zero(self, door: Door, ana: Person) -> None:
        trade = await buy(door, ana, delivery_address=OUTSIDE)
        await pay(door, trade)

        why = (await door.get(ana, f"{TRADES}/{trade['id']}/why")).json()

        sums: dict[tuple[str, str], Decimal] = {}
        for posting in why["postings"]:
            place = (posting["key"], posting["asset"])
            sums[place] = sums.get(place, Decimal(0)) + Decimal(posting["amount"])
        bought = {(p["account"], p["asset"]): p["amount"] for p in why["postings"] if p["key"].endswith("/buy")}
        assert {Decimal(0)} == set(sums.values())
        assert ("-150.00", trade["gross"], trade["spread"], trade["network_fee"]) == (
            bought["held", "BRL"],
            bought["desk", "BRL"],
            bought["fees", "BRL"],
            bought["network_fees", "BRL"],
        )
        assert 3 == len({posting["key"] for posting in why["postings"]})


class TestTransfer:
    async def test_tries_a_refused_refund_again_after_the_end(self, door: Door, ana: Person) -> None:
        """The trade's workflow is over, and Temporal away: this command needs neither."""
        trade, operator = await buy(door, ana), await door.person(role=Role.OPERATOR)
        await self._expire(door, trade)
        pix = await pay(door, trade)
        await self._refuse_refund(door, trade)
        path, evidence = f"{TRADES}/{trade['id']}/transfer", {"evidence": "bank ticket 7"}

        theirs = await door.post(ana, path, evidence)
        done = await door.post(operator, path, evidence, key="again")
        same = await door.post(operator, path, evidence, key="again")
        another = await door.post(operator, path, evidence)

        shown = {receipt["end_to_end_id"]: receipt["status"] for receipt in done.json()["payment"]["receipts"]}
        assert 403 == theirs.status_code
        assert (200, {pix: "refunding"}, "cancelled") == (done.status_code, shown, done.json()["status"])
        assert (200, done.json()) == (same.status_code, same.json())
        assert 409 == another.status_code

    async def _expire(self, door: Door, trade: Any) -> None:
        async with door.engine.begin() as conn:
            await advance(conn, Advance(trade["id"], TERMS, cancel=True), now=datetime.now(UTC))
            assert "cancelled" == (await trades.trade(conn, trade["id"])).status

    async def _refuse_refund(self, door: Door, trade: Any) -> None:
        async with door.engine.begin() as conn:
            charge = await charges.charge(conn, trade["id"], lock=True)
            assert charge is not None
            (receipt,) = await receipts.of_charge(conn, charge.key)
            (refund,) = (await refunds.of_receipts(conn, [receipt.id])).values()
            await refund_writes.mark_submitting(conn, refund)
            refund = replace(refund, status=RefundStatus.SUBMITTED, version=refund.version + 1)
            await refund_writes.record(conn, refund, RefundNews(RefundStatus.REJECTED))
            await receipt_writes.end_refund(conn, charge, receipt, refunded=False)
