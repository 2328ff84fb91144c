"""Each provider's own webhooks through the door, and the provider that a new trade gets."""

import base64
import json
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text
from structlog.testing import capture_logs

from liquida.logging import HIDDEN, redact
from models.deposit import writes as deposits
from models.deposit.types import BlockMark, Found
from models.instant_trade.advance import advance
from models.instant_trade.types import Advance
from models.payout import queries as payouts
from models.payout import writes as payout_writes
from models.payout.states import PayoutStatus
from models.payout.types import Payout, Report
from models.provider_health import writes as health
from models.provider_health.types import Failover
from models.wallet import allocate
from payments.brl_code import BrlCodeProvider
from payments.efi import EfiProvider
from payments.protocol import PixProvider
from payments.woovi import WooviProvider
from tests.api.door import ETHER, OUTSIDE, TERMS, Door, Person, now, problem
from tests.api.test_inbound_webhook import messages, stored
from tests.payments.brl_code_double import sign

RSA = generate_private_key(65537, 1024)
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
WOOVI_SECRET = "the-secret-of-our-woovi-endpoint"
EFI_SECRET = "the-secret-in-the-url-that-efi-calls"
BRL_CODE_SECRET = "the-secret-that-the-gateway-signs-with"


@pytest.fixture
async def real(door: Door) -> AsyncIterator[Door]:
    """The API of an installation that has all three real providers, with their webhook secrets and no more."""
    made: list[PixProvider] = [
        WooviProvider("http://127.0.0.1:1", webhook_secrets=[WOOVI_SECRET], public_keys=[PEM]),
        EfiProvider("https://127.0.0.1:1", webhook_secrets=[EFI_SECRET]),
        BrlCodeProvider(webhook_secrets=[BRL_CODE_SECRET]),
    ]
    async with door.other(webhooks={provider.name: provider.verify_webhook for provider in made}) as other:
        yield other
    for provider in made:
        await provider.close()


async def ordered(door: Door, ana: Person, provider: str, *, paid_as: str | None = None) -> str:
    """The key of a payout at this provider that was sent, and, ``paid_as`` an end-to-end id, is known to be paid."""
    terms = replace(TERMS, provider=provider)
    async with door.other(terms=terms) as its_own:
        trade = await its_own.trade(ana, amount="0.1")
    async with door.engine.begin() as conn:
        [address] = (await allocate.by_text(conn, "ethereum", [trade["deposit_address"]])).values()
        block, txid = "0x" + "c" * 64, "0x" + secrets.token_hex(32)
        found = Found(txid, -1, "ETH.ethereum", address.id, trade["id"], OUTSIDE, ETHER // 10, 1000, block, now())
        await deposits.record(conn, "ethereum", [BlockMark(1000, block)], [found])
        for deposit_id in await deposits.final_ids(conn, "ethereum", height=1000):
            await deposits.book(conn, deposit_id)
        await advance(conn, Advance(trade["id"], terms), now=now())
        await payout_writes.mark_submitting(conn, await locked(conn, trade["id"]))
        if paid_as:
            report = Report(PayoutStatus.PAID, end_to_end_id=paid_as)
            await payout_writes.record(conn, await locked(conn, trade["id"]), report)
    return str(trade["id"])


async def locked(conn: Any, key: str) -> Payout:
    payout = await payouts.payout(conn, key, lock=True)
    assert payout is not None
    return payout


async def row(door: Door, key: str) -> Payout:
    async with door.engine.connect() as conn:
        payout = await payouts.payout(conn, key)
    assert payout is not None
    return payout


def as_json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


async def from_woovi(door: Door, body: bytes, *, secret: str = WOOVI_SECRET) -> httpx.Response:
    signature = base64.b64encode(RSA.sign(body, PKCS1v15(), SHA256())).decode()
    headers = {"x-webhook-signature": signature, "authorization": secret}
    return await door.http.post("/webhooks/woovi", content=body, headers=headers)


async def from_efi(door: Door, body: bytes, *, secret: str = EFI_SECRET) -> httpx.Response:
    return await door.http.post(f"/webhooks/efi?hmac={secret}&ignorar=", content=body)


async def from_gateway(
    door: Door, body: dict[str, Any], *, secret: str = BRL_CODE_SECRET, path: str = "brl_code"
) -> httpx.Response:
    raw, signature = sign(body, secret)
    headers = {"X-BRL-Code-Signature": signature}
    return await door.http.post(f"/webhooks/{path}", content=raw, headers=headers)


def confirmed(key: str, payment_id: str = "pay_1") -> dict[str, Any]:
    return {
        "event": "payment.confirmed",
        "payment_id": payment_id,
        "external_id": key,
        "amount": 1446.25,
        "status": "confirmed",
        "timestamp": datetime.now(UTC).isoformat(),
    }


def end_to_end_id() -> str:
    return f"E12345678202611211200{secrets.token_hex(6)[:11]}"


class TestWoovi:
    async def test_rings_the_payouts_bell(self, real: Door, ana: Person) -> None:
        key = await ordered(real, ana, "woovi")
        body = as_json({"event": "OPENPIX:MOVEMENT_CONFIRMED", "payment": {"correlationID": key, "value": 1}})

        reply = await from_woovi(real, body)

        assert (200, {"events": 1, "new": 1}) == (reply.status_code, reply.json())
        assert ["look"] == await messages(real, f"payout/{key}")
        assert [(key, "paid")] == [told[:2] for told in await stored(real, f"MOVEMENT_CONFIRMED:{key}")]

    async def test_of_a_returned_payout_is_found_by_its_pix(self, real: Door, ana: Person) -> None:
        pix = end_to_end_id()
        key = await ordered(real, ana, "woovi", paid_as=pix)
        body = as_json(
            {
                "event": "woovi:PIX_TRANSACTION_REFUND_RECEIVED_CONFIRMED",
                "refundTransaction": {"endToEndId": f"D{pix[1:]}", "value": 1, "correlationID": None},
                "originalTransaction": {"endToEndId": pix},
            }
        )

        await from_woovi(real, body)

        assert ["look"] == await messages(real, f"payout/{key}")
        assert ["start"] == await messages(real, f"payout-return/{key}")

    async def test_of_another_customer_is_refused(self, real: Door) -> None:
        body = as_json({"event": "OPENPIX:MOVEMENT_CONFIRMED", "payment": {"correlationID": "x"}})

        problem(await from_woovi(real, body, secret="another-endpoints-secret-value"), "webhook-rejected")


class TestEfi:
    async def test_rings_the_payouts_bell(self, real: Door, ana: Person) -> None:
        key, pix = await ordered(real, ana, "efi"), end_to_end_id()
        told = {"endToEndId": pix, "valor": "1.00", "status": "REALIZADO", "gnExtras": {"idEnvio": key}}

        reply = await from_efi(real, as_json({"pix": [told]}))

        assert (200, {"events": 1, "new": 1}) == (reply.status_code, reply.json())
        assert ["look"] == await messages(real, f"payout/{key}")

    async def test_of_a_returned_payout_without_our_key_is_found_by_its_pix(self, real: Door, ana: Person) -> None:
        pix = end_to_end_id()
        key = await ordered(real, ana, "efi", paid_as=pix)
        back = {"id": "D1", "rtrId": f"D{pix[1:]}", "valor": "1.00", "status": "DEVOLVIDO", "natureza": "MED_FRAUDE"}
        body = as_json({"pix": [{"endToEndId": pix, "valor": "1.00", "devolucoes": [back]}]})

        for _ in range(2):
            reply = await from_efi(real, body)

        assert (200, 0) == (reply.status_code, reply.json()["new"])
        assert ["look"] == await messages(real, f"payout/{key}")
        assert ["start"] == await messages(real, f"payout-return/{key}")

    async def test_of_a_pix_that_another_provider_sent_is_kept(self, real: Door, ana: Person) -> None:
        pix = end_to_end_id()
        key = await ordered(real, ana, "woovi", paid_as=pix)
        back = {"rtrId": f"D{pix[1:]}", "valor": "1.00", "status": "DEVOLVIDO"}

        reply = await from_efi(real, as_json({"pix": [{"endToEndId": pix, "valor": "1.00", "devolucoes": [back]}]}))

        assert (200, 1) == (reply.status_code, reply.json()["new"])
        assert [] == await messages(real, f"payout-return/{key}")

    async def test_of_a_url_that_is_being_registered_is_answered(self, real: Door) -> None:
        reply = await from_efi(real, as_json({"evento": "teste_webhook", "data_criacao": "2026-11-21"}))

        assert (200, {"events": 0, "new": 0}) == (reply.status_code, reply.json())

    @pytest.mark.parametrize("header", ["x-liquida-query", "X-Liquida-Query"])
    async def test_is_believed_by_its_address_and_by_no_header(self, real: Door, header: str) -> None:
        reply = await real.http.post(
            "/webhooks/efi", content=b'{"pix": []}', headers={header: f"hmac={EFI_SECRET}&ignorar="}
        )

        problem(reply, "webhook-rejected")

    @pytest.mark.parametrize("body", [b'{"pix": []}', b"not json", b"{}"], ids=["empty", "no json", "no pix"])
    async def test_shows_its_secret_to_no_log_and_no_answer(
        self, real: Door, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], body: bytes
    ) -> None:
        caplog.set_level(logging.DEBUG)
        for name in ("httpx", "httpcore"):  # the test's own client, which knows the address it calls
            caplog.set_level(logging.WARNING, logger=name)

        replies = [await from_efi(real, body), await from_efi(real, body, secret=f"{EFI_SECRET}x")]

        said = [caplog.text, *capfd.readouterr(), *(reply.text for reply in replies)]
        assert EFI_SECRET not in "".join(said)

    def test_secret_is_hidden_should_a_library_log_the_address(self) -> None:
        line = redact(None, "info", {"event": f"POST /webhooks/efi?hmac={EFI_SECRET}&ignorar= 200"})

        assert f"POST /webhooks/efi?{HIDDEN}&ignorar= 200" == line["event"]


class TestBrlCode:
    @pytest.mark.parametrize("path", ["brl_code", "payment"])
    async def test_tells_the_gateways_id_and_rings_the_payouts_bell(self, real: Door, ana: Person, path: str) -> None:
        key = await ordered(real, ana, "brl_code")
        before = await row(real, key)

        reply = await from_gateway(real, confirmed(key), path=path)

        after = await row(real, key)
        assert (200, {"events": 1, "new": 1}) == (reply.status_code, reply.json())
        assert ("pay_1", before.status, before.version + 1) == (after.provider_id, after.status, after.version)
        assert ["look"] == await messages(real, f"payout/{key}")

    async def test_repeated_changes_nothing(self, real: Door, ana: Person) -> None:
        key = await ordered(real, ana, "brl_code")
        await from_gateway(real, confirmed(key))
        before = await row(real, key)

        again = await from_gateway(real, confirmed(key))

        assert (200, 0) == (again.status_code, again.json()["new"])
        assert before.version == (await row(real, key)).version

    async def test_of_a_second_payment_for_one_order_asks_for_a_person(self, real: Door, ana: Person) -> None:
        key = await ordered(real, ana, "brl_code")
        await from_gateway(real, confirmed(key))

        with capture_logs() as lines:
            reply = await from_gateway(real, confirmed(key, "pay_2"))

        told = {"event": "payout.named_twice", "log_level": "error", "payout": key, "provider": "brl_code"}
        assert told in lines
        assert (200, 1) == (reply.status_code, reply.json()["new"])
        assert "pay_1" == (await row(real, key)).provider_id

    async def test_names_no_payout_of_another_provider(self, real: Door, ana: Person) -> None:
        key = await ordered(real, ana, "woovi")

        reply = await from_gateway(real, confirmed(key))

        assert (200, 1) == (reply.status_code, reply.json()["new"])
        assert (None, []) == ((await row(real, key)).provider_id, await messages(real, f"payout/{key}"))

    @pytest.mark.parametrize("strange", ["a b", "ключ", "x\x00y"], ids=repr)
    async def test_with_an_id_that_no_column_takes_still_rings(self, real: Door, ana: Person, strange: str) -> None:
        key = await ordered(real, ana, "brl_code")

        reply = await from_gateway(real, confirmed(key, strange))

        assert (200, 1) == (reply.status_code, reply.json()["new"])
        assert (None, ["look"]) == ((await row(real, key)).provider_id, await messages(real, f"payout/{key}"))

    async def test_about_a_trade_of_nobody_is_kept_and_answered(self, real: Door) -> None:
        reply = await from_gateway(real, confirmed(secrets.token_hex(16)))

        assert (200, 1) == (reply.status_code, reply.json()["new"])

    async def test_forged_is_refused(self, real: Door, ana: Person) -> None:
        key = await ordered(real, ana, "brl_code")

        reply = await from_gateway(real, confirmed(key), secret="a-secret-that-nobody-agreed-on")

        assert 401 == reply.status_code
        problem(reply, "webhook-rejected")
        assert (await row(real, key)).provider_id is None

    async def test_has_no_address_where_it_is_not_configured(self, door: Door) -> None:
        for path in ("brl_code", "payment", "woovi", "efi"):
            assert 404 == (await door.http.post(f"/webhooks/{path}", content=b"{}")).status_code


class TestNewTrade:
    FAILOVER = Failover("efi", down_after_seconds=300, stale_after_seconds=150)

    @pytest.fixture
    async def two(self, door: Door) -> AsyncIterator[Door]:
        """The API of an installation with a main provider and a fallback, of which nothing is known yet."""
        async with door.engine.begin() as conn:
            await conn.execute(text("UPDATE provider_health SET checked_at = 'epoch'"))
        terms = replace(TERMS, provider="woovi")
        async with door.other(terms=terms, failover=self.FAILOVER) as other:
            yield other

    async def down(self, door: Door, provider: str, minutes: int) -> None:
        async with door.engine.begin() as conn:
            await health.note(conn, provider, answers=False)
            since = text(
                "UPDATE provider_health SET failing_since = now() - make_interval(mins => :m) WHERE provider = :p"
            )
            await conn.execute(since, {"m": minutes, "p": provider})

    async def well(self, door: Door, provider: str) -> None:
        async with door.engine.begin() as conn:
            await health.note(conn, provider, answers=True)

    async def provider_of(self, door: Door, trade: dict[str, Any]) -> str:
        """In the terms that its workflow starts with."""
        async with door.engine.connect() as conn:
            found = text("SELECT body->'input'->'terms'->>'provider' FROM outbox WHERE workflow_id = :id")
            return str((await conn.execute(found, {"id": trade["workflow_id"]})).scalar_one())

    async def test_gets_the_main_provider_while_nothing_is_known(self, two: Door, ana: Person) -> None:
        assert "woovi" == await self.provider_of(two, await two.trade(ana))

    async def test_gets_the_fallback_while_the_main_one_is_down(self, two: Door, ana: Person) -> None:
        before = await two.trade(ana)
        await self.down(two, "woovi", 6)
        await self.well(two, "efi")

        during = await two.trade(ana)
        await self.well(two, "woovi")
        after = await two.trade(ana)

        found = [await self.provider_of(two, trade) for trade in (before, during, after)]
        assert ["woovi", "efi", "woovi"] == found

    async def test_keeps_the_main_provider_for_a_short_silence_or_when_both_are_down(
        self, two: Door, ana: Person
    ) -> None:
        await self.down(two, "woovi", 4)
        await self.well(two, "efi")
        short = await two.trade(ana)
        await self.down(two, "woovi", 6)
        await self.down(two, "efi", 1)

        both = await two.trade(ana)

        assert ["woovi", "woovi"] == [await self.provider_of(two, trade) for trade in (short, both)]
