"""The adapter to Woovi against its double, and against answers that say nothing."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import (
    OperationKeyReused,
    PayoutRefused,
    PayoutUnknown,
    ProviderBalanceTooLow,
    WebhookRejected,
)
from payments.protocol import (
    ChargeOrder,
    ChargeReport,
    ChargeState,
    PayoutReport,
    PayoutState,
    PixCollector,
    PixKeyKind,
    RefundOrder,
    RefundReport,
    RefundState,
)
from payments.woovi import PRODUCTION_URL, PUBLISHED_KEY, SANDBOX_URL, WooviProvider
from payments.woovi.answers import agrees, plain_tax_id
from payments.woovi.client import parse_json
from tests.payments.orders import new_order
from tests.payments.woovi_double import APP_ID, Fault, Woovi
from tests.sandbox_process import free_port

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "woovi.json").read_text())
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET, OTHER_SECRET = "an-endpoint-secret-of-ours-1", "an-endpoint-secret-of-ours-2"
NOWHERE = "http://127.0.0.1:1"
TIMEOUT, LONG_TIMEOUT = 0.5, 10.0

BEFORE = [Fault.HANG_BEFORE, Fault.ERROR_BEFORE, Fault.DROP_BEFORE]
AFTER = [Fault.HANG_AFTER, Fault.ERROR_AFTER, Fault.DROP_AFTER, Fault.GARBAGE_AFTER]


@pytest.fixture(scope="module")
def server() -> Iterator[Woovi]:
    with Woovi() as running:
        yield running


@pytest.fixture(autouse=True)
def woovi(server: Woovi) -> Iterator[Woovi]:
    server.reset()
    yield server
    assert server.violations == []


@pytest.fixture(scope="module")
async def connect(server: Woovi) -> AsyncIterator[Callable[..., WooviProvider]]:
    """Make adapters to the double; they are closed at the end."""
    made: list[WooviProvider] = []

    def make(url: str = "", **options: Any) -> WooviProvider:
        made.append(
            WooviProvider(url or server.url, **{"app_id": APP_ID, "timeout_seconds": LONG_TIMEOUT, **options})
        )
        return made[-1]

    yield make
    for provider in made:
        await provider.close()


@pytest.fixture(scope="module")
async def provider(connect: Callable[..., WooviProvider]) -> WooviProvider:
    return connect()


@pytest.fixture(scope="module")
async def hasty(connect: Callable[..., WooviProvider]) -> WooviProvider:
    """Gives up soon: for calls that are going to hang."""
    return connect(timeout_seconds=TIMEOUT)


def problem(sentence: str, **more: str) -> bytes:
    return json.dumps({"error": sentence} | more, ensure_ascii=False).encode()


class TestPayout:
    @pytest.mark.parametrize(
        ("kind", "pix_key"),
        [
            (PixKeyKind.CPF, "52998224725"),
            (PixKeyKind.CNPJ, "12ABC34501DE35"),
            (PixKeyKind.PHONE, "+5511987654321"),
            (PixKeyKind.EMAIL, "ana@example.com"),
            (PixKeyKind.EVP, "c4249323-b4ca-43f2-8139-8232aab09b93"),
        ],
    )
    async def test_is_checked_created_and_approved(
        self, provider: WooviProvider, woovi: Woovi, kind: PixKeyKind, pix_key: str
    ) -> None:
        order = new_order(pix_key_kind=kind, pix_key=pix_key)

        report = await provider.payout(order)

        assert ["check", "create", "approve"] == woovi.calls
        assert (report.state, report.amount_centavos) == (PayoutState.PROCESSING, 1_050)
        assert report.end_to_end_id == woovi.payments[order.key].end_to_end_id
        assert woovi.payments[order.key].content.pixKeyEndToEndId
        assert woovi.times_paid == {order.key: 1}

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("APPROVED", PayoutState.PROCESSING),
            ("CONFIRMED", PayoutState.PAID),
            ("confirmed", PayoutState.PAID),
            ("FAILED", PayoutState.REJECTED),
            ("Denied", PayoutState.REJECTED),
            ("REJECTED", PayoutState.REJECTED),
            ("PENDING", PayoutState.PROCESSING),
            ("never heard of", PayoutState.PROCESSING),
        ],
    )
    async def test_has_the_state_that_the_provider_says(
        self, provider: WooviProvider, woovi: Woovi, status: str, state: PayoutState
    ) -> None:
        order = new_order()
        await provider.payout(order)

        woovi.settle(order.key, status)

        assert (await provider.find_payout(order.key)).state is state
        assert (await provider.payout(order)).state is state
        assert woovi.times_paid == {order.key: 1}

    @pytest.mark.parametrize(
        ("reason", "code", "ours"),
        [
            ("AC03 - Pagamento rejeitado pelo PSP do recebedor", "PAY_PIX_KEY_ERROR", "AC03"),
            ("BE01", None, "BE01"),
            ("AGNT - x", None, "AGNT"),
            ("Ana Silva 52998224725", "PIX_KEY_INFO_NOT_FOUND", "PIX_KEY_INFO_NOT_FOUND"),
            ("Nao deu certo", "um erro de Ana", "FAILED"),
            (None, None, "FAILED"),
        ],
    )
    async def test_rejected_has_the_code_and_no_sentence(
        self, provider: WooviProvider, woovi: Woovi, reason: str | None, code: str | None, ours: str
    ) -> None:
        order = new_order()
        await provider.payout(order)

        woovi.settle(order.key, "FAILED", reason=reason, code=code)

        report = await provider.find_payout(order.key)
        assert (report.state, report.reason) == (PayoutState.REJECTED, ours)

    @pytest.mark.parametrize("fault", [*BEFORE, *AFTER])
    @pytest.mark.parametrize("step", ["check", "create", "approve"])
    async def test_is_unknown_after_a_lost_answer_and_paid_once_when_sent_again(
        self, provider: WooviProvider, hasty: WooviProvider, woovi: Woovi, step: str, fault: Fault
    ) -> None:
        order = new_order()
        woovi.fail(step, fault)

        with pytest.raises(PayoutUnknown) as lost:
            await (hasty if "hang" in fault else provider).payout(order)
        found = await provider.find_payout(order.key)
        again = await provider.payout(order)

        assert type(lost.value) is PayoutUnknown
        was_approved = step == "approve" and fault in AFTER
        assert found.state is (PayoutState.PROCESSING if was_approved else PayoutState.NOT_FOUND)
        assert again.state is PayoutState.PROCESSING
        assert woovi.times_paid == {order.key: 1}

    @pytest.mark.parametrize("step", ["create", "approve"])
    async def test_survives_a_request_that_arrives_twice(
        self, provider: WooviProvider, woovi: Woovi, step: str
    ) -> None:
        order = new_order()
        woovi.fail(step, Fault.TWICE)

        report = await provider.payout(order)

        assert report.state is PayoutState.PROCESSING
        assert woovi.times_paid == {order.key: 1}

    async def test_of_one_key_sent_by_two_at_once_is_paid_once(self, provider: WooviProvider, woovi: Woovi) -> None:
        order = new_order()

        reports = await asyncio.gather(provider.payout(order), provider.payout(order))

        assert {report.state for report in reports} == {PayoutState.PROCESSING}
        assert woovi.times_paid == {order.key: 1}

    async def test_created_and_never_approved_counts_as_never_sent_and_is_resumed(
        self, provider: WooviProvider, woovi: Woovi
    ) -> None:
        order = new_order()
        woovi.fail("approve", Fault.ERROR_BEFORE)
        with pytest.raises(PayoutUnknown):
            await provider.payout(order)

        found = await provider.find_payout(order.key)

        assert woovi.payments[order.key].status == "CREATED"
        assert found == PayoutReport(PayoutState.NOT_FOUND)
        assert (await provider.payout(order)).state is PayoutState.PROCESSING

    @pytest.mark.parametrize(
        "sentence", [*VECTORS["balance_sentences"]["sentences"], "NOT_ENOUGH_BALANCE", "Saldo insuficiente."]
    )
    async def test_without_balance_waits_created_and_is_sent_again(
        self, provider: WooviProvider, woovi: Woovi, sentence: str
    ) -> None:
        order = new_order()
        woovi.says["approve"] = (400, problem(sentence))

        with pytest.raises(ProviderBalanceTooLow):
            await provider.payout(order)
        found = await provider.find_payout(order.key)
        woovi.says.clear()
        again = await provider.payout(order)

        assert found.state is PayoutState.NOT_FOUND
        assert again.state is PayoutState.PROCESSING
        assert woovi.times_paid == {order.key: 1}

    async def test_is_found_paid_when_its_own_money_made_the_balance_too_low(
        self, provider: WooviProvider, woovi: Woovi
    ) -> None:
        order = new_order()
        await provider.payout(order)
        woovi.says["create"] = (200, json.dumps({"payment": created(order.key)}).encode())
        woovi.says["approve"] = (400, problem("NOT_ENOUGH_BALANCE"))

        report = await provider.payout(order)

        assert report.state is PayoutState.PROCESSING

    @pytest.mark.parametrize(
        "changes",
        [{"amount_centavos": 1_051}, {"pix_key": "eva@example.com"}, {"pix_key": "a.na@example.com"}],
        ids=["amount", "key", "almost_the_key"],
    )
    async def test_with_another_content_under_the_key_breaks_our_law(
        self, provider: WooviProvider, woovi: Woovi, changes: dict[str, Any]
    ) -> None:
        order = new_order()
        woovi.fail("approve", Fault.ERROR_BEFORE)
        with pytest.raises(PayoutUnknown):
            await provider.payout(order)

        with pytest.raises(OperationKeyReused):
            await provider.payout(new_order(key=order.key, **changes))

        assert woovi.times_paid == {}

    @pytest.mark.parametrize("shown", ["529.982.247-25", "52998224725", "+52998224725"])
    async def test_knows_its_document_key_in_any_spelling(
        self, provider: WooviProvider, woovi: Woovi, shown: str
    ) -> None:
        order = new_order(pix_key="52998224725", pix_key_kind=PixKeyKind.CPF)
        payment = created(order.key, destinationAlias=shown)
        woovi.says["create"] = (200, json.dumps({"payment": payment}).encode())
        woovi.says["approve"] = (200, json.dumps({"payment": {**payment, "status": "APPROVED"}}).encode())

        assert (await provider.payout(order)).state is PayoutState.PROCESSING

    @pytest.mark.parametrize(
        ("status", "body", "reason"),
        [
            (404, problem("PIX_KEY_INFO_NOT_FOUND"), "PIX_KEY_INFO_NOT_FOUND"),
            (404, problem("Chave não existe", errorCode="PIX_KEY_INFO_NOT_FOUND"), "PIX_KEY_INFO_NOT_FOUND"),
            (400, problem("Pix key related to an account suspected of fraud"), "FRAD"),
            (400, problem("INVALID_PIX_KEY"), "INVALID_PIX_KEY"),
        ],
    )
    async def test_to_a_key_that_can_never_be_paid_is_refused_and_not_created(
        self, provider: WooviProvider, woovi: Woovi, status: int, body: bytes, reason: str
    ) -> None:
        order = new_order()
        woovi.says["check"] = (status, body)

        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(order)

        assert refusal.value.reason == reason
        assert woovi.payments == {}

    @pytest.mark.parametrize("holder", ["111.***.***-80", "529.***.***-26", "11.222.333/0001-81"])
    async def test_to_another_holder_is_refused_and_not_created(
        self, provider: WooviProvider, woovi: Woovi, holder: str
    ) -> None:
        woovi.holder_tax_id = holder

        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(new_order())

        assert refusal.value.reason == "BE01"
        assert woovi.payments == {}

    @pytest.mark.parametrize("holder", ["", "***.***.***-**", "***.***.***-25"])
    async def test_is_unknown_while_the_holder_is_not_shown(
        self, provider: WooviProvider, woovi: Woovi, holder: str
    ) -> None:
        woovi.holder_tax_id = holder

        with pytest.raises(PayoutUnknown):
            await provider.payout(new_order())

        assert woovi.payments == {}

    async def test_approved_before_is_not_refused_when_its_key_is_gone_since(
        self, provider: WooviProvider, woovi: Woovi
    ) -> None:
        order = new_order()
        await provider.payout(order)
        woovi.says["check"] = (404, problem("PIX_KEY_INFO_NOT_FOUND"))

        assert (await provider.payout(order)).state is PayoutState.PROCESSING

    async def test_created_before_is_not_refused_since_a_person_can_still_approve_it(
        self, provider: WooviProvider, woovi: Woovi
    ) -> None:
        order = new_order()
        woovi.fail("approve", Fault.ERROR_BEFORE)
        with pytest.raises(PayoutUnknown):
            await provider.payout(order)
        woovi.holder_tax_id = "111.***.***-80"

        with pytest.raises(PayoutUnknown, match="a person must remove it"):
            await provider.payout(order)

        assert woovi.times_paid == {}

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (400, problem("Error verifying pix key")),
            (403, problem("PIX_KEY_CHECK_NOT_ALLOWED")),
            (404, b"<html>not here</html>"),
            (404, problem("Not Found")),
            (429, problem("Too many requests")),
            (200, b'{"owner": {}}'),
        ],
    )
    async def test_is_unknown_and_not_created_when_the_key_cannot_be_checked(
        self, provider: WooviProvider, woovi: Woovi, status: int, body: bytes
    ) -> None:
        woovi.says["check"] = (status, body)

        with pytest.raises(PayoutUnknown):
            await provider.payout(new_order())

        assert woovi.payments == {}

    async def test_goes_without_the_check_where_an_account_has_none(
        self, connect: Callable[..., WooviProvider], woovi: Woovi
    ) -> None:
        report = await connect(checks_holder=False).payout(new_order())

        assert report.state is PayoutState.PROCESSING
        assert woovi.calls == ["create", "approve"]

    async def test_is_not_approved_when_creating_shows_another_holder(
        self, connect: Callable[..., WooviProvider], woovi: Woovi
    ) -> None:
        order = new_order()
        body = {"payment": created(order.key), "destination": {"taxID": "11144477735"}}
        woovi.says["create"] = (200, json.dumps(body).encode())

        with pytest.raises(PayoutUnknown, match="another holder"):
            await connect(checks_holder=False).payout(order)

        assert woovi.calls == ["create"]

    @pytest.mark.parametrize("tax_id", ["11144477735", {"taxID": "111.***.***-35", "type": "BR:CPF"}])
    async def test_says_when_only_the_approval_shows_another_holder(
        self, connect: Callable[..., WooviProvider], woovi: Woovi, tax_id: Any
    ) -> None:
        woovi.destination = {"name": "Eva", "taxID": tax_id}

        report = await connect(checks_holder=False).payout(new_order())

        assert (report.state, report.reason) == (PayoutState.PROCESSING, "holder_differs")

    @pytest.mark.parametrize("code", ["INVALID_PIX_KEY", "ENTRY_ASSOCIATED_WITH_RESTRICTED_ACCOUNT_OR_USER"])
    async def test_refused_for_good_when_created_is_refused(
        self, provider: WooviProvider, woovi: Woovi, code: str
    ) -> None:
        woovi.says["create"] = (400, problem(code))

        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(new_order())

        assert refusal.value.reason == code

    @pytest.mark.parametrize("step", ["create", "approve"])
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, b""),
            (200, b"<html>login</html>"),
            (200, b'{"payment": {"status": "CONFIRMED"}}'),
            (200, b'{"payment": {"correlationID": "another", "value": 1050, "status": "CONFIRMED"}}'),
            (204, b""),
            (302, b""),
            (400, b"{}"),
            (400, problem("Invalid Authorization header")),
            (400, problem("REACH_TRANSFER_LIMIT")),
            (400, problem("ALIAS_LIMIT_ERROR")),
            (400, problem("PIX_KEY_INFO_ERROR")),
            (401, problem("appID inválido")),
            (403, problem("INVALID_PIX_KEY")),
            (404, b"not here"),
            (409, problem("INVALID_PIX_KEY")),
            (429, b"{}"),
            (500, problem("INVALID_PIX_KEY")),
            (502, b"bad gateway"),
        ],
    )
    async def test_never_reads_more_into_an_answer_than_it_says(
        self, provider: WooviProvider, woovi: Woovi, step: str, status: int, body: bytes
    ) -> None:
        woovi.says[step] = (status, body)

        with pytest.raises(PayoutUnknown) as error:
            await provider.payout(new_order())

        assert type(error.value) is PayoutUnknown

    @pytest.mark.parametrize(
        "value", [b"1050.5", b"NaN", b"Infinity", b'"1050"', b"true", b"null", b"1e400", b"[1050]"]
    )
    async def test_is_unknown_when_its_amount_is_no_whole_number(
        self, provider: WooviProvider, woovi: Woovi, value: bytes
    ) -> None:
        order = new_order()
        body = json.dumps({"payment": created(order.key, value=-7)}).encode().replace(b"-7", value)
        woovi.says["find"] = (200, body)

        with pytest.raises(PayoutUnknown):
            await provider.find_payout(order.key)

    @pytest.mark.parametrize("value", [b"1050", b"1050.0", b"1.05e3"])
    async def test_reads_a_whole_amount_in_any_json_spelling(
        self, provider: WooviProvider, woovi: Woovi, value: bytes
    ) -> None:
        order = new_order()
        body = json.dumps({"payment": created(order.key, value=-7, status="APPROVED")}).encode().replace(b"-7", value)
        woovi.says["find"] = (200, body)

        assert (await provider.find_payout(order.key)).amount_centavos == 1_050

    @pytest.mark.parametrize("step", ["check", "create", "approve"])
    async def test_takes_no_longer_than_the_timeout_in_all(
        self, hasty: WooviProvider, woovi: Woovi, step: str
    ) -> None:
        woovi.fail(step, Fault.HANG_AFTER)
        started = time.monotonic()

        with pytest.raises(PayoutUnknown):
            await hasty.payout(new_order())

        assert time.monotonic() - started < TIMEOUT + 1

    async def test_is_unknown_when_its_calls_are_each_in_time_and_together_are_not(
        self, provider: WooviProvider, hasty: WooviProvider, woovi: Woovi
    ) -> None:
        order = new_order()
        for step in ("check", "create", "approve"):
            woovi.fail(step, Fault.SLOW)

        with pytest.raises(PayoutUnknown, match="in time"):
            await hasty.payout(order)
        woovi.faults.clear()

        assert (await provider.payout(order)).state is PayoutState.PROCESSING
        assert woovi.times_paid == {order.key: 1}

    async def test_is_unknown_when_nobody_listens(self, connect: Callable[..., WooviProvider]) -> None:
        with pytest.raises(PayoutUnknown):
            await connect(f"http://127.0.0.1:{free_port()}").payout(new_order())

    async def test_is_unknown_with_a_wrong_app_id(self, connect: Callable[..., WooviProvider]) -> None:
        with pytest.raises(PayoutUnknown):
            await connect(app_id="of somebody else").payout(new_order())

    @pytest.mark.parametrize("step", ["check", "create", "approve", "find"])
    async def test_names_nothing_secret_or_personal_in_errors_and_logs(
        self, connect: Callable[..., WooviProvider], woovi: Woovi, caplog: pytest.LogCaptureFixture, step: str
    ) -> None:
        caplog.set_level(logging.DEBUG)
        provider = connect(webhook_secrets=[SECRET])
        order = new_order()
        woovi.says[step] = (400, problem("Ana Silva 52998224725 ana@example.com OTC sell não"))

        with pytest.raises(PayoutUnknown) as error:
            await (provider.find_payout(order.key) if step == "find" else provider.payout(order))

        told = f"{error.value!r} {error.value.__cause__!r} {order!r} {provider!r} {vars(provider)} {caplog.text}"
        secrets = ("Ana Silva", "52998224725", "ana@", "OTC sell", APP_ID, SECRET)
        assert not [value for value in secrets if value in told]


def created(key: str, **changes: Any) -> dict[str, Any]:
    """The payment of ``new_order`` as Woovi shows it once created."""
    return {"value": 1_050, "status": "CREATED", "correlationID": key, **changes}


class TestFindPayout:
    async def test_of_a_key_never_sent_is_not_found(self, provider: WooviProvider) -> None:
        assert await provider.find_payout("0" * 32) == PayoutReport(PayoutState.NOT_FOUND)

    @pytest.mark.parametrize(
        ("status", "sentence"),
        [
            (400, "Pagamento não encontrado"),
            (400, "Payment not found"),
            (404, "Payment not found."),
            (400, f"Payment not found: {'a' * 32}"),
            (400, f"Pagamento com correlationID {'a' * 32} não encontrado"),
        ],
    )
    async def test_is_not_found_on_the_providers_clear_word(
        self, provider: WooviProvider, woovi: Woovi, status: int, sentence: str
    ) -> None:
        woovi.says["find"] = (status, problem(sentence))

        assert (await provider.find_payout("a" * 32)).state is PayoutState.NOT_FOUND

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (400, problem("Company not found")),
            (400, problem("Account not found")),
            (400, problem("Cobrança não encontrada")),
            (400, problem("Invalid Authorization header")),
            (400, problem("not found")),
            (400, problem("Payment not found or not yours")),
            (400, b""),
            (401, problem("Payment not found")),
            (404, b'{"detail":"Not Found"}'),
            (404, b"<html>Payment not found</html>"),
            (500, problem("Payment not found")),
        ],
    )
    async def test_of_any_other_no_is_unknown(
        self, provider: WooviProvider, woovi: Woovi, status: int, body: bytes
    ) -> None:
        woovi.says["find"] = (status, body)

        with pytest.raises(PayoutUnknown):
            await provider.find_payout("a" * 32)

    @pytest.mark.parametrize("more", ["?limit=1", "#1", "%3F", " "])
    async def test_of_a_key_with_more_behind_it_is_not_that_key(self, provider: WooviProvider, more: str) -> None:
        order = new_order()
        await provider.payout(order)

        assert (await provider.find_payout(order.key + more)).state is PayoutState.NOT_FOUND

    @pytest.mark.parametrize(
        ("transaction_status", "state", "reason"),
        [
            ("CONFIRMED", PayoutState.PAID, None),
            ("REFUNDED", PayoutState.RETURNED, "REFUNDED"),
            ("PARTIAL_REFUND", PayoutState.PAID, "PARTIAL_REFUND"),
            ("NEW_WORD", PayoutState.PAID, None),
        ],
    )
    async def test_tells_what_came_back(
        self, provider: WooviProvider, woovi: Woovi, transaction_status: str, state: PayoutState, reason: str | None
    ) -> None:
        order = new_order()
        await provider.payout(order)
        woovi.settle(order.key)
        woovi.payments[order.key].transaction_status = transaction_status

        report = await provider.find_payout(order.key)

        assert (report.state, report.reason) == (state, reason)

    @pytest.mark.parametrize("answer", [(400, b"{}"), (403, b""), (200, b"{"), (200, b'{"transaction": {}}')])
    async def test_of_a_paid_one_is_paid_though_its_transaction_cannot_be_read(
        self, provider: WooviProvider, woovi: Woovi, answer: tuple[int, bytes]
    ) -> None:
        order = new_order()
        await provider.payout(order)
        woovi.settle(order.key)
        woovi.says["transaction"] = answer

        assert (await provider.find_payout(order.key)).state is PayoutState.PAID


SLOW = {Fault.HANG_BEFORE, Fault.HANG_AFTER, Fault.SLOW}
STEPS = ["check", "create", "approve", "find"]
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["payout", "payout", "two at once", "find", "payout without balance"]),
        st.lists(
            st.tuples(st.sampled_from(STEPS), st.sampled_from([each for each in Fault if each not in SLOW])),
            max_size=3,
        ),
    ),
    min_size=1,
    max_size=5,
)


class TestAnySequence:
    async def test_of_faults_sendings_and_questions_pays_each_key_once(
        self, provider: WooviProvider, woovi: Woovi
    ) -> None:
        loop = asyncio.get_running_loop()

        @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(TURNS)
        def whatever_happens(turns: list[tuple[str, list[tuple[str, Fault]]]]) -> None:
            asyncio.run_coroutine_threadsafe(play(turns), loop).result()

        async def play(turns: list[tuple[str, list[tuple[str, Fault]]]]) -> None:
            order = new_order()
            for action, faults in turns:
                for step, fault in faults:
                    woovi.fail(step, fault)
                asked = {"two at once": 2, "find": 0}.get(action, 1)
                woovi.balance = 0 if action == "payout without balance" else 10_000_000
                calls = [provider.payout(order) for _ in range(asked)] or [provider.find_payout(order.key)]
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(outcome, PayoutReport | PayoutUnknown) for outcome in outcomes)
                assert woovi.times_paid[order.key] <= 1
            woovi.faults.clear()
            woovi.balance = 10_000_000
            found = await provider.find_payout(order.key)
            assert (found.state is PayoutState.NOT_FOUND) == (woovi.times_paid[order.key] == 0)
            assert (await provider.payout(order)).state is PayoutState.PROCESSING
            assert woovi.times_paid[order.key] == 1

        await asyncio.to_thread(whatever_happens)


class TestBooks:
    async def test_balance_is_what_the_default_account_can_spend(self, provider: WooviProvider, woovi: Woovi) -> None:
        assert await provider.balance() == woovi.balance

    @pytest.mark.parametrize(
        "body",
        [
            b"{}",
            b'{"accounts": []}',
            b'{"accounts": [{"isDefault": false, "balance": {"available": 1}}]}',
            b'{"accounts": [{"isDefault": true, "balance": {"available": 1.5}}]}',
            b'{"accounts": [{"isDefault": true, "balance": {"total": 5}}]}',
        ],
    )
    async def test_balance_is_unknown_without_one_default_account(
        self, provider: WooviProvider, woovi: Woovi, body: bytes
    ) -> None:
        woovi.says["accounts"] = (200, body)

        with pytest.raises(PayoutUnknown):
            await provider.balance()

    async def test_statement_has_all_lines_of_the_brazilian_day_oldest_first(
        self, provider: WooviProvider, woovi: Woovi
    ) -> None:
        woovi.statement = [line(number, f"2026-11-21T{12 + number % 8:02}:00:00.000Z") for number in range(230)]
        woovi.statement += [
            line(1_000, "2026-11-21T02:59:59.999Z"),
            line(1_001, "2026-11-21T03:00:00.000Z"),
            line(1_002, "2026-11-22T02:59:59.999Z"),
            line(1_003, "2026-11-22T03:00:00.000Z"),
        ]

        lines = await provider.statement(date(2026, 11, 21))

        assert len(lines) == 232
        assert (lines[0].id, lines[-1].id) == ("1001", "1002")
        assert lines == sorted(lines, key=lambda each: each.time)
        assert woovi.calls == ["statement"] * 3

    async def test_statement_signs_money_out_and_names_the_transaction(
        self, provider: WooviProvider, woovi: Woovi
    ) -> None:
        await provider.charge(new_charge(key="c" * 32))
        received = woovi.pay_charge("c" * 32, value=1_500)
        global_id = base64.b64decode(woovi.transactions[0]["globalID"]).decode()
        woovi.transactions.append(
            {"endToEndId": "E9", "value": 700, "time": "2026-11-21T15:00:00Z", "type": "PAYMENT"}
        )
        woovi.statement = [
            line(1, "2026-11-21T14:00:00Z", 1_500, "CREDIT", transactionId=global_id.partition(":")[2]),
            line(2, "2026-11-21T15:00:00Z", 700, "DEBIT", transactionId="E9"),
            line(3, "2026-11-21T15:00:01Z", 50, "DEBIT"),
            line(4, "2026-11-21T15:00:02Z", 9, "CREDIT", transactionId="of no transaction we are told of"),
        ]

        lines = await provider.statement(date(2026, 11, 21))

        assert [(each.key, each.end_to_end_id, each.amount_centavos) for each in lines] == [
            ("c" * 32, received, 1_500),
            (None, "E9", -700),
            (None, None, -50),
            (None, None, 9),
        ]

    @pytest.mark.parametrize("change", [{"value": -1}, {"value": 1.5}, {"type": "BLOCK"}, {"time": "yesterday"}])
    async def test_statement_that_cannot_be_read_is_unknown(
        self, provider: WooviProvider, woovi: Woovi, change: dict[str, Any]
    ) -> None:
        woovi.says["statement"] = (200, json.dumps([line(1, "2026-11-21T14:00:00Z") | change]).encode())

        with pytest.raises(PayoutUnknown):
            await provider.statement(date(2026, 11, 21))

    async def test_statement_whose_pages_repeat_is_unknown(self, provider: WooviProvider, woovi: Woovi) -> None:
        same = [line(number, "2026-11-21T14:00:00Z") for number in range(100)]
        woovi.says["statement"] = (200, json.dumps(same).encode())

        with pytest.raises(PayoutUnknown, match="no end"):
            await provider.statement(date(2026, 11, 21))


def line(number: int, at: str, value: int = 10, kind: str = "CREDIT", **more: Any) -> dict[str, Any]:
    return {"id": str(number), "time": at, "description": "Pix", "balance": 1, "value": value, "type": kind, **more}


def new_charge(**changes: Any) -> ChargeOrder:
    fields: dict[str, Any] = {
        "key": uuid.uuid4().hex,
        "amount_centavos": 1_500,
        "expires_seconds": 900,
        "payer_name": "Ana Silva",
        "payer_tax_id": "52998224725",
        "description": "OTC buy",
    }
    return ChargeOrder(**{**fields, **changes})


class TestCharge:
    async def test_is_made_with_its_code_and_found(self, provider: WooviProvider, woovi: Woovi) -> None:
        collector: PixCollector = provider
        order = new_charge()

        made = await collector.charge(order)

        assert made == await collector.find_charge(order.key)
        assert made == ChargeReport(
            state=ChargeState.ACTIVE,
            amount_centavos=1_500,
            provider_id=woovi.charges[order.key]["transactionID"],
            br_code="00020126580014br.gov.bcb.pix",
        )

    @pytest.mark.parametrize("fault", [*BEFORE, *AFTER, Fault.TWICE])
    async def test_is_one_charge_through_lost_answers(
        self, provider: WooviProvider, hasty: WooviProvider, woovi: Woovi, fault: Fault
    ) -> None:
        order = new_charge()
        woovi.fail("charge", fault)

        if fault is not Fault.TWICE:
            with pytest.raises(PayoutUnknown):
                await (hasty if "hang" in fault else provider).charge(order)
        again = await provider.charge(order)

        assert again.state is ChargeState.ACTIVE
        assert list(woovi.charges) == [order.key]

    async def test_with_another_amount_under_the_key_breaks_our_law(self, provider: WooviProvider) -> None:
        order = new_charge()
        await provider.charge(order)

        with pytest.raises(OperationKeyReused):
            await provider.charge(new_charge(key=order.key, amount_centavos=1_501))

    async def test_that_the_provider_does_not_want_is_refused(self, provider: WooviProvider, woovi: Woovi) -> None:
        woovi.says["charge"] = (400, problem("O CPF do cliente é inválido"))

        with pytest.raises(PayoutRefused) as refusal:
            await provider.charge(new_charge())

        assert refusal.value.reason == "invalid_request"

    @pytest.mark.parametrize("answer", [(401, problem("x")), (400, b""), (500, b""), (200, b"{}"), (404, b"")])
    async def test_is_unknown_after_any_other_answer(
        self, provider: WooviProvider, woovi: Woovi, answer: tuple[int, bytes]
    ) -> None:
        woovi.says["charge"] = answer

        with pytest.raises(PayoutUnknown):
            await provider.charge(new_charge())

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("ACTIVE", ChargeState.ACTIVE),
            ("COMPLETED", ChargeState.PAID),
            ("completed", ChargeState.PAID),
            ("EXPIRED", ChargeState.ACTIVE),
            ("NEW_WORD", ChargeState.ACTIVE),
        ],
    )
    async def test_has_the_state_that_the_provider_says(
        self, provider: WooviProvider, woovi: Woovi, status: str, state: ChargeState
    ) -> None:
        order = new_charge()
        await provider.charge(order)

        woovi.charges[order.key]["status"] = status

        assert (await provider.find_charge(order.key)).state is state

    async def test_never_made_is_not_found(self, provider: WooviProvider) -> None:
        assert await provider.find_charge("0" * 32) == ChargeReport(ChargeState.NOT_FOUND)

    async def test_has_every_receipt_of_its_own_and_who_paid(self, provider: WooviProvider, woovi: Woovi) -> None:
        order, other = new_charge(), new_charge()
        await provider.charge(order)
        await provider.charge(other)
        first = woovi.pay_charge(order.key, value=1_500)
        woovi.pay_charge(other.key, value=9)
        second = woovi.pay_charge(order.key, value=1_499, tax_id="11.222.333/0001-81")
        masked = woovi.pay_charge(order.key, value=1, tax_id="111.***.***-80")

        report = await provider.find_charge(order.key)

        assert report.state is ChargeState.PAID
        assert [(each.end_to_end_id, each.amount_centavos, each.payer_tax_id) for each in report.receipts] == [
            (first, 1_500, "52998224725"),
            (second, 1_499, "11222333000181"),
            (masked, 1, None),
        ]

    async def test_has_receipts_of_every_page(self, provider: WooviProvider, woovi: Woovi) -> None:
        order = new_charge()
        await provider.charge(order)
        for _ in range(101):
            woovi.pay_charge(order.key, value=1)

        assert len((await provider.find_charge(order.key)).receipts) == 101

    @pytest.mark.parametrize(
        ("mark", "received", "blocked"),
        [
            ("CONFIRMED", True, False),
            ("REFUNDED", True, False),
            ("PARTIAL_REFUND", True, False),
            (None, True, False),
            ("BLOCKED_BY_MED", True, True),
            ("IN_PROCESSING", False, False),
            ("REJECTED", False, False),
        ],
    )
    async def test_counts_as_received_what_has_arrived(
        self, provider: WooviProvider, woovi: Woovi, mark: str | None, received: bool, blocked: bool
    ) -> None:
        order = new_charge()
        await provider.charge(order)
        woovi.pay_charge(order.key, value=1_500, status=mark)

        receipts = (await provider.find_charge(order.key)).receipts

        assert [each.blocked for each in receipts] == ([blocked] if received else [])

    @pytest.mark.parametrize(
        "change", [{"charge": None}, {"charge": {"correlationID": "z"}}, {"value": 1.5}, {"time": "x"}]
    )
    async def test_is_unknown_when_a_receipt_is_not_clearly_its_own(
        self, provider: WooviProvider, woovi: Woovi, change: dict[str, Any]
    ) -> None:
        order = new_charge()
        await provider.charge(order)
        woovi.pay_charge(order.key, value=1_500)
        page = {"transactions": [woovi.transactions[0] | change], "pageInfo": {"hasNextPage": False}}
        woovi.says["transactions"] = (200, json.dumps(page).encode())

        with pytest.raises(PayoutUnknown):
            await provider.find_charge(order.key)

    async def test_shows_no_payer_in_its_repr(self, provider: WooviProvider, woovi: Woovi) -> None:
        order = new_charge()
        await provider.charge(order)
        woovi.pay_charge(order.key, value=1_500)

        assert "52998224725" not in repr(await provider.find_charge(order.key)) + repr(order)


class TestRefund:
    @pytest.fixture
    def order(self) -> RefundOrder:
        return RefundOrder(uuid.uuid4().hex, "E31680151202508141543GVL7OCT44VU", 1_500)

    @pytest.mark.parametrize(
        ("status", "state", "reason"),
        [
            ("IN_PROCESSING", RefundState.PROCESSING, None),
            ("REFUNDED", RefundState.REFUNDED, None),
            ("CONFIRMED", RefundState.REFUNDED, None),
            ("NOT_ACCOMPLISHED", RefundState.REJECTED, "NOT_ACCOMPLISHED"),
            ("rejected", RefundState.REJECTED, "REJECTED"),
            ("NEW_WORD", RefundState.PROCESSING, None),
        ],
    )
    async def test_has_the_state_that_the_provider_says(
        self, provider: WooviProvider, woovi: Woovi, order: RefundOrder, status: str, state: RefundState, reason: str
    ) -> None:
        assert (await provider.refund(order)).state is RefundState.PROCESSING

        woovi.refunds[order.key] |= {"status": status, "returnIdentification": "D1"}

        assert await provider.find_refund(order) == RefundReport(state, 1_500, "D1", reason)
        assert await provider.refund(order) == RefundReport(state, 1_500, "D1", reason)
        assert woovi.times_paid == {order.key: 1}

    async def test_looked_up_without_a_status_is_under_way(
        self, provider: WooviProvider, woovi: Woovi, order: RefundOrder
    ) -> None:
        await provider.refund(order)
        del woovi.refunds[order.key]["status"]

        assert (await provider.find_refund(order)).state is RefundState.PROCESSING

    @pytest.mark.parametrize("fault", [*BEFORE, *AFTER, Fault.TWICE])
    async def test_is_sent_once_through_lost_answers(
        self, provider: WooviProvider, hasty: WooviProvider, woovi: Woovi, order: RefundOrder, fault: Fault
    ) -> None:
        woovi.fail("refund", fault)

        if fault is not Fault.TWICE:
            with pytest.raises(PayoutUnknown):
                await (hasty if "hang" in fault else provider).refund(order)
        again = await provider.refund(order)

        assert again.state is RefundState.PROCESSING
        assert woovi.times_paid == {order.key: 1}

    async def test_never_sent_is_not_found(self, provider: WooviProvider, order: RefundOrder) -> None:
        assert await provider.find_refund(order) == RefundReport(RefundState.NOT_FOUND)

    async def test_with_another_amount_under_the_key_breaks_our_law(
        self, provider: WooviProvider, order: RefundOrder
    ) -> None:
        await provider.refund(order)

        with pytest.raises(OperationKeyReused):
            await provider.refund(RefundOrder(order.key, order.end_to_end_id, 1_499))

    async def test_without_balance_waits(self, provider: WooviProvider, woovi: Woovi, order: RefundOrder) -> None:
        woovi.says["refund"] = (400, problem("You do not have enough balance to make this payment"))

        with pytest.raises(ProviderBalanceTooLow):
            await provider.refund(order)

    async def test_is_refused_on_a_final_code_alone(
        self, provider: WooviProvider, woovi: Woovi, order: RefundOrder
    ) -> None:
        woovi.says["refund"] = (400, problem("ENTRY_ASSOCIATED_WITH_RESTRICTED_ACCOUNT_OR_USER"))

        with pytest.raises(PayoutRefused):
            await provider.refund(order)

    @pytest.mark.parametrize("answer", [(400, problem("Valor inválido")), (404, b""), (503, b""), (200, b"[]")])
    async def test_is_unknown_after_any_other_answer(
        self, provider: WooviProvider, woovi: Woovi, order: RefundOrder, answer: tuple[int, bytes]
    ) -> None:
        woovi.says["refund"] = answer

        with pytest.raises(PayoutUnknown) as error:
            await provider.refund(order)

        assert type(error.value) is PayoutUnknown


RSA = generate_rsa(public_exponent=65537, key_size=1024)
OTHER_RSA = generate_rsa(public_exponent=65537, key_size=2048)
BODY = b'{"event":"OPENPIX:MOVEMENT_CONFIRMED","payment":{"correlationID":"abc123"}}'


def pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signed(body: bytes = BODY, *, key: RSAPrivateKey = RSA, authorization: str | None = SECRET) -> dict[str, str]:
    headers = {"X-Webhook-Signature": base64.b64encode(key.sign(body, PKCS1v15(), SHA256())).decode()}
    return headers | ({"Authorization": authorization} if authorization is not None else {})


def hmac_of(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha1)).decode()


@pytest.fixture(scope="module")
def verifier(connect: Callable[..., WooviProvider]) -> WooviProvider:
    return connect(NOWHERE, public_keys=[pem(RSA)], webhook_secrets=[SECRET])


@pytest.fixture(scope="module")
def published(connect: Callable[..., WooviProvider]) -> WooviProvider:
    return connect(NOWHERE, webhook_secrets=[SECRET])


class TestVerifyWebhook:
    async def test_accepts_the_published_signature(self, published: WooviProvider) -> None:
        sample = VECTORS["webhook_signature"]
        headers = {"x-webhook-signature": sample["signature"], "authorization": SECRET}

        assert sample["public_key"] == PUBLISHED_KEY
        with pytest.raises(WebhookRejected, match="not an event"):  # the sample is of a time before "event"
            published.verify_webhook(headers, sample["body"].encode(), now=NOW)
        with pytest.raises(WebhookRejected, match="no signature"):
            published.verify_webhook(headers, sample["body"].encode() + b" ", now=NOW)

    @pytest.mark.parametrize("case", VECTORS["events"]["cases"], ids=range(len(VECTORS["events"]["cases"])))
    async def test_reads_the_published_events(self, verifier: WooviProvider, case: dict[str, Any]) -> None:
        body = json.dumps(case["body"]).encode()

        (event,) = verifier.verify_webhook(signed(body), body, now=NOW)

        said = {"kind": type(event).__name__.removesuffix("Event").lower(), "body": case["body"]}
        said |= {name: getattr(event, name) for name in event.__slots__ if name in case}
        assert case == said

    @pytest.mark.parametrize("body", VECTORS["events"]["unused"], ids=range(len(VECTORS["events"]["unused"])))
    async def test_leaves_out_what_we_do_not_use(self, verifier: WooviProvider, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()

        assert verifier.verify_webhook(signed(text), text, now=NOW) == []

    async def test_has_one_id_over_retries_and_another_for_a_second_receipt(self, verifier: WooviProvider) -> None:
        bodies = [
            json.dumps({"event": event, "charge": {"correlationID": "c"}, "pix": {"endToEndId": receipt}}).encode()
            for event, receipt in [
                ("OPENPIX:CHARGE_COMPLETED", "E1"),
                ("woovi:CHARGE_COMPLETED", "E1"),
                ("OPENPIX:CHARGE_COMPLETED", "E2"),
            ]
        ]

        first, retried, second = (verifier.verify_webhook(signed(body), body, now=NOW)[0].event_id for body in bodies)

        assert first == retried
        assert first != second

    async def test_accepts_the_endpoints_hmac_in_place_of_its_authorization(self, verifier: WooviProvider) -> None:
        headers = signed(authorization=None) | {"X-OpenPix-Signature": hmac_of(BODY)}

        assert len(verifier.verify_webhook(headers, BODY, now=NOW)) == 1

    @pytest.mark.parametrize("authorization", [None, "", OTHER_SECRET, f"Bearer {SECRET}", "\udcff"])
    async def test_refuses_what_the_provider_sent_to_another_endpoint(
        self, verifier: WooviProvider, authorization: str | None
    ) -> None:
        with pytest.raises(WebhookRejected, match="not sent to this endpoint"):
            verifier.verify_webhook(signed(authorization=authorization), BODY, now=NOW)

    async def test_refuses_the_hmac_of_another_body(self, verifier: WooviProvider) -> None:
        headers = signed(authorization=None) | {"X-OpenPix-Signature": hmac_of(b"{}")}

        with pytest.raises(WebhookRejected, match="not sent to this endpoint"):
            verifier.verify_webhook(headers, BODY, now=NOW)

    async def test_refuses_the_secret_without_the_signature(self, verifier: WooviProvider) -> None:
        headers = {"Authorization": SECRET, "X-OpenPix-Signature": hmac_of(BODY)}

        with pytest.raises(WebhookRejected, match="no signature"):
            verifier.verify_webhook(headers, BODY, now=NOW)

    async def test_refuses_another_key(self, verifier: WooviProvider) -> None:
        with pytest.raises(WebhookRejected, match="no signature"):
            verifier.verify_webhook(signed(key=OTHER_RSA), BODY, now=NOW)

    @pytest.mark.parametrize("position", range(0, len(BODY), 9))
    async def test_refuses_a_body_changed_by_one_bit(self, verifier: WooviProvider, position: int) -> None:
        changed = bytearray(BODY)
        changed[position] ^= 1

        with pytest.raises(WebhookRejected, match="no signature"):
            verifier.verify_webhook(signed(), bytes(changed), now=NOW)

    @pytest.mark.parametrize("garbage", [None, "", "garbage", "AAAA", "ÿ\x00", "\ud800", "=" * 9, "A" * 100_000])
    async def test_refuses_garbage_for_a_signature(self, verifier: WooviProvider, garbage: str | None) -> None:
        headers = {"Authorization": SECRET} | ({} if garbage is None else {"X-Webhook-Signature": garbage})

        with pytest.raises(WebhookRejected):
            verifier.verify_webhook(headers, BODY, now=NOW)

    @pytest.mark.parametrize(
        "body", [b"", b"null", b"[]", b"{}", b'{"event": 7}', b"[" * 100_000, b"\xff"], ids=range(7)
    )
    async def test_refuses_a_signed_body_that_is_no_event(self, verifier: WooviProvider, body: bytes) -> None:
        with pytest.raises(WebhookRejected, match="not an event"):
            verifier.verify_webhook(signed(body), body, now=NOW)

    @pytest.mark.parametrize("part", ["payment", "charge", "refundTransaction"])
    @pytest.mark.parametrize("value", [None, [], 7, "x", {"correlationID": 7}, {"correlationID": {}}], ids=range(6))
    async def test_survives_any_shape_of_a_part(self, verifier: WooviProvider, part: str, value: Any) -> None:
        names = ("MOVEMENT_FAILED", "CHARGE_COMPLETED", "PIX_TRANSACTION_REFUND_SENT_CONFIRMED")
        bodies = [json.dumps({"event": name, part: value}).encode() for name in names]

        events = [event for body in bodies for event in verifier.verify_webhook(signed(body), body, now=NOW)]

        assert [event.key for event in events] == [None]

    async def test_accepts_any_key_and_any_secret_while_one_is_replaced(
        self, connect: Callable[..., WooviProvider]
    ) -> None:
        verifier = connect(NOWHERE, public_keys=[pem(OTHER_RSA), pem(RSA)], webhook_secrets=[OTHER_SECRET, SECRET])

        for key in (RSA, OTHER_RSA):
            for secret in (SECRET, OTHER_SECRET):
                assert verifier.verify_webhook(signed(key=key, authorization=secret), BODY, now=NOW)

    @pytest.mark.parametrize("options", [{"public_keys": []}, {"webhook_secrets": []}])
    async def test_accepts_nothing_without_keys_or_without_a_secret(
        self, connect: Callable[..., WooviProvider], options: dict[str, Any]
    ) -> None:
        verifier = connect(NOWHERE, **{"public_keys": [pem(RSA)], "webhook_secrets": [SECRET], **options})

        with pytest.raises(WebhookRejected):
            verifier.verify_webhook(signed(), BODY, now=NOW)

    @pytest.mark.parametrize(
        "options",
        [
            {"webhook_secrets": [""]},
            {"webhook_secrets": ["short"]},
            {"public_keys": ["no key"]},
            {"public_keys": [pem(generate_private_key(SECP256R1()))]},
        ],
        ids=["empty", "short", "no_key", "no_rsa_key"],
    )
    def test_needs_keys_and_secrets_worth_the_name(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            WooviProvider(**options)


class TestRefreshKeys:
    async def test_takes_the_listed_keys_without_telling_the_app_id(
        self, connect: Callable[..., WooviProvider], woovi: Woovi
    ) -> None:
        provider = connect(webhook_secrets=[SECRET])
        woovi.public_keys = [pem(OTHER_RSA), pem(RSA)]

        assert await provider.refresh_keys()

        assert provider.verify_webhook(signed(), BODY, now=NOW)

    async def test_asks_once_an_hour(self, connect: Callable[..., WooviProvider], woovi: Woovi) -> None:
        provider = connect()
        woovi.public_keys = [pem(RSA)]

        asked = [await provider.refresh_keys() for _ in range(3)]

        assert asked == [True, False, False]
        assert woovi.calls == ["public_keys"]

    @pytest.mark.parametrize(
        "answer",
        [(200, b'{"public_keys": []}'), (200, b'{"public_keys": [{"key": "x"}]}'), (200, b"{"), (503, b"")],
    )
    async def test_keeps_the_old_keys_when_it_gets_none(
        self, connect: Callable[..., WooviProvider], woovi: Woovi, answer: tuple[int, bytes]
    ) -> None:
        provider = connect(public_keys=[pem(RSA)], webhook_secrets=[SECRET])
        woovi.says["public_keys"] = answer

        assert not await provider.refresh_keys()

        assert provider.verify_webhook(signed(), BODY, now=NOW)


class TestReading:
    @pytest.mark.parametrize(
        ("shown", "ours", "expected"),
        [
            ("529.***.***-25", "52998224725", True),
            ("529.982.247-25", "52998224725", True),
            ("529.***.***-26", "52998224725", False),
            ("***.982.247-**", "52998224725", True),
            ("11.222.333/0001-81", "11222333000181", True),
            ("12.abc.345/01de-35", "12ABC34501DE35", True),
            ("11.222.333/0001-81", "52998224725", False),
            ("529.***.***", "52998224725", None),
            ("***.***.***-**", "52998224725", None),
            ("", "52998224725", None),
            (None, "52998224725", None),
        ],
    )
    def test_of_a_masked_document_claims_no_more_than_it_shows(
        self, shown: str | None, ours: str, expected: bool | None
    ) -> None:
        assert agrees(shown, ours) is expected

    @pytest.mark.parametrize(
        ("shown", "expected"),
        [("529.982.247-25", "52998224725"), ("529.***.***-25", None), ("123", None), (None, None)],
    )
    def test_of_a_payer_gives_a_whole_document_or_none(self, shown: str | None, expected: str | None) -> None:
        assert plain_tax_id(shown) == expected

    @pytest.mark.parametrize(
        "text", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"1" * 5_000], ids=range(7)
    )
    def test_of_what_is_no_json_gives_none(self, text: bytes) -> None:
        assert parse_json(text) is None

    def test_goes_to_production_unless_told(self) -> None:
        assert (PRODUCTION_URL, SANDBOX_URL) == ("https://api.woovi.com", "https://api.woovi-sandbox.com")
