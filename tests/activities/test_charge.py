"""Charges at a bank that says little: no amount while it blocks, no payer but in its webhook."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.charge import ChargeActivities
from api.inbound_webhook import claim, plain
from models.charge import writes as charge_writes
from models.ids import new_id
from models.inbound_webhook import writes as webhooks
from models.ledger import queries as ledger
from models.ledger.chart import Purpose, available, house
from models.receipt import queries as receipts
from models.receipt.types import Receipt
from payments.efi import EfiProvider
from tests.models.world import BOX, WAITS, World
from tests.payments.efi_double import EfiDouble

ANA_CPF = "11144477735"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EfiDouble]:
    with EfiDouble(tmp_path_factory.mktemp("efi")) as double:
        yield double


@pytest.fixture
def bank(running: EfiDouble) -> Iterator[EfiDouble]:
    running.reset()
    yield running
    assert running.violations == []


@pytest.fixture
async def efi(bank: EfiDouble) -> AsyncIterator[EfiProvider]:
    made = bank.provider()
    yield made
    await made.close()


def activities(world: World, efi: EfiProvider, patience: float = 60) -> ChargeActivities:
    return ChargeActivities(world.engine, BOX, {"efi": efi}, payer_patience_seconds=patience)


async def ordered(world: World) -> str:
    """A deposit of R$ 10.50 into Ana's balance, asked for and not made yet; its key."""
    key = new_id()
    async with world.engine.begin() as conn:
        await charge_writes.order(
            conn,
            key=key,
            user_id=world.user_id,
            trade_id=None,
            provider="efi",
            amount_centavos=1_050,
            now=datetime.now(UTC),
            window_seconds=900,
            leniency_seconds=30,
            waits=WAITS,
        )
    return key


async def only_receipt(world: World, key: str) -> Receipt:
    async with world.engine.connect() as conn:
        (found,) = await receipts.of_charge(conn, key)
    return found


async def balances(world: World) -> dict[str, int]:
    async with world.engine.connect() as conn:
        return {
            "clearing": await ledger.balance(conn, house(Purpose.PIX_CLEARING, "BRL")),
            "blocked": await ledger.balance(conn, house(Purpose.PIX_BLOCKED, "BRL")),
            "pending": await ledger.balance(conn, house(Purpose.PIX_PENDING, "BRL")),
            "user": await ledger.balance(conn, available(world.user_id, "BRL")),
        }


async def tell(world: World, efi: EfiProvider, end_to_end_id: str, key: str, cpf: str) -> None:
    """The bank's webhook about a receipt, stored as the route stores it."""
    pix: dict[str, Any] = {
        "endToEndId": end_to_end_id,
        "txid": key,
        "valor": "10.50",
        "horario": datetime.now(UTC).isoformat(),
        "gnExtras": {"pagador": {"nome": "Ana", "cpf": cpf}},
    }
    body = json.dumps({"pix": [pix]}).encode()
    async with world.engine.begin() as conn:
        for event in efi.read_webhook(body, event_id=""):
            await webhooks.keep(
                conn,
                BOX,
                provider="efi",
                event_id=plain(event.event_id),
                key=plain(event.key or ""),
                state=claim(event),
                body=body,
            )


class TestReceiptWithoutAPayer:
    async def test_waits_for_the_webhook_that_names_them_and_is_credited(
        self, world: World, efi: EfiProvider, bank: EfiDouble
    ) -> None:
        key, charge = await ordered(world), activities(world, efi)
        await charge.look(key)
        end_to_end_id = bank.receive("10.50", txid=key, at=datetime.now(UTC))

        nameless = await charge.look(key)
        waiting = (await only_receipt(world, key)).status
        await tell(world, efi, end_to_end_id, key, ANA_CPF)
        await charge.look(key)

        assert ("the payer's name", "received") == (nameless.waits_for, waiting)
        assert ("credited", "same") == (
            (await only_receipt(world, key)).status,
            (await only_receipt(world, key)).payer,
        )
        assert {"clearing": -1_050, "blocked": 0, "pending": 0, "user": 1_050} == await balances(world)

    async def test_goes_back_when_nobody_has_named_them_in_time(
        self, world: World, efi: EfiProvider, bank: EfiDouble
    ) -> None:
        key, charge = await ordered(world), activities(world, efi, patience=0)
        await charge.look(key)
        bank.receive("10.50", txid=key, at=datetime.now(UTC))

        await charge.look(key)

        found = await only_receipt(world, key)
        assert ("refunding", "payer_unknown") == (found.status, found.reason)
        assert {"clearing": -1_050, "blocked": 0, "pending": 1_050, "user": 0} == await balances(world)

    async def test_is_not_credited_by_another_receipts_webhook(
        self, world: World, efi: EfiProvider, bank: EfiDouble
    ) -> None:
        key, charge = await ordered(world), activities(world, efi)
        await charge.look(key)
        bank.receive("10.50", txid=key, at=datetime.now(UTC))
        await tell(world, efi, "E" + "9" * 31, key, ANA_CPF)

        await charge.look(key)

        assert "received" == (await only_receipt(world, key)).status


class TestBlockedReceiptWithoutAnAmount:
    async def test_moves_nothing_until_the_bank_says_how_much(
        self, world: World, efi: EfiProvider, bank: EfiDouble
    ) -> None:
        key, charge = await ordered(world), activities(world, efi)
        await charge.look(key)
        payer = {"gnExtras": {"pagador": {"nome": "Ana", "cpf": ANA_CPF}}}
        end_to_end_id = bank.receive("0.00", txid=key, at=datetime.now(UTC), **payer)

        await charge.look(key)
        blocked, meanwhile = await only_receipt(world, key), await balances(world)
        bank.received[end_to_end_id]["valor"] = "10.50"
        await charge.look(key)

        assert ("blocked", 0) == (blocked.status, blocked.amount_centavos)
        assert {"clearing": 0, "blocked": 0, "pending": 0, "user": 0} == meanwhile
        assert ("credited", 1_050) == (
            (await only_receipt(world, key)).status,
            (await only_receipt(world, key)).amount_centavos,
        )
        assert {"clearing": -1_050, "blocked": 0, "pending": 0, "user": 1_050} == await balances(world)
