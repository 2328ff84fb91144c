"""Disputes (MED) at the providers that publish how they tell of them."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from models.errors import PayoutRefused, PayoutUnknown
from payments.efi import EfiProvider
from payments.protocol import ChargeOrder, DisputeEvent, DisputeReport, DisputeState, PixDisputes
from payments.woovi import WooviProvider
from payments.woovi.pdf import text_as_pdf
from tests.api.door import now
from tests.payments.efi_double import EfiDouble, Mood
from tests.payments.woovi_double import APP_ID, Fault, Woovi

RSA = generate_private_key(65537, 1024)
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
SECRET = "an-endpoint-secret-of-ours-1"
E2E = "E31680151202503252045C0MHIPSJI6S"
KEY = "0123456789abcdef0123456789abcdef"
STATEMENT = "O cliente comprou 0,1 BTC (pedido OTC-2026-1) e o recebeu.\nSegue a transação."


@pytest.fixture(scope="module")
def woovi_server() -> Iterator[Woovi]:
    with Woovi() as running:
        yield running


@pytest.fixture
def woovi(woovi_server: Woovi) -> Iterator[Woovi]:
    woovi_server.reset()
    woovi_server.disputes["d1"] = {"type": "MED", "status": "OPENED", "endToEndId": E2E, "id": "d1"}
    woovi_server.transactions.append({"endToEndId": E2E, "value": 10_000, "type": "PAYMENT", "status": "CONFIRMED"})
    yield woovi_server
    assert woovi_server.violations == []


@pytest.fixture
async def at_woovi(woovi: Woovi) -> AsyncIterator[WooviProvider]:
    provider = WooviProvider(woovi.url, app_id=APP_ID, webhook_secrets=[SECRET], public_keys=[PEM], timeout_seconds=5)
    yield provider
    await provider.close()


@pytest.fixture(scope="module")
def efi_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EfiDouble]:
    with EfiDouble(tmp_path_factory.mktemp("efi")) as running:
        yield running


@pytest.fixture
def efi(efi_server: EfiDouble) -> Iterator[EfiDouble]:
    efi_server.reset()
    yield efi_server
    assert efi_server.violations == []


@pytest.fixture
async def at_efi(efi: EfiDouble) -> AsyncIterator[EfiProvider]:
    provider = efi.provider()
    yield provider
    await provider.close()


class TestDisputeAtWoovi:
    def test_is_what_the_protocol_says(self, at_woovi: WooviProvider) -> None:
        offers: PixDisputes = at_woovi

        assert offers is at_woovi

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("IN_REVIEW", DisputeState.OPEN),
            ("OPENED", DisputeState.OPEN),
            ("ACCEPTED", DisputeState.LOST),
            ("REJECTED", DisputeState.WON),
            ("CANCELED", DisputeState.WON),
            ("canceled", DisputeState.WON),
            ("never heard of", DisputeState.OPEN),
        ],
    )
    async def test_ends_only_with_a_published_word(
        self, at_woovi: WooviProvider, woovi: Woovi, status: str, state: DisputeState
    ) -> None:
        woovi.disputes["d1"]["status"] = status

        assert DisputeReport("d1", state, E2E, 10_000) == await at_woovi.find_dispute("d1")

    async def test_claims_what_it_says_and_else_the_whole_receipt(
        self, at_woovi: WooviProvider, woovi: Woovi
    ) -> None:
        whole = await at_woovi.find_dispute("d1")
        woovi.disputes["d1"]["value"] = 4_000

        part = await at_woovi.find_dispute("d1")

        assert (10_000, 4_000) == (whole.amount_centavos, part.amount_centavos)

    async def test_is_found_by_its_receipt_where_the_webhook_had_no_id(
        self, at_woovi: WooviProvider, woovi: Woovi
    ) -> None:
        woovi.disputes[E2E] = woovi.disputes["d1"]

        assert E2E == (await at_woovi.find_dispute(E2E)).id

    async def test_that_is_not_there_or_anothers_is_unknown(self, at_woovi: WooviProvider, woovi: Woovi) -> None:
        woovi.disputes["d2"] = woovi.disputes["d1"]
        woovi.disputes["d3"] = woovi.disputes["d1"] | {"id": "d3", "endToEndId": "E-of-nobody"}

        for dispute_id in ("d0", "d2", "d3"):
            with pytest.raises(PayoutUnknown):
                await at_woovi.find_dispute(dispute_id)

    @pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.DROP_BEFORE, Fault.GARBAGE_AFTER])
    async def test_is_unknown_while_the_provider_does_not_answer(
        self, at_woovi: WooviProvider, woovi: Woovi, fault: Fault
    ) -> None:
        woovi.fail("dispute", fault)

        with pytest.raises(PayoutUnknown):
            await at_woovi.find_dispute("d1")

    async def test_is_defended_with_a_file(self, at_woovi: WooviProvider, woovi: Woovi) -> None:
        await at_woovi.defend("d1", STATEMENT)

        [(key, content)] = woovi.files.items()
        assert ["dispute", "files", "evidence"] == woovi.calls
        assert [f"file-{key}"] == woovi.evidence["d1"]
        assert b"OTC-2026-1" in content

    @pytest.mark.parametrize("step", ["files", "evidence"])
    @pytest.mark.parametrize("fault", [Fault.ERROR_AFTER, Fault.DROP_AFTER])
    async def test_defended_again_hands_in_the_same_file(
        self, at_woovi: WooviProvider, woovi: Woovi, step: str, fault: Fault
    ) -> None:
        woovi.fail(step, fault)
        with pytest.raises(PayoutUnknown):
            await at_woovi.defend("d1", STATEMENT)

        await at_woovi.defend("d1", STATEMENT)

        assert 1 == len(woovi.files)
        assert 1 == len(set(woovi.evidence["d1"]))

    @pytest.mark.parametrize("status", ["ACCEPTED", "REJECTED", "CANCELED"])
    async def test_that_is_decided_is_not_defended(self, at_woovi: WooviProvider, woovi: Woovi, status: str) -> None:
        woovi.disputes["d1"]["status"] = status

        with pytest.raises(PayoutRefused) as refusal:
            await at_woovi.defend("d1", STATEMENT)

        assert (status, ["dispute"]) == (refusal.value.reason, woovi.calls)

    async def test_decided_while_it_is_defended_is_a_refusal(self, at_woovi: WooviProvider, woovi: Woovi) -> None:
        woovi.fail("evidence", Fault.SLOW)
        defending = asyncio.create_task(at_woovi.defend("d1", STATEMENT))
        async with asyncio.timeout(5):
            while "evidence" not in woovi.calls:
                await asyncio.sleep(0.01)
        woovi.disputes["d1"]["status"] = "ACCEPTED"

        with pytest.raises(PayoutRefused):
            await defending

    async def test_without_the_feature_waits_for_the_provider(self, at_woovi: WooviProvider, woovi: Woovi) -> None:
        woovi.takes_files = False

        with pytest.raises(PayoutUnknown, match="ask it for the feature"):
            await at_woovi.defend("d1", STATEMENT)

    @pytest.mark.parametrize("name", ["CREATED", "ACCEPTED", "REJECTED", "CANCELED"])
    @pytest.mark.parametrize("prefix", ["OPENPIX:", "woovi:"])
    async def test_is_told_by_webhook(self, at_woovi: WooviProvider, name: str, prefix: str) -> None:
        told = {"status": name, "endToEndId": E2E, "id": "d1", "email": "test@email.com.br", "value": 1000}

        assert [DisputeEvent(f"DISPUTE_{name}:{name}:d1", "d1", E2E)] == heard(
            at_woovi, {"event": f"{prefix}DISPUTE_{name}", "dispute": told}
        )

    async def test_told_without_an_id_goes_by_its_receipt(self, at_woovi: WooviProvider) -> None:
        told = {"status": "OPENED", "endToEndId": E2E}

        assert [DisputeEvent(f"DISPUTE_CREATED:OPENED:{E2E}", E2E, E2E)] == heard(
            at_woovi, {"event": "OPENPIX:DISPUTE_CREATED", "dispute": told}
        )

    async def test_of_nothing_is_left_out_as_is_the_test_of_a_new_endpoint(self, at_woovi: WooviProvider) -> None:
        assert [] == heard(at_woovi, {"event": "OPENPIX:DISPUTE_CREATED", "dispute": {}})
        assert [] == heard(at_woovi, {"evento": "teste_webhook", "data_criacao": "2026-11-21"})


def heard(provider: WooviProvider, body: dict[str, Any]) -> Any:
    raw = json.dumps(body).encode()
    signature = base64.b64encode(RSA.sign(raw, PKCS1v15(), SHA256())).decode()
    return provider.verify_webhook({"x-webhook-signature": signature, "authorization": SECRET}, raw, now=now())


class TestDisputeAtEfi:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("ABERTA", DisputeState.OPEN),
            ("EM_DEFESA", DisputeState.OPEN),
            ("ACEITA", DisputeState.LOST),
            ("REJEITADA", DisputeState.WON),
            ("CANCELADA_EFI", DisputeState.WON),
            ("NOVA_PALAVRA", DisputeState.OPEN),
        ],
    )
    async def test_ends_only_with_a_published_word(
        self, at_efi: EfiProvider, efi: EfiDouble, status: str, state: DisputeState
    ) -> None:
        dispute_id = efi.accuse(E2E, "100.00", status)

        report = await at_efi.find_dispute(dispute_id)

        assert DisputeReport(dispute_id, state, E2E, 10_000, None, "golpe") == report

    async def test_with_an_amount_of_two_readings_claims_the_whole_receipt(
        self, at_efi: EfiProvider, efi: EfiDouble
    ) -> None:
        receipt = efi.receive("130.00")
        dispute_id = efi.accuse(receipt, "100")

        assert 13_000 == (await at_efi.find_dispute(dispute_id)).amount_centavos

    async def test_of_a_receipt_that_is_gone_is_unknown(self, at_efi: EfiProvider, efi: EfiDouble) -> None:
        with pytest.raises(PayoutUnknown):
            await at_efi.find_dispute(efi.accuse("E-gone", "100"))

    async def test_is_found_on_any_page(self, at_efi: EfiProvider, efi: EfiDouble) -> None:
        efi.items_per_page = 2
        ids = [efi.accuse(E2E, f"{number}.00") for number in range(1, 6)]

        found = [(await at_efi.find_dispute(dispute_id)).amount_centavos for dispute_id in ids]

        assert [100, 200, 300, 400, 500] == found

    async def test_that_is_not_listed_is_unknown(self, at_efi: EfiProvider, efi: EfiDouble) -> None:
        efi.accuse(E2E, "100.00")

        with pytest.raises(PayoutUnknown):
            await at_efi.find_dispute("8ad75c93-6150-422c-929e-822f361c7a6b")

    @pytest.mark.parametrize("mood", [Mood.ERROR, Mood.DROP, Mood.GARBAGE_AFTER, Mood.TOO_MANY])
    async def test_is_unknown_while_the_provider_does_not_answer(
        self, at_efi: EfiProvider, efi: EfiDouble, mood: Mood
    ) -> None:
        dispute_id = efi.accuse(E2E, "100.00")
        efi.moods.append(mood)

        with pytest.raises(PayoutUnknown):
            await at_efi.find_dispute(dispute_id)

    async def test_passes_on_no_words_that_may_name_somebody(self, at_efi: EfiProvider, efi: EfiDouble) -> None:
        dispute_id = efi.accuse(E2E, "100.00", tipoSituacao="Foi a Ana")

        report = await at_efi.find_dispute(dispute_id)

        assert report.reason is None
        assert "Ana" not in repr(report)

    async def test_is_defended_by_a_person(self, at_efi: EfiProvider, efi: EfiDouble) -> None:
        with pytest.raises(PayoutRefused, match="Efí's own app"):
            await at_efi.defend(efi.accuse(E2E, "100.00"), STATEMENT)

        assert [] == efi.requests


class TestReceiptAtEfi:
    async def test_says_what_the_bank_took_back(self, at_efi: EfiProvider, efi: EfiDouble) -> None:
        await at_efi.charge(ChargeOrder(KEY, 13_000, 600, "Ana Silva", "52998224725", "OTC buy"))
        back = {"horario": {"solicitacao": "2026-11-21T12:00:00Z"}}
        efi.receive(
            "130.00",
            txid=KEY,
            devolucoes=[
                back | {"id": "a", "valor": "10.00", "status": "DEVOLVIDO", "natureza": "ORIGINAL"},
                back | {"id": "b", "valor": "20.00", "status": "DEVOLVIDO", "natureza": "MED_FRAUDE"},
                back | {"id": "c", "valor": "30.50", "status": "DEVOLVIDO", "natureza": "MED_OPERACIONAL"},
                back | {"id": "d", "valor": "0.01", "status": "DEVOLVIDO", "natureza": "MED_PIX_AUTOMATICO"},
                back | {"id": "e", "valor": "40.00", "status": "EM_PROCESSAMENTO", "natureza": "MED_FRAUDE"},
                back | {"id": "f", "valor": "1.00", "status": "DEVOLVIDO"},
            ],
        )

        [receipt] = (await at_efi.find_charge(KEY)).receipts

        assert (13_000, 5_051) == (receipt.amount_centavos, receipt.taken_back_centavos)

    async def test_says_nothing_was_taken_back_where_nothing_was(self, at_efi: EfiProvider, efi: EfiDouble) -> None:
        await at_efi.charge(ChargeOrder(KEY, 13_000, 600, "Ana Silva", "52998224725", "OTC buy"))
        efi.receive("130.00", txid=KEY)

        [receipt] = (await at_efi.find_charge(KEY)).receipts

        assert 0 == receipt.taken_back_centavos


class TestPdf:
    def test_of_the_same_text_is_the_same_file(self) -> None:
        assert text_as_pdf(STATEMENT) == text_as_pdf(STATEMENT)

    @pytest.mark.parametrize("text", ["", "one line", STATEMENT, "a (b) \\c\n" * 200, "ключ €"], ids=range(5))
    def test_has_a_table_that_points_to_every_object(self, text: str) -> None:
        content = text_as_pdf(text)

        start = int(content.rsplit(b"startxref\n", 1)[1].split(b"\n", 1)[0])
        offsets = [int(line[:10]) for line in content[start:].split(b"\n") if line.endswith(b" n ")]
        assert content[start:].startswith(b"xref\n")
        assert [f"{number} 0 obj".encode() for number in range(1, len(offsets) + 1)] == [
            content[offset:].split(b"\n", 1)[0] for offset in offsets
        ]
        for length, stream in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", content, re.DOTALL):
            assert int(length) == len(stream)

    def test_turns_the_page(self) -> None:
        assert b"/Count 4 " in text_as_pdf("line\n" * 200)
