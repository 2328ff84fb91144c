"""The sandbox bank as a bank that receives: charges, who pays them, refunds and disputes, over its own HTTP door."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from payments import br_code
from payments.protocol import ChargeOrder, RefundOrder
from payments.sandbox.moods import FITTING, Mood, Queue
from tests.payments.conftest import HANG_SECONDS
from tests.payments.orders import as_json, charge_json, new_charge, new_order, new_refund, refund_json
from tests.payments.receiver import Receiver
from tests.sandbox_process import SandboxProcess, eventually

OPENING_CENTAVOS = 1_000_000_000


def make(bank: SandboxProcess, order: ChargeOrder, mood: str = "", **more: Any) -> httpx.Response:
    return bank.request("POST", "/v1/charges", json=charge_json(order), headers={"x-sandbox-mood": mood}, **more)


def refund(bank: SandboxProcess, order: RefundOrder, mood: str = "", **more: Any) -> httpx.Response:
    return bank.request("POST", "/v1/refunds", json=refund_json(order), headers={"x-sandbox-mood": mood}, **more)


def becomes(bank: SandboxProcess, order: RefundOrder, state: str) -> bool:
    return eventually(lambda: bank.refund(order.key)["state"] == state)


def paid(bank: SandboxProcess, *moods: Mood, **changes: Any) -> Any:
    """The receipt of a new charge, paid."""
    order = new_charge()
    make(bank, order).raise_for_status()
    return bank.pay(order.key, moods=moods, **changes)


def paid_key(bank: SandboxProcess, end_to_end_id: str) -> str:
    """The key of the charge that a receipt paid."""
    (key,) = (each["key"] for each in bank.charges() if end_to_end_id in str(each["receipts"]))
    return str(key)


def bank_today() -> date:
    return datetime.now(ZoneInfo("America/Sao_Paulo")).date()


def held(bank: SandboxProcess) -> int:
    """What is there and not available."""
    return bank.balance_centavos() - bank.available_centavos()


def told(answer: httpx.Response) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json()["code"], answer.json()["reason"]


class TestCharge:
    def test_is_made_with_a_code_that_can_be_paid_from(self, sandbox: SandboxProcess) -> None:
        order = new_charge(amount_centavos=123_456)

        answer = make(sandbox, order)

        shown = answer.json()
        assert answer.status_code == 201
        code = br_code.parse(shown["br_code"])
        assert (br_code.BrCodeKind.DYNAMIC, 123_456) == (code.kind, code.amount_centavos)
        assert (code.url or "").endswith(f"/{order.key}")
        expiry = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
        assert timedelta(seconds=840) < expiry <= timedelta(seconds=900)
        assert {
            "key": order.key,
            "state": "active",
            "amount_centavos": "123456",
            "receipts": [],
        }.items() <= shown.items()
        assert shown == sandbox.charge(order.key)

    def test_of_the_longest_key_and_the_largest_amount_has_a_code_too(self, sandbox: SandboxProcess) -> None:
        order = new_charge(key=f"{time.time_ns():x}".ljust(35, "Z"), amount_centavos=10**12 - 1)

        answer = make(sandbox, order)

        assert br_code.parse(answer.json()["br_code"]).amount_centavos == 10**12 - 1

    def test_of_a_known_key_is_the_first_one(self, sandbox: SandboxProcess) -> None:
        order = new_charge()

        first, second = make(sandbox, order), make(sandbox, order)

        assert [201, 200] == [first.status_code, second.status_code]
        assert first.json() == second.json()

    @pytest.mark.parametrize(
        "change", [{"amount_centavos": 1}, {"expires_seconds": 60}, {"payer_tax_id": "11144477735"}], ids=str
    )
    def test_of_a_known_key_with_another_content_is_a_conflict(
        self, sandbox: SandboxProcess, change: dict[str, Any]
    ) -> None:
        order = new_charge()
        make(sandbox, order)

        answer = make(sandbox, new_charge(key=order.key, **change))

        assert told(answer) == (409, "key_reused", None)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"amount_centavos": "0"}, "amount_centavos"),
            ({"amount_centavos": "1000000000000"}, "amount_centavos"),
            ({"amount_centavos": 1050}, "amount_centavos"),
            ({"expires_seconds": "900"}, "expires_seconds"),
            ({"expires_seconds": 0}, "expires_seconds"),
            ({"key": "a-b"}, "key"),
            ({"payer_name": ""}, "payer_name"),
            ({"payer_tax_id": "secret"}, "payer_tax_id"),
            ({"more": "1"}, "more"),
        ],
    )
    def test_that_is_malformed_names_the_field_and_repeats_no_value(
        self, sandbox: SandboxProcess, change: dict[str, object], field: str
    ) -> None:
        answer = sandbox.request("POST", "/v1/charges", json=charge_json(new_charge()) | change)

        assert told(answer) == (422, "invalid_request", field)

    def test_that_nobody_made_is_not_found(self, sandbox: SandboxProcess) -> None:
        asked = sandbox.request("GET", "/v1/charges/nobody")
        paid = sandbox.request("POST", "/sandbox/charges/nobody/pay")

        assert [told(asked), told(paid)] == [(404, "charge_not_found", None)] * 2

    def test_past_its_expiry_stays_active_and_can_be_paid(self, sandbox: SandboxProcess) -> None:
        order = new_charge(expires_seconds=1)
        make(sandbox, order)
        time.sleep(1.1)
        state = sandbox.charge(order.key)["state"]

        sandbox.pay(order.key)

        assert [state, sandbox.charge(order.key)["state"]] == ["active", "paid"]

    def test_removed_by_the_bank_can_not_be_paid(self, sandbox: SandboxProcess) -> None:
        order = new_charge()
        make(sandbox, order)

        sandbox.remove(order.key)

        paid = sandbox.request("POST", f"/sandbox/charges/{order.key}/pay")
        again = sandbox.request("POST", f"/sandbox/charges/{order.key}/remove")
        assert sandbox.charge(order.key)["state"] == "removed"
        assert told(paid) == (409, "charge_not_payable", None)
        assert told(again) == (409, "charge_not_active", None)

    @pytest.mark.parametrize("path", ["/v1/charges", "/v1/refunds", "/v1/disputes/dp_1"])
    def test_needs_the_api_key(self, sandbox: SandboxProcess, path: str) -> None:
        answer = sandbox.request("GET", path, headers={"authorization": "Bearer wrong"})

        assert answer.status_code == 401


class TestReceipt:
    def test_is_shown_booked_and_told(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_charge()
        make(sandbox, order)

        receipt = sandbox.pay(order.key)

        assert re.fullmatch(r"E99999012[0-9]{12}[A-Za-z0-9]{11}", receipt["end_to_end_id"])
        assert {
            "amount_centavos": "1050",
            "payer_tax_id": "52998224725",
            "blocked": False,
            "taken_back_centavos": "0",
        }.items() <= receipt.items()
        charge = sandbox.charge(order.key)
        assert ("paid", [receipt]) == (charge["state"], charge["receipts"])
        (line,) = (line for line in sandbox.lines(bank_today(), "receipt") if line["key"] == order.key)
        assert (receipt["end_to_end_id"], "1050") == (line["end_to_end_id"], line["amount_centavos"])
        assert eventually(lambda: receiver.about(order.key))
        (webhook,) = receiver.about(order.key)
        assert Webhook(sandbox.webhook_secret).verify(webhook.body, webhook.headers)["type"] == "charge.paid"
        assert webhook.data == {
            "key": order.key,
            "end_to_end_id": receipt["end_to_end_id"],
            "amount_centavos": "1050",
        }

    def test_may_be_of_another_amount_and_payer_or_of_nobody_named(self, sandbox: SandboxProcess) -> None:
        order = new_charge()
        make(sandbox, order)

        receipts = [
            sandbox.pay(order.key, amount_centavos=1),
            sandbox.pay(order.key, payer_tax_id="11144477735", payer_name="Bia"),
            sandbox.pay(order.key, payer_tax_id=None),
        ]

        assert receipts == sandbox.charge(order.key)["receipts"]
        assert ["1", "1050", "1050"] == [each["amount_centavos"] for each in receipts]
        assert ["52998224725", "11144477735", None] == [each["payer_tax_id"] for each in receipts]

    def test_comes_of_a_payment_without_a_body_too(self, sandbox: SandboxProcess) -> None:
        order = new_charge()
        make(sandbox, order)

        answer = sandbox.request("POST", f"/sandbox/charges/{order.key}/pay")

        assert (answer.status_code, answer.json()["payer_tax_id"]) == (201, "52998224725")

    @pytest.mark.parametrize(
        "body", [{"amount_centavos": "0"}, {"payer_tax_id": "1"}, {"moods": "x"}, {"amount": "1"}], ids=str
    )
    def test_does_not_come_of_a_malformed_payment(self, sandbox: SandboxProcess, body: dict[str, str]) -> None:
        order = new_charge()
        make(sandbox, order)

        answer = sandbox.request("POST", f"/sandbox/charges/{order.key}/pay", json=body)

        assert told(answer) == (422, "invalid_request", next(iter(body)))

    def test_comes_twice_when_the_charge_is_paid_twice_at_once(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox()
        order = new_charge()
        make(bank, order)

        with ThreadPoolExecutor(10) as threads:
            receipts = list(threads.map(lambda _: bank.pay(order.key), range(10)))

        ids = {receipt["end_to_end_id"] for receipt in receipts}
        assert len(ids) == 10
        assert ids == {receipt["end_to_end_id"] for receipt in bank.charge(order.key)["receipts"]}
        assert ids == {line["end_to_end_id"] for line in bank.lines(bank_today(), "receipt")}
        assert bank.balance_centavos() == bank.available_centavos() == OPENING_CENTAVOS + 10 * 1_050
        assert eventually(lambda: ids == {each.data["end_to_end_id"] for each in own_receiver.received})

    def test_shows_no_name(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_charge()

        answer = make(sandbox, order).text
        receipt = sandbox.pay(order.key, payer_name="Bia Costa")
        assert eventually(lambda: receiver.about(order.key))

        shown = answer + json.dumps([receipt, sandbox.charges()]) + receiver.about(order.key)[0].body.decode()
        assert not [value for value in ("Ana Silva", "Bia Costa", "OTC buy") if value in shown]


class TestBlockedReceipt:
    def test_is_in_the_balance_and_not_available_until_released(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox()
        order = new_charge()
        make(bank, order)

        blocked = bank.pay(order.key, moods=[Mood.BLOCKED])
        before = (bank.balance_centavos(), bank.available_centavos())
        lines = bank.lines(bank_today())
        released = bank.release(blocked["end_to_end_id"])

        assert [True, False] == [blocked["blocked"], released["blocked"]]
        assert before == (OPENING_CENTAVOS + 1_050, OPENING_CENTAVOS)
        assert (bank.balance_centavos(), bank.available_centavos()) == (OPENING_CENTAVOS + 1_050,) * 2
        assert lines == bank.lines(bank_today())
        assert ["receipt"] == [line["kind"] for line in lines]
        assert eventually(lambda: len(own_receiver.about(order.key)) == 2)
        amounts = {each.type: each.data["amount_centavos"] for each in own_receiver.about(order.key)}
        assert amounts == {"charge.paid": "0", "charge.released": "1050"}

    def test_is_released_once(self, sandbox: SandboxProcess) -> None:
        receipt = paid(sandbox, Mood.BLOCKED)
        path = f"/sandbox/receipts/{receipt['end_to_end_id']}/release"

        answers = [sandbox.request("POST", path) for _ in range(2)]

        assert answers[0].status_code == 200
        assert told(answers[1]) == (409, "receipt_not_blocked", None)

    def test_can_pay_nobody(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox(opening_centavos=0)
        receipt = paid(bank, Mood.BLOCKED)

        payout = new_order()
        answers = [bank.request("POST", "/v1/payouts", json=as_json(payout))]
        bank.release(receipt["end_to_end_id"])
        answers.append(bank.request("POST", "/v1/payouts", json=as_json(payout)))

        assert [409, 201] == [answer.status_code for answer in answers]

    def test_taken_back_in_parts_is_blocked_to_the_last_of_it(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox()
        receipt = paid(bank, Mood.BLOCKED)

        part = bank.take_back(receipt["end_to_end_id"], amount_centavos=50)
        between = (bank.balance_centavos(), bank.available_centavos())
        rest = bank.take_back(receipt["end_to_end_id"])

        assert [(True, "50"), (False, "1050")] == [
            (each["blocked"], each["taken_back_centavos"]) for each in (part, rest)
        ]
        assert between == (OPENING_CENTAVOS + 1_000, OPENING_CENTAVOS)
        assert (bank.balance_centavos(), bank.available_centavos()) == (OPENING_CENTAVOS,) * 2

    def test_taken_back_in_part_is_released_with_the_rest(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        receipt = paid(sandbox, Mood.BLOCKED)
        key = paid_key(sandbox, receipt["end_to_end_id"])
        sandbox.take_back(receipt["end_to_end_id"], amount_centavos=50)

        sandbox.release(receipt["end_to_end_id"])

        assert eventually(lambda: "charge.released" in receiver.types(key))
        (released,) = (each for each in receiver.about(key) if each.type == "charge.released")
        assert released.data["amount_centavos"] == "1000"


class TestTakenBackReceipt:
    def test_leaves_by_a_line_of_its_own(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox()
        receipt = paid(bank)
        key = paid_key(bank, receipt["end_to_end_id"])

        for amount in (50, None):
            bank.take_back(receipt["end_to_end_id"], amount_centavos=amount)

        lines = bank.lines(bank_today(), "take_back")
        assert [("-50", key), ("-1000", key)] == [(line["amount_centavos"], line["key"]) for line in lines]
        assert all(re.fullmatch(r"D99999004[0-9]{12}[A-Za-z0-9]{11}", line["end_to_end_id"]) for line in lines)
        assert bank.charge(key)["receipts"][0]["taken_back_centavos"] == "1050"
        assert bank.balance_centavos() == OPENING_CENTAVOS
        assert eventually(lambda: len(own_receiver.about(key)) == 3)
        letters = [each for each in own_receiver.about(key) if each.type == "charge.taken_back"]
        assert {"50", "1000"} == {each.data["amount_centavos"] for each in letters}
        assert {receipt["end_to_end_id"]} == {each.data["end_to_end_id"] for each in letters}

    @pytest.mark.parametrize("amount", ["1051", "9999999"])
    def test_is_never_more_than_came(self, sandbox: SandboxProcess, amount: str) -> None:
        receipt = paid(sandbox)
        path = f"/sandbox/receipts/{receipt['end_to_end_id']}/take-back"

        too_much = sandbox.request("POST", path, json={"amount_centavos": amount})
        sandbox.request("POST", path).raise_for_status()
        again = sandbox.request("POST", path)

        assert [told(too_much), told(again)] == [(409, "more_than_is_left", None)] * 2

    def test_overdraws_an_account_that_has_spent_it(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox(opening_centavos=0)
        receipt = paid(bank)
        payout = new_order()
        bank.request("POST", "/v1/payouts", json=as_json(payout)).raise_for_status()
        assert eventually(lambda: bank.payout(payout.key)["state"] == "paid")

        bank.take_back(receipt["end_to_end_id"])

        assert bank.balance_centavos() == bank.available_centavos() == -1_050

    @pytest.mark.parametrize("what", ["release", "take-back", "dispute"])
    def test_that_never_came_is_not_found(self, sandbox: SandboxProcess, what: str) -> None:
        answer = sandbox.request("POST", f"/sandbox/receipts/E0/{what}")

        assert told(answer) == (404, "receipt_not_found", None)


class TestRefund:
    def test_is_held_then_leaves_with_a_return_id(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox(settle_seconds=1.0)
        receipt = paid(bank)
        order = new_refund(receipt["end_to_end_id"], amount_centavos=1_000)

        answer = refund(bank, order)
        held_before = held(bank)

        assert (answer.status_code, answer.json()["state"], held_before) == (201, "processing", 1_000)
        assert becomes(bank, order, "refunded")
        shown = bank.refund(order.key)
        assert re.fullmatch(r"D99999004[0-9]{12}[A-Za-z0-9]{11}", shown["return_id"])
        assert ("1000", receipt["end_to_end_id"], None) == (
            shown["amount_centavos"],
            shown["end_to_end_id"],
            shown["reason"],
        )
        (line,) = bank.lines(bank_today(), "refund")
        assert (order.key, shown["return_id"], "-1000") == (
            line["key"],
            line["end_to_end_id"],
            line["amount_centavos"],
        )
        assert (bank.balance_centavos(), held(bank)) == (OPENING_CENTAVOS + 50, 0)
        assert eventually(lambda: own_receiver.types(order.key) == ["refund.refunded"])
        assert own_receiver.about(order.key)[0].data == {
            "key": order.key,
            "end_to_end_id": receipt["end_to_end_id"],
            "amount_centavos": "1000",
        }

    def test_of_a_known_key_is_the_first_one(self, sandbox: SandboxProcess) -> None:
        order = new_refund(paid(sandbox)["end_to_end_id"])

        first, second = refund(sandbox, order), refund(sandbox, order)

        assert [201, 200] == [first.status_code, second.status_code]
        assert first.json()["id"] == second.json()["id"]

    def test_of_a_known_key_with_another_content_is_a_conflict(self, sandbox: SandboxProcess) -> None:
        receipt, other = paid(sandbox), paid(sandbox)
        order = new_refund(receipt["end_to_end_id"])
        refund(sandbox, order)

        answers = [
            refund(sandbox, new_refund(receipt["end_to_end_id"], key=order.key, amount_centavos=1)),
            refund(sandbox, new_refund(other["end_to_end_id"], key=order.key)),
        ]

        assert [told(answer) for answer in answers] == [(409, "key_reused", None)] * 2

    def test_in_parts_never_exceeds_the_receipt(self, sandbox: SandboxProcess) -> None:
        receipt = paid(sandbox)
        parts = [new_refund(receipt["end_to_end_id"], amount_centavos=amount) for amount in (1_000, 51, 50, 1)]

        answers = [refund(sandbox, part) for part in parts]

        assert [201, 422, 201, 422] == [answer.status_code for answer in answers]
        assert told(answers[1]) == told(answers[3]) == (422, "refund_refused", "AM09")

    def test_twenty_times_at_once_is_one_where_one_is_left(self, sandbox: SandboxProcess) -> None:
        receipt = paid(sandbox)

        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda _: refund(sandbox, new_refund(receipt["end_to_end_id"])), range(20)))

        assert [201] + [422] * 19 == sorted(answer.status_code for answer in answers)

    def test_counts_what_the_bank_took_back(self, sandbox: SandboxProcess) -> None:
        receipt = paid(sandbox)
        sandbox.take_back(receipt["end_to_end_id"], amount_centavos=1_000)

        answers = [refund(sandbox, new_refund(receipt["end_to_end_id"], amount_centavos=n)) for n in (51, 50)]

        assert told(answers[0]) == (422, "refund_refused", "AM09")
        assert answers[1].status_code == 201

    def test_of_a_blocked_receipt_is_refused_for_ever_and_another_key_passes_later(
        self, sandbox: SandboxProcess
    ) -> None:
        receipt = paid(sandbox, Mood.BLOCKED)
        order = new_refund(receipt["end_to_end_id"])

        first = refund(sandbox, order)
        sandbox.release(receipt["end_to_end_id"])
        again, other = refund(sandbox, order), refund(sandbox, new_refund(receipt["end_to_end_id"]))

        assert told(first) == told(again) == (422, "refund_refused", "blocked")
        assert ("refused", "blocked") == (sandbox.refund(order.key)["state"], sandbox.refund(order.key)["reason"])
        assert other.status_code == 201

    def test_of_a_disputed_part_is_refused_and_of_the_rest_is_not(self, sandbox: SandboxProcess) -> None:
        receipt = paid(sandbox)
        sandbox.dispute(receipt["end_to_end_id"], amount_centavos=1_000)

        answers = [refund(sandbox, new_refund(receipt["end_to_end_id"], amount_centavos=n)) for n in (51, 50)]

        assert told(answers[0]) == (422, "refund_refused", "blocked")
        assert answers[1].status_code == 201

    def test_of_an_unknown_receipt_is_refused(self, sandbox: SandboxProcess) -> None:
        order = new_refund("E" + "0" * 31)

        answer = refund(sandbox, order)

        assert told(answer) == (422, "refund_refused", "not_found")

    def test_that_the_account_cannot_cover_is_not_recorded_and_passes_later(
        self, own_sandbox: Callable[..., SandboxProcess]
    ) -> None:
        bank = own_sandbox(opening_centavos=0)
        receipt = paid(bank)
        payout = new_order(amount_centavos=1)
        bank.request("POST", "/v1/payouts", json=as_json(payout)).raise_for_status()
        order = new_refund(receipt["end_to_end_id"])

        answer = refund(bank, order)
        asked = bank.request("GET", f"/v1/refunds/{order.key}")
        assert eventually(lambda: bank.payout(payout.key)["state"] == "paid")
        bank.send_back(payout.key)

        assert told(answer) == (409, "insufficient_provider_balance", None)
        assert told(asked) == (404, "refund_not_found", None)
        assert refund(bank, order).status_code == 201

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"amount_centavos": "-1"}, "amount_centavos"),
            ({"key": ""}, "key"),
            ({"end_to_end_id": ""}, "end_to_end_id"),
            ({"more": "1"}, "more"),
        ],
    )
    def test_that_is_malformed_names_the_field(
        self, sandbox: SandboxProcess, change: dict[str, str], field: str
    ) -> None:
        answer = sandbox.request("POST", "/v1/refunds", json=refund_json(new_refund("E1")) | change)

        assert told(answer) == (422, "invalid_request", field)


class TestDispute:
    def test_holds_its_amount_until_it_is_won(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox()
        receipt = paid(bank)

        dispute = bank.dispute(receipt["end_to_end_id"], amount_centavos=1_000)
        while_open = held(bank)
        won = bank.decide(dispute["id"], "won")

        assert {
            "state": "open",
            "end_to_end_id": receipt["end_to_end_id"],
            "amount_centavos": "1000",
            "reason": "FR01",
            "statements": 0,
        }.items() <= dispute.items()
        assert (while_open, held(bank)) == (1_000, 0)
        assert won == bank.find_dispute(dispute["id"]) == dispute | {"state": "won"}
        assert bank.balance_centavos() == OPENING_CENTAVOS + 1_050
        assert bank.lines(bank_today(), "take_back") == []
        assert eventually(lambda: set(own_receiver.types(dispute["id"])) == {"dispute.opened", "dispute.won"})
        assert own_receiver.about(dispute["id"])[0].data == {
            "id": dispute["id"],
            "end_to_end_id": receipt["end_to_end_id"],
            "amount_centavos": "1000",
        }

    def test_lost_takes_its_amount_away(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox()
        receipt = paid(bank)
        key = paid_key(bank, receipt["end_to_end_id"])
        dispute = bank.dispute(receipt["end_to_end_id"], amount_centavos=1_000)

        lost = bank.decide(dispute["id"], "lost")

        assert lost["state"] == "lost"
        assert (bank.balance_centavos(), held(bank)) == (OPENING_CENTAVOS + 50, 0)
        (line,) = bank.lines(bank_today(), "take_back")
        assert (key, "-1000") == (line["key"], line["amount_centavos"])
        assert bank.charge(key)["receipts"][0]["taken_back_centavos"] == "1000"
        assert eventually(lambda: set(own_receiver.types(dispute["id"])) == {"dispute.opened", "dispute.lost"})

    def test_is_of_the_whole_receipt_if_it_does_not_say(self, sandbox: SandboxProcess) -> None:
        receipt = paid(sandbox)

        dispute = sandbox.dispute(receipt["end_to_end_id"])

        assert dispute["amount_centavos"] == "1050"
        assert datetime.fromisoformat(dispute["answer_until"]) > datetime.now(UTC) + timedelta(days=2)

    def test_of_a_blocked_receipt_holds_it_once(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        receipt = paid(bank, Mood.BLOCKED)

        bank.dispute(receipt["end_to_end_id"], amount_centavos=1_000)
        both = held(bank)
        bank.release(receipt["end_to_end_id"])

        assert (both, held(bank)) == (1_050, 1_000)

    def test_of_a_blocked_receipt_lost_in_whole_ends_the_block(self, sandbox: SandboxProcess) -> None:
        receipts = [paid(sandbox, Mood.BLOCKED) for _ in range(2)]

        for receipt, amount in zip(receipts, (None, 1_000), strict=True):
            sandbox.decide(sandbox.dispute(receipt["end_to_end_id"], amount_centavos=amount)["id"], "lost")

        shown = {
            each["end_to_end_id"]: each["blocked"] for charge in sandbox.charges() for each in charge["receipts"]
        }
        assert [False, True] == [shown[receipt["end_to_end_id"]] for receipt in receipts]

    def test_holds_what_was_spent(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox(opening_centavos=0)
        receipt = paid(bank)
        bank.request("POST", "/v1/payouts", json=as_json(new_order())).raise_for_status()

        bank.dispute(receipt["end_to_end_id"])

        assert bank.available_centavos() == -1_050

    def test_of_what_is_gone_or_disputed_is_not_possible(self, sandbox: SandboxProcess) -> None:
        receipt = paid(sandbox)
        sandbox.dispute(receipt["end_to_end_id"], amount_centavos=1_000)
        sandbox.take_back(receipt["end_to_end_id"])
        path = f"/sandbox/receipts/{receipt['end_to_end_id']}"

        answers = [sandbox.request("POST", f"{path}/{what}") for what in ("dispute", "take-back")]

        assert [told(answer) for answer in answers] == [(409, "more_than_is_left", None)] * 2

    @pytest.mark.parametrize("outcome", ["won", "lost"])
    def test_is_decided_once(self, sandbox: SandboxProcess, outcome: str) -> None:
        dispute = sandbox.dispute(paid(sandbox)["end_to_end_id"])
        sandbox.decide(dispute["id"], outcome)

        again = sandbox.request("POST", f"/sandbox/disputes/{dispute['id']}/decide", json={"outcome": "lost"})

        assert told(again) == (409, "dispute_decided", None)
        assert sandbox.find_dispute(dispute["id"])["state"] == outcome

    def test_with_another_outcome_is_malformed(self, sandbox: SandboxProcess) -> None:
        dispute = sandbox.dispute(paid(sandbox)["end_to_end_id"])

        answer = sandbox.request("POST", f"/sandbox/disputes/{dispute['id']}/decide", json={"outcome": "open"})

        assert told(answer) == (422, "invalid_request", "outcome")

    def test_that_nobody_opened_is_not_found(self, sandbox: SandboxProcess) -> None:
        answers = [
            sandbox.request("GET", "/v1/disputes/dp_0"),
            sandbox.request("POST", "/v1/disputes/dp_0/defense", json={"statement": "ours"}),
            sandbox.request("POST", "/sandbox/disputes/dp_0/decide", json={"outcome": "won"}),
        ]

        assert [told(answer) for answer in answers] == [(404, "dispute_not_found", None)] * 3


class TestDefense:
    @staticmethod
    def defend(bank: SandboxProcess, dispute: Any, statement: str) -> httpx.Response:
        return bank.request("POST", f"/v1/disputes/{dispute['id']}/defense", json={"statement": statement})

    def test_counts_each_text_once(self, sandbox: SandboxProcess) -> None:
        dispute = sandbox.dispute(paid(sandbox)["end_to_end_id"])

        answers = [self.defend(sandbox, dispute, text) for text in ("ours", "ours", "ours, see page 2")]

        assert [200] * 3 == [answer.status_code for answer in answers]
        assert [1, 1, 2] == [answer.json()["statements"] for answer in answers]

    @pytest.mark.parametrize("outcome", ["won", "lost"])
    def test_after_the_decision_is_refused_but_the_known_text_stays(
        self, sandbox: SandboxProcess, outcome: str
    ) -> None:
        dispute = sandbox.dispute(paid(sandbox)["end_to_end_id"])
        self.defend(sandbox, dispute, "ours")
        sandbox.decide(dispute["id"], outcome)

        late, again = self.defend(sandbox, dispute, "late"), self.defend(sandbox, dispute, "ours")

        assert told(late) == (422, "dispute_closed", None)
        assert (again.status_code, again.json()["statements"]) == (200, 1)

    def test_past_its_time_is_refused(self, sandbox: SandboxProcess) -> None:
        dispute = sandbox.dispute(paid(sandbox)["end_to_end_id"], answer_seconds=0)

        answer = self.defend(sandbox, dispute, "late")

        assert told(answer) == (422, "dispute_closed", None)
        assert sandbox.find_dispute(dispute["id"])["state"] == "open"

    def test_without_a_text_is_malformed(self, sandbox: SandboxProcess) -> None:
        dispute = sandbox.dispute(paid(sandbox)["end_to_end_id"])

        assert told(self.defend(sandbox, dispute, "")) == (422, "invalid_request", "statement")


class TestMoodsOfACharge:
    def test_refused_is_for_ever_and_there_is_no_charge(self, sandbox: SandboxProcess) -> None:
        order = new_charge()

        answers = [make(sandbox, order, "refused"), make(sandbox, order)]

        asked = sandbox.request("GET", f"/v1/charges/{order.key}")
        paid = sandbox.request("POST", f"/sandbox/charges/{order.key}/pay")
        assert [told(answer) for answer in answers] == [(422, "charge_refused", "CH11")] * 2
        assert [told(asked), told(paid)] == [(404, "charge_not_found", None)] * 2
        assert (order.key, "refused") in {(each["key"], each["state"]) for each in sandbox.charges()}

    def test_timeout_after_accepting_hangs_and_makes_it(self, sandbox: SandboxProcess) -> None:
        order = new_charge()

        with pytest.raises(httpx.ReadTimeout):
            make(sandbox, order, "timeout_after_accepting", timeout=HANG_SECONDS / 4)

        assert sandbox.charge(order.key)["state"] == "active"

    def test_error_504_after_accepting_makes_it(self, sandbox: SandboxProcess) -> None:
        order = new_charge()

        answer = make(sandbox, order, "error_504_after_accepting")

        assert answer.status_code == 504
        assert make(sandbox, order).status_code == 200

    def test_drop_connection_after_accepting_makes_it(self, sandbox: SandboxProcess) -> None:
        order = new_charge()

        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            make(sandbox, order, "drop_connection_after_accepting")

        assert sandbox.charge(order.key)["state"] == "active"

    def test_error_500_before_accepting_records_nothing_and_passes_the_second_time(
        self, sandbox: SandboxProcess
    ) -> None:
        order = new_charge()

        first = make(sandbox, order, "error_500_before_accepting")
        between = sandbox.request("GET", f"/v1/charges/{order.key}")
        second = make(sandbox, order, "error_500_before_accepting")

        assert [500, 404, 201] == [first.status_code, between.status_code, second.status_code]

    def test_dark_takes_the_bank_with_it_while_payers_pay_on(
        self, own_sandbox: Callable[..., SandboxProcess]
    ) -> None:
        bank = own_sandbox()
        order = new_charge()
        make(bank, order)
        bank.set_moods(Mood.DARK, for_="charges")

        bank.pay(order.key)
        answers = [
            make(bank, order),
            refund(bank, new_refund("E1")),
            bank.request("GET", f"/v1/charges/{order.key}"),
            bank.request("GET", "/v1/charges"),
            bank.request("GET", "/v1/refunds/x"),
            bank.request("GET", "/v1/disputes/dp_1"),
            bank.request("POST", "/v1/disputes/dp_1/defense", json={"statement": "ours"}),
        ]
        bank.set_moods(Mood.SLOW, for_="refunds")
        answers.append(bank.request("GET", "/v1/balance"))
        bank.clear_moods()

        assert [503] * 8 == [answer.status_code for answer in answers]
        assert bank.charge(order.key)["state"] == "paid"

    def test_dark_by_header_passes_the_second_time(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        order = new_charge()

        first = make(bank, order, "dark")
        bank.clear_moods()
        second = make(bank, order, "dark")

        assert [503, 201] == [first.status_code, second.status_code]

    def test_slow_answers_late_and_is_there_meanwhile(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox(slow_seconds=1.0)
        order = new_charge()

        with ThreadPoolExecutor(1) as threads:
            started = time.monotonic()
            answer = threads.submit(make, bank, order, "slow")
            assert eventually(lambda: [order.key] == [each["key"] for each in bank.charges()])
            was_answered = answer.done()
            assert answer.result().status_code == 201

        assert not was_answered
        assert time.monotonic() - started >= 1.0

    def test_of_webhooks_pass_to_its_receipts(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_charge()
        make(sandbox, order, "webhook_never.slow.error_504_after_accepting")
        sandbox.pay(order.key)
        time.sleep(0.3)
        before = receiver.types(order.key)

        sandbox.resend_webhooks(order.key)

        assert before == []
        assert eventually(lambda: receiver.types(order.key) == ["charge.paid"])


class TestMoodsOfARefund:
    @pytest.fixture
    def order(self, sandbox: SandboxProcess) -> RefundOrder:
        return new_refund(paid(sandbox)["end_to_end_id"])

    def test_rejected_is_told_and_the_receipt_can_be_refunded_anew(
        self, sandbox: SandboxProcess, receiver: Receiver, order: RefundOrder
    ) -> None:
        answer = refund(sandbox, order, "rejected")

        assert answer.status_code == 201
        assert becomes(sandbox, order, "rejected")
        shown = sandbox.refund(order.key)
        assert ("AC07", None) == (shown["reason"], shown["return_id"])
        assert eventually(lambda: receiver.types(order.key) == ["refund.rejected"])
        assert order.key not in {line["key"] for line in sandbox.statement(bank_today())}
        assert refund(sandbox, new_refund(order.end_to_end_id)).status_code == 201

    def test_refused_is_for_ever(self, sandbox: SandboxProcess, order: RefundOrder) -> None:
        answers = [refund(sandbox, order, "refused"), refund(sandbox, order)]

        assert [told(answer) for answer in answers] == [(422, "refund_refused", "DT05")] * 2
        assert sandbox.refund(order.key)["state"] == "refused"
        assert refund(sandbox, new_refund(order.end_to_end_id)).status_code == 201

    def test_timeout_after_accepting_hangs_and_refunds(self, sandbox: SandboxProcess, order: RefundOrder) -> None:
        with pytest.raises(httpx.ReadTimeout):
            refund(sandbox, order, "timeout_after_accepting", timeout=HANG_SECONDS / 4)

        assert becomes(sandbox, order, "refunded")

    def test_error_504_after_accepting_refunds(self, sandbox: SandboxProcess, order: RefundOrder) -> None:
        answer = refund(sandbox, order, "error_504_after_accepting")

        assert answer.status_code == 504
        assert becomes(sandbox, order, "refunded")

    def test_drop_connection_after_accepting_refunds(self, sandbox: SandboxProcess, order: RefundOrder) -> None:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            refund(sandbox, order, "drop_connection_after_accepting")

        assert becomes(sandbox, order, "refunded")

    @pytest.mark.parametrize(("mood", "status"), [("error_500_before_accepting", 500), ("no_balance", 409)])
    def test_before_accepting_records_nothing_and_passes_the_second_time(
        self, sandbox: SandboxProcess, order: RefundOrder, mood: str, status: int
    ) -> None:
        first = refund(sandbox, order, mood)
        between = sandbox.request("GET", f"/v1/refunds/{order.key}")
        second = refund(sandbox, order, mood)

        assert [status, 404, 201] == [first.status_code, between.status_code, second.status_code]

    def test_dark_takes_the_bank_with_it(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        order = new_refund(paid(bank)["end_to_end_id"])

        answers = [refund(bank, order, "dark"), refund(bank, order)]
        bank.clear_moods()
        answers.append(refund(bank, order, "dark"))

        assert [503, 503, 201] == [answer.status_code for answer in answers]

    def test_slow_takes_seconds(self, sandbox: SandboxProcess, order: RefundOrder) -> None:
        refund(sandbox, order, "slow")

        time.sleep(0.4)
        assert sandbox.refund(order.key)["state"] == "processing"
        assert becomes(sandbox, order, "refunded")

    def test_webhook_before_response_is_answered_before_the_submit(
        self, sandbox: SandboxProcess, receiver: Receiver, order: RefundOrder
    ) -> None:
        answer = refund(sandbox, order, "webhook_before_response")

        assert receiver.types(order.key) == ["refund.refunded"]
        assert answer.json()["state"] == "processing"

    def test_webhook_out_of_order_tells_refunded_before_processing(
        self, sandbox: SandboxProcess, receiver: Receiver, order: RefundOrder
    ) -> None:
        refund(sandbox, order, "webhook_out_of_order")

        assert eventually(lambda: receiver.types(order.key) == ["refund.refunded", "refund.processing"])

    def test_webhook_never_comes_until_resent(
        self, sandbox: SandboxProcess, receiver: Receiver, order: RefundOrder
    ) -> None:
        refund(sandbox, order, "webhook_never")
        assert becomes(sandbox, order, "refunded")
        time.sleep(0.2)
        before = receiver.types(order.key)

        sandbox.resend_webhooks(order.key)

        assert before == []
        assert eventually(lambda: receiver.types(order.key) == ["refund.refunded"])


class TestMoodsOfAReceipt:
    def test_webhook_duplicate_comes_three_times_with_one_id(
        self, sandbox: SandboxProcess, receiver: Receiver
    ) -> None:
        order = new_charge()
        make(sandbox, order)

        sandbox.pay(order.key, moods=[Mood.WEBHOOK_DUPLICATE])

        assert eventually(lambda: len(receiver.about(order.key)) == 3)
        assert len({each.id for each in receiver.about(order.key)}) == 1

    def test_webhook_before_response_is_answered_before_the_payment(
        self, sandbox: SandboxProcess, receiver: Receiver
    ) -> None:
        order = new_charge()
        make(sandbox, order)

        sandbox.pay(order.key, moods=[Mood.WEBHOOK_BEFORE_RESPONSE])

        assert receiver.types(order.key) == ["charge.paid"]

    def test_webhook_out_of_order_is_overtaken_by_what_follows(
        self, sandbox: SandboxProcess, receiver: Receiver
    ) -> None:
        order = new_charge()
        make(sandbox, order)

        receipt = sandbox.pay(order.key, moods=[Mood.WEBHOOK_OUT_OF_ORDER, Mood.BLOCKED])
        sandbox.release(receipt["end_to_end_id"])

        assert eventually(lambda: receiver.types(order.key) == ["charge.released", "charge.paid"])

    @pytest.mark.parametrize("mood", [Mood.WEBHOOK_STALE, Mood.WEBHOOK_FORGED])
    def test_stale_or_forged_fails_verification_and_is_not_repeated(
        self, sandbox: SandboxProcess, receiver: Receiver, mood: Mood
    ) -> None:
        order = new_charge()
        make(sandbox, order)

        sandbox.pay(order.key, moods=[mood])

        assert eventually(lambda: receiver.about(order.key))
        time.sleep(0.4)
        (webhook,) = receiver.about(order.key)
        with pytest.raises(
            WebhookVerificationError, match="too old" if mood is Mood.WEBHOOK_STALE else "No matching"
        ):
            Webhook(sandbox.webhook_secret).verify(webhook.body, webhook.headers)

    def test_of_webhooks_pass_to_its_dispute(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        dispute = sandbox.dispute(paid(sandbox, Mood.WEBHOOK_NEVER)["end_to_end_id"])
        time.sleep(0.2)
        before = receiver.types(dispute["id"])

        sandbox.resend_webhooks(dispute["id"])

        assert before == []
        assert eventually(lambda: receiver.types(dispute["id"]) == ["dispute.opened"])

    def test_all_receipts_of_a_charge_are_resent_together(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_charge()
        make(sandbox, order)
        ids = {sandbox.pay(order.key, moods=[Mood.WEBHOOK_NEVER])["end_to_end_id"] for _ in range(2)}

        sandbox.resend_webhooks(order.key)

        assert eventually(lambda: ids == {each.data["end_to_end_id"] for each in receiver.about(order.key)})

    def test_that_are_not_its_own_are_errors(self, sandbox: SandboxProcess) -> None:
        order = new_charge()
        make(sandbox, order)

        for words in (["rejected"], ["blockd"]):
            answer = sandbox.request("POST", f"/sandbox/charges/{order.key}/pay", json={"moods": words})

            assert told(answer) == (422, "unknown_mood", None)
        assert sandbox.charge(order.key)["receipts"] == []


class TestStandingMoods:
    def test_of_each_queue_wait_for_their_own(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        order, payout = new_charge(), new_order()
        bank.set_moods(Mood.REJECTED)
        bank.set_moods(Mood.WEBHOOK_DUPLICATE, for_="charges")
        bank.set_moods(Mood.BLOCKED, count=2, for_="receipts")
        bank.set_moods(Mood.REJECTED, Mood.SLOW, for_="refunds")

        make(bank, order)
        make(bank, new_charge())
        receipts = [bank.pay(order.key) for _ in range(3)]
        refunds = [new_refund(receipts[2]["end_to_end_id"], amount_centavos=n) for n in (1, 2)]
        for each in refunds:
            refund(bank, each)
        bank.request("POST", "/v1/payouts", json=as_json(payout))

        assert [["webhook_duplicate"], []] == [each["moods"] for each in bank.charges()]
        assert [True, True, False] == [each["blocked"] for each in receipts]
        assert [["rejected", "slow"], []] == [each["moods"] for each in bank.refunds()]
        assert [["rejected"]] == [each["moods"] for each in bank.payouts()]

    def test_are_all_cleared_together(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        bank.set_moods(Mood.BLOCKED, for_="receipts")
        bank.set_moods(Mood.REFUSED, for_="charges")

        bank.clear_moods()

        assert paid(bank)["blocked"] is False

    @pytest.mark.parametrize("queue", list(Queue))
    def test_that_mean_nothing_there_are_errors(self, sandbox: SandboxProcess, queue: Queue) -> None:
        for mood in set(Mood) - FITTING[queue]:
            body = {"moods": [mood], "count": 1, "for": queue}

            assert told(sandbox.request("PUT", "/sandbox/moods", json=body)) == (422, "unknown_mood", None)

    def test_of_an_unknown_queue_are_malformed(self, sandbox: SandboxProcess) -> None:
        answer = sandbox.request("PUT", "/sandbox/moods", json={"moods": [], "for": "disputes"})

        assert told(answer) == (422, "invalid_request", "for")

    @pytest.mark.parametrize(
        ("path", "body"),
        [("charges", charge_json(new_charge())), ("refunds", refund_json(new_refund("E1")))],
        ids=["charges", "refunds"],
    )
    def test_by_header_are_checked_too(self, sandbox: SandboxProcess, path: str, body: dict[str, Any]) -> None:
        answer = sandbox.request("POST", f"/v1/{path}", json=body, headers={"x-sandbox-mood": "blocked"})

        assert told(answer) == (422, "unknown_mood", None)

    def test_of_a_key_spent_as_a_charge_are_not_spent_as_a_refund(self, sandbox: SandboxProcess) -> None:
        order = new_charge()
        refunding = new_refund(paid(sandbox)["end_to_end_id"], key=order.key)

        answers = [
            make(sandbox, order, "error_500_before_accepting"),
            refund(sandbox, refunding, "error_500_before_accepting"),
        ]

        assert [500, 500] == [answer.status_code for answer in answers]


class TestResending:
    def test_of_a_key_never_heard_of_is_not_found(self, sandbox: SandboxProcess) -> None:
        answer = sandbox.request("POST", "/sandbox/webhooks/nobody/resend")

        assert told(answer) == (404, "key_not_found", None)


class TestBooks:
    def test_balance_is_opening_plus_statement_and_nothing_is_held_at_the_end(
        self, own_sandbox: Callable[..., SandboxProcess]
    ) -> None:
        bank = own_sandbox()
        whole, blocked, disputed, taken = (paid(bank, *moods) for moods in ((), (Mood.BLOCKED,), (), ()))
        for amount in (50, 1_000):
            refund(bank, new_refund(whole["end_to_end_id"], amount_centavos=amount)).raise_for_status()
        refund(bank, new_refund(blocked["end_to_end_id"]))
        bank.release(blocked["end_to_end_id"])
        bank.decide(bank.dispute(disputed["end_to_end_id"], amount_centavos=1)["id"], "lost")
        bank.decide(bank.dispute(disputed["end_to_end_id"])["id"], "won")
        bank.take_back(taken["end_to_end_id"])
        bank.request("POST", "/v1/payouts", json=as_json(new_order("returned"))).raise_for_status()
        assert eventually(lambda: {"returned"} == {each["state"] for each in bank.payouts()})
        assert eventually(lambda: "processing" not in {each["state"] for each in bank.refunds()})

        lines = bank.lines(bank_today())

        total = sum(int(line["amount_centavos"]) for line in lines)
        assert bank.balance_centavos() == bank.available_centavos() == OPENING_CENTAVOS + total
        assert {"receipt", "refund", "take_back", "payout", "return"} == {line["kind"] for line in lines}
        assert len({line["end_to_end_id"] for line in lines}) == len(lines) == 10
        charges = {receipt["end_to_end_id"]: each["key"] for each in bank.charges() for receipt in each["receipts"]}
        keys = [line["key"] for line in bank.lines(bank_today(), "take_back")]
        assert keys == [charges[disputed["end_to_end_id"]], charges[taken["end_to_end_id"]]]


class TestKillAndRestart:
    def test_loses_nothing_of_what_came_in(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        own_receiver.answer = lambda _: 500
        bank = own_sandbox(settle_seconds=1.5)
        blocked, disputed = paid(bank, Mood.BLOCKED), paid(bank)
        dispute = bank.dispute(disputed["end_to_end_id"], amount_centavos=50)
        bank.request("POST", f"/v1/disputes/{dispute['id']}/defense", json={"statement": "ours"}).raise_for_status()
        order, refused = new_refund(disputed["end_to_end_id"], amount_centavos=1_000), new_refund("E1")
        refund(bank, order).raise_for_status()
        refund(bank, refused)
        bank.set_moods(Mood.BLOCKED, for_="receipts")

        def seen() -> Any:
            return [
                bank.charges(),
                bank.refund(refused.key),
                bank.find_dispute(dispute["id"]),
                bank.lines(bank_today(), "receipt"),
            ]

        before, held_before = seen(), held(bank)
        bank.kill()
        own_receiver.received.clear()
        own_receiver.answer = lambda _: 200
        bank.start()

        assert before == seen()
        assert held_before == 2 * 1_050
        assert becomes(bank, order, "refunded")
        assert held(bank) == 1_050 + 50
        assert bank.balance_centavos() == OPENING_CENTAVOS + 2 * 1_050 - 1_000
        assert paid(bank)["blocked"] is True
        assert bank.release(blocked["end_to_end_id"])["blocked"] is False
        expected = {"charge.paid", "charge.released", "dispute.opened", "refund.refunded"}
        assert eventually(lambda: expected == {each.type for each in own_receiver.received})

    def test_under_load_books_each_payment_that_was_answered_once(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox()
        order = new_charge()
        make(bank, order)

        def pay(_: int) -> str | None:
            try:
                return str(bank.pay(order.key)["end_to_end_id"])
            except httpx.HTTPError:
                return None

        with ThreadPoolExecutor(4) as threads:
            answered = threads.map(pay, range(150))
            time.sleep(0.15)
            bank.kill()
            bank.start()
            answers = {each for each in answered if each}

        lines = bank.lines(bank_today(), "receipt")
        booked = {line["end_to_end_id"] for line in lines}
        assert answers
        assert answers <= booked
        assert booked == {each["end_to_end_id"] for each in bank.charge(order.key)["receipts"]}
        assert bank.balance_centavos() == bank.available_centavos() == OPENING_CENTAVOS + 1_050 * len(lines)
        assert eventually(lambda: booked == {each.data["end_to_end_id"] for each in own_receiver.received})
