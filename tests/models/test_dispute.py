"""Disputes in the books, without bank or workflow: who bears what, in every order; and what PostgreSQL refuses."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL
from models.charge import queries as charges
from models.charge import writes as charge_writes
from models.charge.types import Charge
from models.dispute import books, queries, writes
from models.dispute.states import DisputeStatus
from models.dispute.types import Claim, Cover, Dispute
from models.errors import IllegalTransition
from models.ids import new_id
from models.ledger.chart import Purpose, available, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.pix_refund import queries as refunds
from models.pix_refund import writes as refund_writes
from models.pix_refund.states import RefundStatus
from models.pix_refund.types import RefundNews
from models.receipt import queries as receipts
from models.receipt import settle
from models.receipt import writes as receipt_writes
from models.receipt.rules import RefundReason
from models.receipt.states import ReceiptStatus
from models.receipt.types import Payer, Receipt, Seen
from tests.models.world import BOX, WAITS, World

WHOLE = 15_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
WON, LOST = DisputeStatus.WON, DisputeStatus.LOST


class Counter:
    """One charge into Ana's balance, and what the bank shows of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.key = new_id()

    async def open(self) -> None:
        async with self.world.engine.begin() as conn:
            await charge_writes.order(
                conn,
                key=self.key,
                user_id=self.world.user_id,
                trade_id=None,
                provider="sandbox",
                amount_centavos=WHOLE,
                now=datetime.now(UTC),
                window_seconds=60,
                leniency_seconds=1,
                waits=WAITS,
            )
            charge = await self.charge(conn)
            charge = await charge_writes.mark_submitted(conn, charge, window_seconds=60)
            await charge_writes.activate(conn, charge, provider_id=None, br_code="00020101")

    async def charge(self, conn: AsyncConnection) -> Charge:
        found = await charges.charge(conn, self.key, lock=True)
        assert found is not None
        return found

    async def show(self, seen: Seen, *, known_by: datetime | None = None) -> Receipt:
        """What the charge's look does."""
        async with self.world.engine.begin() as conn:
            charge = await self.charge(conn)
            await receipt_writes.see(conn, charge, seen)
            await settle.settle(conn, charge, known_by=known_by or datetime.now(UTC), now=datetime.now(UTC))
            found = await receipts.by_end_to_end_id(conn, "sandbox", seen.end_to_end_id)
        assert found is not None
        return found

    async def claim(self, receipt: Receipt, name: str, centavos: int = WHOLE) -> Dispute:
        """What the first look at an open dispute does."""
        async with self.world.engine.begin() as conn:
            charge = await self.charge(conn)
            now = await receipts.receipt(conn, receipt.id, lock=True)
            kept = await writes.keep(conn, Claim("sandbox", name, receipt.id, centavos, None, "FR01"))
            return await books.cover(conn, charge, now, kept)

    async def decide(self, dispute: Dispute, status: DisputeStatus, *, trade_is_over: bool = True) -> Dispute | None:
        async with self.world.engine.begin() as conn:
            charge = await self.charge(conn)
            receipt = await receipts.receipt(conn, dispute.receipt_id, lock=True)
            locked = await books.cover(conn, charge, receipt, await queries.dispute(conn, dispute.id, lock=True))
            if status is WON:
                return await books.win(conn, charge, receipt, locked)
            return await books.give_up(conn, charge, receipt, locked, trade_is_over=trade_is_over)

    async def send_back(self, receipt: Receipt) -> None:
        async with self.world.engine.begin() as conn:
            now = await receipts.receipt(conn, receipt.id, lock=True)
            await receipt_writes.begin_refund(conn, await self.charge(conn), now, RefundReason.RULED)

    async def end_refund(self, receipt: Receipt, status: RefundStatus) -> Receipt:
        async with self.world.engine.begin() as conn:
            charge = await self.charge(conn)
            order = (await refunds.of_receipts(conn, [receipt.id]))[receipt.id]
            locked = await refunds.refund(conn, order.key, lock=True)
            assert locked is not None
            await refund_writes.mark_submitting(conn, locked)
            locked = await refunds.refund(conn, order.key, lock=True)
            assert locked is not None
            await refund_writes.record(conn, locked, RefundNews(status, f"D{order.key}"))
            now = await receipts.receipt(conn, receipt.id, lock=True)
            await receipt_writes.end_refund(conn, charge, now, refunded=status is RefundStatus.REFUNDED)
            return await receipts.receipt(conn, receipt.id)

    async def receipt(self, receipt: Receipt) -> Receipt:
        async with self.world.engine.connect() as conn:
            return await receipts.receipt(conn, receipt.id)

    async def balances(self) -> tuple[int, int, int, int]:
        """Ana's free reais, the reserve, what the bank keeps, and the desk's."""
        accounts = (
            available(self.world.user_id, BRL.id),
            house(Purpose.PIX_RESERVE, BRL.id),
            house(Purpose.PIX_BLOCKED, BRL.id),
            house(Purpose.DESK, BRL.id),
        )
        free, reserve, blocked, desk = [await self.world.balance(account) for account in accounts]
        return free, reserve, blocked, desk

    async def spend(self, centavos: int) -> None:
        """Ana uses reais for something else."""
        async with self.world.engine.begin() as conn:
            source, target = available(self.world.user_id, BRL.id), house(Purpose.SUSPENSE, BRL.id)
            await post(conn, move(f"t/{new_id()}", Kind.TRANSFER, "t", source, target, centavos))


@pytest.fixture
async def counter(world: World) -> Counter:
    counter = Counter(world)
    await counter.open()
    return counter


@pytest.fixture
async def paid(counter: Counter) -> Receipt:
    receipt = await counter.show(shown())
    assert ReceiptStatus.CREDITED is receipt.status
    return receipt


def shown(**more: object) -> Seen:
    base = Seen("E" + "1" * 31, WHOLE, datetime.now(UTC), Payer.SAME)
    return replace(base, **more)


class TestClaim:
    @pytest.mark.parametrize("spent", [0, 5_000, WHOLE], ids=["nothing-spent", "a-part-spent", "all-spent"])
    @pytest.mark.parametrize("end", [WON, LOST])
    async def test_takes_from_the_user_what_is_there_and_gives_just_that_back(
        self, counter: Counter, paid: Receipt, spent: int, end: DisputeStatus
    ) -> None:
        await counter.spend(spent) if spent else None
        free = WHOLE - spent

        dispute = await counter.claim(paid, "dp_1")
        during = await counter.balances()
        laws = await counter.world.broken_laws()
        await counter.decide(dispute, end)

        assert (free, spent) == (dispute.from_user_centavos, dispute.from_house_centavos)
        assert (0, WHOLE, -WHOLE, -spent) == during
        assert {WON: (free, 0, 0, 0), LOST: (0, 0, 0, -spent)}[end] == await counter.balances()
        assert ({}, {}) == (laws, await counter.world.broken_laws())

    async def test_never_takes_reais_that_are_spent_at_the_same_time(self, counter: Counter, paid: Receipt) -> None:
        done = await asyncio.gather(
            *(counter.spend(1_000) for _ in range(15)), counter.claim(paid, "dp_1"), return_exceptions=True
        )

        dispute = done[-1]
        assert isinstance(dispute, Dispute)
        sent = sum(1_000 for one in done[:-1] if one is None)
        assert WHOLE >= sent + dispute.from_user_centavos
        assert WHOLE == dispute.from_user_centavos + dispute.from_house_centavos
        assert {} == await counter.world.broken_laws()

    async def test_that_another_dispute_covers_is_covered_once_that_is_won(
        self, counter: Counter, paid: Receipt
    ) -> None:
        """Some providers tell no amount, so that each of two claims is on the whole."""
        first, second = await counter.claim(paid, "dp_1"), await counter.claim(paid, "dp_2")

        await counter.decide(first, WON)
        again = await counter.claim(paid, "dp_2")
        await counter.decide(again, LOST)

        assert (Cover.NOTHING, Cover.RESERVE) == (second.cover, again.cover)
        assert ReceiptStatus.TAKEN_BACK is (await counter.receipt(paid)).status
        assert (0, 0, 0, 0) == await counter.balances()
        assert {} == await counter.world.broken_laws()

    async def test_on_reais_left_to_the_user_becomes_a_reserve(self, counter: Counter) -> None:
        receipt = await counter.show(shown(payer=Payer.OTHER))
        await counter.end_refund(receipt, RefundStatus.REJECTED)
        dispute = await counter.claim(receipt, "dp_1")
        async with counter.world.engine.begin() as conn:
            now = await receipts.receipt(conn, receipt.id, lock=True)
            await receipt_writes.leave_to_user(conn, await counter.charge(conn), now)

        again = await counter.claim(receipt, "dp_1")

        assert (Cover.PENDING, Cover.RESERVE) == (dispute.cover, again.cover)
        assert (0, WHOLE, -WHOLE, 0) == await counter.balances()
        await counter.decide(again, LOST)
        assert (0, 0, 0, 0) == await counter.balances()
        assert {} == await counter.world.broken_laws()


class TestReceived:
    """A receipt whose payer is not known yet is credited to nobody, and is not while it is disputed."""

    @pytest.mark.parametrize("end", [WON, LOST])
    async def test_waits_for_the_decision(self, counter: Counter, end: DisputeStatus) -> None:
        receipt = await counter.show(shown(payer=Payer.UNKNOWN), known_by=LONG_AGO)
        dispute = await counter.claim(receipt, "dp_1")

        during = await counter.show(shown())
        held_back = await counter.balances()
        laws = await counter.world.broken_laws()
        await counter.decide(dispute, end)
        after = await counter.show(shown(taken_back_centavos=0 if end is WON else WHOLE))

        ends = {WON: ReceiptStatus.CREDITED, LOST: ReceiptStatus.TAKEN_BACK}
        assert (ReceiptStatus.RECEIVED, Cover.PENDING) == (during.status, dispute.cover)
        assert (0, 0, -WHOLE, 0) == held_back
        assert ends[end] is after.status
        assert {WON: (WHOLE, 0, 0, 0), LOST: (0, 0, 0, 0)}[end] == await counter.balances()
        assert ({}, {}) == (laws, await counter.world.broken_laws())

    async def test_without_an_amount_is_waited_for(self, counter: Counter) -> None:
        """Some banks show the amount of what they block only when the block ends."""
        receipt = await counter.show(shown(is_blocked=True, amount_centavos=0))

        first = await counter.claim(receipt, "dp_1")
        await counter.show(shown())
        second = await counter.claim(receipt, "dp_1")

        assert (None, Cover.RESERVE) == (first.cover, second.cover)
        assert (0, WHOLE, -WHOLE, 0) == await counter.balances()
        assert {} == await counter.world.broken_laws()


class TestRefund:
    async def test_under_way_is_waited_for(self, counter: Counter) -> None:
        receipt = await counter.show(shown(payer=Payer.OTHER))

        dispute = await counter.claim(receipt, "dp_1")
        lost = await counter.decide(dispute, LOST)

        assert (None, None) == (dispute.cover, lost)
        assert (0, 0, 0, 0) == await counter.balances()
        assert {} == await counter.world.broken_laws()

    async def test_that_is_done_leaves_nothing_to_claim(self, counter: Counter) -> None:
        receipt = await counter.show(shown(payer=Payer.OTHER))
        await counter.end_refund(receipt, RefundStatus.REFUNDED)

        dispute = await counter.claim(receipt, "dp_1")
        lost = await counter.decide(dispute, LOST)

        assert Cover.NOTHING is dispute.cover
        assert lost is not None
        assert (LOST, 0) == (lost.status, lost.taken_centavos)
        assert (0, 0, 0, 0) == await counter.balances()
        assert {} == await counter.world.broken_laws()

    @pytest.mark.parametrize("bank", [RefundStatus.REFUNDED, RefundStatus.REJECTED])
    async def test_of_a_disputed_receipt_makes_nobody_pay_twice(self, counter: Counter, bank: RefundStatus) -> None:
        receipt = await counter.show(shown(payer=Payer.OTHER))
        await counter.end_refund(receipt, RefundStatus.REJECTED)
        dispute = await counter.claim(receipt, "dp_1")

        await counter.send_back(receipt)
        waits = await counter.decide(dispute, LOST)
        await counter.end_refund(receipt, bank)
        laws = await counter.world.broken_laws()
        await counter.decide(dispute, LOST)

        ends = {RefundStatus.REFUNDED: ReceiptStatus.REFUNDED, RefundStatus.REJECTED: ReceiptStatus.TAKEN_BACK}
        assert waits is None
        assert ends[bank] is (await counter.receipt(receipt)).status
        assert (0, 0, 0, 0) == await counter.balances()
        assert 0 == await counter.world.balance(house(Purpose.PIX_PENDING, BRL.id))
        assert ({}, {}) == (laws, await counter.world.broken_laws())

    async def test_of_what_a_lost_dispute_left_is_of_just_that(self, counter: Counter) -> None:
        receipt = await counter.show(shown(is_blocked=True))
        dispute = await counter.claim(receipt, "dp_1", 6_000)
        await counter.decide(dispute, LOST)

        after = await counter.show(shown(taken_back_centavos=6_000))
        async with counter.world.engine.connect() as conn:
            order = (await refunds.of_receipts(conn, [receipt.id]))[receipt.id]
        ended = await counter.end_refund(receipt, RefundStatus.REFUNDED)

        assert (ReceiptStatus.REFUNDING, RefundReason.AMOUNT_DIFFERS, 9_000) == (
            after.status,
            after.reason,
            order.amount_centavos,
        )
        assert ReceiptStatus.REFUNDED is ended.status
        assert 0 == await counter.world.balance(house(Purpose.PIX_CLEARING, BRL.id))
        assert {} == await counter.world.broken_laws()


class TestLook:
    async def test_leaves_a_take_back_to_the_open_dispute(self, counter: Counter, paid: Receipt) -> None:
        dispute = await counter.claim(paid, "dp_1")

        during = await counter.show(shown(taken_back_centavos=WHOLE))
        await counter.decide(dispute, LOST)
        after = await counter.show(shown(taken_back_centavos=WHOLE))

        assert (ReceiptStatus.CREDITED, ReceiptStatus.TAKEN_BACK) == (during.status, after.status)
        assert (0, 0, 0, 0) == await counter.balances()
        assert {} == await counter.world.broken_laws()

    async def test_books_what_the_bank_took_besides_a_dispute(self, counter: Counter, paid: Receipt) -> None:
        await counter.decide(await counter.claim(paid, "dp_1", 6_000), LOST)

        await counter.show(shown(taken_back_centavos=WHOLE))

        assert (9_000, 0, 0, -9_000) == await counter.balances()
        assert {} == await counter.world.broken_laws()

    async def test_that_booked_it_first_lets_the_user_bear_it_once(self, counter: Counter, paid: Receipt) -> None:
        await counter.show(shown(taken_back_centavos=WHOLE))
        before = await counter.balances()

        for name, centavos in (("dp_1", 6_000), ("dp_2", WHOLE), ("dp_3", WHOLE)):
            await counter.decide(await counter.claim(paid, name, centavos), LOST)

        assert (WHOLE, 0, 0, -WHOLE) == before
        assert (0, 0, 0, 0) == await counter.balances()
        assert {} == await counter.world.broken_laws()

    async def test_of_a_blocked_receipt_that_was_taken_back_costs_the_user_nothing(self, counter: Counter) -> None:
        await counter.show(shown(is_blocked=True))
        receipt = await counter.show(shown(taken_back_centavos=WHOLE))
        async with counter.world.engine.begin() as conn:
            desk, free = house(Purpose.DESK, BRL.id), available(counter.world.user_id, BRL.id)
            await post(conn, move("operator/x/1", Kind.ADJUSTMENT, "operator/x", desk, free, WHOLE))

        await counter.decide(await counter.claim(receipt, "dp_1"), LOST)

        assert (WHOLE, 0, 0, -WHOLE) == await counter.balances()
        assert {} == await counter.world.broken_laws()


class TestLostDispute:
    async def test_waits_for_the_trade_that_may_still_be_undone(self, counter: Counter, paid: Receipt) -> None:
        dispute = await counter.claim(paid, "dp_1")

        during = await counter.decide(dispute, LOST, trade_is_over=False)
        after = await counter.decide(dispute, LOST)

        assert during is None
        assert after is not None
        assert (LOST, WHOLE) == (after.status, after.taken_centavos)


class TestDefence:
    STATEMENT = "The coins were delivered."

    async def give(self, counter: Counter, dispute: Dispute, statement: str = STATEMENT) -> None:
        async with counter.world.engine.begin() as conn:
            await writes.give_defence(
                conn,
                BOX,
                dispute.id,
                operator_id=counter.world.user_id,
                statement=statement,
                evidence="ticket 1",
                now=datetime.now(UTC),
            )

    async def test_is_sealed_and_given_once(self, counter: Counter, paid: Receipt) -> None:
        dispute = await counter.claim(paid, "dp_1")

        await self.give(counter, dispute)
        await self.give(counter, dispute)
        with pytest.raises(IllegalTransition):
            await self.give(counter, dispute, "Another one.")

        async with counter.world.engine.connect() as conn:
            kept = (await conn.execute(text("SELECT defence_sealed FROM pix_disputes"))).scalar_one()
            opened = await queries.defence(conn, BOX, dispute.id)
        assert self.STATEMENT == opened
        assert self.STATEMENT.encode() not in kept

    async def test_is_refused_when_the_dispute_is_decided(self, counter: Counter, paid: Receipt) -> None:
        dispute = await counter.claim(paid, "dp_1")
        await counter.decide(dispute, WON)

        with pytest.raises(IllegalTransition):
            await self.give(counter, dispute)


ATTACKS = (
    "UPDATE pix_disputes SET status = 'open', version = version + 1 WHERE status = 'won'",
    "UPDATE pix_disputes SET status = 'won' WHERE status = 'lost'",
    "UPDATE pix_disputes SET amount_centavos = 1",
    "UPDATE pix_disputes SET receipt_id = 'other'",
    "UPDATE pix_disputes SET dispute_id = 'dp_9' WHERE dispute_id = 'open'",
    "UPDATE pix_disputes SET from_user_centavos = 0, from_house_centavos = covered_centavos WHERE status = 'open'",
    "UPDATE pix_disputes SET taken_centavos = 0 WHERE status = 'lost'",
    "UPDATE pix_disputes SET defence_at = now() WHERE status = 'open'",
    "UPDATE pix_disputes SET defence_sealed = 'x', defence_evidence = 'x' WHERE defence_at IS NOT NULL",
    "UPDATE pix_disputes SET cover = NULL WHERE status <> 'open'",
    "DELETE FROM pix_disputes",
    "DELETE FROM pix_dispute_history",
    "UPDATE pix_dispute_history SET actor = 'x'",
    "UPDATE pix_receipts SET taken_back_centavos = 0",
    "UPDATE pix_receipts SET taken_back_centavos = amount_centavos",
    """INSERT INTO pix_disputes (id, provider, dispute_id, receipt_id, amount_centavos)
       SELECT 'x', provider, dispute_id, receipt_id, 1 FROM pix_disputes LIMIT 1""",
)


class TestDatabase:
    async def test_refuses_every_attack_of_program_and_owner(self, counter: Counter, paid: Receipt) -> None:
        for name, end in (("won", WON), ("lost", LOST), ("open", None)):
            dispute = await counter.claim(paid, name, 5_000)
            if end is not None:
                await counter.decide(dispute, end)
        await TestDefence().give(counter, dispute)

        for attack in ATTACKS:
            for execute in (counter.world.execute, counter.world.execute_as_owner):
                with pytest.raises(DBAPIError):
                    await execute(attack)

        assert {} == await counter.world.broken_laws()
