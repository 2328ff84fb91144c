"""Payouts at providers that are silent, dark or half-blind: asked at their own provider, sent once."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from activities.pix import PixActivities
from models.errors import PayoutUnknown
from models.instant_trade.advance import advance
from models.instant_trade.types import Advance
from models.payout import queries, writes
from models.payout.states import PayoutStatus
from models.payout.types import Payout, PayoutQuestion
from models.quote.types import Funding
from payments.brl_code import BrlCodeProvider
from payments.sandbox_provider import SandboxProvider
from tests.models.world import BOX, COIN, TERMS, World
from tests.payments.brl_code_double import API_KEY, WEBHOOK_URL, Fault, Gateway
from tests.sandbox_process import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture
def gateway(server: Gateway) -> Iterator[Gateway]:
    server.reset()
    yield server
    assert server.violations == []


@pytest.fixture
async def blind(gateway: Gateway) -> AsyncIterator[BrlCodeProvider]:
    """A provider that cannot be asked by our key."""
    made = BrlCodeProvider(gateway.url, api_key=API_KEY, webhook_url=WEBHOOK_URL)
    yield made
    await made.close()


@pytest.fixture
async def dark() -> AsyncIterator[SandboxProvider]:
    """A provider at whose address nobody answers."""
    made = SandboxProvider(f"http://127.0.0.1:{free_port()}", api_key="any", timeout_seconds=1)
    yield made
    await made.close()


async def ordered(world: World, provider: str) -> PayoutQuestion:
    """A payout that the books have ordered at this provider; sent again at once where it may be."""
    terms = replace(TERMS, provider=provider)
    trade = await world.sell(Funding.DEPOSIT, terms=terms)
    await world.make_final(await world.deposit(trade, COIN))
    async with world.engine.begin() as conn:
        await advance(conn, Advance(trade, terms), now=world.now)
    return PayoutQuestion(trade, 0)


async def row(world: World, key: str) -> Payout:
    async with world.engine.connect() as conn:
        found = await queries.payout(conn, key)
    assert found is not None
    return found


async def learn(world: World, key: str, provider_id: str) -> None:
    async with world.engine.begin() as conn:
        payout = await queries.payout(conn, key, lock=True)
        assert payout is not None
        await writes.learn_provider_id(conn, payout, provider_id)


class TestPayoutThatCannotBeAskedByOurKey:
    async def test_is_followed_by_the_gateways_id(
        self, world: World, blind: BrlCodeProvider, gateway: Gateway
    ) -> None:
        question = await ordered(world, "brl_code")
        pix = PixActivities(world.engine, BOX, {"brl_code": blind})

        sent = await pix.settle(question)
        gateway.settle(question.key)
        paid = await pix.settle(question)

        assert (PayoutStatus.PROCESSING, PayoutStatus.PAID) == (sent, paid)
        assert gateway.payment_of(question.key)["payment_id"] == (await row(world, question.key)).provider_id

    @pytest.mark.parametrize("fault", [Fault.ERROR_AFTER, Fault.DROP_BEFORE, Fault.GARBAGE_AFTER])
    async def test_is_never_sent_again_when_its_answer_was_lost(
        self, world: World, blind: BrlCodeProvider, gateway: Gateway, fault: Fault
    ) -> None:
        question = await ordered(world, "brl_code")
        pix = PixActivities(world.engine, BOX, {"brl_code": blind})
        gateway.fail("create", fault)

        statuses = {await pix.settle(question) for _ in range(4)}

        assert {PayoutStatus.UNKNOWN} == statuses
        assert ["create"] == gateway.calls

    async def test_is_found_once_a_webhook_has_told_its_id(
        self, world: World, blind: BrlCodeProvider, gateway: Gateway
    ) -> None:
        question = await ordered(world, "brl_code")
        pix = PixActivities(world.engine, BOX, {"brl_code": blind})
        gateway.fail("create", Fault.ERROR_AFTER)
        await pix.settle(question)
        gateway.settle(question.key)
        await learn(world, question.key, gateway.payment_of(question.key)["payment_id"])

        status = await pix.settle(question)

        assert PayoutStatus.PAID is status
        assert {question.key: 1} == gateway.times_paid

    @pytest.mark.parametrize("amount", [0.01, 14_512.49])
    async def test_of_another_amount_is_never_taken_for_ours(
        self, world: World, blind: BrlCodeProvider, gateway: Gateway, amount: float
    ) -> None:
        question = await ordered(world, "brl_code")
        pix = PixActivities(world.engine, BOX, {"brl_code": blind})
        await pix.settle(question)
        gateway.settle(question.key)
        gateway.view = {"amount": amount}

        await pix.settle(question)

        known = await row(world, question.key)
        assert PayoutStatus.PAID is not known.status


class TestPayoutAtADarkProvider:
    async def test_is_never_sent_elsewhere(
        self, world: World, dark: SandboxProvider, blind: BrlCodeProvider, gateway: Gateway
    ) -> None:
        question = await ordered(world, "sandbox")
        pix = PixActivities(world.engine, BOX, {"sandbox": dark, "brl_code": blind})

        statuses = {await pix.settle(question) for _ in range(3)}

        assert {PayoutStatus.UNKNOWN} == statuses
        assert [] == gateway.calls
        assert "sandbox" == (await row(world, question.key)).provider

    async def test_waits_unsent_where_the_worker_does_not_know_its_provider(
        self, world: World, blind: BrlCodeProvider, gateway: Gateway
    ) -> None:
        question = await ordered(world, "sandbox")
        pix = PixActivities(world.engine, BOX, {"brl_code": blind})

        with pytest.raises(PayoutUnknown, match="sandbox is not configured"):
            await pix.settle(question)

        assert [] == gateway.calls
        assert PayoutStatus.CREATED is (await row(world, question.key)).status
