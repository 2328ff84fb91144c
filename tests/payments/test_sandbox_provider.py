"""The adapter against the real sandbox process, and against a server that answers nonsense."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from standardwebhooks import Webhook

from models.errors import (
    OperationKeyReused,
    PayoutRefused,
    PayoutUnknown,
    ProviderBalanceTooLow,
    ProviderLimitReached,
    WebhookRejected,
)
from payments.protocol import PayoutReport, PayoutState, PixProvider
from payments.sandbox.moods import Mood
from payments.sandbox_provider import SandboxProvider
from tests.payments.orders import new_order
from tests.payments.receiver import Receiver
from tests.sandbox_process import SandboxProcess, eventually, free_port, new_webhook_secret

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET, OTHER_SECRET = new_webhook_secret(), new_webhook_secret()
BODY = b'{"type":"payout.paid","timestamp":"2026-11-21T12:00:00+00:00","data":{"key":"abc123"}}'


async def settled(provider: PixProvider, key: str) -> PayoutReport:
    async with asyncio.timeout(10):
        while (report := await provider.find_payout(key)).state is PayoutState.PROCESSING:
            await asyncio.sleep(0.02)
    return report


class TestPayout:
    async def test_reports_what_the_bank_took_and_later_paid(self, provider: PixProvider) -> None:
        order = new_order()

        sent = await provider.payout(order)
        paid = await settled(provider, order.key)

        assert (sent.state, sent.amount_centavos) == (PayoutState.PROCESSING, 1_050)
        assert (paid.state, paid.amount_centavos) == (PayoutState.PAID, 1_050)
        assert paid.provider_id == sent.provider_id
        assert len(paid.end_to_end_id or "") == 32

    async def test_sent_twice_is_one(self, provider: PixProvider, sandbox: SandboxProcess) -> None:
        order = new_order()

        reports = await asyncio.gather(*(provider.payout(order) for _ in range(5)))

        assert len({report.provider_id for report in reports}) == 1

    async def test_rejected_later_is_a_report(self, provider: PixProvider) -> None:
        order = new_order("rejected")

        await provider.payout(order)

        report = await settled(provider, order.key)
        assert (report.state, report.reason) == (PayoutState.REJECTED, "AC03")
        assert (await provider.payout(order)).state is PayoutState.REJECTED

    async def test_refused_at_once_carries_the_reason_and_is_found_as_rejected(self, provider: PixProvider) -> None:
        order = new_order("refused")

        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(order)

        assert refusal.value.reason == "BE01"
        assert (await provider.find_payout(order.key)).state is PayoutState.REJECTED

    async def test_returned_is_a_report(self, provider: PixProvider, sandbox: SandboxProcess) -> None:
        order = new_order()
        await provider.payout(order)
        await settled(provider, order.key)

        sandbox.send_back(order.key)

        report = await provider.find_payout(order.key)
        assert (report.state, report.reason) == (PayoutState.RETURNED, "MD06")

    @pytest.mark.parametrize(
        "mood", ["timeout_after_accepting", "error_504_after_accepting", "drop_connection_after_accepting"]
    )
    async def test_is_unknown_after_a_lost_answer_and_found_by_key(self, provider: PixProvider, mood: str) -> None:
        order = new_order(mood)

        with pytest.raises(PayoutUnknown):
            await provider.payout(order)

        assert (await settled(provider, order.key)).state is PayoutState.PAID

    async def test_is_unknown_after_a_500_and_passes_when_sent_again(self, provider: PixProvider) -> None:
        order = new_order("error_500_before_accepting")

        with pytest.raises(PayoutUnknown):
            await provider.payout(order)
        found = await provider.find_payout(order.key)
        again = await provider.payout(order)

        assert found == PayoutReport(PayoutState.NOT_FOUND)
        assert again.state is PayoutState.PROCESSING

    async def test_without_balance_there_is_unknown_never_refused(self, provider: PixProvider) -> None:
        order = new_order("no_balance")

        with pytest.raises(ProviderBalanceTooLow) as error:
            await provider.payout(order)

        assert isinstance(error.value, PayoutUnknown)
        assert error.value.retryable
        assert (await provider.payout(order)).state is PayoutState.PROCESSING

    async def test_beyond_a_limit_is_unknown_and_passes_when_sent_again(self, provider: PixProvider) -> None:
        order = new_order("limit_reached")

        with pytest.raises(ProviderLimitReached) as error:
            await provider.payout(order)

        assert isinstance(error.value, PayoutUnknown)
        assert (await provider.find_payout(order.key)).state is PayoutState.NOT_FOUND
        assert (await provider.payout(order)).state is PayoutState.PROCESSING

    async def test_with_another_content_under_the_key_breaks_our_law(self, provider: PixProvider) -> None:
        order = new_order()
        await provider.payout(order)

        with pytest.raises(OperationKeyReused):
            await provider.payout(new_order(key=order.key, amount_centavos=1_051))

    async def test_malformed_and_never_sent_is_refused(self, provider: PixProvider) -> None:
        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(new_order(holder_tax_id="not one"))

        assert refusal.value.reason == "invalid_request"

    async def test_malformed_after_a_good_one_is_the_good_one(self, provider: PixProvider) -> None:
        order = new_order()
        await provider.payout(order)

        report = await provider.payout(new_order(key=order.key, holder_tax_id="not one"))

        assert report.state in {PayoutState.PROCESSING, PayoutState.PAID}

    async def test_is_unknown_while_the_bank_is_dark_or_gone(
        self, own_sandbox: Callable[..., SandboxProcess]
    ) -> None:
        bank = own_sandbox()
        provider = bank.provider()
        order = new_order()
        bank.set_moods(Mood.DARK)

        for _ in range(2):
            with pytest.raises(PayoutUnknown):
                await provider.payout(order)
            with pytest.raises(PayoutUnknown):
                await provider.find_payout(order.key)
            bank.kill()

        await provider.close()

    async def test_is_unknown_with_a_wrong_api_key(
        self, sandbox: SandboxProcess, connect: Callable[..., SandboxProvider]
    ) -> None:
        with pytest.raises(PayoutUnknown):
            await connect(sandbox.url).payout(new_order())

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, b""),
            (200, b"<html>login</html>"),
            (200, b'{"key":"abc"}'),
            (
                201,
                b'{"key":"x","id":"1","state":"paid","amount_centavos":"1","end_to_end_id":null,"reason":null}',
            ),
            (204, b""),
            (302, b""),
            (400, b'{"code":"payout_refused","reason":"AC03"}'),
            (404, b"not here"),
            (409, b"{}"),
            (422, b"{}"),
            (422, b'{"code":null}'),
            (422, b'["payout_refused"]'),
            (429, b'{"code":"slow_down"}'),
            (502, b"bad gateway"),
        ],
    )
    async def test_never_reads_more_into_an_answer_than_it_says(
        self,
        answering: Callable[..., str],
        connect: Callable[..., SandboxProvider],
        status: int,
        body: bytes,
    ) -> None:
        provider = connect(answering(status, body))

        with pytest.raises(PayoutUnknown) as sent:
            await provider.payout(new_order())
        with pytest.raises(PayoutUnknown) as asked:
            await provider.find_payout("abc")

        assert type(sent.value) is type(asked.value) is PayoutUnknown

    @pytest.mark.parametrize("state", ["confirmed", "PAID", ""])
    async def test_with_a_state_never_heard_of_is_unknown(
        self, answering: Callable[..., str], connect: Callable[..., SandboxProvider], state: str
    ) -> None:
        body = f'{{"key":"abc","id":"1","state":"{state}","amount_centavos":"1","end_to_end_id":null,"reason":null}}'

        with pytest.raises(PayoutUnknown):
            await connect(answering(200, body.encode())).find_payout("abc")

    async def test_waits_no_longer_than_the_timeout_for_an_answer_that_drips(
        self, answering: Callable[..., str], connect: Callable[..., SandboxProvider]
    ) -> None:
        provider = connect(answering(200, b"x" * 20, seconds_per_byte=0.1), timeout_seconds=0.4)
        started = time.monotonic()

        with pytest.raises(PayoutUnknown):
            await provider.payout(new_order())

        assert time.monotonic() - started < 1.2

    async def test_is_unknown_when_nobody_listens(self, connect: Callable[..., SandboxProvider]) -> None:
        with pytest.raises(PayoutUnknown):
            await connect(f"http://127.0.0.1:{free_port()}").payout(new_order())

    @pytest.mark.parametrize("mood", ["refused", "error_504_after_accepting", "no_balance"])
    async def test_names_no_personal_data_in_errors_and_logs(
        self, provider: PixProvider, caplog: pytest.LogCaptureFixture, mood: str
    ) -> None:
        caplog.set_level(logging.DEBUG)
        order = new_order(mood)

        with pytest.raises((PayoutRefused, PayoutUnknown)) as error:
            await provider.payout(order)

        told = f"{error.value!r} {error.value.__cause__!r} {order!r} {provider!r} {caplog.text}"
        secrets = ("ana+", "Ana Silva", "52998224725", "OTC sell", "Bearer")
        assert not [value for value in secrets if value in told]


class TestFindPayout:
    async def test_of_a_key_never_sent_is_not_found(self, provider: PixProvider) -> None:
        assert await provider.find_payout("0" * 32) == PayoutReport(PayoutState.NOT_FOUND)

    @pytest.mark.parametrize("body", [b'{"detail":"Not Found"}', b"", b'{"code":"route_not_found"}'])
    async def test_of_a_404_without_the_banks_own_word_is_unknown(
        self, answering: Callable[..., str], connect: Callable[..., SandboxProvider], body: bytes
    ) -> None:
        with pytest.raises(PayoutUnknown):
            await connect(answering(404, body)).find_payout("abc")

    @pytest.mark.parametrize("more", ["?limit=1", "#1", "%3F", " "])
    async def test_of_a_key_with_more_behind_it_is_not_that_key(self, provider: PixProvider, more: str) -> None:
        order = new_order()
        await provider.payout(order)

        assert (await provider.find_payout(order.key + more)).state is PayoutState.NOT_FOUND


class TestBooks:
    async def test_balance_and_statement_are_the_banks(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        provider = bank.provider()
        order = new_order()
        await provider.payout(order)
        paid = await settled(provider, order.key)
        bank.send_back(order.key)

        out, back = await provider.statement(datetime.now(ZoneInfo("America/Sao_Paulo")).date())

        assert (out.key, out.amount_centavos, out.end_to_end_id) == (order.key, -1_050, paid.end_to_end_id)
        assert (back.key, back.amount_centavos) == (order.key, 1_050)
        assert abs(datetime.now(UTC) - out.time) < timedelta(minutes=1)
        assert await provider.balance() == bank.balance_centavos() == 1_000_000_000
        await provider.close()

    async def test_balance_leaves_out_what_is_promised(self, own_sandbox: Callable[..., SandboxProcess]) -> None:
        bank = own_sandbox()
        provider = bank.provider()

        await provider.payout(new_order("slow"))

        assert await provider.balance() == 1_000_000_000 - 1_050
        await provider.close()


def signed(
    body: bytes = BODY, *, secret: str = SECRET, at: datetime = NOW, event_id: str = "msg_1"
) -> dict[str, str]:
    """Headers as the library of the standard makes them."""
    return {
        "Webhook-Id": event_id,
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": Webhook(secret).sign(event_id, at, body.decode()),
    }


class TestVerifyWebhook:
    @pytest.fixture
    def verifier(self, connect: Callable[..., SandboxProvider]) -> SandboxProvider:
        return connect("http://127.0.0.1:1", webhook_secrets=[SECRET])

    async def test_reads_the_event(self, verifier: SandboxProvider) -> None:
        (event,) = verifier.verify_webhook(signed(), BODY, now=NOW)

        assert (event.event_id, event.key, event.state) == ("msg_1", "abc123", PayoutState.PAID)

    @pytest.mark.parametrize("state", ["processing", "paid", "rejected", "returned"])
    async def test_reads_every_state(self, verifier: SandboxProvider, state: str) -> None:
        body = BODY.replace(b"paid", state.encode())

        (event,) = verifier.verify_webhook(signed(body), body, now=NOW)

        assert event.state == state

    async def test_leaves_out_a_type_never_heard_of(self, verifier: SandboxProvider) -> None:
        body = BODY.replace(b"payout.paid", b"account.closed")

        assert verifier.verify_webhook(signed(body), body, now=NOW) == []

    async def test_passes_what_the_real_bank_sends(
        self, provider: PixProvider, sandbox: SandboxProcess, receiver: Receiver
    ) -> None:
        order = new_order("webhook_before_response")
        await provider.payout(order)
        (webhook,) = receiver.about(order.key)

        (event,) = provider.verify_webhook(webhook.headers, webhook.body, now=datetime.now(UTC))

        assert (event.key, event.state, event.event_id) == (order.key, PayoutState.PAID, webhook.id)

    @pytest.mark.parametrize("mood", ["webhook_forged", "webhook_stale"])
    async def test_refuses_what_the_real_bank_sends_in_a_bad_mood(
        self, provider: PixProvider, receiver: Receiver, mood: str
    ) -> None:
        order = new_order(mood)
        await provider.payout(order)
        assert eventually(lambda: receiver.about(order.key))
        (webhook,) = receiver.about(order.key)

        with pytest.raises(WebhookRejected):
            provider.verify_webhook(webhook.headers, webhook.body, now=datetime.now(UTC))

    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    async def test_allows_five_minutes_either_way(self, verifier: SandboxProvider, seconds: int) -> None:
        headers = signed(at=NOW + timedelta(seconds=seconds))

        assert len(verifier.verify_webhook(headers, BODY, now=NOW)) == 1

    @pytest.mark.parametrize("seconds", [-3600, -301, 301, 3600])
    async def test_refuses_the_stale_and_the_future(self, verifier: SandboxProvider, seconds: int) -> None:
        headers = signed(at=NOW + timedelta(seconds=seconds))

        with pytest.raises(WebhookRejected, match="five minutes"):
            verifier.verify_webhook(headers, BODY, now=NOW)

    async def test_refuses_another_secret(self, verifier: SandboxProvider) -> None:
        with pytest.raises(WebhookRejected, match="no signature"):
            verifier.verify_webhook(signed(secret=OTHER_SECRET), BODY, now=NOW)

    @pytest.mark.parametrize("position", range(0, len(BODY), 7))
    async def test_refuses_a_body_changed_by_one_bit(self, verifier: SandboxProvider, position: int) -> None:
        changed = bytearray(BODY)
        changed[position] ^= 1

        with pytest.raises(WebhookRejected, match="no signature"):
            verifier.verify_webhook(signed(), bytes(changed), now=NOW)

    @pytest.mark.parametrize("header", ["Webhook-Id", "Webhook-Timestamp"])
    async def test_refuses_a_changed_id_or_time(self, verifier: SandboxProvider, header: str) -> None:
        headers = signed()
        headers[header] = headers[header][:-1] + "7"

        with pytest.raises(WebhookRejected, match="no signature"):
            verifier.verify_webhook(headers, BODY, now=NOW)

    @pytest.mark.parametrize("header", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
    @pytest.mark.parametrize(
        "garbage", [None, "", "garbage", "v1,", ",,,", "v1,ÿ\x00", "\ud800", "-1", "1e9", "٣", "9" * 400]
    )
    async def test_refuses_garbage_in_any_header(
        self, verifier: SandboxProvider, header: str, garbage: str | None
    ) -> None:
        headers = signed()
        if garbage is None:
            del headers[header]
        else:
            headers[header] = garbage

        with pytest.raises(WebhookRejected):
            verifier.verify_webhook(headers, BODY, now=NOW)

    @pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"type":"payout.paid","data":{}}', b"[" * 10_000])
    async def test_refuses_a_signed_body_that_is_no_event(self, verifier: SandboxProvider, body: bytes) -> None:
        with pytest.raises(WebhookRejected, match="not an event"):
            verifier.verify_webhook(signed(body), body, now=NOW)

    async def test_accepts_either_secret_while_one_is_replaced(self, connect: Callable[..., SandboxProvider]) -> None:
        verifier = connect("http://127.0.0.1:1", webhook_secrets=[OTHER_SECRET, SECRET])

        for secret in (SECRET, OTHER_SECRET):
            assert len(verifier.verify_webhook(signed(secret=secret), BODY, now=NOW)) == 1

    async def test_accepts_one_good_signature_among_several(self, verifier: SandboxProvider) -> None:
        headers = signed()
        headers["Webhook-Signature"] = (
            f"v1a,abc {signed(secret=OTHER_SECRET)['Webhook-Signature']} {headers['Webhook-Signature']}"
        )

        assert len(verifier.verify_webhook(headers, BODY, now=NOW)) == 1

    async def test_accepts_nothing_without_a_secret(self, connect: Callable[..., SandboxProvider]) -> None:
        with pytest.raises(WebhookRejected):
            connect("http://127.0.0.1:1").verify_webhook(signed(), BODY, now=NOW)

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64!"])
    def test_needs_secrets_worth_the_name(self, secret: str) -> None:
        with pytest.raises(ValueError):
            SandboxProvider("http://127.0.0.1:1", webhook_secrets=[secret])
