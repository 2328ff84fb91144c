"""Trades: made once, of a good quote; shown to their owner; explained in plain words."""

import asyncio
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from api.stories import STORIES
from api.views import trade_view
from api.why import _waiting
from models.deposit import writes as deposits
from models.deposit.types import BlockMark, Found
from models.inbound_webhook import writes as webhooks
from models.instant_trade import queries as trades
from models.instant_trade.advance import advance
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Advance
from models.instant_trade.writes import note
from models.payout import queries as payout_queries
from models.payout import writes as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Report
from models.user.types import Actor, Role
from models.wallet import allocate
from tests.api.door import BOX, ETHER, OUTSIDE, TERMS, TRADES, Door, Person, custody_funded, now, problem


class TestCreate:
    async def test_takes_a_deposit_to_an_address_of_its_own(self, door: Door, ana: Person):
        one, two = await door.trade(ana), await door.trade(ana)

        assert "awaiting_deposit" == one["status"]
        assert one["deposit_address"] != two["deposit_address"]
        assert one["custody_address"] is None
        assert OUTSIDE == one["refund_address"]
        assert f"otc-sell/{one['id']}" == one["workflow_id"]
        assert one["reference"].startswith("OTC-")
        assert one["temporal_ui"] is None

    async def test_says_when_each_lock_runs_out(self, door: Door, ana: Person):
        trade = await door.trade(ana)

        ends = {lock["kind"]: datetime.fromisoformat(lock["expires_at"]) for lock in trade["locks"]}
        created = datetime.fromisoformat(trade["created_at"])
        assert {"deposit_window", "chain_timeout"} == set(ends)
        assert ends["deposit_window"] == datetime.fromisoformat(trade["expires_at"])
        assert abs(ends["deposit_window"] - created - timedelta(seconds=900)) < timedelta(seconds=5)

    async def test_holds_coins_on_the_platform_at_once(self, door: Door):
        ana = await door.rich(ETHER)

        trade = await door.trade(ana, **custody_funded("0.3"))

        balances = {row["asset"]: row for row in (await door.get(ana, "/api/v1/wallet/balances")).json()}
        assert ("transferring", None, None) == (trade["status"], trade["deposit_address"], trade["refund_address"])
        assert trade["custody_address"] is not None
        assert (Decimal("0.7"), Decimal("0.3")) == tuple(Decimal(balances["ETH"][n]) for n in ("available", "locked"))

    async def test_is_accepted_while_temporal_is_away_and_left_to_the_relay(self, door: Door, ana: Person):
        trade = await door.trade(ana)

        async with door.engine.connect() as conn:
            found = text("SELECT kind, sent_at FROM outbox WHERE workflow_id = :id")
            rows = (await conn.execute(found, {"id": trade["workflow_id"]})).all()
        assert [("start", None)] == [tuple(row) for row in rows]

    async def test_shows_the_quote_again(self, door: Door, ana: Person):
        quote = (await door.quote(ana, asset="USDT", amount="77.777777")).json()

        trade = (await door.create(ana, quote["id"])).json()

        parts = ("asset", "network", "amount", "currency", "price", "gross", "spread", "network_fee", "total")
        assert [quote[name] for name in parts] == [trade[name] for name in parts]

    async def test_refuses_a_quote_whose_time_is_over(self, door: Door, ana: Person):
        async with door.other(quote_valid_seconds=0.01) as other:
            quote = (await other.quote(ana)).json()
            await asyncio.sleep(0.02)
            reply = await other.create(ana, quote["id"])

        assert 410 == reply.status_code
        problem(reply, "quote-expired", field="quote_id")

    async def test_refuses_a_quote_that_was_used(self, door: Door, ana: Person):
        trade = await door.trade(ana)

        reply = await door.create(ana, trade["quote_id"])

        assert 409 == reply.status_code
        problem(reply, "quote-used", field="quote_id")

    async def test_refuses_a_quote_that_is_not_there_or_anothers(self, door: Door, ana: Person, bob: Person):
        quote = (await door.quote(bob)).json()

        replies = [await door.create(ana, quote["id"]), await door.create(ana, secrets.token_hex(16))]

        for reply in replies:
            assert 404 == reply.status_code
            problem(reply, "not-found", field="quote_id")

    async def test_refuses_anothers_bank_data(self, door: Door, ana: Person, bob: Person):
        quote = (await door.quote(ana)).json()
        body = {"quote_id": quote["id"], "bank_data_id": bob.bank_data_id}

        reply = await door.post(ana, f"{TRADES}/create", body)

        assert 404 == reply.status_code
        problem(reply, "not-found", field="bank_data_id")

    async def test_refuses_more_than_is_there_and_leaves_the_quote_unused(self, door: Door):
        ana = await door.rich(ETHER // 10)
        quote = (await door.quote(ana, **custody_funded("0.2"))).json()

        reply = await door.create(ana, quote["id"], key="too-much")
        async with door.engine.connect() as conn:
            used = text("SELECT used_at FROM quotes WHERE id = :id")
            used_at = (await conn.execute(used, {"id": quote["id"]})).scalar_one()

        assert 409 == reply.status_code
        problem(reply, "insufficient-funds")
        assert used_at is None

    @pytest.mark.parametrize("quote_id", ["1", "x" * 32, "é" * 32, "a" * 33, 5, None, "\x00" * 32])
    async def test_names_an_id_that_is_none(self, door: Door, ana: Person, quote_id: object):
        reply = await door.post(ana, f"{TRADES}/create", {"quote_id": quote_id, "bank_data_id": ana.bank_data_id})

        problem(reply, "invalid-input", field="quote_id")


class TestIdempotencyKey:
    async def test_gives_the_first_answer_again(self, door: Door, ana: Person):
        quote = (await door.quote(ana)).json()

        first = await door.create(ana, quote["id"], key="once")
        again = await door.create(ana, quote["id"], key="once")

        assert (201, 201) == (first.status_code, again.status_code)
        assert first.json() == again.json()
        assert "idempotency-replayed" not in first.headers
        assert "true" == again.headers["idempotency-replayed"]

    async def test_belongs_to_one_body(self, door: Door, ana: Person):
        one, two = (await door.quote(ana)).json(), (await door.quote(ana)).json()
        await door.create(ana, one["id"], key="once")

        reply = await door.create(ana, two["id"], key="once")

        assert 422 == reply.status_code
        problem(reply, "idempotency-mismatch", field="Idempotency-Key")

    async def test_belongs_to_one_address(self, door: Door, ana: Person):
        trade, operator = await door.trade(ana), await door.person(role=Role.OPERATOR)
        body = {"evidence": "ticket 7", "ruling": "refund"}
        await door.post(operator, f"{TRADES}/{trade['id']}/complete", body, key="once")

        other = await door.trade(ana)
        reply = await door.post(operator, f"{TRADES}/{other['id']}/complete", body, key="once")

        problem(reply, "idempotency-mismatch")

    async def test_belongs_to_one_person(self, door: Door, ana: Person, bob: Person):
        mine = await door.create(ana, (await door.quote(ana)).json()["id"], key="shared")

        theirs = await door.create(bob, (await door.quote(bob)).json()["id"], key="shared")

        assert (201, 201) == (mine.status_code, theirs.status_code)
        assert mine.json()["id"] != theirs.json()["id"]

    async def test_is_free_again_after_a_refusal(self, door: Door, ana: Person):
        quote = (await door.quote(ana)).json()
        await door.create(ana, secrets.token_hex(16), key="once")

        reply = await door.create(ana, quote["id"], key="once")

        assert 201 == reply.status_code

    async def test_makes_one_trade_of_thirty_at_the_same_time(self, door: Door, ana: Person):
        quote = (await door.quote(ana)).json()

        replies = await asyncio.gather(*(door.create(ana, quote["id"], key="once") for _ in range(30)))

        mine = (await door.get(ana, f"{TRADES}/history/my-trades")).json()["trades"]
        assert {201} == {reply.status_code for reply in replies}
        assert 1 == len({reply.json()["id"] for reply in replies}) == len(mine)
        assert 29 == sum("idempotency-replayed" in reply.headers for reply in replies)

    async def test_of_each_their_own_still_makes_one_trade_of_a_quote(self, door: Door, ana: Person):
        quote = (await door.quote(ana)).json()

        replies = await asyncio.gather(*(door.create(ana, quote["id"]) for _ in range(10)))

        assert [201] + [409] * 9 == sorted(reply.status_code for reply in replies)

    @pytest.mark.parametrize("key", [None, "", " ", "x" * 201, "two words", "é"])
    async def test_is_required_and_plain(self, door: Door, ana: Person, key: str | None):
        headers = {"authorization": f"Bearer {ana.key}"}
        if key is not None:
            headers["idempotency-key"] = key.encode("latin-1")

        reply = await door.http.post(f"{TRADES}/quote", json={}, headers=headers)

        problem(reply, "invalid-input", field="Idempotency-Key")


class TestMyTrades:
    async def test_come_page_by_page_newest_first(self, door: Door, ana: Person, bob: Person):
        made = [(await door.trade(ana))["id"] for _ in range(5)]
        await door.trade(bob)
        seen: list[str] = []
        cursor: str | None = None

        while True:
            params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await door.get(ana, f"{TRADES}/history/my-trades", params=params)).json()
            seen += [trade["id"] for trade in page["trades"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break

        assert made[::-1] == seen

    @pytest.mark.parametrize(
        "cursor", ["x", "", "AAAA", "MjAyNi0wMS0wMVQwMDowMDowMC9h", "é", "=", "a" * 200, "a" * 201, "\x00"]
    )
    async def test_refuse_a_cursor_that_is_none(self, door: Door, ana: Person, cursor: str):
        reply = await door.get(ana, f"{TRADES}/history/my-trades", params={"cursor": cursor})

        problem(reply, "invalid-input", field="cursor")

    @pytest.mark.parametrize("limit", ["0", "101", "-1", "many", "1.5", "9" * 5000])
    async def test_refuse_a_limit_that_is_none(self, door: Door, ana: Person, limit: str):
        reply = await door.get(ana, f"{TRADES}/history/my-trades", params={"limit": limit})

        problem(reply, "invalid-input", field="limit")


class TestOthers:
    """A user cannot tell another's trade from none."""

    @pytest.mark.parametrize("path", ["", "/audit-log", "/why"])
    async def test_trades_look_as_if_they_were_not_there(self, door: Door, ana: Person, bob: Person, path: str):
        trade = await door.trade(ana)

        theirs = await door.get(bob, f"{TRADES}/{trade['id']}{path}")
        none = await door.get(bob, f"{TRADES}/{secrets.token_hex(16)}{path}")

        assert (404, 404) == (theirs.status_code, none.status_code)
        assert problem(theirs, "not-found")["detail"] == problem(none, "not-found")["detail"]

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("cancel", None, 404),
            ("transfer", {"evidence": "t"}, 403),
            ("confirm-payment", {"paid": True, "evidence": "t"}, 403),
            ("complete", {"ruling": "refund", "evidence": "t"}, 403),
        ],
    )
    async def test_trades_take_no_commands(
        self, door: Door, ana: Person, bob: Person, path: str, body: object, status: int
    ):
        trade = await door.trade(ana)

        replies = [await door.post(bob, f"{TRADES}/{i}/{path}", body) for i in (trade["id"], secrets.token_hex(16))]

        assert [status, status] == [reply.status_code for reply in replies]

    async def test_trades_are_open_to_operators_with_a_link_to_the_workflow(self, door: Door, ana: Person):
        trade, operator = await door.trade(ana), await door.person(role=Role.OPERATOR)

        shown = (await door.get(operator, f"{TRADES}/{trade['id']}")).json()

        expected = f"http://127.0.0.1:8233/namespaces/liquida/workflows/otc-sell%2F{trade['id']}"
        assert expected == shown["temporal_ui"]


class TestAuditLog:
    async def test_begins_with_the_acceptance(self, door: Door, ana: Person):
        trade = await door.trade(ana)

        lines = (await door.get(ana, f"{TRADES}/{trade['id']}/audit-log")).json()

        assert [(None, "awaiting_deposit", ana.id)] == [
            (line["old_status"], line["new_status"], line["actor"]) for line in lines
        ]

    async def test_shows_operators_and_their_evidence_to_operators_only(self, door: Door, ana: Person):
        trade, operator = await door.trade(ana), await door.person(role=Role.OPERATOR)
        async with door.engine.begin() as conn:
            row = await trades.trade(conn, trade["id"], lock=True)
            await note(conn, row, "transfer_nudged", actor=operator.id, details={"evidence": "ticket 7"})

        mine = (await door.get(ana, f"{TRADES}/{trade['id']}/audit-log")).json()[-1]
        theirs = (await door.get(operator, f"{TRADES}/{trade['id']}/audit-log")).json()[-1]

        assert ("operator", {}) == (mine["actor"], mine["details"])
        assert (operator.id, {"evidence": "ticket 7"}) == (theirs["actor"], theirs["details"])


async def _deposited(door: Door, trade: dict, units: int) -> None:
    """A final deposit of ``units`` at the trade's address, booked, and the trade moved on."""
    async with door.engine.begin() as conn:
        address = (await allocate.by_text(conn, "ethereum", [trade["deposit_address"]]))[trade["deposit_address"]]
        txid = "0x" + secrets.token_hex(32)
        found = Found(txid, -1, "ETH.ethereum", address.id, trade["id"], OUTSIDE, units, 1000, "0x" + "b" * 64, now())
        await deposits.record(conn, "ethereum", [BlockMark(1000, "0x" + "b" * 64)], [found])
        for deposit_id in await deposits.final_ids(conn, "ethereum", height=1000):
            await deposits.book(conn, deposit_id)
        await advance(conn, Advance(trade["id"], TERMS), now=now())


class TestWhy:
    async def test_says_in_plain_words_what_a_new_trade_waits_for(self, door: Door, ana: Person):
        trade = await door.trade(ana, amount="0.25")

        why = (await door.get(ana, f"{TRADES}/{trade['id']}/why")).json()

        assert "your deposit of 0.25" in why["waits_for"]
        assert trade["deposit_address"] in why["waits_for"]
        assert ("you", trade["expires_at"], True) == (why["who_must_act"], why["until"], why["can_cancel"])
        assert "expires" in why["next"]

    async def test_shows_a_trade_from_deposit_to_payout_in_one_answer(self, door: Door, ana: Person):
        trade = await door.trade(ana, amount="0.25")
        await _deposited(door, trade, ETHER // 4)
        async with door.engine.begin() as conn:
            payout = await payout_queries.payout(conn, trade["id"], lock=True)
            assert payout is not None
            await payouts.mark_submitting(conn, payout)
            payout = await payout_queries.payout(conn, trade["id"], lock=True)
            assert payout is not None
            await payouts.record(conn, payout, Report(PayoutStatus.PAID, "p-1", "E" + "1" * 31))
            await webhooks.keep(
                conn, BOX, provider="sandbox", event_id="evt_1", key=trade["id"], state="paid", body=b"{}"
            )
        paying = (await door.get(ana, f"{TRADES}/{trade['id']}/why")).json()
        async with door.engine.begin() as conn:
            await advance(conn, Advance(trade["id"], TERMS), now=now())

        why = (await door.get(ana, f"{TRADES}/{trade['id']}/why")).json()

        assert ("paying_out", "the PIX provider") == (paying["trade"]["status"], paying["who_must_act"])
        assert ("completed", "nobody", False) == (why["trade"]["status"], why["who_must_act"], why["can_cancel"])
        assert ["final"] == [deposit["status"] for deposit in why["deposits"]]
        assert ("paid", trade["id"], "E" + "1" * 31, trade["total"]) == tuple(
            why["payout"][name] for name in ("status", "key", "end_to_end_id", "amount")
        )
        assert [("evt_1", "paid")] == [(event["id"], event["state"]) for event in why["webhook_deliveries"]]
        assert trade["id"] == why["identifiers"]["trade_id"] == why["identifiers"]["provider_key"]
        assert {f"{trade['id']}/sell", f"{trade['id']}/payout"} <= set(why["identifiers"]["ledger_keys"])
        self._adds_up(trade, why)

    @staticmethod
    def _adds_up(trade: dict, why: dict) -> None:
        """The quote's parts are the postings', to the centavo, and each key's postings sum to zero."""
        sums: dict[tuple[str, str], Decimal] = {}
        for posting in why["postings"]:
            place = (posting["key"], posting["asset"])
            sums[place] = sums.get(place, Decimal(0)) + Decimal(posting["amount"])
        sale = {(p["account"], p["asset"]): p["amount"] for p in why["postings"] if p["key"] == f"{trade['id']}/sell"}
        assert {Decimal(0)} == set(sums.values())
        assert (trade["spread"], trade["network_fee"], trade["total"]) == (
            sale["fees", "BRL"],
            sale["network_fees", "BRL"],
            sale["held", "BRL"],
        )
        assert "-" + trade["gross"] == sale["desk", "BRL"]

    async def test_shows_what_is_on_its_way_back(self, door: Door, ana: Person):
        """More than was asked: the rest has a transfer and a return of its own."""
        trade = await door.trade(ana, amount="0.1")
        await _deposited(door, trade, ETHER // 4)
        async with door.engine.begin() as conn:
            row = await trades.trade(conn, trade["id"])
            assert TradeStatus.PAYING_OUT is row.status
            payout = await payout_queries.payout(conn, trade["id"], lock=True)
            assert payout is not None
            await payouts.mark_submitting(conn, payout)
            payout = await payout_queries.payout(conn, trade["id"], lock=True)
            assert payout is not None
            await payouts.record(conn, payout, Report(PayoutStatus.PAID))
            await advance(conn, Advance(trade["id"], TERMS), now=now())

        why = (await door.get(ana, f"{TRADES}/{trade['id']}/why")).json()

        assert [("excess", "pending", Decimal("0.15"))] == [
            (back["reason"], back["status"], Decimal(back["amount"])) for back in why["returns"]
        ]
        assert [("return", "intended", OUTSIDE, [])] == [
            (move["purpose"], move["status"], move["to_address"], move["attempts"]) for move in why["transfers"]
        ]

    @pytest.mark.parametrize("status", list(TradeStatus))
    async def test_has_words_for_every_status(self, door: Door, ana: Person, status: TradeStatus):
        trade = await door.trade(ana)
        async with door.engine.connect() as conn:
            row = replace(await trades.trade(conn, trade["id"]), status=status)
            locks = await trades.locks(conn, trade["id"])
        view = trade_view(row, None, locks, Actor(ana.id, Role.USER), door.services)

        said = _waiting(row, view, locks, can_cancel=False)

        assert STORIES[status].who == said.who_must_act
        assert "{" not in said.summary
