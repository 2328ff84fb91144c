"""Payouts at providers that are silent, dark or half-blind: asked at their own provider, sent once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from activities.pix import PixActivities
from models.errors import PayoutUnknown
from models.instant_trade import effects
from models.instant_trade import queries as trades
from models.instant_trade.advance import advance
from models.instant_trade.types import Advance, Lock, Terms
from models.payout import queries, writes
from models.payout.night import Night, not_before
from models.payout.states import PayoutStatus
from models.payout.types import Payout, PayoutQuestion
from models.quote.types import Funding
from payments.brl_code import BrlCodeProvider
from payments.sandbox.moods import Mood
from payments.sandbox_provider import SandboxProvider
from tests.models.world import BOX, COIN, TERMS, World
from tests.payments.brl_code_double import API_KEY, WEBHOOK_URL, Fault, Gateway
from tests.sandbox_process import SandboxProcess, free_port


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


async def ordered(world: World, provider: str, terms: Terms = TERMS) -> PayoutQuestion:
    """A payout that the books have ordered at this provider; sent again at once where it may be."""
    terms = replace(terms, provider=provider)
    trade = await world.sell(Funding.DEPOSIT, terms=terms)
    await world.make_final(await world.deposit(trade, COIN))
    async with world.engine.begin() as conn:
        await advance(conn, Advance(trade, terms), now=world.now)
    return PayoutQuestion(trade, 0)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path / "bank.db", settle_seconds=0.05) as running:
        yield running


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

        sent = (await pix.settle(question)).status
        gateway.settle(question.key)
        paid = (await pix.settle(question)).status

        assert (PayoutStatus.PROCESSING, PayoutStatus.PAID) == (sent, paid)
        assert gateway.payment_of(question.key)["payment_id"] == (await row(world, question.key)).provider_id

    @pytest.mark.parametrize("fault", [Fault.ERROR_AFTER, Fault.DROP_BEFORE, Fault.GARBAGE_AFTER])
    async def test_is_never_sent_again_when_its_answer_was_lost(
        self, world: World, blind: BrlCodeProvider, gateway: Gateway, fault: Fault
    ) -> None:
        question = await ordered(world, "brl_code")
        pix = PixActivities(world.engine, BOX, {"brl_code": blind})
        gateway.fail("create", fault)

        statuses = {(await pix.settle(question)).status for _ in range(4)}

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

        status = (await pix.settle(question)).status

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

        statuses = {(await pix.settle(question)).status for _ in range(3)}

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


class TestPayoutAtNight:
    async def test_that_is_large_waits_for_the_morning_and_is_paid_then(
        self, world: World, bank: SandboxProcess
    ) -> None:
        ends_soon = datetime.now(UTC) + timedelta(seconds=1.5)
        terms = replace(TERMS, night=Night(100))
        with patch.object(effects, "not_before", return_value=ends_soon):
            question = await ordered(world, "sandbox", terms)
        provider = bank.provider()
        pix = PixActivities(world.engine, BOX, {"sandbox": provider})

        at_night = await pix.settle(question)
        heard_at_night = bank.payouts()
        await asyncio.sleep(max(0, at_night.seconds_to_next or 0) + 0.05)
        in_the_morning = await pix.settle(question)
        await provider.close()

        assert PayoutStatus.CREATED is at_night.status
        assert at_night.waits_for.startswith("the morning")
        assert [] == heard_at_night
        assert in_the_morning.status in {PayoutStatus.PROCESSING, PayoutStatus.PAID}

    async def test_lets_the_trade_wait_as_long(self, world: World) -> None:
        """The deadline counts from the morning, or each night would end in somebody's review."""
        morning = world.now + timedelta(hours=9)
        with patch.object(effects, "not_before", return_value=morning):
            question = await ordered(world, "sandbox", replace(TERMS, night=Night(100)))

        async with world.engine.connect() as conn:
            locks = {lock.kind: lock.expires_at for lock in await trades.locks(conn, question.key)}

        assert morning + timedelta(seconds=TERMS.payout_deadline_seconds) == locks[Lock.PAYOUT_DEADLINE]

    @pytest.mark.parametrize(
        ("mood", "waits_for"),
        [
            pytest.param(Mood.NO_BALANCE, "money in our account there", id="no-balance"),
            pytest.param(Mood.LIMIT_REACHED, "the provider's limit to allow it", id="limit"),
        ],
    )
    async def test_that_the_provider_cannot_make_now_says_what_it_waits_for(
        self, world: World, bank: SandboxProcess, mood: Mood, waits_for: str
    ) -> None:
        question = await ordered(world, "sandbox")
        bank.set_moods(mood)
        provider = bank.provider()
        pix = PixActivities(world.engine, BOX, {"sandbox": provider})

        first = await pix.settle(question)
        second = await pix.settle(question)
        await provider.close()

        assert (PayoutStatus.UNKNOWN, waits_for) == (first.status, first.waits_for)
        assert second.status in {PayoutStatus.PROCESSING, PayoutStatus.PAID}
        assert 1 == len(bank.payouts())


class TestNight:
    @pytest.mark.parametrize(
        ("utc", "hours", "morning"),
        [
            pytest.param("2026-03-10T22:59:59", (20, 6), None, id="a-second-before"),
            pytest.param("2026-03-10T23:00:00", (20, 6), "2026-03-11T09:00:00", id="its-first-second"),
            pytest.param("2026-03-11T03:30:00", (20, 6), "2026-03-11T09:00:00", id="after-midnight"),
            pytest.param("2026-03-11T08:59:59", (20, 6), "2026-03-11T09:00:00", id="its-last-second"),
            pytest.param("2026-03-11T09:00:00", (20, 6), None, id="the-morning"),
            pytest.param("2026-03-11T04:00:00", (0, 6), "2026-03-11T09:00:00", id="within-one-day"),
            pytest.param("2026-03-11T02:59:00", (0, 6), None, id="before-one-that-begins-at-midnight"),
        ],
    )
    def test_ends_at_its_hour_in_sao_paulo(self, utc: str, hours: tuple[int, int], morning: str | None) -> None:
        now = datetime.fromisoformat(utc).replace(tzinfo=UTC)

        until = not_before(now, 101, Night(100, *hours))

        assert (None if morning is None else datetime.fromisoformat(morning).replace(tzinfo=UTC)) == until
        assert not_before(now, 100, Night(100, *hours)) is None
        assert not_before(now, 10**9, None) is None
