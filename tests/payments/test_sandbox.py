"""The sandbox bank over its own HTTP door, as a process, with a real receiver of webhooks."""

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

from payments.protocol import PayoutOrder
from payments.sandbox.moods import Mood
from tests.payments.conftest import HANG_SECONDS
from tests.payments.orders import as_json, new_order
from tests.payments.receiver import Receiver
from tests.sandbox_process import SandboxProcess, eventually

OPENING_CENTAVOS = 1_000_000_000


def submit(bank: SandboxProcess, order: PayoutOrder, **more: Any) -> httpx.Response:
    return bank.request("POST", "/v1/payouts", json=as_json(order), **more)


def becomes(bank: SandboxProcess, order: PayoutOrder, state: str) -> bool:
    return eventually(lambda: bank.payout(order.key)["state"] == state)


def bank_today() -> date:
    return datetime.now(ZoneInfo("America/Sao_Paulo")).date()


class TestPayout:
    def test_is_accepted_then_paid_with_an_end_to_end_id(self, sandbox: SandboxProcess) -> None:
        order = new_order()

        answer = submit(sandbox, order)

        assert answer.status_code == 201
        assert answer.json()["state"] == "processing"
        assert becomes(sandbox, order, "paid")
        end_to_end_id = sandbox.payout(order.key)["end_to_end_id"]
        assert re.fullmatch(r"E99999004[0-9]{12}[A-Za-z0-9]{11}", end_to_end_id)
        minute = datetime.strptime(end_to_end_id[9:21], "%Y%m%d%H%M").replace(tzinfo=UTC)
        assert abs(datetime.now(UTC) - minute) < timedelta(minutes=2)

    def test_of_a_known_key_is_the_first_one(self, sandbox: SandboxProcess) -> None:
        order = new_order()

        first, second = submit(sandbox, order), submit(sandbox, order)

        assert second.status_code == 200
        assert first.json()["id"] == second.json()["id"]

    def test_of_a_known_key_with_another_content_is_a_conflict(self, sandbox: SandboxProcess) -> None:
        order = new_order()
        submit(sandbox, order)

        answer = submit(sandbox, new_order(key=order.key, amount_centavos=1_051))

        assert (answer.status_code, answer.json()["code"]) == (409, "key_reused")

    def test_is_debited_once_when_submitted_twenty_times_at_once(
        self, own_sandbox: Callable[..., SandboxProcess]
    ) -> None:
        bank = own_sandbox()
        order = new_order()

        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda _: submit(bank, order), range(20)))

        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
        assert becomes(bank, order, "paid")
        assert bank.balance_centavos() == OPENING_CENTAVOS - 1_050
        assert [line["amount_centavos"] for line in bank.statement(bank_today())] == ["-1050"]

    def test_that_the_account_cannot_cover_is_refused_and_accepted_after_a_return(
        self, own_sandbox: Callable[..., SandboxProcess]
    ) -> None:
        bank = own_sandbox(opening_centavos=1_500)
        first, second = new_order(), new_order()
        submit(bank, first)

        answer = submit(bank, second)
        assert becomes(bank, first, "paid")
        bank.send_back(first.key)

        assert (answer.status_code, answer.json()["code"]) == (409, "insufficient_provider_balance")
        assert submit(bank, second).status_code == 201

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"amount_centavos": "0"}, "amount_centavos"),
            ({"amount_centavos": "10.50"}, "amount_centavos"),
            ({"amount_centavos": 1050}, "amount_centavos"),
            ({"key": "a-b"}, "key"),
            ({"pix_key_kind": "iban"}, "pix_key_kind"),
            ({"holder_tax_id": "secret"}, "holder_tax_id"),
            ({"more": "1"}, "more"),
        ],
    )
    def test_that_is_malformed_names_the_field_and_repeats_no_value(
        self, sandbox: SandboxProcess, change: dict[str, object], field: str
    ) -> None:
        body = as_json(new_order()) | change

        answer = sandbox.request("POST", "/v1/payouts", json=body)

        assert {"code": "invalid_request", "reason": field} == answer.json()
        assert answer.status_code == 422

    def test_shows_no_personal_data(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_order()

        answer = submit(sandbox, order).text
        assert eventually(lambda: receiver.about(order.key))

        shown = answer + receiver.about(order.key)[0].body.decode() + json.dumps(sandbox.payout(order.key))
        assert not [value for value in ("ana@", "Ana Silva", "52998224725", "OTC sell") if value in shown]

    def test_that_nobody_sent_is_not_found(self, sandbox: SandboxProcess) -> None:
        answer = sandbox.request("GET", "/v1/payouts/nobody")

        assert (answer.status_code, answer.json()["code"]) == (404, "payout_not_found")

    @pytest.mark.parametrize("path", ["/v1/balance", "/v1/payouts", "/sandbox/moods"])
    def test_needs_the_api_key(self, sandbox: SandboxProcess, path: str) -> None:
        method = "DELETE" if "moods" in path else "GET"

        answer = sandbox.request(method, path, headers={"authorization": "Bearer wrong"})

        assert answer.status_code == 401


class TestBooks:
    def test_balance_is_opening_plus_statement_whatever_happened(
        self, own_sandbox: Callable[..., SandboxProcess]
    ) -> None:
        bank = own_sandbox()
        moods = ["", "rejected", "returned", "error_504_after_accepting", "slow", "refused", "webhook_never"]
        orders = [new_order(mood, amount_centavos=100 + number) for number, mood in enumerate(moods)]
        for order in orders:
            submit(bank, order)
        assert eventually(lambda: "processing" not in {each["state"] for each in bank.payouts()})
        assert becomes(bank, orders[2], "returned")

        lines = bank.statement(bank_today())

        assert bank.balance_centavos() == OPENING_CENTAVOS + sum(int(line["amount_centavos"]) for line in lines)
        states = [each["state"] for each in bank.payouts()]
        assert states == ["paid", "rejected", "returned", "paid", "paid", "refused", "paid"]
        assert [line["amount_centavos"] for line in lines if line["key"] == orders[2].key] == ["-102", "102"]
        assert lines[-1]["end_to_end_id"][0] in "DE"

    def test_statement_of_another_day_is_empty(self, sandbox: SandboxProcess) -> None:
        assert sandbox.statement(date(2020, 1, 1)) == []


class TestKillAndRestart:
    def test_between_accepting_and_settling_settles_once_and_tells(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox(settle_seconds=0.5)
        order = new_order()
        submit(bank, order)

        bank.kill()
        bank.start()

        assert becomes(bank, order, "paid")
        assert eventually(lambda: own_receiver.types(order.key) == ["payout.paid"])
        assert submit(bank, order).json()["state"] == "paid"
        assert bank.balance_centavos() == OPENING_CENTAVOS - 1_050
        assert len(bank.statement(bank_today())) == 1

    def test_with_webhooks_unanswered_delivers_them_with_the_same_id(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        own_receiver.answer = lambda _: 500
        bank = own_sandbox()
        order = new_order()
        submit(bank, order)
        assert eventually(lambda: own_receiver.about(order.key))

        bank.kill()
        before = len(own_receiver.about(order.key))
        own_receiver.answer = lambda _: 200
        bank.start()

        assert eventually(lambda: len(own_receiver.about(order.key)) > before)
        assert len({each.id for each in own_receiver.about(order.key)}) == 1

    def test_under_load_loses_and_doubles_nothing(
        self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver
    ) -> None:
        bank = own_sandbox()
        orders = [new_order() for _ in range(60)]

        def submit_until_known(order: PayoutOrder) -> None:
            def is_known() -> bool:
                try:
                    return submit(bank, order).is_success
                except httpx.HTTPError:
                    return False

            assert eventually(is_known, seconds=40)

        with ThreadPoolExecutor(8) as threads:
            results = threads.map(submit_until_known, orders)
            for _ in range(2):
                time.sleep(0.15)
                bank.kill()
                bank.start()
            list(results)

        assert eventually(lambda: {each["state"] for each in bank.payouts()} == {"paid"})
        assert {order.key for order in orders} == {line["key"] for line in bank.statement(bank_today())}
        assert bank.balance_centavos() == OPENING_CENTAVOS - 60 * 1_050
        assert eventually(lambda: {order.key for order in orders} == {each.key for each in own_receiver.received})


class TestMoodsOfTheAnswer:
    def test_refused_is_for_ever(self, sandbox: SandboxProcess) -> None:
        order = new_order("refused")

        answers = [submit(sandbox, order), submit(sandbox, order)]

        assert [(each.status_code, each.json()["code"]) for each in answers] == [(422, "payout_refused")] * 2
        assert sandbox.payout(order.key)["state"] == "refused"

    def test_timeout_after_accepting_hangs_and_pays(self, sandbox: SandboxProcess) -> None:
        order = new_order("timeout_after_accepting")

        with pytest.raises(httpx.ReadTimeout):
            submit(sandbox, order, timeout=HANG_SECONDS / 4)

        assert becomes(sandbox, order, "paid")

    def test_error_504_after_accepting_pays(self, sandbox: SandboxProcess) -> None:
        order = new_order("error_504_after_accepting")

        answer = submit(sandbox, order)

        assert answer.status_code == 504
        assert becomes(sandbox, order, "paid")

    def test_drop_connection_after_accepting_pays(self, sandbox: SandboxProcess) -> None:
        order = new_order("drop_connection_after_accepting")

        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            submit(sandbox, order)

        assert becomes(sandbox, order, "paid")

    @pytest.mark.parametrize(
        ("mood", "status"), [("error_500_before_accepting", 500), ("no_balance", 409), ("limit_reached", 409)]
    )
    def test_before_accepting_records_nothing_and_passes_the_second_time(
        self, sandbox: SandboxProcess, mood: str, status: int
    ) -> None:
        order = new_order(mood)

        first = submit(sandbox, order)
        between = sandbox.request("GET", f"/v1/payouts/{order.key}")
        second = submit(sandbox, order)

        assert [status, 404, 201] == [first.status_code, between.status_code, second.status_code]

    def test_dark_lasts_until_the_moods_are_cleared(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        order = new_order()
        submit(bank, order)
        bank.set_moods(Mood.DARK)

        asked = bank.request("GET", f"/v1/payouts/{order.key}")
        sent = submit(bank, new_order())
        bank.kill()
        bank.start()
        still = bank.request("GET", "/v1/balance")
        bank.clear_moods()

        assert [asked.status_code, sent.status_code, still.status_code] == [503] * 3
        assert becomes(bank, order, "paid")
        assert [order.key] == [each["key"] for each in bank.payouts()]

    def test_dark_by_tag_takes_the_whole_bank_with_it(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        order = new_order("dark")

        first = submit(bank, order)
        asked = bank.request("GET", "/v1/balance")
        bank.clear_moods()
        second = submit(bank, order)

        assert [first.status_code, asked.status_code, second.status_code] == [503, 503, 201]


class TestMoodsOfTheOutcome:
    def test_rejected_is_told_with_its_reason_and_costs_nothing(
        self, sandbox: SandboxProcess, receiver: Receiver
    ) -> None:
        order = new_order("rejected")

        submit(sandbox, order)

        assert becomes(sandbox, order, "rejected")
        assert sandbox.payout(order.key)["reason"] == "AC03"
        assert eventually(lambda: receiver.types(order.key) == ["payout.rejected"])
        assert order.key not in {line["key"] for line in sandbox.statement(bank_today())}

    def test_slow_takes_seconds(self, sandbox: SandboxProcess) -> None:
        order = new_order("slow")

        submit(sandbox, order)

        time.sleep(0.4)
        assert sandbox.payout(order.key)["state"] == "processing"
        assert becomes(sandbox, order, "paid")

    def test_returned_is_paid_first(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_order("returned")

        submit(sandbox, order)

        assert becomes(sandbox, order, "returned")
        assert eventually(lambda: receiver.types(order.key) == ["payout.paid", "payout.returned"])
        assert sandbox.payout(order.key)["reason"] == "MD06"

    def test_a_return_at_will_happens_once(self, sandbox: SandboxProcess) -> None:
        order = new_order()
        submit(sandbox, order)
        assert becomes(sandbox, order, "paid")

        sandbox.send_back(order.key)
        again = sandbox.request("POST", f"/sandbox/payouts/{order.key}/return")

        assert (again.status_code, again.json()["code"]) == (409, "payout_not_paid")

    def test_moods_combine(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_order("error_504_after_accepting.rejected.webhook_never")

        answer = submit(sandbox, order)

        assert answer.status_code == 504
        assert becomes(sandbox, order, "rejected")
        assert receiver.about(order.key) == []

    def test_moods_come_by_header_too(self, sandbox: SandboxProcess) -> None:
        order = new_order()

        submit(sandbox, order, headers={"x-sandbox-mood": "rejected, webhook_never"})

        assert becomes(sandbox, order, "rejected")

    def test_moods_set_for_the_next_payouts_count_them(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        orders = [new_order() for _ in range(3)]
        states = ["rejected", "rejected", "paid"]
        bank.set_moods(Mood.REJECTED, count=2)

        for order in orders:
            submit(bank, order)
            submit(bank, order)

        assert all(becomes(bank, order, state) for order, state in zip(orders, states, strict=True))
        assert [each["moods"] for each in bank.payouts()] == [["rejected"], ["rejected"], []]

    def test_a_receipts_own_mood_is_an_error_and_as_a_tag_a_customers_own(self, sandbox: SandboxProcess) -> None:
        order = new_order("blocked")

        by_header = submit(sandbox, order, headers={"x-sandbox-mood": "blocked"})
        by_tag = submit(sandbox, order)

        assert [422, 201] == [by_header.status_code, by_tag.status_code]

    def test_a_misspelt_mood_is_an_error_but_a_customers_own_tag_is_not(self, sandbox: SandboxProcess) -> None:
        order = new_order("newsletter")

        by_header = submit(sandbox, order, headers={"x-sandbox-mood": "rejectd"})
        by_tag = submit(sandbox, order)

        assert (by_header.status_code, by_header.json()["code"]) == (422, "unknown_mood")
        assert by_tag.status_code == 201
        assert becomes(sandbox, order, "paid")


class TestWebhook:
    def test_verifies_with_the_library(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_order()

        submit(sandbox, order)

        assert eventually(lambda: receiver.about(order.key))
        webhook = receiver.about(order.key)[0]
        event = Webhook(sandbox.webhook_secret).verify(webhook.body, webhook.headers)
        assert event["type"] == "payout.paid"
        assert event["data"] == {
            "key": order.key,
            "end_to_end_id": sandbox.payout(order.key)["end_to_end_id"],
            "amount_centavos": "1050",
            "reason": None,
        }

    def test_is_repeated_until_2xx(self, own_sandbox: Callable[..., SandboxProcess], own_receiver: Receiver) -> None:
        own_receiver.answer = lambda _: 200 if len(own_receiver.received) >= 3 else 500
        bank = own_sandbox()

        submit(bank, new_order())

        assert eventually(lambda: len(own_receiver.received) == 3)
        time.sleep(0.5)
        assert len(own_receiver.received) == 3
        assert len({each.id for each in own_receiver.received}) == 1

    def test_duplicate_comes_three_times_with_one_id(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_order("webhook_duplicate")

        submit(sandbox, order)

        assert eventually(lambda: len(receiver.about(order.key)) == 3)
        time.sleep(0.3)
        assert len(receiver.about(order.key)) == 3
        assert len({each.id for each in receiver.about(order.key)}) == 1

    def test_never_comes_until_resent(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_order("webhook_never")
        submit(sandbox, order)
        assert becomes(sandbox, order, "paid")
        time.sleep(0.3)
        before = receiver.types(order.key)

        sandbox.resend_webhooks(order.key)

        assert before == []
        assert eventually(lambda: receiver.types(order.key) == ["payout.paid"])

    def test_before_response_is_answered_before_the_submit(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_order("webhook_before_response")

        answer = submit(sandbox, order)

        assert receiver.types(order.key) == ["payout.paid"]
        assert answer.json()["state"] == "processing"

    def test_out_of_order_tells_paid_before_processing(self, sandbox: SandboxProcess, receiver: Receiver) -> None:
        order = new_order("webhook_out_of_order")

        submit(sandbox, order)

        assert eventually(lambda: receiver.types(order.key) == ["payout.paid", "payout.processing"])

    @pytest.mark.parametrize("mood", ["webhook_stale", "webhook_forged"])
    def test_stale_or_forged_fails_verification_and_is_not_repeated(
        self, sandbox: SandboxProcess, receiver: Receiver, mood: str
    ) -> None:
        order = new_order(mood)

        submit(sandbox, order)

        assert eventually(lambda: receiver.about(order.key))
        time.sleep(0.5)
        (webhook,) = receiver.about(order.key)
        with pytest.raises(WebhookVerificationError, match="too old" if mood == "webhook_stale" else "No matching"):
            Webhook(sandbox.webhook_secret).verify(webhook.body, webhook.headers)
