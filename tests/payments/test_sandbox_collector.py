"""The adapter's receiving side against the real sandbox process, and against a server that answers nonsense."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from standardwebhooks import Webhook

from models.errors import (
    OperationKeyReused,
    PayoutRefused,
    PayoutUnknown,
    ProviderBalanceTooLow,
    WebhookRejected,
)
from payments import br_code
from payments.protocol import (
    ChargeEvent,
    ChargeReport,
    ChargeState,
    DisputeEvent,
    DisputeState,
    PixCollector,
    PixDisputes,
    PixProvider,
    RefundEvent,
    RefundOrder,
    RefundReport,
    RefundState,
    WebhookEvent,
)
from payments.sandbox.moods import Mood
from payments.sandbox_provider import SandboxProvider
from tests.payments.orders import new_charge, new_order, new_refund
from tests.payments.receiver import Received, Receiver
from tests.sandbox_process import SandboxProcess, eventually, new_webhook_secret

LOST_ANSWERS = [
    Mood.TIMEOUT_AFTER_ACCEPTING,
    Mood.ERROR_504_AFTER_ACCEPTING,
    Mood.DROP_CONNECTION_AFTER_ACCEPTING,
]
E2E = "E" + "1" * 31

CALLS: dict[str, list[Callable[[SandboxProvider], Awaitable[object]]]] = {
    "charge": [
        lambda provider: provider.charge(new_charge(key="abc")),
        lambda provider: provider.find_charge("abc"),
    ],
    "refund": [
        lambda provider: provider.refund(new_refund(E2E, key="abc")),
        lambda provider: provider.find_refund(new_refund(E2E, key="abc")),
    ],
    "dispute": [
        lambda provider: provider.find_dispute("abc"),
        lambda provider: provider.defend("abc", "ours"),
    ],
}
EVERY_CALL = [call for calls in CALLS.values() for call in calls]

A_RECEIPT = {
    "end_to_end_id": E2E,
    "amount_centavos": "1050",
    "time": "2026-11-21T12:00:00+00:00",
    "payer_tax_id": None,
    "blocked": False,
    "taken_back_centavos": "0",
}
ANSWERS: dict[str, dict[str, Any]] = {
    "charge": {
        "key": "abc",
        "id": "ch_1",
        "state": "active",
        "amount_centavos": "1050",
        "br_code": "0",
        "receipts": [],
    },
    "refund": {
        "key": "abc",
        "state": "processing",
        "end_to_end_id": E2E,
        "amount_centavos": "1050",
        "return_id": None,
        "reason": None,
    },
    "dispute": {
        "id": "abc",
        "state": "open",
        "end_to_end_id": E2E,
        "amount_centavos": "1050",
        "answer_until": "2026-11-21T12:00:00+00:00",
        "reason": "FR01",
    },
}


async def paid(provider: PixCollector, bank: SandboxProcess, *moods: Mood, **changes: Any) -> Any:
    """The receipt of a new charge, paid."""
    order = new_charge()
    await provider.charge(order)
    return bank.pay(order.key, moods=moods, **changes)


async def settled(provider: PixCollector, order: RefundOrder) -> RefundReport:
    async with asyncio.timeout(10):
        while (report := await provider.find_refund(order)).state is RefundState.PROCESSING:
            await asyncio.sleep(0.02)
    return report


class TestProvider:
    async def test_offers_all_that_a_provider_can(self, provider: SandboxProvider) -> None:
        pays: PixProvider = provider
        collects: PixCollector = provider
        disputes: PixDisputes = provider

        assert pays is collects is disputes


class TestCharge:
    async def test_reports_what_the_bank_made_and_who_paid(
        self, provider: SandboxProvider, sandbox: SandboxProcess
    ) -> None:
        order = new_charge()

        made = await provider.charge(order)
        first = sandbox.pay(order.key, payer_tax_id=None, moods=[Mood.BLOCKED])
        second = sandbox.pay(order.key, amount_centavos=99)
        sandbox.take_back(second["end_to_end_id"], amount_centavos=9)
        found = await provider.find_charge(order.key)

        assert (made.state, made.amount_centavos, made.receipts) == (ChargeState.ACTIVE, 1_050, ())
        assert br_code.parse(made.br_code or "").amount_centavos == 1_050
        assert (found.state, found.provider_id, found.br_code) == (ChargeState.PAID, made.provider_id, made.br_code)
        blocked, partial = found.receipts
        assert (first["end_to_end_id"], 1_050, None, True, 0) == (
            blocked.end_to_end_id,
            blocked.amount_centavos,
            blocked.payer_tax_id,
            blocked.blocked,
            blocked.taken_back_centavos,
        )
        assert (99, "52998224725", False, 9) == (
            partial.amount_centavos,
            partial.payer_tax_id,
            partial.blocked,
            partial.taken_back_centavos,
        )
        assert abs(datetime.now(UTC) - partial.time) < timedelta(minutes=1)

    async def test_made_twice_is_one(self, provider: SandboxProvider) -> None:
        order = new_charge()

        reports = await asyncio.gather(*(provider.charge(order) for _ in range(5)))

        assert len({report.provider_id for report in reports}) == 1

    async def test_removed_is_a_report(self, provider: SandboxProvider, sandbox: SandboxProcess) -> None:
        order = new_charge()
        await provider.charge(order)

        sandbox.remove(order.key)

        assert (await provider.find_charge(order.key)).state is ChargeState.REMOVED

    async def test_refused_carries_the_reason_and_is_not_found(
        self, provider: SandboxProvider, sandbox: SandboxProcess
    ) -> None:
        order = new_charge()
        sandbox.set_moods(Mood.REFUSED, for_="charges")

        for _ in range(2):
            with pytest.raises(PayoutRefused) as refusal:
                await provider.charge(order)

            assert refusal.value.reason == "CH11"
        assert await provider.find_charge(order.key) == ChargeReport(ChargeState.NOT_FOUND)

    @pytest.mark.parametrize("mood", LOST_ANSWERS)
    async def test_is_unknown_after_a_lost_answer_and_found_by_key(
        self, provider: SandboxProvider, sandbox: SandboxProcess, mood: Mood
    ) -> None:
        order = new_charge()
        sandbox.set_moods(mood, for_="charges")

        with pytest.raises(PayoutUnknown):
            await provider.charge(order)

        assert (await provider.find_charge(order.key)).state is ChargeState.ACTIVE
        assert (await provider.charge(order)).state is ChargeState.ACTIVE

    async def test_is_unknown_after_a_500_and_passes_when_sent_again(
        self, provider: SandboxProvider, sandbox: SandboxProcess
    ) -> None:
        order = new_charge()
        sandbox.set_moods(Mood.ERROR_500_BEFORE_ACCEPTING, for_="charges")

        with pytest.raises(PayoutUnknown):
            await provider.charge(order)
        found = await provider.find_charge(order.key)

        assert found == ChargeReport(ChargeState.NOT_FOUND)
        assert (await provider.charge(order)).state is ChargeState.ACTIVE

    async def test_with_another_content_under_the_key_breaks_our_law(self, provider: SandboxProvider) -> None:
        order = new_charge()
        await provider.charge(order)

        with pytest.raises(OperationKeyReused):
            await provider.charge(new_charge(key=order.key, amount_centavos=1_051))

    async def test_malformed_and_never_made_is_refused(self, provider: SandboxProvider) -> None:
        with pytest.raises(PayoutRefused) as refusal:
            await provider.charge(new_charge(payer_tax_id="not one"))

        assert refusal.value.reason == "invalid_request"

    async def test_malformed_after_a_good_one_is_the_good_one(self, provider: SandboxProvider) -> None:
        order = new_charge()
        made = await provider.charge(order)

        assert made == await provider.charge(new_charge(key=order.key, payer_tax_id="not one"))

    async def test_of_a_key_never_sent_is_not_found(self, provider: SandboxProvider) -> None:
        assert await provider.find_charge("0" * 32) == ChargeReport(ChargeState.NOT_FOUND)

    @pytest.mark.parametrize("more", ["?limit=1", "#1", "%3F", " ", "/"])
    async def test_of_a_key_with_more_behind_it_is_not_that_key(self, provider: SandboxProvider, more: str) -> None:
        order = new_charge()
        await provider.charge(order)

        try:
            state = (await provider.find_charge(order.key + more)).state
        except PayoutUnknown:
            return

        assert state is ChargeState.NOT_FOUND


class TestRefund:
    async def test_reports_what_the_bank_took_and_later_sent(
        self, provider: SandboxProvider, sandbox: SandboxProcess
    ) -> None:
        order = new_refund((await paid(provider, sandbox))["end_to_end_id"], amount_centavos=1_000)

        sent = await provider.refund(order)
        refunded = await settled(provider, order)

        assert sent == RefundReport(RefundState.PROCESSING, 1_000)
        assert (refunded.state, refunded.amount_centavos, refunded.reason) == (RefundState.REFUNDED, 1_000, None)
        assert (refunded.return_id or "").startswith("D")
        assert refunded == await provider.refund(order)

    async def test_rejected_later_is_a_report(self, provider: SandboxProvider, sandbox: SandboxProcess) -> None:
        order = new_refund((await paid(provider, sandbox))["end_to_end_id"])
        sandbox.set_moods(Mood.REJECTED, for_="refunds")

        await provider.refund(order)

        report = await settled(provider, order)
        assert report == RefundReport(RefundState.REJECTED, 1_050, reason="AC07")

    async def test_of_a_blocked_receipt_or_of_too_much_is_refused_and_found_as_rejected(
        self, provider: SandboxProvider, sandbox: SandboxProcess
    ) -> None:
        receipt, blocked = await paid(provider, sandbox), await paid(provider, sandbox, Mood.BLOCKED)
        orders = [
            new_refund(receipt["end_to_end_id"], amount_centavos=1_051),
            new_refund(blocked["end_to_end_id"]),
            new_refund(E2E),
        ]

        for order, reason in zip(orders, ("AM09", "blocked", "not_found"), strict=True):
            with pytest.raises(PayoutRefused) as refusal:
                await provider.refund(order)

            assert refusal.value.reason == reason
            assert (await provider.find_refund(order)).state is RefundState.REJECTED

    @pytest.mark.parametrize("mood", LOST_ANSWERS)
    async def test_is_unknown_after_a_lost_answer_and_found_by_key(
        self, provider: SandboxProvider, sandbox: SandboxProcess, mood: Mood
    ) -> None:
        order = new_refund((await paid(provider, sandbox))["end_to_end_id"])
        sandbox.set_moods(mood, for_="refunds")

        with pytest.raises(PayoutUnknown):
            await provider.refund(order)

        assert (await settled(provider, order)).state is RefundState.REFUNDED

    @pytest.mark.parametrize(
        ("mood", "error"),
        [(Mood.ERROR_500_BEFORE_ACCEPTING, PayoutUnknown), (Mood.NO_BALANCE, ProviderBalanceTooLow)],
    )
    async def test_never_taken_is_unknown_and_passes_when_sent_again(
        self, provider: SandboxProvider, sandbox: SandboxProcess, mood: Mood, error: type[Exception]
    ) -> None:
        order = new_refund((await paid(provider, sandbox))["end_to_end_id"])
        sandbox.set_moods(mood, for_="refunds")

        with pytest.raises(error) as raised:
            await provider.refund(order)
        found = await provider.find_refund(order)

        assert isinstance(raised.value, PayoutUnknown)
        assert found == RefundReport(RefundState.NOT_FOUND)
        assert (await provider.refund(order)).state is RefundState.PROCESSING

    async def test_with_another_content_under_the_key_breaks_our_law(
        self, provider: SandboxProvider, sandbox: SandboxProcess
    ) -> None:
        receipt = await paid(provider, sandbox)
        order = new_refund(receipt["end_to_end_id"])
        await provider.refund(order)
        others = [new_refund(order.end_to_end_id, key=order.key, amount_centavos=1), new_refund(E2E, key=order.key)]

        for other in others:
            with pytest.raises(OperationKeyReused):
                await provider.refund(other)
            with pytest.raises(OperationKeyReused):
                await provider.find_refund(other)

    async def test_malformed_and_never_sent_is_refused(self, provider: SandboxProvider) -> None:
        with pytest.raises(PayoutRefused) as refusal:
            await provider.refund(new_refund(E2E, amount_centavos=0))

        assert refusal.value.reason == "invalid_request"


class TestDispute:
    @pytest.mark.parametrize("outcome", [DisputeState.WON, DisputeState.LOST])
    async def test_reports_where_it_stands(
        self, provider: SandboxProvider, sandbox: SandboxProcess, outcome: DisputeState
    ) -> None:
        receipt = await paid(provider, sandbox)
        opened = sandbox.dispute(receipt["end_to_end_id"], amount_centavos=1_000)

        before = await provider.find_dispute(opened["id"])
        sandbox.decide(opened["id"], outcome)
        after = await provider.find_dispute(opened["id"])

        assert (opened["id"], DisputeState.OPEN, receipt["end_to_end_id"], 1_000, "FR01") == (
            before.id,
            before.state,
            before.end_to_end_id,
            before.amount_centavos,
            before.reason,
        )
        assert before.answer_until == datetime.fromisoformat(opened["answer_until"])
        assert after.state is outcome

    async def test_that_the_bank_knows_not_is_unknown(self, provider: SandboxProvider) -> None:
        with pytest.raises(PayoutUnknown):
            await provider.find_dispute("dp_0")
        with pytest.raises(PayoutUnknown):
            await provider.defend("dp_0", "ours")

    async def test_is_defended_once_by_each_text(self, provider: SandboxProvider, sandbox: SandboxProcess) -> None:
        dispute = sandbox.dispute((await paid(provider, sandbox))["end_to_end_id"])

        for _ in range(2):
            await provider.defend(dispute["id"], "The payer is our client; see the signed order.")

        assert sandbox.find_dispute(dispute["id"])["statements"] == 1

    @pytest.mark.parametrize("changes", [{"answer_seconds": 0}, {}], ids=["late", "decided"])
    async def test_is_not_defended_too_late(
        self, provider: SandboxProvider, sandbox: SandboxProcess, changes: dict[str, float]
    ) -> None:
        dispute = sandbox.dispute((await paid(provider, sandbox))["end_to_end_id"], **changes)
        if not changes:
            sandbox.decide(dispute["id"], "won")

        with pytest.raises(PayoutRefused) as refusal:
            await provider.defend(dispute["id"], "late")

        assert refusal.value.reason == "dispute_closed"

    async def test_is_not_defended_with_nothing(self, provider: SandboxProvider, sandbox: SandboxProcess) -> None:
        dispute = sandbox.dispute((await paid(provider, sandbox))["end_to_end_id"])

        with pytest.raises(PayoutRefused) as refusal:
            await provider.defend(dispute["id"], "")

        assert refusal.value.reason == "invalid_request"


class TestAnswer:
    async def test_is_unknown_while_the_bank_is_dark_or_gone(
        self, own_sandbox: Callable[..., SandboxProcess]
    ) -> None:
        bank = own_sandbox()
        provider = bank.provider()
        bank.set_moods(Mood.DARK)

        for _ in range(2):
            for call in EVERY_CALL:
                with pytest.raises(PayoutUnknown):
                    await call(provider)
            bank.kill()

        await provider.close()

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, b""),
            (200, b"<html>login</html>"),
            (200, b'{"key":"abc"}'),
            (204, b""),
            (302, b""),
            (400, b'{"code":"refund_refused","reason":"AM09"}'),
            (400, b'{"code":"dispute_closed"}'),
            (401, b'{"code":"unauthorized"}'),
            (404, b"not here"),
            (404, b'{"detail":"Not Found"}'),
            (404, b'{"code":"payout_not_found"}'),
            (409, b"{}"),
            (409, b'{"code":"dispute_closed"}'),
            (422, b"{}"),
            (422, b'{"code":null}'),
            (422, b'{"code":"payout_refused","reason":"AC03"}'),
            (422, b'["charge_refused"]'),
            (429, b'{"code":"slow_down"}'),
            (500, b'{"code":"charge_not_found"}'),
            (502, b"bad gateway"),
            (200, b"[" * 200),
        ],
    )
    async def test_is_never_read_for_more_than_it_says(
        self,
        answering: Callable[..., str],
        connect: Callable[..., SandboxProvider],
        status: int,
        body: bytes,
    ) -> None:
        provider = connect(answering(status, body))

        for call in EVERY_CALL:
            with pytest.raises(PayoutUnknown) as error:
                await call(provider)

            assert type(error.value) is PayoutUnknown

    @pytest.mark.parametrize(
        ("noun", "change"),
        [
            *((noun, {"state": state}) for noun in CALLS for state in ("confirmed", "", None)),
            *((noun, {"amount_centavos": amount}) for noun in CALLS for amount in (10.5, True, "10.50", None)),
            *((noun, {"key": "another", "id": "another"}) for noun in CALLS),
            ("charge", {"br_code": None}),
            ("charge", {"receipts": None}),
            ("charge", {"receipts": [A_RECEIPT | {"blocked": None}]}),
            ("charge", {"receipts": [A_RECEIPT | {"time": "2026-11-21T12:00:00"}]}),
            ("charge", {"receipts": [A_RECEIPT | {"amount_centavos": 10.5}]}),
            ("refund", {"end_to_end_id": None}),
            ("refund", {"return_id": 5}),
            ("dispute", {"answer_until": "soon"}),
        ],
        ids=str,
    )
    async def test_of_another_shape_or_about_another_thing_is_unknown(
        self,
        answering: Callable[..., str],
        connect: Callable[..., SandboxProvider],
        noun: str,
        change: dict[str, Any],
    ) -> None:
        provider = connect(answering(200, json.dumps(ANSWERS[noun] | change).encode()))

        for call in CALLS[noun]:
            with pytest.raises(PayoutUnknown):
                await call(provider)

    @pytest.mark.parametrize("noun", CALLS)
    async def test_may_say_more_than_we_know(
        self, answering: Callable[..., str], connect: Callable[..., SandboxProvider], noun: str
    ) -> None:
        more = {"new": {"field": 1.5}, "receipts": [A_RECEIPT | {"more": 1}]}
        provider = connect(answering(200, json.dumps(ANSWERS[noun] | more).encode()))

        for call in CALLS[noun]:
            await call(provider)

    async def test_that_drips_is_not_waited_for(
        self, answering: Callable[..., str], connect: Callable[..., SandboxProvider]
    ) -> None:
        provider = connect(answering(200, b"x" * 10, seconds_per_byte=0.1), timeout_seconds=0.3)

        for call in EVERY_CALL:
            async with asyncio.timeout(0.9):
                with pytest.raises(PayoutUnknown):
                    await call(provider)

    async def test_names_no_personal_data_in_errors_and_logs(
        self, answering: Callable[..., str], connect: Callable[..., SandboxProvider], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        order = new_charge()

        told = [repr(order)]
        for status, body in [
            (504, b"52998224725"),
            (422, b'{"code":"charge_refused"}'),
            (200, b'{"key":"Ana Silva"}'),
        ]:
            with pytest.raises((PayoutRefused, PayoutUnknown)) as error:
                await connect(answering(status, body)).charge(order)
            told += [f"{error.value!r} {error.value.__cause__!r}"]

        secrets = ("Ana Silva", "52998224725", "OTC buy", "Bearer")
        assert not [value for value in secrets if value in " ".join(told) + caplog.text]


class TestBooks:
    async def test_are_the_banks(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        provider = bank.provider()
        order = new_charge()
        await provider.charge(order)
        receipt = bank.pay(order.key, moods=[Mood.BLOCKED])
        while_blocked = await provider.balance()
        bank.release(receipt["end_to_end_id"])
        back = new_refund(receipt["end_to_end_id"], amount_centavos=1_000)
        await provider.refund(back)
        return_id = (await settled(provider, back)).return_id
        bank.take_back(receipt["end_to_end_id"])

        came, went, taken = await provider.statement(datetime.now(ZoneInfo("America/Sao_Paulo")).date())

        assert while_blocked == 1_000_000_000
        assert (came.key, came.end_to_end_id, came.amount_centavos) == (order.key, receipt["end_to_end_id"], 1_050)
        assert (went.key, went.end_to_end_id, went.amount_centavos) == (back.key, return_id, -1_000)
        assert (taken.key, taken.amount_centavos) == (order.key, -50)
        assert await provider.balance() == bank.balance_centavos() == 1_000_000_000
        await provider.close()

    async def test_may_be_overdrawn(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox(opening_centavos=0)
        provider = bank.provider()
        receipt = await paid(provider, bank)
        await provider.payout(new_order())

        bank.dispute(receipt["end_to_end_id"])

        assert await provider.balance() == -1_050
        await provider.close()


class TestWebhook:
    @staticmethod
    def read(provider: SandboxProvider, webhook: Received) -> WebhookEvent:
        (event,) = provider.verify_webhook(webhook.headers, webhook.body, now=datetime.now(UTC))
        return event

    async def test_of_a_charge_names_it_and_the_receipt(
        self, provider: SandboxProvider, sandbox: SandboxProcess, receiver: Receiver
    ) -> None:
        order = new_charge()
        await provider.charge(order)
        receipt = sandbox.pay(order.key, moods=[Mood.BLOCKED])
        sandbox.release(receipt["end_to_end_id"])
        sandbox.take_back(receipt["end_to_end_id"])

        assert eventually(lambda: len(receiver.about(order.key)) == 3)
        for webhook in receiver.about(order.key):
            expected = ChargeEvent(webhook.id, order.key, receipt["end_to_end_id"])
            assert expected == self.read(provider, webhook)

    async def test_of_a_refund_names_it_and_the_receipt(
        self, provider: SandboxProvider, sandbox: SandboxProcess, receiver: Receiver
    ) -> None:
        receipt = await paid(provider, sandbox)
        sandbox.set_moods(Mood.REJECTED, for_="refunds")
        rejected = new_refund(receipt["end_to_end_id"], amount_centavos=1)
        await provider.refund(rejected)
        sandbox.set_moods(Mood.WEBHOOK_OUT_OF_ORDER, for_="refunds")
        refunded = new_refund(receipt["end_to_end_id"], amount_centavos=2)
        await provider.refund(refunded)

        assert eventually(lambda: receiver.types(rejected.key) == ["refund.rejected"])
        assert eventually(lambda: receiver.types(refunded.key) == ["refund.refunded", "refund.processing"])
        for order in (rejected, refunded):
            for webhook in receiver.about(order.key):
                expected = RefundEvent(webhook.id, order.key, receipt["end_to_end_id"])
                assert expected == self.read(provider, webhook)

    @pytest.mark.parametrize("outcome", ["won", "lost"])
    async def test_of_a_dispute_names_it_and_the_receipt(
        self, provider: SandboxProvider, sandbox: SandboxProcess, receiver: Receiver, outcome: str
    ) -> None:
        receipt = await paid(provider, sandbox)
        dispute = sandbox.dispute(receipt["end_to_end_id"])
        sandbox.decide(dispute["id"], outcome)

        assert eventually(lambda: set(receiver.types(dispute["id"])) == {"dispute.opened", f"dispute.{outcome}"})
        for webhook in receiver.about(dispute["id"]):
            expected = DisputeEvent(webhook.id, dispute["id"], receipt["end_to_end_id"])
            assert expected == self.read(provider, webhook)

    @pytest.mark.parametrize("mood", [Mood.WEBHOOK_FORGED, Mood.WEBHOOK_STALE])
    async def test_in_a_bad_mood_is_refused(
        self, provider: SandboxProvider, sandbox: SandboxProcess, receiver: Receiver, mood: Mood
    ) -> None:
        order = new_charge()
        await provider.charge(order)
        sandbox.pay(order.key, moods=[mood])
        assert eventually(lambda: receiver.about(order.key))

        with pytest.raises(WebhookRejected):
            self.read(provider, receiver.about(order.key)[0])

    @pytest.mark.parametrize(
        ("body", "events"),
        [
            (b'{"type":"charge.renamed","data":{"key":"abc"}}', []),
            (b'{"type":"account.closed","data":[]}', []),
            (b'{"type":"charge.paid","data":{"key":"abc"}}', [ChargeEvent("msg_1", "abc")]),
            (b'{"type":"refund.refunded","data":{"key":"abc","new":1.5}}', [RefundEvent("msg_1", "abc")]),
            (b'{"type":"dispute.opened","data":{"id":"dp_1"}}', [DisputeEvent("msg_1", "dp_1")]),
        ],
    )
    async def test_of_what_we_do_not_use_is_left_out(
        self, connect: Callable[..., SandboxProvider], body: bytes, events: list[WebhookEvent]
    ) -> None:
        secret, now = new_webhook_secret(), datetime.now(UTC)
        provider = connect("http://127.0.0.1:1", webhook_secrets=[secret])

        assert events == provider.verify_webhook(_signed(secret, body, now), body, now=now)

    @pytest.mark.parametrize(
        "body",
        [
            b'{"type":"charge.paid","data":{}}',
            b'{"type":"charge.paid","data":{"key":null}}',
            b'{"type":"charge.paid","data":{"key":"abc","end_to_end_id":1}}',
            b'{"type":"refund.refunded","data":{"id":"abc"}}',
            b'{"type":"dispute.opened","data":{"key":"abc"}}',
            b'{"type":"dispute.opened"}',
            b'{"type":["dispute.opened"]}',
        ],
    )
    async def test_that_names_nothing_is_refused(self, connect: Callable[..., SandboxProvider], body: bytes) -> None:
        secret, now = new_webhook_secret(), datetime.now(UTC)
        provider = connect("http://127.0.0.1:1", webhook_secrets=[secret])

        with pytest.raises(WebhookRejected, match="not an event"):
            provider.verify_webhook(_signed(secret, body, now), body, now=now)


def _signed(secret: str, body: bytes, now: datetime) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body.decode()),
    }
