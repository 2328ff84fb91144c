"""The adapter against Efí's published shapes, over real TLS that demands our certificate."""

import asyncio
import json
import logging
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import (
    OperationKeyReused,
    PayoutRefused,
    PayoutUnknown,
    ProviderBalanceTooLow,
    WebhookRejected,
)
from payments.efi import EfiProvider
from payments.protocol import (
    ChargeEvent,
    ChargeOrder,
    ChargeReport,
    ChargeState,
    PayoutEvent,
    PayoutReport,
    PayoutState,
    PixCollector,
    RefundEvent,
    RefundOrder,
    RefundReport,
    RefundState,
)
from tests.payments.efi_double import Authority, EfiDouble, Mood
from tests.payments.orders import new_order

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "efi.json").read_text())
WEBHOOK_SECRET = "s-ecret_" + "a1" * 16
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LOST = [Mood.TIMEOUT_AFTER, Mood.ERROR_AFTER, Mood.DROP_AFTER, Mood.GARBAGE_AFTER]
NOT_TAKEN = [Mood.TIMEOUT, Mood.ERROR, Mood.DROP, Mood.TOO_MANY]

Connect = Callable[..., EfiProvider]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EfiDouble]:
    with EfiDouble(tmp_path_factory.mktemp("efi")) as bank:
        yield bank


@pytest.fixture
def bank(running: EfiDouble) -> Iterator[EfiDouble]:
    """A test whose requests must break a rule of Efí's empties ``violations`` itself."""
    running.reset()
    yield running
    assert running.violations == []


@pytest.fixture
async def connect(bank: EfiDouble) -> AsyncIterator[Connect]:
    made: list[EfiProvider] = []

    def make(**more: Any) -> EfiProvider:
        made.append(bank.provider(**more))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture(scope="module")
def verifier() -> EfiProvider:
    """A process that only verifies has no certificate; it never connects."""
    return EfiProvider("https://127.0.0.1:1", webhook_secrets=["b2" * 20, WEBHOOK_SECRET])


@pytest.fixture
def provider(connect: Connect) -> EfiProvider:
    return connect()


def new_charge(**changes: Any) -> ChargeOrder:
    fields: dict[str, Any] = {
        "key": uuid.uuid4().hex,
        "amount_centavos": 1_050,
        "expires_seconds": 900,
        "payer_name": "Ana Silva",
        "payer_tax_id": "52998224725",
        "description": "OTC buy",
    }
    return ChargeOrder(**{**fields, **changes})


def as_body(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


class TestDoor:
    async def test_asks_for_one_token_for_many_calls_at_once(self, bank: EfiDouble, provider: EfiProvider) -> None:
        await asyncio.gather(*(provider.balance() for _ in range(5)))

        assert bank.tokens_given == 1

    async def test_renews_the_token_before_it_ends(self, bank: EfiDouble, provider: EfiProvider) -> None:
        bank.token_seconds = 1
        await provider.balance()
        await asyncio.sleep(0.6)

        await provider.balance()

        assert bank.tokens_given == 2

    async def test_renews_a_token_that_the_bank_has_forgotten_and_calls_again(
        self, bank: EfiDouble, provider: EfiProvider
    ) -> None:
        await provider.balance()
        bank.tokens.clear()
        order = new_order()

        report = await provider.payout(order)

        assert report.state is PayoutState.PROCESSING
        assert bank.tokens_given == 2
        assert list(bank.payouts) == [order.key]

    async def test_gives_up_on_a_second_401(self, bank: EfiDouble, provider: EfiProvider) -> None:
        order = new_order()
        bank.answers[f"PUT /v3/gn/pix/{order.key}"] = (401, b'{"error":"invalid_token"}')

        with pytest.raises(PayoutUnknown, match="401 invalid_token"):
            await provider.payout(order)

        assert bank.tokens_given == 2

    async def test_with_wrong_credentials_knows_nothing(self, connect: Connect) -> None:
        with pytest.raises(PayoutUnknown, match="401 to our credentials"):
            await connect(client_secret="wrong").payout(new_order())

    async def test_without_our_certificate_gets_nowhere(self, bank: EfiDouble, connect: Connect) -> None:
        with pytest.raises(PayoutUnknown):
            await connect(certificate=None, certificate_key=None).payout(new_order())

        assert bank.tokens_given == 0

    async def test_with_a_strangers_certificate_gets_nowhere(
        self, bank: EfiDouble, connect: Connect, tmp_path: Path
    ) -> None:
        certificate, key = Authority(tmp_path).issue("client")

        with pytest.raises(PayoutUnknown):
            await connect(certificate=certificate, certificate_key=key).payout(new_order())

        assert bank.tokens_given == 0

    async def test_tells_its_secrets_to_no_bank_of_another_authority(self, bank: EfiDouble, connect: Connect) -> None:
        with pytest.raises(PayoutUnknown):
            await connect(authorities=None).payout(new_order())

        assert (bank.tokens_given, bank.requests) == (0, [])

    async def test_waits_no_longer_than_its_limit(self, bank: EfiDouble, connect: Connect) -> None:
        provider = connect(timeout_seconds=0.5)
        bank.moods.append(Mood.TIMEOUT)
        started = asyncio.get_running_loop().time()

        with pytest.raises(PayoutUnknown, match="did not answer"):
            await provider.balance()

        assert asyncio.get_running_loop().time() - started < 1.5

    def test_needs_files_that_are_there(self, tmp_path: Path) -> None:
        with pytest.raises(OSError):
            EfiProvider(certificate=tmp_path / "none.pem")


class TestPayout:
    @pytest.mark.parametrize("key", ["ana@example.com", "+5511987654321"])
    async def test_is_accepted_and_later_paid(self, bank: EfiDouble, provider: EfiProvider, key: str) -> None:
        order = new_order(pix_key=key)

        sent = await provider.payout(order)
        bank.settle(order.key)
        paid = await provider.find_payout(order.key)

        assert (sent.state, sent.amount_centavos) == (PayoutState.PROCESSING, 1_050)
        assert (paid.state, paid.amount_centavos, paid.reason) == (PayoutState.PAID, 1_050, None)
        assert paid.end_to_end_id == sent.end_to_end_id == bank.payouts[order.key]["endToEndId"]

    async def test_names_the_holder_so_that_the_bank_checks_him(self, bank: EfiDouble, provider: EfiProvider) -> None:
        for_a_company = new_order(pix_key="loja@example.com", holder_tax_id="12ABC34501DE35")

        await provider.payout(for_a_company)

        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(new_order(holder_tax_id="39053344705"))
        assert refusal.value.reason == "chave_nao_pertence_ao_documento"

    @pytest.mark.parametrize("description", ["", "x" * 300])
    async def test_is_accepted_with_any_description(
        self, bank: EfiDouble, provider: EfiProvider, description: str
    ) -> None:
        report = await provider.payout(new_order(description=description))

        assert report.state is PayoutState.PROCESSING

    @pytest.mark.parametrize("replays", [False, True])
    async def test_sent_again_is_the_same(self, bank: EfiDouble, provider: EfiProvider, replays: bool) -> None:
        bank.replays = replays
        order = new_order()

        first, again = await provider.payout(order), await provider.payout(order)
        bank.settle(order.key)
        later = await provider.payout(order)

        assert first == again
        assert later.state is PayoutState.PAID
        assert len(bank.payouts) == 1

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"pix_key": "nobody@example.com"}, "chave_favorecido_nao_encontrada"),
            ({"amount_centavos": 0}, "valor_invalido"),
        ],
    )
    async def test_refused_by_name_is_refused(
        self, provider: EfiProvider, changes: dict[str, Any], reason: str
    ) -> None:
        order = new_order(**changes)

        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(order)

        assert refusal.value.reason == reason
        assert await provider.find_payout(order.key) == PayoutReport(PayoutState.NOT_FOUND)

    async def test_refused_by_the_banks_analysis_is_refused(self, bank: EfiDouble, provider: EfiProvider) -> None:
        bank.suspicious = True

        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(new_order())

        assert refusal.value.reason == "pagamento_negado"

    async def test_malformed_and_never_sent_is_refused(self, bank: EfiDouble, provider: EfiProvider) -> None:
        with pytest.raises(PayoutRefused) as refusal:
            await provider.payout(new_order(holder_tax_id="not one"))

        assert refusal.value.reason == "json_invalido"
        assert len(bank.violations) == 1
        bank.violations.clear()

    async def test_refused_after_one_that_was_taken_is_the_one_that_was_taken(
        self, bank: EfiDouble, provider: EfiProvider
    ) -> None:
        order = new_order()
        bank.moods.append(Mood.ERROR_AFTER)
        with pytest.raises(PayoutUnknown):
            await provider.payout(order)
        bank.suspicious = True

        report = await provider.payout(order)

        assert report.state is PayoutState.PROCESSING

    async def test_refused_is_not_believed_while_the_key_cannot_be_asked_for(
        self, bank: EfiDouble, provider: EfiProvider
    ) -> None:
        order = new_order()
        bank.suspicious = True
        bank.answers[f"GET /v2/gn/pix/enviados/id-envio/{order.key}"] = (500, b"")

        with pytest.raises(PayoutUnknown):
            await provider.payout(order)

    async def test_waits_while_our_own_account_is_at_fault(
        self, bank: EfiDouble, provider: EfiProvider, connect: Connect
    ) -> None:
        with pytest.raises(PayoutUnknown, match="400 chave_invalida"):
            await connect(pix_key="f5e2a1c4-1d5a-4f0e-9d1a-000000000000").payout(new_order())
        bank.blocked = True

        with pytest.raises(PayoutUnknown, match="400 documento_bloqueado"):
            await provider.payout(new_order())

    async def test_without_balance_waits_and_passes_with_the_same_key(
        self, bank: EfiDouble, provider: EfiProvider
    ) -> None:
        bank.balance = 1_049
        order = new_order()

        with pytest.raises(ProviderBalanceTooLow):
            await provider.payout(order)
        bank.balance = 1_050

        assert (await provider.payout(order)).state is PayoutState.PROCESSING
        assert bank.balance == 0

    @pytest.mark.parametrize("mood", LOST)
    async def test_is_unknown_after_a_lost_answer_and_found_by_key(
        self, bank: EfiDouble, connect: Connect, mood: Mood
    ) -> None:
        provider = connect(timeout_seconds=0.6)
        order = new_order()
        await provider.balance()
        bank.moods.append(mood)

        with pytest.raises(PayoutUnknown) as error:
            await provider.payout(order)

        assert type(error.value) is PayoutUnknown
        assert (await provider.find_payout(order.key)).state is PayoutState.PROCESSING
        assert (await provider.payout(order)).state is PayoutState.PROCESSING
        assert bank.balance == 100_000_000 - 1_050

    @pytest.mark.parametrize("mood", NOT_TAKEN)
    async def test_is_unknown_when_it_was_not_taken_and_passes_when_sent_again(
        self, bank: EfiDouble, connect: Connect, mood: Mood
    ) -> None:
        provider = connect(timeout_seconds=0.6)
        order = new_order()
        await provider.balance()
        bank.moods.append(mood)

        with pytest.raises(PayoutUnknown):
            await provider.payout(order)

        assert await provider.find_payout(order.key) == PayoutReport(PayoutState.NOT_FOUND)
        assert (await provider.payout(order)).state is PayoutState.PROCESSING

    @pytest.mark.parametrize("replays", [False, True])
    @pytest.mark.parametrize("changes", [{"amount_centavos": 1_051}, {"pix_key": "+5511987654321"}])
    async def test_with_another_content_under_the_key_breaks_our_law(
        self, bank: EfiDouble, provider: EfiProvider, changes: dict[str, Any], replays: bool
    ) -> None:
        bank.replays = replays
        order = new_order()
        await provider.payout(order)

        with pytest.raises(OperationKeyReused):
            await provider.payout(new_order(key=order.key, **changes))

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, b""),
            (200, b"<html>login</html>"),
            (201, {"idEnvio": "another", "e2eId": "E1", "valor": "10.50", "status": "EM_PROCESSAMENTO"}),
            (201, {"idEnvio": "KEY", "valor": 10.5, "status": "EM_PROCESSAMENTO"}),
            (201, {"idEnvio": "KEY", "valor": "10.5", "status": "EM_PROCESSAMENTO"}),
            (201, {"idEnvio": "KEY", "valor": "1050", "status": "EM_PROCESSAMENTO"}),
            (204, b""),
            (302, b""),
            (400, b"[]"),
            (400, {"nome": None}),
            (400, {"nome": "algo_novo", "mensagem": "?"}),
            (403, {"error": "insufficient_scope", "error_description": "Access token has insufficient scope"}),
            (404, b"not here"),
            (404, {"nome": "chave_invalida"}),
            (409, b"{}"),
            (409, {"nome": "id_envio_duplicado"}),
            (422, {"nome": "chave_nao_pertence_ao_documento"}),
            (422, {"type": "about:blank"}),
            (429, {"nome": "balde_fichas_vazio"}),
            (500, {"nome": "pagamento_negado"}),
            (500, {"nome": "saldo_insuficiente"}),
            (502, b"bad gateway"),
        ],
    )
    async def test_never_reads_more_into_an_answer_than_it_says(
        self, bank: EfiDouble, provider: EfiProvider, status: int, body: Any
    ) -> None:
        order = new_order()
        bank.answers[f"PUT /v3/gn/pix/{order.key}"] = (status, as_body(body).replace(b"KEY", order.key.encode()))

        with pytest.raises(PayoutUnknown) as error:
            await provider.payout(order)

        assert type(error.value) is PayoutUnknown

    @pytest.mark.parametrize(
        "said", [{"nome": "saldo_insuficiente"}, {"nome": "x", "mensagem": "Saldo insuficiente."}]
    )
    async def test_reads_every_way_to_say_short_of_balance(
        self, bank: EfiDouble, provider: EfiProvider, said: dict[str, str]
    ) -> None:
        order = new_order()
        bank.answers[f"PUT /v3/gn/pix/{order.key}"] = (422, as_body(said))

        with pytest.raises(ProviderBalanceTooLow):
            await provider.payout(order)

    async def test_reads_the_published_answer(self, bank: EfiDouble, provider: EfiProvider) -> None:
        answer = VECTORS["answers"]["sent"]
        order = new_order(key=answer["idEnvio"], amount_centavos=1_231)
        bank.answers[f"PUT /v3/gn/pix/{order.key}"] = (201, as_body(answer))

        report = await provider.payout(order)

        assert report == PayoutReport(
            PayoutState.PROCESSING, amount_centavos=1_231, end_to_end_id="E09089356202011251226APIff82f2e5"
        )

    @pytest.fixture
    def hurried(self, connect: Connect) -> EfiProvider:
        return connect(timeout_seconds=0.25)

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=st.lists(st.tuples(st.sampled_from(["send", "ask"]), st.sampled_from([None, *Mood])), max_size=4))
    async def test_is_paid_once_at_most_through(
        self, running: EfiDouble, hurried: EfiProvider, steps: list[tuple[str, Mood | None]]
    ) -> None:
        """And nothing that the adapter says on the way is more than the bank has done."""
        running.reset()
        order = new_order()

        for step, mood in steps:
            running.moods = deque([mood] if mood else [])
            was_taken = bool(running.payouts)
            try:
                report = await (hurried.payout(order) if step == "send" else hurried.find_payout(order.key))
            except PayoutUnknown:
                continue
            # A call that we gave up on may still arrive while the bank answers the next.
            assert not was_taken if report.state is PayoutState.NOT_FOUND else running.payouts

        assert set(running.payouts) <= {order.key}
        assert running.balance == 100_000_000 - 1_050 * len(running.payouts)
        assert running.violations == []


class TestFindPayout:
    @pytest.fixture
    async def order(self, provider: EfiProvider) -> Any:
        order = new_order()
        await provider.payout(order)
        return order

    async def test_of_a_key_never_sent_is_not_found(self, provider: EfiProvider) -> None:
        assert await provider.find_payout("0" * 32) == PayoutReport(PayoutState.NOT_FOUND)

    @pytest.mark.parametrize("more", ["?limit=1", "#1", "%3F", " "])
    async def test_of_a_key_with_more_behind_it_is_not_that_key(
        self, provider: EfiProvider, order: Any, more: str
    ) -> None:
        assert (await provider.find_payout(order.key + more)).state is PayoutState.NOT_FOUND

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({}, None),
            ({"motivo": "Conta 12345-6 de ana@example.com encerrada"}, "Conta *** de *** encerrada"),
            ({"motivo": "AC03"}, "AC03"),
            ({"motivo": "x", "gnExtras": {"erro": {"codigo": "BE01"}}}, "BE01"),
        ],
    )
    async def test_rejected_later_is_a_report(
        self, bank: EfiDouble, provider: EfiProvider, order: Any, more: dict[str, Any], reason: str | None
    ) -> None:
        bank.settle(order.key, status="NAO_REALIZADO", **more)

        report = await provider.find_payout(order.key)

        assert (report.state, report.reason) == (PayoutState.REJECTED, reason)
        assert await provider.payout(order) == report

    async def test_is_returned_when_all_of_it_came_back(
        self, bank: EfiDouble, provider: EfiProvider, order: Any
    ) -> None:
        bank.settle(order.key)
        bank.send_back(order.key, "4.00")
        bank.send_back(order.key, "6.50", status="EM_PROCESSAMENTO")
        partly = await provider.find_payout(order.key)
        bank.payouts[order.key]["devolucoes"][1]["status"] = "DEVOLVIDO"

        whole = await provider.find_payout(order.key)

        assert (partly.state, partly.reason) == (PayoutState.PAID, "PARTIAL_RETURN")
        assert (whole.state, whole.reason) == (PayoutState.RETURNED, "Devolvido pelo recebedor")

    async def test_knows_nothing_when_more_came_back_than_was_sent(
        self, bank: EfiDouble, provider: EfiProvider, order: Any
    ) -> None:
        bank.settle(order.key)
        bank.send_back(order.key, "10.51")

        with pytest.raises(PayoutUnknown):
            await provider.find_payout(order.key)

    @pytest.mark.parametrize("status", ["AGENDADO", "realizado", "", "DEVOLVIDO"])
    async def test_with_a_status_never_heard_of_is_processing(
        self, bank: EfiDouble, provider: EfiProvider, order: Any, status: str
    ) -> None:
        bank.settle(order.key, status=status)

        assert (await provider.find_payout(order.key)).state is PayoutState.PROCESSING

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, b'{"detail":"Not Found"}'),
            (404, b""),
            (404, {"type": "https://pix.bcb.gov.br/api/v2/error/NaoEncontrado", "status": 404}),
            (400, {"type": "https://pix.bcb.gov.br/api/v2/error/PixEnviadoNaoEncontrado", "status": 404}),
            (200, {"idEnvio": "another", "valor": "1.00", "status": "REALIZADO"}),
            (200, {"valor": "1.00", "status": "REALIZADO"}),
            (200, {"idEnvio": "KEY", "valor": "-1.00", "status": "REALIZADO"}),
            (200, {"idEnvio": "KEY", "valor": "1.00"}),
            (200, {"idEnvio": "KEY", "valor": "1e2", "status": "REALIZADO"}),
            (200, {"idEnvio": "KEY", "valor": "١.٠٠", "status": "REALIZADO"}),
            (500, {"nome": "erro_aplicacao"}),
        ],
    )
    async def test_without_a_clear_word_is_unknown(
        self, bank: EfiDouble, provider: EfiProvider, status: int, body: Any
    ) -> None:
        body = as_body(body).replace(b"KEY", b"a" * 32)
        bank.answers[f"GET /v2/gn/pix/enviados/id-envio/{'a' * 32}"] = (status, body)

        with pytest.raises(PayoutUnknown):
            await provider.find_payout("a" * 32)

    async def test_reads_the_published_answers(self, bank: EfiDouble, provider: EfiProvider) -> None:
        answers = VECTORS["answers"]
        path = "GET /v2/gn/pix/enviados/id-envio/identificadoEnvio123456789"
        bank.answers[path] = (200, as_body(answers["found"]))
        bank.answers[path[:-1]] = (404, as_body(answers["not_found"]))

        found = await provider.find_payout("identificadoEnvio123456789")
        missing = await provider.find_payout("identificadoEnvio12345678")

        assert (found.state, found.amount_centavos) == (PayoutState.PAID, 1)
        assert found.end_to_end_id == "E09089356202210251208APIcdbe38b4"
        assert missing.state is PayoutState.NOT_FOUND


class TestCharge:
    async def test_is_made_and_found_with_its_br_code(self, provider: PixCollector) -> None:
        order = new_charge()

        made = await provider.charge(order)

        assert (made.state, made.amount_centavos, made.receipts) == (ChargeState.ACTIVE, 1_050, ())
        assert (made.br_code or "").startswith("000201")
        assert await provider.find_charge(order.key) == made

    async def test_made_again_is_the_same(self, bank: EfiDouble, provider: EfiProvider) -> None:
        order = new_charge(payer_tax_id="12ABC34501DE35", description="")

        first, again = await provider.charge(order), await provider.charge(order)

        assert first == again
        with pytest.raises(OperationKeyReused):
            await provider.charge(new_charge(key=order.key, amount_centavos=1))

    @pytest.mark.parametrize("mood", [*LOST, *NOT_TAKEN])
    async def test_is_unknown_after_a_lost_answer(self, bank: EfiDouble, connect: Connect, mood: Mood) -> None:
        provider, order = connect(timeout_seconds=0.6), new_charge()
        await provider.balance()
        bank.moods.append(mood)

        with pytest.raises(PayoutUnknown):
            await provider.charge(order)

        found = (await provider.find_charge(order.key)).state
        assert found is (ChargeState.ACTIVE if mood in LOST else ChargeState.NOT_FOUND)
        assert (await provider.charge(order)).state is ChargeState.ACTIVE

    async def test_refused_by_name_is_refused(self, bank: EfiDouble, provider: EfiProvider) -> None:
        with pytest.raises(PayoutRefused) as malformed:
            await provider.charge(new_charge(amount_centavos=0))
        bank.blocked = True
        with pytest.raises(PayoutRefused) as blocked:
            await provider.charge(new_charge())

        assert malformed.value.reason == "valor_invalido"
        assert blocked.value.reason == "documento_bloqueado"

    @pytest.mark.parametrize(
        ("said", "payer"),
        [
            ({}, None),
            ({"gnExtras": {"pagador": {"nome": "Ana", "cpf": "52998224725"}}}, "52998224725"),
            ({"gnExtras": {"pagador": {"nome": "Ana", "cpf": "529.982.247-25"}}}, "52998224725"),
            ({"gnExtras": {"pagador": {"nome": "Loja", "cnpj": "12ABC34501DE35"}}}, "12ABC34501DE35"),
            ({"gnExtras": {"pagador": {"nome": "Ana", "cpf": "***.982.247-**"}}}, None),
            ({"gnExtras": {"pagador": {"nome": "Ana", "cpf": "11111111111"}}}, None),
            ({"gnExtras": {"tarifa": "0.01"}}, None),
            ({"pagador": {"nome": "Ana", "cpf": "52998224725"}}, "52998224725"),
        ],
    )
    async def test_is_paid_with_its_receipts(
        self, bank: EfiDouble, provider: EfiProvider, said: dict[str, Any], payer: str | None
    ) -> None:
        order = new_charge()
        await provider.charge(order)
        first = bank.receive("10.50", txid=order.key, at=NOW, **said)
        second = bank.receive("0.00", txid=order.key, at=NOW)

        report = await provider.find_charge(order.key)

        assert report.state is ChargeState.PAID
        assert [(each.end_to_end_id, each.amount_centavos, each.blocked) for each in report.receipts] == [
            (first, 1_050, False),
            (second, 0, True),
        ]
        assert (report.receipts[0].time, report.receipts[0].payer_tax_id) == (NOW, payer)

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("REMOVIDA_PELO_USUARIO_RECEBEDOR", ChargeState.REMOVED),
            ("REMOVIDA_PELO_PSP", ChargeState.REMOVED),
            ("REMOVIDO_PELO_PSP", ChargeState.REMOVED),
            ("EM_ANALISE", ChargeState.ACTIVE),
        ],
    )
    async def test_is_read_in_every_status(
        self, bank: EfiDouble, provider: EfiProvider, status: str, state: ChargeState
    ) -> None:
        order = new_charge()
        await provider.charge(order)
        bank.charges[order.key]["status"] = status

        assert (await provider.find_charge(order.key)).state is state

    async def test_never_made_is_not_found_on_the_banks_own_word_only(
        self, bank: EfiDouble, provider: EfiProvider
    ) -> None:
        bank.answers[f"GET /v2/cob/{'a' * 32}"] = (404, b"{}")

        assert await provider.find_charge("0" * 32) == ChargeReport(ChargeState.NOT_FOUND)
        with pytest.raises(PayoutUnknown):
            await provider.find_charge("a" * 32)

    async def test_reads_the_published_answer(self, bank: EfiDouble, provider: EfiProvider) -> None:
        answer = VECTORS["answers"]["charge"]
        bank.answers[f"GET /v2/cob/{answer['txid']}"] = (200, as_body(answer))

        report = await provider.find_charge(answer["txid"])

        (receipt,) = report.receipts
        assert (report.state, report.amount_centavos, report.br_code) == (ChargeState.PAID, 10_000, None)
        assert (receipt.amount_centavos, receipt.payer_tax_id) == (11_000, "12345678000195")


class TestRefund:
    @pytest.fixture
    def receipt(self, bank: EfiDouble) -> str:
        return bank.receive("10.50")

    @pytest.mark.parametrize(
        ("status", "motivo", "state"),
        [
            ("DEVOLVIDO", None, RefundState.REFUNDED),
            ("NAO_REALIZADO", "Saldo insuficiente para realizar a devolução.", RefundState.REJECTED),
            ("ALGO_NOVO", None, RefundState.PROCESSING),
        ],
    )
    async def test_is_taken_and_ends_later(
        self,
        bank: EfiDouble,
        provider: EfiProvider,
        receipt: str,
        status: str,
        motivo: str | None,
        state: RefundState,
    ) -> None:
        order = RefundOrder(uuid.uuid4().hex, receipt, 1_050)

        before = await provider.find_refund(order)
        sent = await provider.refund(order)
        bank.settle_refund(receipt, order.key, status, motivo)
        ended = await provider.refund(order)

        assert before == RefundReport(RefundState.NOT_FOUND)
        assert (sent.state, sent.amount_centavos) == (RefundState.PROCESSING, 1_050)
        assert (ended.state, ended.reason, ended.return_id) == (state, motivo, sent.return_id)
        assert len(bank.received[receipt]["devolucoes"]) == 1

    @pytest.mark.parametrize("mood", [*LOST, *NOT_TAKEN])
    async def test_is_unknown_after_a_lost_answer_and_is_made_once(
        self, bank: EfiDouble, connect: Connect, receipt: str, mood: Mood
    ) -> None:
        provider, order = connect(timeout_seconds=0.6), RefundOrder(uuid.uuid4().hex, receipt, 1_050)
        await provider.find_refund(order)
        bank.answers[f"GET /v2/pix/{receipt}/devolucao/{order.key}"] = (400, b'{"nome":"devolucao_nao_encontrada"}')
        bank.moods.append(mood)
        with pytest.raises(PayoutUnknown):
            await provider.refund(order)
        bank.answers.clear()

        again = await provider.refund(order)

        assert again.state is RefundState.PROCESSING
        assert len(bank.received[receipt]["devolucoes"]) == 1

    async def test_that_the_bank_knows_and_does_not_know_is_unknown(
        self, bank: EfiDouble, provider: EfiProvider, receipt: str
    ) -> None:
        order = RefundOrder(uuid.uuid4().hex, receipt, 1_050)
        await provider.refund(order)
        bank.answers[f"GET /v2/pix/{receipt}/devolucao/{order.key}"] = (400, b'{"nome":"devolucao_nao_encontrada"}')

        with pytest.raises(PayoutUnknown, match="and that it does not"):
            await provider.refund(order)

    async def test_refused_by_name_is_refused(self, provider: EfiProvider, receipt: str) -> None:
        with pytest.raises(PayoutRefused) as too_much:
            await provider.refund(RefundOrder(uuid.uuid4().hex, receipt, 1_051))
        with pytest.raises(PayoutRefused) as nothing:
            await provider.refund(RefundOrder(uuid.uuid4().hex, "E0", 1))

        assert too_much.value.reason == "valor_invalido"
        assert nothing.value.reason == "pix_nao_encontrado"

    async def test_of_another_amount_under_the_key_breaks_our_law(self, provider: EfiProvider, receipt: str) -> None:
        key = uuid.uuid4().hex
        await provider.refund(RefundOrder(key, receipt, 500))

        with pytest.raises(OperationKeyReused):
            await provider.refund(RefundOrder(key, receipt, 501))

    async def test_reads_the_published_answer(self, bank: EfiDouble, provider: EfiProvider) -> None:
        bank.answers["GET /v2/pix/E1/devolucao/502"] = (200, as_body(VECTORS["answers"]["refund_rejected"]))

        report = await provider.find_refund(RefundOrder("502", "E1", 2_000))

        assert report == RefundReport(
            RefundState.REJECTED, 2_000, "D12345678202011111000fghij789012", "Negado por timeout"
        )


class TestBooks:
    DAY = date(2026, 11, 20)

    @pytest.mark.parametrize(("saldo", "centavos"), [("1234567.89", 123_456_789), ("0.00", 0), ("-0.50", -50)])
    async def test_balance_is_the_banks(
        self, bank: EfiDouble, provider: EfiProvider, saldo: str, centavos: int
    ) -> None:
        bank.answers["GET /v2/gn/saldo"] = (200, as_body({"saldo": saldo, "bloqueios": {"total": "0.00"}}))

        assert await provider.balance() == centavos

    @pytest.mark.parametrize("body", [{"saldo": 12.5}, {"saldo": "12,50"}, {}, b"", {"saldo": "1.000.00"}])
    async def test_balance_that_is_not_readable_is_unknown(
        self, bank: EfiDouble, provider: EfiProvider, body: Any
    ) -> None:
        bank.answers["GET /v2/gn/saldo"] = (200, as_body(body))

        with pytest.raises(PayoutUnknown):
            await provider.balance()

    async def test_statement_is_all_that_moved_that_day_in_sao_paulo(
        self, bank: EfiDouble, provider: EfiProvider
    ) -> None:
        """Old payouts that come back, edges of the day, both kinds of devolução, a fee, and what never moved."""
        bank.items_per_page = 2
        orders = [new_order(amount_centavos=100 * n) for n in range(1, 7)]
        for order in orders:
            await provider.payout(order)
        old, first, last, tomorrow, rejected, _processing = (order.key for order in orders)
        self.requested(bank, old, "2026-08-25T15:00:00+00:00")
        for key in (first, last, tomorrow, rejected):
            self.requested(bank, key, "2026-11-20T02:59:59+00:00")
        bank.settle(old, at=datetime(2026, 8, 25, 15, tzinfo=UTC))
        bank.settle(first, at=datetime(2026, 11, 20, 3, tzinfo=UTC))
        bank.settle(last, at=datetime(2026, 11, 21, 2, 59, 59, tzinfo=UTC))
        bank.settle(tomorrow, at=datetime(2026, 11, 21, 3, tzinfo=UTC))
        bank.settle(rejected, status="NAO_REALIZADO")
        noon = datetime(2026, 11, 20, 15, tzinfo=UTC)
        back = bank.send_back(old, "0.40", at=noon)
        receipt = bank.receive("7.00", at=noon.replace(hour=16), gnExtras={"tarifa": "0.08"})
        bank.receive("0.00", at=noon)
        our_refund = {"id": "a" * 32, "rtrId": "D2", "valor": "7.00", "status": "DEVOLVIDO"}
        our_refund["horario"] = {"solicitacao": "2026-11-20T17:00:00.000Z"}  # type: ignore[assignment]
        bank.received[receipt]["devolucoes"] = [our_refund]
        end_to_end = {key: pix["endToEndId"] for key, pix in bank.payouts.items()}

        lines = await provider.statement(self.DAY)

        assert [(line.key, line.end_to_end_id, line.amount_centavos) for line in lines] == [
            (first, end_to_end[first], -200),
            (old, back, 40),
            (None, receipt, -8),
            (None, receipt, 700),
            ("a" * 32, "D2", -700),
            (last, end_to_end[last], -300),
        ]
        assert len({line.id for line in lines}) == len(lines)

    @staticmethod
    def requested(bank: EfiDouble, key: str, at: str) -> None:
        bank.payouts[key]["horario"] = {"solicitacao": at}

    async def test_statement_of_a_quiet_day_is_empty(self, provider: EfiProvider) -> None:
        assert await provider.statement(self.DAY) == []

    async def test_statement_reads_the_published_list(self, bank: EfiDouble, provider: EfiProvider) -> None:
        bank.answers["GET /v2/pix"] = (200, as_body(VECTORS["answers"]["received"]))
        bank.answers["GET /v2/gn/pix/enviados"] = (200, as_body([VECTORS["answers"]["found"]]))

        received = await provider.statement(date(2022, 10, 19))
        sent = await provider.statement(date(2022, 10, 26))

        assert [line.amount_centavos for line in received] == [1, 2, -1, -1]
        assert [line.amount_centavos for line in sent] == [-1]

    @pytest.mark.parametrize(
        "changes",
        [
            {"paginaAtual": 1},
            {"quantidadeTotalDeItens": 3},
            {"quantidadeDePaginas": 2},
        ],
    )
    async def test_statement_that_is_not_whole_is_unknown(
        self, bank: EfiDouble, provider: EfiProvider, changes: dict[str, int]
    ) -> None:
        page = json.loads(json.dumps(VECTORS["answers"]["received"]))
        page["parametros"]["paginacao"] |= changes
        bank.answers["GET /v2/pix"] = (200, as_body(page))

        with pytest.raises(PayoutUnknown):
            await provider.statement(self.DAY)

    async def test_statement_with_one_line_that_is_not_readable_is_unknown(
        self, bank: EfiDouble, provider: EfiProvider
    ) -> None:
        page = json.loads(json.dumps(VECTORS["answers"]["received"]))
        page["pix"][0]["valor"] = 0.01
        bank.answers["GET /v2/pix"] = (200, as_body(page))

        with pytest.raises(PayoutUnknown):
            await provider.statement(self.DAY)


class TestVerifyWebhook:
    @staticmethod
    def headers(query: str | None = None) -> dict[str, str]:
        return {"X-Liquida-Query": f"hmac={WEBHOOK_SECRET}&ignorar=" if query is None else query}

    def events(self, verifier: EfiProvider, body: Any) -> list[Any]:
        return verifier.verify_webhook(self.headers(), as_body(body), now=NOW)

    def test_reads_the_published_webhooks(self, verifier: EfiProvider) -> None:
        published = VECTORS["webhooks"]

        assert self.events(verifier, published["received"]) == [
            ChargeEvent(
                "E1803615022211340s08793XPJ:RECEBIDO:0.01",
                "fc9a43k6ff384ryP5f41719",
                "E1803615022211340s08793XPJ",
                "09089356000118",
            )
        ]
        e2e, txid = "E12345678202009091221syhgfgufg", "c3e0e7a4e7f1469a9f782d3d4999343c"
        returned = "D12345678202009091221abcdf098765"
        assert self.events(verifier, published["refunded"]) == [
            ChargeEvent(f"{e2e}:RECEBIDO:110.00", txid, e2e),
            RefundEvent(f"{e2e}:{returned}:DEVOLVIDO", "123ABC", e2e),
        ]
        assert self.events(verifier, published["object"]) == [
            ChargeEvent(f"{e2e}:RECEBIDO:110.00", txid, e2e),
            RefundEvent(f"{e2e}:{returned}:EM_PROCESSAMENTO", "123ABC", e2e),
        ]
        assert self.events(verifier, published["paid"]) == [
            PayoutEvent("E090893562021030PIf25a7868:REALIZADO", "123ABC", PayoutState.PAID)
        ]
        assert self.events(verifier, published["rejected"]) == [
            PayoutEvent("E090893562021030PIf25a7868:NAO_REALIZADO", "123ABC", PayoutState.REJECTED)
        ]

    def test_reads_all_of_many_and_none_twice(self, verifier: EfiProvider) -> None:
        paid, rejected = (VECTORS["webhooks"][name]["pix"][0] for name in ("paid", "rejected"))

        events = self.events(verifier, {"pix": [paid, rejected, paid, {"endToEndId": 1}]})

        assert [event.state for event in events] == [PayoutState.PAID, PayoutState.REJECTED]

    def test_tells_a_receipt_held_back_from_the_same_one_let_go(self, verifier: EfiProvider) -> None:
        pix = VECTORS["webhooks"]["received"]["pix"][0]

        events = self.events(verifier, {"pix": [pix | {"valor": "0.00"}, pix]})

        assert len({event.event_id for event in events}) == 2

    def test_says_returned_when_any_of_a_payout_came_back(self, verifier: EfiProvider) -> None:
        back = {"rtrId": "D1", "valor": "0.01", "status": "DEVOLVIDO"}
        pix = VECTORS["webhooks"]["paid"]["pix"][0] | {"devolucoes": [back]}

        events = self.events(verifier, {"pix": [pix]})

        assert [event.state for event in events] == [PayoutState.PAID, PayoutState.RETURNED]

    def test_gives_no_key_for_what_the_bank_took_back_by_itself(self, verifier: EfiProvider) -> None:
        pix = json.loads(json.dumps(VECTORS["webhooks"]["refunded"]["pix"][0]))
        pix["devolucoes"][0]["natureza"] = "MED_FRAUDE"

        events = self.events(verifier, {"pix": [pix]})

        assert events[1].key is None

    @pytest.mark.parametrize("change", [{"gnExtras": None}, {"gnExtras": {}}])
    def test_leaves_out_what_was_sent_from_the_banks_own_app(
        self, verifier: EfiProvider, change: dict[str, Any]
    ) -> None:
        assert self.events(verifier, {"pix": [VECTORS["webhooks"]["paid"]["pix"][0] | change]}) == []

    @pytest.mark.parametrize("txid", [None, "", "***"])
    def test_leaves_out_a_receipt_of_no_charge(self, verifier: EfiProvider, txid: str | None) -> None:
        assert self.events(verifier, {"pix": [VECTORS["webhooks"]["received"]["pix"][0] | {"txid": txid}]}) == []

    def test_takes_a_status_never_heard_of_as_processing(self, verifier: EfiProvider) -> None:
        (event,) = self.events(verifier, {"pix": [VECTORS["webhooks"]["paid"]["pix"][0] | {"status": "NOVO"}]})

        assert event.state is PayoutState.PROCESSING

    def test_passes_with_either_secret_and_nothing_to_read(self, verifier: EfiProvider) -> None:
        for secret in (WEBHOOK_SECRET, "b2" * 20):
            headers = self.headers(f"hmac={quote(secret)}")
            assert verifier.verify_webhook(headers, b'{"pix":[]}', now=NOW) == []

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "hmac=",
            "ignorar=",
            f"hmac={WEBHOOK_SECRET[:-1]}",
            f"hmac={WEBHOOK_SECRET}x",
            f"HMAC={WEBHOOK_SECRET}",
            f"hmac={WEBHOOK_SECRET}&hmac={WEBHOOK_SECRET}",
            f"hmac={WEBHOOK_SECRET}&hmac=other",
            f"x={WEBHOOK_SECRET}",
            "hmac=%FF%FE",
            "hmac=\ud800",
            f"{'a=b&' * 1_000}hmac={WEBHOOK_SECRET}",
        ],
    )
    def test_refuses_any_other_url(self, verifier: EfiProvider, query: str) -> None:
        with pytest.raises(WebhookRejected, match="our secret"):
            verifier.verify_webhook(self.headers(query), as_body(VECTORS["webhooks"]["paid"]), now=NOW)

    def test_refuses_a_url_that_nobody_passed_on(self, verifier: EfiProvider) -> None:
        with pytest.raises(WebhookRejected):
            verifier.verify_webhook({"hmac": WEBHOOK_SECRET}, as_body(VECTORS["webhooks"]["paid"]), now=NOW)

    def test_accepts_nothing_without_a_secret(self) -> None:
        with pytest.raises(WebhookRejected):
            EfiProvider("https://127.0.0.1:1").verify_webhook(self.headers(), b'{"pix":[]}', now=NOW)

    @pytest.mark.parametrize(
        "body",
        [b"", b"null", b"[]", b"{}", b'{"pix":null}', b'{"pix":{}}', b"[" * 10_000, b'{"pix":[' * 5_000, b"\xff"],
    )
    def test_refuses_a_body_that_is_no_list_of_pix(self, verifier: EfiProvider, body: bytes) -> None:
        with pytest.raises(WebhookRejected, match="not a list"):
            verifier.verify_webhook(self.headers(), body, now=NOW)

    @pytest.mark.parametrize("pix", [None, 1, {}, {"endToEndId": None}, {"endToEndId": "E1", "devolucoes": 1}])
    def test_refuses_a_body_of_which_nothing_is_readable(self, verifier: EfiProvider, pix: Any) -> None:
        with pytest.raises(WebhookRejected, match="readable"):
            self.events(verifier, {"pix": [pix]})

    @pytest.mark.parametrize("secret", ["", "short", "a" * 31, "a" * 31 + "&", "ã" * 40, "a b" * 20])
    def test_needs_secrets_worth_the_name(self, secret: str) -> None:
        with pytest.raises(ValueError):
            EfiProvider("https://127.0.0.1:1", webhook_secrets=[secret])


class TestSecrets:
    @pytest.mark.parametrize("mood", [None, Mood.ERROR_AFTER, Mood.GARBAGE_AFTER, Mood.DROP])
    async def test_and_personal_data_are_in_no_log_error_or_repr(
        self, bank: EfiDouble, provider: EfiProvider, caplog: pytest.LogCaptureFixture, mood: Mood | None
    ) -> None:
        caplog.set_level(logging.DEBUG)
        order, charge = new_order(), new_charge()
        errors: list[BaseException] = []
        calls: list[Callable[[], Any]] = [
            lambda: provider.payout(order),
            lambda: provider.payout(new_order(holder_tax_id="39053344705")),
            lambda: provider.charge(charge),
            lambda: provider.find_payout(order.key),
            lambda: provider.refund(RefundOrder(uuid.uuid4().hex, "E1", 1)),
            lambda: provider.find_charge(charge.key),
            lambda: provider.statement(NOW.date()),
            lambda: provider.verify_webhook({"x-liquida-query": "hmac=other"}, b"{}", now=NOW),
        ]
        said = []

        for call in calls:
            bank.moods.extend([mood] if mood else [])
            try:
                result = call()
                said.append(repr(await result if asyncio.iscoroutine(result) else result))
            except (PayoutRefused, PayoutUnknown, WebhookRejected) as error:
                errors.append(error)
            bank.moods.clear()

        told = f"{errors!r} {[error.__cause__ for error in errors]!r} {said!r} {provider!r} {caplog.text}"
        secrets = {
            bank.client_secret,
            bank.webhook_secret,
            *bank.tokens,
            "Basic ",
            "Bearer ",
            "PRIVATE KEY",
            "CERTIFICATE",
            "ana@example.com",
            "Ana Silva",
            "52998224725",
            "39053344705",
            "OTC sell",
        }
        assert len(errors) >= 3
        assert [value for value in secrets if value in told] == []
