"""The fiat wallet's door: who may, how much, and what others see of it. No bank answers here."""

import asyncio
import json
import secrets
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from models.bank_data.types import NewKeyRule
from models.ledger.chart import Purpose, available, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.payout import queries as payouts
from models.payout import writes as payout_writes
from models.payout.states import PayoutStatus
from models.payout.types import Report
from models.pix_limit.types import PixLimits
from models.user.types import Role
from tests.api.door import API, WEBHOOK_SECRET, Door, Person, now, problem

WALLET = f"{API}/wallet/pix"
DEPOSITS, WITHDRAWALS, LIMITS = f"{WALLET}/deposits", f"{WALLET}/withdrawals", f"{WALLET}/limits"
TIGHT = PixLimits(500, 10_000, 10_000)


async def give(door: Door, person: Person, centavos: int) -> None:
    async with door.engine.begin() as conn:
        source, target = house(Purpose.DESK, "BRL"), available(person.id, "BRL")
        key = f"operator/x/{secrets.token_hex(8)}"
        await post(conn, move(key, Kind.ADJUSTMENT, "operator/x", source, target, centavos))


async def rich(door: Door, centavos: int = 100_000) -> Person:
    person = await door.seller()
    await give(door, person, centavos)
    return person


async def balance(door: Door, person: Person) -> dict[str, Decimal]:
    view = (await door.get(person, f"{API}/wallet/balance", params={"asset": "BRL"})).json()
    return {name: Decimal(view[name]) for name in ("available", "locked")}


async def messages(door: Door, workflow_id: str) -> list[str]:
    async with door.engine.connect() as conn:
        found = text("SELECT kind FROM outbox WHERE workflow_id = :id ORDER BY id")
        return list((await conn.execute(found, {"id": workflow_id})).scalars())


async def count(door: Door, table: str, person: Person) -> Any:
    async with door.engine.connect() as conn:
        statement = f"SELECT count(*) FROM {table} WHERE user_id = :user"
        return (await conn.execute(text(statement), {"user": person.id})).scalar_one()


@pytest.fixture
async def eva(door: Door) -> Person:
    """Somebody with reais."""
    return await rich(door)


class TestDeposit:
    async def test_is_accepted_before_the_bank_hears_of_it(self, door: Door, ana: Person):
        reply = await door.post(ana, DEPOSITS, {"amount": "150.00"})

        shown = reply.json()
        assert (201, "awaiting_payment", "created", None, "150.00") == (
            reply.status_code,
            shown["status"],
            shown["payment"]["status"],
            shown["payment"]["br_code"],
            shown["payment"]["amount"],
        )
        assert ["start"] == await messages(door, f"charge/{shown['id']}")
        assert shown == (await door.get(ana, f"{DEPOSITS}/{shown['id']}")).json()
        assert 404 == (await door.get(ana, f"{DEPOSITS}/{shown['id']}/qr.svg")).status_code

    async def test_needs_a_verified_document(self, door: Door):
        problem(await door.post(await door.person(), DEPOSITS, {"amount": "150.00"}), "document-missing")

    @pytest.mark.parametrize("path", [DEPOSITS, WITHDRAWALS], ids=["deposit", "withdrawal"])
    @pytest.mark.parametrize(
        ("amount", "kind"),
        [
            ("0", "not-an-amount"),
            ("-1.00", "not-an-amount"),
            ("1e3", "not-an-amount"),
            ("1.001", "too-precise"),
            ("0.99", "limit-exceeded"),
            ("50000.01", "limit-exceeded"),
            ("9" * 70, "limit-exceeded"),
        ],
        ids=["zero", "negative", "exponent", "tiny", "too-little", "too-much", "endless"],
    )
    async def test_of_a_strange_amount_is_refused(self, door: Door, eva: Person, path: str, amount: str, kind: str):
        problem(await door.post(eva, path, {"amount": amount}), kind, field="amount")


class TestWithdrawal:
    async def test_holds_the_reais_with_its_acceptance(self, door: Door, eva: Person):
        reply = await door.post(eva, WITHDRAWALS, {"amount": "400.00"})

        shown = reply.json()
        assert (201, "paying_out", "created", eva.bank_data_id) == (
            reply.status_code,
            shown["status"],
            shown["payout_status"],
            shown["bank_data_id"],
        )
        assert {"available": 600, "locked": 400} == await balance(door, eva)
        assert ["start"] == await messages(door, f"pix-withdrawal/{shown['id']}")
        assert shown == (await door.get(eva, f"{WITHDRAWALS}/{shown['id']}")).json()

    async def test_repeated_with_its_key_is_the_same_one(self, door: Door, eva: Person):
        replies = [await door.post(eva, WITHDRAWALS, {"amount": "400.00"}, key="once") for _ in range(3)]

        assert 1 == len({reply.json()["id"] for reply in replies})
        assert {"available": 600, "locked": 400} == await balance(door, eva)

    async def test_of_more_than_there_is_leaves_nothing_behind(self, door: Door):
        eva = await rich(door, 9_999)

        problem(await door.post(eva, WITHDRAWALS, {"amount": "100.00"}), "insufficient-funds")

        assert 0 == await count(door, "pix_withdrawals", eva)
        assert {"available": Decimal("99.99"), "locked": 0} == await balance(door, eva)

    async def test_goes_to_the_users_own_account_only(self, door: Door, eva: Person, bob: Person):
        body = {"pix_key": "123E4567-E89B-12D3-A456-426655440000", "pix_key_kind": "evp"}
        body |= {"holder_name": "Bob", "holder_tax_id": bob.tax_id}
        other = (await door.post(eva, f"{API}/bank-data", body)).json()["id"]
        poor = await door.person()

        strange = await door.post(eva, WITHDRAWALS, {"amount": "10.00", "bank_data_id": other})
        theirs = await door.post(eva, WITHDRAWALS, {"amount": "10.00", "bank_data_id": bob.bank_data_id})
        none = await door.post(poor, WITHDRAWALS, {"amount": "10.00"})

        problem(strange, "not-the-holder", field="bank_data_id")
        problem(theirs, "not-found", field="bank_data_id")
        problem(none, "not-found", field="bank_data_id")

    async def test_counts_towards_what_a_new_key_may_receive(self, door: Door, eva: Person):
        async with door.other(new_key=NewKeyRule(3600, 50_000)) as strict:
            first = await strict.post(eva, WITHDRAWALS, {"amount": "300.00"})
            second = await strict.post(eva, WITHDRAWALS, {"amount": "200.01"})
            trade = await strict.quote(eva, amount=None, receive_brl="200.01")
            sale = await strict.create(eva, trade.json()["id"])
            third = await strict.post(eva, WITHDRAWALS, {"amount": "200.00"})

        assert [201, 201] == [first.status_code, third.status_code]
        assert "of which R$ 200.00 are left" in problem(second, "key-too-new")["detail"]
        problem(sale, "key-too-new")

    async def test_is_paid_by_the_provider_of_the_day(self, door: Door, eva: Person):
        shown = (await door.post(eva, WITHDRAWALS, {"amount": "10.00"})).json()

        async with door.engine.connect() as conn:
            payout = await payouts.payout(conn, shown["id"])
        assert payout is not None
        assert (None, shown["id"], "sandbox", 1_000) == (
            payout.trade_id,
            payout.withdrawal_id,
            payout.provider,
            payout.amount_centavos,
        )


class TestLimits:
    async def test_say_what_is_left(self, door: Door, eva: Person):
        await door.post(eva, DEPOSITS, {"amount": "150.00"})
        await door.post(eva, WITHDRAWALS, {"amount": "40.00"})

        shown = (await door.get(eva, LIMITS)).json()

        assert "1.00" == shown["min"]
        assert {"limit": "50000.00", "used": "150.00", "left": "49850.00"} == shown["deposit"]
        assert {"limit": "50000.00", "used": "40.00", "left": "49960.00"} == shown["withdrawal"]
        assert shown["resets_at"].endswith("T03:00:00Z")

    @pytest.mark.parametrize(
        ("path", "table"), [(DEPOSITS, "charges"), (WITHDRAWALS, "pix_withdrawals")], ids=["deposit", "withdrawal"]
    )
    async def test_are_not_passed_by_twenty_at_once(self, door: Door, eva: Person, path: str, table: str):
        """R$ 100.00 a day, and twenty times R$ 15.00: six fit."""
        async with door.other(pix_limits=TIGHT) as tight:
            replies = await asyncio.gather(*(tight.post(eva, path, {"amount": "15.00"}) for _ in range(20)))

        assert {201: 6, 422: 14} == Counter(reply.status_code for reply in replies)
        assert 6 == await count(door, table, eva)
        refused = next(reply for reply in replies if reply.status_code == 422)
        words = problem(refused, "limit-exceeded", field="amount")["detail"]
        assert "R$ 100.00 in all: R$ 90.00 are used today, R$ 10.00 are left" in words

    async def test_of_one_user_are_not_anothers(self, door: Door, ana: Person, bob: Person):
        async with door.other(pix_limits=TIGHT) as tight:
            replies = [await tight.post(person, DEPOSITS, {"amount": "100.00"}) for person in (ana, bob)]

        assert [201, 201] == [reply.status_code for reply in replies]

    async def test_of_withdrawals_beside_sales_do_not_deadlock(self, door: Door):
        """Both take the user's row first, then everything else."""
        eva = await door.rich()
        await give(door, eva, 100_000)
        quotes = [
            (await door.quote(eva, funding="custody", amount="0.01", refund_address=None)).json() for _ in range(6)
        ]

        async with door.other(new_key=NewKeyRule(3600, 10**9)) as strict:
            replies = await asyncio.gather(
                *(strict.create(eva, quote["id"]) for quote in quotes),
                *(strict.post(eva, WITHDRAWALS, {"amount": "10.00"}) for _ in range(6)),
            )

        assert {201: 12} == Counter(reply.status_code for reply in replies)


class TestOthers:
    """A user cannot tell another's deposit or withdrawal from none."""

    @pytest.mark.parametrize(
        "path",
        [
            f"{DEPOSITS}/{{id}}",
            f"{DEPOSITS}/{{id}}/qr.svg",
            f"{WITHDRAWALS}/{{id}}",
            f"{WITHDRAWALS}/{{id}}/audit-log",
        ],
        ids=["deposit", "qr", "withdrawal", "audit-log"],
    )
    async def test_money_looks_as_if_it_were_not_there(self, door: Door, eva: Person, bob: Person, path: str):
        collection = DEPOSITS if path.startswith(DEPOSITS) else WITHDRAWALS
        found = (await door.post(eva, collection, {"amount": "10.00"})).json()["id"]

        theirs = await door.get(bob, path.format(id=found))
        none = await door.get(bob, path.format(id=secrets.token_hex(16)))

        assert (404, 404) == (theirs.status_code, none.status_code)
        assert problem(theirs, "not-found")["detail"] == problem(none, "not-found")["detail"]

    async def test_money_is_in_nobodys_list(self, door: Door, eva: Person, bob: Person):
        for path, name in ((DEPOSITS, "deposits"), (WITHDRAWALS, "withdrawals")):
            await door.post(eva, path, {"amount": "10.00"})

            assert [] == (await door.get(bob, path)).json()[name]

    async def test_payments_are_confirmed_by_operators_only(self, door: Door, eva: Person, bob: Person):
        found = (await door.post(eva, WITHDRAWALS, {"amount": "10.00"})).json()["id"]
        body = {"paid": False, "evidence": "mine"}

        replies = [await door.post(person, f"{WITHDRAWALS}/{found}/confirm-payment", body) for person in (eva, bob)]

        assert [403, 403] == [reply.status_code for reply in replies]
        assert {"available": 990, "locked": 10} == await balance(door, eva)

    async def test_money_is_shown_to_operators_with_a_link_to_the_workflow(self, door: Door, eva: Person):
        boss = await door.person(role=Role.OPERATOR)
        found = (await door.post(eva, WITHDRAWALS, {"amount": "10.00"})).json()

        shown = (await door.get(boss, f"{WITHDRAWALS}/{found['id']}")).json()

        assert found["temporal_ui"] is None
        assert shown["temporal_ui"].endswith(f"/workflows/pix-withdrawal%2F{found['id']}")

    async def test_purchases_are_no_deposits(self, door: Door, ana: Person):
        quote = await door.quote(
            ana, operation="buy", funding=None, amount=None, pay_brl="150.00", refund_address=None
        )
        trade = (await door.post(ana, f"{API}/instant-trade/create", {"quote_id": quote.json()["id"]})).json()

        reply = await door.get(ana, f"{DEPOSITS}/{trade['id']}")

        problem(reply, "not-found")
        assert "0.00" == (await door.get(ana, LIMITS)).json()["deposit"]["used"]


class TestList:
    @pytest.mark.parametrize(
        ("path", "name"), [(DEPOSITS, "deposits"), (WITHDRAWALS, "withdrawals")], ids=["deposits", "withdrawals"]
    )
    async def test_is_read_in_pages_newest_first(self, door: Door, eva: Person, path: str, name: str):
        made = [(await door.post(eva, path, {"amount": "10.00"})).json()["id"] for _ in range(5)]

        seen: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await door.get(eva, path, params=params)).json()
            seen += [one["id"] for one in page[name]]
            if (cursor := page["next_cursor"]) is None:
                break

        assert made[::-1] == seen
        problem(await door.get(eva, path, params={"cursor": "x"}), "invalid-input", field="cursor")


class TestWebhook:
    async def test_of_a_withdrawal_that_came_back_starts_a_look(self, door: Door, eva: Person):
        found = (await door.post(eva, WITHDRAWALS, {"amount": "10.00"})).json()["id"]

        body = json.dumps({"type": "payout.returned", "timestamp": "2026-01-05T12:00:00Z", "data": {"key": found}})
        name, at = f"evt_{found}", now()
        headers = {"webhook-id": name, "webhook-timestamp": str(int(at.timestamp()))}
        headers["webhook-signature"] = Webhook(WEBHOOK_SECRET).sign(name, at, body)
        await door.http.post("/webhooks/sandbox", content=body, headers=headers)

        assert ["look"] == await messages(door, f"payout/{found}")
        assert ["start"] == await messages(door, f"pix-withdrawal-return/{found}")
        assert [] == await messages(door, f"payout-return/{found}")


class TestConfirmation:
    async def test_with_evidence_ends_a_withdrawal_that_the_bank_forgot(self, door: Door, eva: Person):
        boss = await door.person(role=Role.OPERATOR)
        found = (await door.post(eva, WITHDRAWALS, {"amount": "10.00"})).json()["id"]
        path = f"{WITHDRAWALS}/{found}/confirm-payment"
        unsent = await door.post(boss, path, {"paid": True, "evidence": "ticket 1"})
        async with door.engine.begin() as conn:
            payout = await payouts.payout(conn, found, lock=True)
            assert payout is not None
            await payout_writes.mark_submitting(conn, payout)
            payout = await payouts.payout(conn, found, lock=True)
            assert payout is not None
            await payout_writes.record(conn, payout, Report(PayoutStatus.UNKNOWN))

        early = await door.post(boss, path, {"paid": False, "evidence": "ticket 1"})
        done = await door.post(boss, path, {"paid": True, "end_to_end_id": "E1", "evidence": "statement line 3"})

        problem(unsent, "illegal-transition")
        problem(early, "illegal-transition")
        assert ("completed", "paid", "E1") == tuple(
            done.json()[name] for name in ("status", "payout_status", "end_to_end_id")
        )
        mine, full = [(await door.get(who, f"{WITHDRAWALS}/{found}/audit-log")).json() for who in (eva, boss)]
        assert ["operator", {}] == [mine[1]["actor"], mine[1]["details"]]
        assert [boss.id, {"evidence": "statement line 3"}] == [full[1]["actor"], full[1]["details"]]
        assert {"available": 990, "locked": 0} == await balance(door, eva)
