"""The adapter to a "BRL Code" gateway against its double, and against answers that say nothing."""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from models.errors import PayoutUnknown, WebhookRejected
from payments.brl_code import BrlCodeProvider
from payments.protocol import PayoutEvent, PayoutReport, PayoutState, PixPing, PixProvider
from tests.payments.brl_code_double import API_KEY, SECRET, WEBHOOK_URL, Fault, Gateway, sign
from tests.payments.orders import new_order
from tests.sandbox_process import free_port

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OTHER_SECRET = "another-secret-of-the-same-gateway"
TIMEOUT, LONG_TIMEOUT = 0.5, 10.0
KEY = "0123456789abcdef0123456789abcdef"
EVENT: dict[str, Any] = {
    "event": "payment.confirmed",
    "payment_id": "pay_1",
    "external_id": KEY,
    "amount": 10.5,
    "status": "confirmed",
    "timestamp": "2026-11-21T11:59:00Z",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture(autouse=True)
def gateway(server: Gateway) -> Iterator[Gateway]:
    server.reset()
    yield server
    assert server.violations == []


@pytest.fixture(scope="module")
async def connect(server: Gateway) -> AsyncIterator[Callable[..., BrlCodeProvider]]:
    """Make adapters to the double; they are closed at the end."""
    made: list[BrlCodeProvider] = []

    def make(url: str = "", **options: Any) -> BrlCodeProvider:
        given = {"api_key": API_KEY, "webhook_url": WEBHOOK_URL, "timeout_seconds": LONG_TIMEOUT}
        made.append(BrlCodeProvider(url or server.url, **{**given, **options}))
        return made[-1]

    yield make
    for provider in made:
        await provider.close()


@pytest.fixture(scope="module")
async def provider(connect: Callable[..., BrlCodeProvider]) -> BrlCodeProvider:
    return connect()


@pytest.fixture(scope="module")
async def hasty(connect: Callable[..., BrlCodeProvider]) -> BrlCodeProvider:
    """Gives up soon: for calls that are going to hang."""
    return connect(timeout_seconds=TIMEOUT)


@pytest.fixture
async def verifier(connect: Callable[..., BrlCodeProvider]) -> BrlCodeProvider:
    """What the API has: secrets, and nothing else."""
    return connect(webhook_secrets=[OTHER_SECRET, SECRET])


class TestPayout:
    def test_is_what_a_provider_offers(self, provider: BrlCodeProvider) -> None:
        pays: PixProvider = provider

        assert "brl_code" == pays.name
        assert isinstance(provider, PixPing)

    async def test_is_created_under_our_key_and_named_by_the_gateway(
        self, provider: BrlCodeProvider, gateway: Gateway
    ) -> None:
        order = new_order()

        report = await provider.payout(order)

        payment = gateway.payment_of(order.key)
        assert PayoutReport(PayoutState.PROCESSING, provider_id=payment["payment_id"]) == report
        assert {order.key: 1} == gateway.times_paid

    @pytest.mark.parametrize(
        ("centavos", "written"),
        [(1, b"0.01"), (10, b"0.10"), (13_000, b"130.00"), (29, b"0.29"), (99_999_999_999_999, b"999999999999.99")],
    )
    async def test_has_an_amount_written_digit_by_digit(
        self, provider: BrlCodeProvider, gateway: Gateway, centavos: int, written: bytes
    ) -> None:
        order = new_order(amount_centavos=centavos)

        await provider.payout(order)

        assert written == gateway.amounts[order.key]

    @pytest.mark.parametrize("fault", [each for each in Fault if "hang" not in each])
    async def test_is_unknown_when_the_answer_is_lost(
        self, provider: BrlCodeProvider, gateway: Gateway, fault: Fault
    ) -> None:
        order = new_order()
        gateway.fail("create", fault)

        with pytest.raises(PayoutUnknown):
            await provider.payout(order)

        assert (0 if fault.endswith("before") else 1) == gateway.times_paid[order.key]

    @pytest.mark.parametrize("fault", [Fault.HANG_BEFORE, Fault.HANG_AFTER])
    async def test_is_unknown_when_the_answer_is_late(
        self, hasty: BrlCodeProvider, gateway: Gateway, fault: Fault
    ) -> None:
        gateway.fail("create", fault)

        async with asyncio.timeout(TIMEOUT * 4):
            with pytest.raises(PayoutUnknown):
                await hasty.payout(new_order())

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503])
    async def test_is_never_refused_on_an_error_that_nobody_documents(
        self, provider: BrlCodeProvider, gateway: Gateway, status: int
    ) -> None:
        gateway.says["create"] = (status, b'{"error": "invalid pix_key", "status": "failed"}')

        with pytest.raises(PayoutUnknown):
            await provider.payout(new_order())

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b'"pay_1"',
            b'{"status": "confirmed"}',
            b'{"payment_id": "", "status": "confirmed"}',
            b'{"payment_id": "pay_1"}',
            b'{"payment_id": true, "status": "confirmed"}',
            b'{"payment_id": "pay_1", "status": "confirmed", "amount": NaN}',
            b'{"payment_id": "' + b"x" * 101 + b'", "status": "confirmed"}',
            b'{"payment_id": "pay_1", "status": "confirmed", "external_id": "somebody else"}',
            b"[" * 20_000,
        ],
        ids=range(11),
    )
    async def test_is_unknown_when_the_answer_is_no_payment_of_ours(
        self, provider: BrlCodeProvider, gateway: Gateway, body: bytes
    ) -> None:
        gateway.says["create"] = (200, body)

        with pytest.raises(PayoutUnknown):
            await provider.payout(new_order())

    async def test_said_to_be_paid_at_once_is_paid_only_when_the_amount_is_said_too(
        self, provider: BrlCodeProvider, gateway: Gateway
    ) -> None:
        gateway.says["create"] = (200, b'{"payment_id": 7, "status": "confirmed"}')
        bare = await provider.payout(new_order())
        gateway.says["create"] = (200, b'{"payment_id": 7, "status": "confirmed", "amount": "10.50"}')

        whole = await provider.payout(new_order())

        assert PayoutReport(PayoutState.PROCESSING, provider_id="7") == bare
        assert PayoutReport(PayoutState.PAID, 1_050, "7") == whole


class TestFindPayout:
    async def test_without_the_gateways_id_is_unknown_and_asks_nobody(
        self, provider: BrlCodeProvider, gateway: Gateway
    ) -> None:
        order = new_order()
        await provider.payout(order)

        with pytest.raises(PayoutUnknown):
            await provider.find_payout(order.key)

        assert ["create"] == gateway.calls

    @pytest.mark.parametrize(
        ("status", "state", "reason"),
        [
            ("pending", PayoutState.PROCESSING, None),
            ("sent", PayoutState.PROCESSING, None),
            ("confirmed", PayoutState.PAID, None),
            ("CONFIRMED", PayoutState.PAID, None),
            ("failed", PayoutState.REJECTED, "failed"),
            ("cancelled", PayoutState.PROCESSING, None),
            ("completed", PayoutState.PROCESSING, None),
            ("never heard of", PayoutState.PROCESSING, None),
        ],
    )
    async def test_reads_the_four_words_it_knows(
        self, provider: BrlCodeProvider, gateway: Gateway, status: str, state: PayoutState, reason: str | None
    ) -> None:
        order = new_order()
        sent = await provider.payout(order)
        gateway.settle(order.key, status)

        report = await provider.find_payout(order.key, sent.provider_id)

        assert PayoutReport(state, 1_050, sent.provider_id, None, reason) == report

    @pytest.mark.parametrize(
        ("amount", "centavos"),
        [(b"10.5", 1_050), (b'"10.50"', 1_050), (b"10", 1_000), (b"0.29", 29), (b"4.350", 435)],
    )
    async def test_reads_amounts_exactly(
        self, provider: BrlCodeProvider, gateway: Gateway, amount: bytes, centavos: int
    ) -> None:
        gateway.says["find"] = (200, b'{"payment_id": "pay_1", "status": "confirmed", "amount": ' + amount + b"}")

        assert centavos == (await provider.find_payout(KEY, "pay_1")).amount_centavos

    @pytest.mark.parametrize(
        "amount",
        [b"10.505", b"-1.00", b"1e2", b"1e99999999", b"true", b"null", b'"R$ 10,50"', b"[]", b"NaN", b"Infinity"],
        ids=lambda text: text.decode(),
    )
    async def test_is_unknown_when_the_amount_is_not_readable(
        self, provider: BrlCodeProvider, gateway: Gateway, amount: bytes
    ) -> None:
        gateway.says["find"] = (200, b'{"payment_id": "pay_1", "status": "confirmed", "amount": ' + amount + b"}")

        with pytest.raises(PayoutUnknown):
            await provider.find_payout(KEY, "pay_1")

    @pytest.mark.parametrize(
        "view", [{"payment_id": "pay_other"}, {"external_id": "other"}, {"amount": None}, {"status": None}], ids=str
    )
    async def test_is_unknown_when_it_is_about_another_or_not_whole(
        self, provider: BrlCodeProvider, gateway: Gateway, view: dict[str, Any]
    ) -> None:
        order = new_order()
        sent = await provider.payout(order)
        gateway.view = view

        with pytest.raises(PayoutUnknown):
            await provider.find_payout(order.key, sent.provider_id)

    async def test_never_says_that_there_is_none(self, provider: BrlCodeProvider) -> None:
        """404 to an id that the gateway gave us is a fault of its own, and no reason to pay again."""
        with pytest.raises(PayoutUnknown):
            await provider.find_payout(KEY, "pay_gone")

    @pytest.mark.parametrize("provider_id", ["../create", "a/b", "a?b=c", "a b", "ключ"])
    async def test_asks_for_one_payment_whatever_its_id_holds(
        self, provider: BrlCodeProvider, gateway: Gateway, provider_id: str
    ) -> None:
        with pytest.raises(PayoutUnknown):
            await provider.find_payout(KEY, provider_id)

        assert set(gateway.calls) <= {"find"}

    @pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.DROP_BEFORE, Fault.GARBAGE_AFTER])
    async def test_is_unknown_when_the_gateway_does_not_answer(
        self, provider: BrlCodeProvider, gateway: Gateway, fault: Fault
    ) -> None:
        order = new_order()
        sent = await provider.payout(order)
        gateway.fail("find", fault)

        with pytest.raises(PayoutUnknown):
            await provider.find_payout(order.key, sent.provider_id)


class TestBooks:
    async def test_are_not_told(self, provider: BrlCodeProvider) -> None:
        with pytest.raises(PayoutUnknown):
            await provider.balance()
        with pytest.raises(PayoutUnknown):
            await provider.statement(date(2026, 11, 21))

    async def test_ping_is_content_with_any_answer_that_knows_us(self, provider: BrlCodeProvider) -> None:
        await provider.ping()

    async def test_ping_fails_at_a_wrong_key_a_fault_and_a_closed_door(
        self, connect: Callable[..., BrlCodeProvider], provider: BrlCodeProvider, gateway: Gateway
    ) -> None:
        gateway.fail("find", Fault.ERROR_BEFORE)

        for each in (provider, connect(api_key="wrong"), connect(f"http://127.0.0.1:{free_port()}")):
            with pytest.raises(PayoutUnknown):
                await each.ping()


class TestWebhook:
    @pytest.mark.parametrize(
        ("event", "state"),
        [
            ("payment.pending", PayoutState.PROCESSING),
            ("payment.sent", PayoutState.PROCESSING),
            ("payment.confirmed", PayoutState.PAID),
            ("payment.failed", PayoutState.REJECTED),
            ("payment.never_heard_of", PayoutState.PROCESSING),
        ],
    )
    async def test_tells_the_state_and_the_gateways_id(
        self, verifier: BrlCodeProvider, event: str, state: PayoutState
    ) -> None:
        body, signature = sign(EVENT | {"event": event})

        [told] = verifier.verify_webhook({"X-BRL-Code-Signature": signature}, body, now=NOW)

        assert PayoutEvent(f"pay_1:{event}:confirmed:{KEY}", KEY, state, "pay_1") == told

    async def test_of_another_kind_is_left_out(self, verifier: BrlCodeProvider) -> None:
        body, signature = sign(EVENT | {"event": "account.updated"})

        assert [] == verifier.verify_webhook({"x-brl-code-signature": signature}, body, now=NOW)

    @pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
    async def test_is_believed_under_every_valid_secret(self, verifier: BrlCodeProvider, secret: str) -> None:
        body, signature = sign(EVENT, secret)

        assert verifier.verify_webhook({"x-brl-code-signature": signature.upper()}, body, now=NOW)

    async def test_is_refused_when_forged(self, verifier: BrlCodeProvider, provider: BrlCodeProvider) -> None:
        body, signature = sign(EVENT)
        forged = [
            (verifier, body.replace(b"10.5", b"99.5"), signature),
            (verifier, body, sign(EVENT, "a-secret-that-is-not-ours-at-all")[1]),
            (verifier, body, signature[:-1]),
            (verifier, body, "ключ"),
            (verifier, body, ""),
            (provider, body, signature),
        ]

        for one, raw, claimed in forged:
            with pytest.raises(WebhookRejected):
                one.verify_webhook({"x-brl-code-signature": claimed}, raw, now=NOW)
        with pytest.raises(WebhookRejected):
            verifier.verify_webhook({}, body, now=NOW)

    @pytest.mark.parametrize(
        "stamp",
        [
            (NOW - timedelta(hours=23)).isoformat(),
            (NOW + timedelta(minutes=4)).isoformat(),
            NOW.timestamp(),
            int(NOW.timestamp()),
            "2026-11-21T09:00:00",
            None,
        ],
        ids=str,
    )
    async def test_is_believed_within_a_day_or_without_a_time(self, verifier: BrlCodeProvider, stamp: Any) -> None:
        body, signature = sign({name: value for name, value in (EVENT | {"timestamp": stamp}).items() if value})

        assert verifier.verify_webhook({"x-brl-code-signature": signature}, body, now=NOW)

    @pytest.mark.parametrize(
        "stamp",
        [
            (NOW - timedelta(hours=25)).isoformat(),
            (NOW + timedelta(minutes=6)).isoformat(),
            0,
            10**13,
            "soon",
            "",
            {},
        ],
        ids=str,
    )
    async def test_is_refused_when_stale_or_timed_by_nonsense(self, verifier: BrlCodeProvider, stamp: Any) -> None:
        body, signature = sign(EVENT | {"timestamp": stamp})

        with pytest.raises(WebhookRejected):
            verifier.verify_webhook({"x-brl-code-signature": signature}, body, now=NOW)

    @pytest.mark.parametrize("missing", ["event", "payment_id", "external_id"])
    async def test_is_refused_when_it_names_no_payment(self, verifier: BrlCodeProvider, missing: str) -> None:
        body, signature = sign({name: value for name, value in EVENT.items() if name != missing})

        with pytest.raises(WebhookRejected):
            verifier.verify_webhook({"x-brl-code-signature": signature}, body, now=NOW)

    @pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"event": 1}', b"[" * 20_000], ids=range(5))
    async def test_is_refused_when_it_is_no_event(self, verifier: BrlCodeProvider, body: bytes) -> None:
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()

        with pytest.raises(WebhookRejected):
            verifier.verify_webhook({"x-brl-code-signature": signature}, body, now=NOW)

    async def test_repeated_is_the_same_event_and_a_later_one_another(self, verifier: BrlCodeProvider) -> None:
        ids = []
        for changes in ({}, {"timestamp": "2026-11-21T11:00:00Z"}, {"status": "failed", "event": "payment.failed"}):
            body, signature = sign(EVENT | changes)
            ids += [
                event.event_id
                for event in verifier.verify_webhook({"x-brl-code-signature": signature}, body, now=NOW)
            ]

        assert ids[0] == ids[1]
        assert ids[0] != ids[2]

    async def test_of_a_numbered_payment_names_it_in_text(self, verifier: BrlCodeProvider) -> None:
        body, signature = sign(EVENT | {"payment_id": 42})

        [told] = verifier.verify_webhook({"x-brl-code-signature": signature}, body, now=NOW)

        assert isinstance(told, PayoutEvent)
        assert "42" == told.provider_id

    def test_secrets_that_are_too_short_are_refused(self) -> None:
        with pytest.raises(ValueError, match="24 characters"):
            BrlCodeProvider(webhook_secrets=["short"])


class TestPrivacy:
    async def test_neither_logs_nor_errors_show_secrets_keys_or_people(
        self,
        connect: Callable[..., BrlCodeProvider],
        gateway: Gateway,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        provider = connect(webhook_secrets=[SECRET])
        order = new_order()
        gateway.says["create"] = (422, json.dumps({"error": order.pix_key, "tax_id": order.holder_tax_id}).encode())
        no_event, signature = sign({"event": order.pix_key})

        with pytest.raises(PayoutUnknown) as unknown:
            await provider.payout(order)
        with pytest.raises(WebhookRejected) as rejected:
            provider.verify_webhook({"x-brl-code-signature": signature}, no_event, now=NOW)

        said = caplog.text + repr(unknown.value) + repr(rejected.value) + repr(provider)
        for secret in (API_KEY, SECRET, order.pix_key, order.holder_tax_id, order.holder_name):
            assert secret not in said
