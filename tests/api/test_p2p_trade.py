"""P2P trades at the door: what each of the two sees and may do, and what two requests at once come to."""

import asyncio
import secrets
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import text

from models.ledger.chart import Purpose, available, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.user.types import Role
from payments import br_code
from tests.api.door import API, ETHER, Door, Person, problem

P2P, OPS = f"{API}/p2p", f"{API}/ops"
TRADES = f"{P2P}/trades"
COMMANDS = ("payment-sent", "undo-payment-sent", "confirm-payment", "complete", "cancel")
DISPUTE = {"reason": "other", "statement": "we disagree"}
READS = ("", "/escrow", "/audit-log", "/why")


@dataclass
class Pair:
    """A seller with ten coins and a PIX method, and a buyer with R$ 100,000.00; and what they do."""

    door: Door
    seller: Person
    buyer: Person
    method: str

    async def offer(self, **terms: Any) -> dict[str, Any]:
        body = {
            "side": "sell",
            "asset": "ETH",
            "network": "ethereum",
            "amount": "1",
            "price_kind": "fixed",
            "price": "15000.00",
            "min_total": "100.00",
            "max_total": "15000.00",
            "settlements": ["balance", "direct"],
            "method_ids": [self.method],
        }
        reply = await self.door.post(self.seller, f"{P2P}/orders", body | terms)
        assert 201 == reply.status_code, reply.text
        return reply.json()  # type: ignore[no-any-return]

    async def take(self, order: dict[str, Any], **wanted: Any) -> Any:
        body = {"order_id": order["id"], "amount": "0.1", "settlement": "direct"} | wanted
        return await self.door.post(self.buyer, TRADES, {k: v for k, v in body.items() if v is not None})

    async def open(self, settlement: str = "direct", **wanted: Any) -> dict[str, Any]:
        reply = await self.take(await self.offer(), settlement=settlement, **wanted)
        assert 201 == reply.status_code, reply.text
        return reply.json()  # type: ignore[no-any-return]

    async def do(self, person: Person, trade: dict[str, Any], command: str, *, key: str | None = None) -> Any:
        body = DISPUTE if command == "dispute" else None
        return await self.door.post(person, f"{TRADES}/{trade['id']}/{command}", body, key=key)

    async def read(self, person: Person, trade: dict[str, Any], what: str = "") -> Any:
        return await self.door.get(person, f"{TRADES}/{trade['id']}{what}")

    async def left(self, trade: dict[str, Any]) -> str:
        return str((await self.door.get(self.seller, f"{P2P}/orders/{trade['order_id']}")).json()["available"])


async def give_reais(door: Door, person: Person, centavos: int) -> None:
    async with door.engine.begin() as conn:
        source, target = house(Purpose.DESK, "BRL"), available(person.id, "BRL")
        key = f"operator/x/{secrets.token_hex(8)}"
        await post(conn, move(key, Kind.ADJUSTMENT, "operator/x", source, target, centavos))


async def pair_of(door: Door) -> Pair:
    seller, buyer = await door.rich(10 * ETHER), await door.seller()
    await give_reais(door, buyer, 100_000_00)
    body = {
        "kind": "pix",
        "label": "mine",
        "holder_name": "Conceição Ângela de Alcântara Araújo",
        "pix_key": seller.email,
    }
    method = (await door.post(seller, f"{P2P}/payment-methods", body)).json()["id"]
    return Pair(door, seller, buyer, method)


@pytest.fixture
async def pair(door: Door) -> Pair:
    return await pair_of(door)


class TestCreate:
    async def test_answers_with_the_escrow_and_where_to_pay(self, pair: Pair) -> None:
        trade = await pair.open()

        assert ("open", "buyer", "0.100000000000000000", "1500.00", "15000.00") == tuple(
            trade[name] for name in ("status", "role", "amount", "total", "price")
        )
        assert {"bps": 200, "amount": "0.002000000000000000", "paid_by": "buyer"} == trade["fee"]
        assert ("0.098000000000000000", "0.100000000000000000") == (trade["buyer_receives"], trade["seller_hands_in"])
        assert [("seller", "ETH", "0.100000000000000000", "locked")] == [
            tuple(leg[name] for name in ("owner", "asset", "amount", "status")) for leg in trade["escrow"]
        ]
        assert ("buyer", ["payment_sent", "cancel"]) == (trade["who_must_act"], trade["commands"])
        assert (pair.seller.id, 0) == (trade["counterparty"]["user_id"], trade["counterparty"]["trades"])
        assert trade["reference"].startswith("P2P-20")
        assert "0.900000000000000000" == await pair.left(trade)

    async def test_keeps_where_to_pay_sealed_for_repetitions(self, pair: Pair) -> None:
        await pair.open()

        async with pair.door.engine.connect() as conn:
            kept = (
                await conn.execute(text("SELECT answer::text FROM idempotency_keys WHERE answer IS NOT NULL"))
            ).scalars()

        assert [] == [answer for answer in kept if pair.seller.email in answer]

    async def test_shows_a_static_br_code_of_the_sellers_key(self, pair: Pair) -> None:
        trade = await pair.open()

        code = br_code.parse(trade["payment"]["br_code"])
        picture = await pair.door.get(pair.buyer, trade["payment"]["qr_svg"])

        assert (pair.seller.email, 150_000, "Conceicao Angela de Alcan", "BRASIL") == (
            code.key,
            code.amount_centavos,
            code.name,
            code.city,
        )
        assert trade["reference"].replace("-", "") == code.txid
        assert pair.seller.email == trade["payment"]["details"]["pix_key"]
        assert (200, "image/svg+xml") == (picture.status_code, picture.headers["content-type"])

    async def test_by_reais_gives_coins_for_exactly_those(self, pair: Pair) -> None:
        trade = await pair.open(amount=None, pay_brl="100.01")

        assert ("100.01", "0.006667333333333333") == (trade["total"], trade["amount"])

    async def test_with_balance_holds_both_legs_and_shows_no_payment(self, pair: Pair) -> None:
        trade = await pair.open("balance")

        assert [("seller", "ETH"), ("buyer", "BRL")] == [(leg["owner"], leg["asset"]) for leg in trade["escrow"]]
        assert trade["payment"] is None

    async def test_starts_its_workflow_by_the_outbox(self, pair: Pair) -> None:
        trade = await pair.open()

        async with pair.door.engine.connect() as conn:
            found = text("SELECT kind, body FROM outbox WHERE workflow_id = :id")
            row = (await conn.execute(found, {"id": trade["workflow_id"]})).one()
        assert ("start", "p2p-trade") == (row.kind, row.body["workflow"])
        for secret in (pair.seller.email, pair.buyer.email, "Conceição"):
            assert secret not in str(row.body)

    @pytest.mark.parametrize(
        ("wanted", "kind", "field"),
        [
            ({"amount": None}, "invalid-input", "amount"),
            ({"pay_brl": "10.00"}, "invalid-input", "amount"),
            ({"amount": "0"}, "not-an-amount", "amount"),
            ({"amount": "0.0000000000000000001"}, "too-precise", "amount"),
            ({"amount": "0.001"}, "limit-exceeded", "amount"),
            ({"amount": None, "pay_brl": "99.99"}, "limit-exceeded", "pay_brl"),
            ({"amount": "9" * 50}, "limit-exceeded", "amount"),
            ({"settlement": "cash"}, "invalid-input", "settlement"),
            ({"payment_method_id": "0" * 32}, "invalid-input", "payment_method_id"),
            ({"payment_method_kind": "ted"}, "invalid-input", "payment_method_id"),
            ({"order_id": "0" * 32}, "not-found", None),
            ({"order_version": 2}, "stale-version", "order_version"),
        ],
        ids=str,
    )
    async def test_of_strange_wishes_is_refused(
        self, pair: Pair, wanted: dict[str, Any], kind: str, field: str | None
    ) -> None:
        problem(
            await pair.take(await pair.offer(settlements=["balance", "charge", "direct"]), **wanted),
            kind,
            field=field,
        )

    async def test_of_ones_own_order_is_refused(self, pair: Pair) -> None:
        own = replace(pair, buyer=pair.seller)

        problem(await own.take(await pair.offer()), "take-refused")

    async def test_of_what_the_maker_has_not_is_refused(self, pair: Pair) -> None:
        order = await pair.offer(amount="11", max_total="100000.00")
        first = await pair.take(order, amount="6")

        second = problem(await pair.take(order, amount="5"), "insufficient-funds")

        assert 201 == first.status_code
        assert "seller" in second["detail"]

    async def test_of_a_purchase_names_where_the_taker_is_paid(self, pair: Pair) -> None:
        maker = replace(pair, seller=pair.buyer, buyer=pair.seller)
        order = await maker.offer(side="buy", method_ids=[], method_kinds=["pix"])

        unnamed = await maker.take(order)
        trade = (await maker.take(order, payment_method_id=pair.method)).json()
        seen = (await pair.read(pair.buyer, trade)).json()

        problem(unnamed, "invalid-input", field="payment_method_id")
        assert ("seller", None, []) == (trade["role"], trade["payment"], trade["commands"])
        assert ("buyer", pair.seller.email) == (seen["role"], seen["payment"]["details"]["pix_key"])


class TestPaymentDetails:
    """In clear, to the buyer, as long as the trade lives; and to nobody else, ever."""

    async def test_are_shown_until_the_end(self, pair: Pair) -> None:
        trade = await pair.open()
        seen = []
        for command, by in (("payment-sent", pair.buyer), ("dispute", pair.seller), ("cancel", pair.buyer)):
            seen.append((await pair.read(pair.buyer, trade)).json()["payment"] is not None)
            assert (await pair.do(by, trade, command)).is_success
        after = (await pair.read(pair.buyer, trade)).json()

        assert [True, True, True] == seen
        assert ("refunded", None) == (after["status"], after["payment"])
        problem(await pair.read(pair.buyer, trade, "/qr.svg"), "not-found")

    async def test_are_for_the_buyer_alone(self, pair: Pair) -> None:
        trade = await pair.open()
        boss = await pair.door.person(role=Role.OPERATOR)

        for person in (pair.seller, boss):
            shown = await pair.read(person, trade)
            assert shown.json()["payment"] is None
            assert pair.seller.email not in shown.text
            problem(await pair.read(person, trade, "/qr.svg"), "not-found")
        listed = await pair.door.get(pair.buyer, TRADES)
        assert pair.seller.email not in listed.text


class TestCommands:
    async def test_of_a_payment_outside_complete_the_trade(self, pair: Pair) -> None:
        trade = await pair.open()

        sent = (await pair.do(pair.buyer, trade, "payment-sent")).json()
        undone = (await pair.do(pair.buyer, trade, "undo-payment-sent")).json()
        await pair.do(pair.buyer, trade, "payment-sent")
        done = (await pair.do(pair.seller, trade, "complete")).json()

        assert [("payment_sent", "seller"), ("open", "buyer"), ("completed", "nobody")] == [
            (one["status"], one["who_must_act"]) for one in (sent, undone, done)
        ]
        assert (["undo_payment_sent", "cancel", "dispute"], []) == (sent["commands"], done["commands"])
        assert ["released"] == [leg["status"] for leg in done["escrow"]]
        assert 1 == (await pair.read(pair.seller, trade)).json()["counterparty"]["trades"]

    async def test_of_a_balance_complete_it_at_once(self, pair: Pair) -> None:
        trade = await pair.open("balance")

        done = (await pair.do(pair.buyer, trade, "payment-sent")).json()

        assert ("completed", ["released", "released"]) == (done["status"], [leg["status"] for leg in done["escrow"]])
        balance = (
            await pair.door.get(pair.buyer, f"{API}/wallet/balance", params={"asset": "ETH", "network": "ethereum"})
        ).json()
        assert "0.098000000000000000" == balance["available"]

    async def test_that_give_up_bring_the_orders_amount_back(self, pair: Pair) -> None:
        trade = await pair.open()

        done = (await pair.do(pair.buyer, trade, "cancel")).json()

        assert ("cancelled", "cancelled_by_buyer") == (done["status"], done["reason"])
        assert "1.000000000000000000" == await pair.left(trade)

    async def test_of_the_wrong_side_or_time_say_why(self, pair: Pair) -> None:
        trade = await pair.open()

        not_mine = problem(await pair.do(pair.seller, trade, "payment-sent"), "forbidden")
        too_early = problem(await pair.do(pair.seller, trade, "confirm-payment"), "illegal-transition")
        never = problem(await pair.do(pair.seller, trade, "cancel"), "illegal-transition")

        assert "other party" in not_mine["detail"]
        assert "has not said yet" in too_early["detail"]
        assert "may be paying" in never["detail"]

    @pytest.mark.parametrize("same_key", [True, False], ids=["same-key", "other-key"])
    @pytest.mark.parametrize("command", COMMANDS)
    async def test_clicked_many_times_have_one_effect(self, pair: Pair, command: str, same_key: bool) -> None:
        trade = await pair.open()
        by = pair.seller if command in {"confirm-payment", "complete"} else pair.buyer
        if command not in {"payment-sent", "cancel"}:
            await pair.do(pair.buyer, trade, "payment-sent")
        before = len((await pair.read(by, trade, "/audit-log")).json())
        key = secrets.token_hex(8)

        replies = await asyncio.gather(
            *(pair.do(by, trade, command, key=key if same_key else f"{key}{number}") for number in range(4))
        )

        assert ({200: 4} if same_key else {200: 1, 409: 3}) == Counter(reply.status_code for reply in replies)
        assert before + 1 == len((await pair.read(by, trade, "/audit-log")).json())
        if same_key:
            assert 3 == sum("idempotency-replayed" in reply.headers for reply in replies)

    @pytest.mark.parametrize("same_key", [True, False], ids=["same-key", "other-key"])
    async def test_to_open_clicked_twice_are_one_trade_or_two(self, pair: Pair, same_key: bool) -> None:
        order = await pair.offer()
        body = {"order_id": order["id"], "amount": "0.6", "settlement": "direct"}
        key = secrets.token_hex(8)

        replies = await asyncio.gather(
            *(
                pair.door.post(pair.buyer, TRADES, body, key=key if same_key else f"{key}{number}")
                for number in range(2)
            )
        )

        assert ({201: 2} if same_key else {201: 1, 409: 1}) == Counter(reply.status_code for reply in replies)
        assert 1 == len((await pair.door.get(pair.buyer, TRADES)).json()["trades"])


class TestRaces:
    async def test_for_the_last_amount_have_one_winner(self, pair: Pair) -> None:
        order = await pair.offer(amount="0.1")
        rivals = [replace(pair, buyer=await pair.door.seller()) for _ in range(4)]

        replies = await asyncio.gather(*(rival.take(order) for rival in rivals))

        assert {201: 1, 409: 3} == Counter(reply.status_code for reply in replies)
        for reply in replies:
            if reply.status_code == 409:
                assert "is left" in problem(reply, "illegal-transition")["detail"]

    @pytest.mark.parametrize("change", ["edit", "pause", "close"])
    async def test_with_a_change_of_the_order_have_one_order_of_events(self, pair: Pair, change: str) -> None:
        """The trade has the terms that its taker saw, or there is none."""
        for _ in range(4):
            order = await pair.offer()
            path = f"{P2P}/orders/{order['id']}"
            terms = {
                "amount": "1",
                "price_kind": "fixed",
                "price": "20000.00",
                "min_total": "100.00",
                "max_total": "15000.00",
                "settlements": ["direct"],
                "method_ids": [pair.method],
                "version": 1,
            }
            changing = {
                "edit": lambda: pair.door.put(pair.seller, path, terms),  # noqa: B023 called in this turn
                "pause": lambda: pair.door.post(pair.seller, f"{path}/pause"),  # noqa: B023
                "close": lambda: pair.door.http.delete(path, headers={"authorization": f"Bearer {pair.seller.key}"}),  # noqa: B023
            }[change]

            changed, taken = await asyncio.gather(changing(), pair.take(order, order_version=1))

            assert changed.status_code in {200, 204}, changed.text
            assert taken.status_code in {201, 409}, taken.text
            if taken.status_code == 201:
                trade = taken.json()
                assert "15000.00" == trade["price"]
                done = await pair.do(pair.buyer, trade, "cancel")
                assert "cancelled" == done.json()["status"]
            else:
                problem(taken, "stale-version" if change == "edit" else "take-refused")
            seen = (await pair.door.get(pair.seller, path)).json()
            assert "1.000000000000000000" == seen["available"]

    @pytest.mark.parametrize(
        ("before", "rivals", "winners"),
        [
            ([], [("buyer", "cancel"), ("buyer", "payment-sent")], {"cancelled"}),
            (["payment-sent"], [("seller", "confirm-payment"), ("buyer", "dispute")], {"completed"}),
            (["payment-sent"], [("seller", "confirm-payment"), ("buyer", "cancel")], {"completed", "cancelled"}),
            (
                ["payment-sent"],
                [("seller", "confirm-payment"), ("buyer", "undo-payment-sent")],
                {"completed", "open"},
            ),
            (["payment-sent"], [("seller", "dispute"), ("buyer", "dispute")], {"disputed"}),
        ],
        ids=["cancel-sent", "confirm-dispute", "confirm-cancel", "confirm-undo", "dispute-dispute"],
    )
    async def test_of_two_commands_never_both_end_it(
        self, pair: Pair, before: list[str], rivals: list[tuple[str, str]], winners: set[str]
    ) -> None:
        people = {"buyer": pair.buyer, "seller": pair.seller}
        for _ in range(3):
            trade = await pair.open()
            for command in before:
                await pair.do(pair.buyer, trade, command)

            replies = await asyncio.gather(*(pair.do(people[who], trade, command) for who, command in rivals))

            after = (await pair.read(pair.buyer, trade)).json()
            refused = [reply for reply in replies if not reply.is_success]
            for reply in refused:
                problem(reply, "illegal-transition")
            assert after["status"] in winners
            lines = (await pair.read(pair.buyer, trade, "/audit-log")).json()
            assert 1 + len(before) + 2 - len(refused) == len(lines)
            if after["status"] == "open":
                await pair.do(pair.buyer, trade, "cancel")


class TestReading:
    async def test_why_tells_each_side_its_part(self, pair: Pair) -> None:
        trade = await pair.open()
        open_ = (await pair.read(pair.buyer, trade, "/why")).json()
        await pair.do(pair.buyer, trade, "payment-sent")

        mine, theirs = [(await pair.read(who, trade, "/why")).json() for who in (pair.buyer, pair.seller)]

        assert "pay R$ 1500.00" in open_["waits_for"]
        assert ("buyer", True) == (open_["who_must_act"], open_["is_your_turn"])
        assert ("seller", False, True) == (mine["who_must_act"], mine["is_your_turn"], theirs["is_your_turn"])
        assert "a dispute opens by itself" in mine["next"]
        assert mine["next_at"] < mine["until"]
        refused = {one["command"]: one["refusal"] for one in theirs["commands"] if not one["allowed"]}
        assert {
            "payment_sent": "not_your_part",
            "undo_payment_sent": "not_your_part",
            "cancel": "payment_claimed",
        } == refused
        assert trade["id"] == theirs["trade"]["id"]

    async def test_the_log_names_the_two_and_nobody_else(self, pair: Pair) -> None:
        trade = await pair.open()
        await pair.do(pair.buyer, trade, "payment-sent")
        await pair.do(pair.seller, trade, "confirm-payment")

        lines = (await pair.read(pair.seller, trade, "/audit-log")).json()

        assert [
            (None, "open", pair.buyer.id),
            ("open", "payment_sent", pair.buyer.id),
            ("payment_sent", "completed", pair.seller.id),
        ] == [(line["old_status"], line["new_status"], line["actor"]) for line in lines]

    async def test_lists_by_role_and_status_in_pages(self, pair: Pair) -> None:
        trades = [await pair.open("balance") for _ in range(2)]
        await pair.do(pair.buyer, trades[0], "cancel")

        async def ids(person: Person, **params: str) -> list[str]:
            page = (await pair.door.get(person, TRADES, params=params)).json()
            return [one["id"] for one in page["trades"]]

        first = (await pair.door.get(pair.buyer, TRADES, params={"limit": "1"})).json()
        second = (
            await pair.door.get(pair.buyer, TRADES, params={"limit": "1", "cursor": first["next_cursor"]})
        ).json()
        assert [trades[1]["id"], trades[0]["id"]] == [page["trades"][0]["id"] for page in (first, second)]
        assert second["next_cursor"] is None
        assert [] == await ids(pair.seller, role="buyer")
        assert [trades[0]["id"]] == await ids(pair.seller, role="seller", status="cancelled")


class TestOthers:
    async def test_cannot_tell_a_trade_from_none(self, pair: Pair, bob: Person) -> None:
        trade, none = await pair.open(), {"id": secrets.token_hex(16)}

        for what in (*READS, "/qr.svg"):
            theirs, nothing = [problem(await pair.read(bob, one, what), "not-found") for one in (trade, none)]
            assert theirs["detail"] == nothing["detail"]
        for command in COMMANDS:
            theirs, nothing = [problem(await pair.do(bob, one, command), "not-found") for one in (trade, none)]
            assert theirs["detail"] == nothing["detail"]
        assert [] == (await pair.door.get(bob, TRADES)).json()["trades"]

    async def test_who_operate_see_all_and_command_nothing(self, pair: Pair) -> None:
        trade = await pair.open()
        boss = await pair.door.person(role=Role.OPERATOR)

        for what in READS:
            assert 200 == (await pair.read(boss, trade, what)).status_code
        shown = (await pair.read(boss, trade)).json()
        assert (None, []) == (shown["role"], shown["commands"])
        assert shown["temporal_ui"].endswith(f"/workflows/p2p%2F{trade['id']}")
        for command in COMMANDS:
            problem(await pair.do(boss, trade, command), "forbidden")


class TestCommission:
    async def test_is_told_by_day_asset_and_payer_and_paid_out_once(self, pair: Pair) -> None:
        boss = await pair.door.person(role=Role.OPERATOR)
        for _ in range(2):
            await pair.do(pair.buyer, await pair.open("balance"), "payment-sent")
        await pair.open("balance")
        path, named = f"{OPS}/commissions", {"asset": "ETH", "network": "ethereum", "reason": "ticket 7"}

        page = (await pair.door.get(boss, path, params={"user_id": pair.buyer.id})).json()
        there = next(one for one in page["collected"] if one["asset"] == "ETH")
        too_much = await pair.door.post(boss, f"{path}/payout", named | {"amount": "1000"})
        key = secrets.token_hex(8)
        some = [await pair.door.post(boss, f"{path}/payout", named | {"amount": "0.001"}, key=key) for _ in range(2)]
        rest = (await pair.door.post(boss, f"{path}/payout", named)).json()
        nothing = await pair.door.post(boss, f"{path}/payout", named)

        assert [("ETH", "ethereum", pair.buyer.id, 2, "0.004000000000000000")] == [
            tuple(line[name] for name in ("asset", "network", "user_id", "trades", "amount"))
            for line in page["lines"]
        ]
        problem(too_much, "insufficient-funds", field="amount")
        assert some[0].json() == some[1].json()
        assert float(there["amount"]) == pytest.approx(float(rest["amount"]) + 0.001)
        assert 0 == float(rest["left"])
        problem(nothing, "insufficient-funds")

    async def test_is_not_paid_out_twice_at_once(self, pair: Pair) -> None:
        boss = await pair.door.person(role=Role.OPERATOR)
        path, body = f"{OPS}/commissions", {"asset": "ETH", "network": "ethereum", "reason": "ticket 7"}
        for _ in range(3):
            await pair.do(pair.buyer, await pair.open("balance"), "payment-sent")
            # Connections are there before, so that all read at the same time.
            await asyncio.gather(*(pair.door.get(boss, path) for _ in range(8)))

            replies = await asyncio.gather(*(pair.door.post(boss, f"{path}/payout", body) for _ in range(8)))

            assert {200: 1, 409: 7} == Counter(reply.status_code for reply in replies)

    async def test_is_for_operators_alone(self, pair: Pair) -> None:
        problem(await pair.door.get(pair.seller, f"{OPS}/commissions"), "forbidden")
        body = {"asset": "ETH", "network": "ethereum", "reason": "mine"}
        problem(await pair.door.post(pair.seller, f"{OPS}/commissions/payout", body), "forbidden")

    @pytest.mark.parametrize("days", ["from=2026-02-01&to=2026-01-01", "from=2020-01-01&to=2026-01-01"])
    async def test_is_told_of_at_most_a_year(self, pair: Pair, days: str) -> None:
        boss = await pair.door.person(role=Role.OPERATOR)

        assert 422 == (await pair.door.get(boss, f"{OPS}/commissions?{days}")).status_code
