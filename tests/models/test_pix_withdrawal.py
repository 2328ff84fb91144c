"""A withdrawal is paid or given back, never both: PostgreSQL refuses the other one, whatever the program does."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.errors import IllegalTransition, InsufficientFunds, LimitExceeded
from models.ids import new_id
from models.instant_trade.types import Attestation
from models.ledger.chart import Purpose, available, held, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.payout.states import NEXT as PAYOUT_NEXT
from models.payout.states import PayoutStatus
from models.pix_limit import queries as limits
from models.pix_limit.rules import day_of
from models.pix_limit.types import PixLimits
from models.pix_withdrawal import queries
from models.pix_withdrawal.advance import advance, hold
from models.pix_withdrawal.rules import decide
from models.pix_withdrawal.states import NEXT, PixWithdrawalStatus
from models.pix_withdrawal.types import PixWithdrawalProgress
from models.pix_withdrawal.writes import accept, attest
from tests.models.world import BOX, NO_RULE, TERMS, WAITS, World

P, S = PayoutStatus, PixWithdrawalStatus
LIMITS = PixLimits(100, 50_000, 50_000)
MAY_STILL_PAY = [P.CREATED, P.SUBMITTED, P.UNKNOWN, P.PROCESSING]
INSERT = (
    "INSERT INTO pix_withdrawals (id, user_id, bank_data_id, amount_centavos, provider, status)"
    " SELECT md5(id), user_id, bank_data_id, amount_centavos, provider, :status FROM pix_withdrawals"
)
PAYOUT = (
    "INSERT INTO payouts (key, withdrawal_id, provider, amount_centavos, bank_data_id)"
    " SELECT {key}, id, provider, {amount}, bank_data_id FROM pix_withdrawals WHERE id <> :id"
)


async def give(world: World, centavos: int) -> None:
    """Reais for Ana, from nowhere: neither bank nor clearing account is asked."""
    async with world.engine.begin() as conn:
        source, target = house(Purpose.DESK, "BRL"), available(world.user_id, "BRL")
        await post(conn, move(f"operator/x/{new_id()}", Kind.ADJUSTMENT, "operator/x", source, target, centavos))


async def withdraw(world: World, centavos: int = 6_000, *, pix_limits: PixLimits = LIMITS) -> str:
    withdrawal_id = new_id()
    async with world.engine.begin() as conn:
        await accept(
            conn,
            box=BOX,
            withdrawal_id=withdrawal_id,
            user_id=world.user_id,
            bank_data_id=None,
            amount_centavos=centavos,
            pix_limits=pix_limits,
            new_key=NO_RULE,
            terms=TERMS,
            waits=WAITS,
            now=world.now,
        )
    return withdrawal_id


async def step(world: World, withdrawal_id: str) -> PixWithdrawalProgress:
    async with world.engine.begin() as conn:
        return await advance(conn, withdrawal_id, now=world.now)


async def say(world: World, withdrawal_id: str, *, paid: bool) -> None:
    word = Attestation("operator", paid, "statement-7", "E1" if paid else None)
    async with world.engine.begin() as conn:
        await attest(conn, withdrawal_id, word, now=world.now)


async def bring(world: World, withdrawal_id: str, status: P) -> None:
    """Have the provider say this of the payout."""
    if status is P.SUBMITTED:
        await world.submit(withdrawal_id)
    elif status is P.RETURNED:
        await world.hear(withdrawal_id, P.PAID)
        await world.hear(withdrawal_id, P.RETURNED)
    elif status is not P.CREATED:
        await world.hear(withdrawal_id, status)


async def standing(world: World, withdrawal_id: str) -> tuple[S, str | None, int, int, int]:
    """State, reason, available, held, and our reais at the bank since the beginning. All laws must hold."""
    assert {} == await world.broken_laws()
    assert [] == await world.differences()
    async with world.engine.connect() as conn:
        found = await queries.withdrawal(conn, withdrawal_id)
    bank = -(await world.house(Purpose.PIX_CLEARING, "BRL"))
    return found.status, found.reason, await world.available("BRL"), await world.held("BRL"), bank


@pytest.fixture
async def ordered(world: World) -> str:
    """A withdrawal of 60.00 of Ana's 100.00."""
    await give(world, 10_000)
    return await withdraw(world)


class TestWithdrawal:
    async def test_holds_what_it_is_to_pay(self, world: World, ordered: str) -> None:
        assert (S.PAYING_OUT, None, 4_000, 6_000, 0) == await standing(world, ordered)
        assert f"withdrawal {ordered}" == await world.scalar("SELECT because || ' ' || reference FROM held_parts")

    @pytest.mark.parametrize(
        ("payout", "expected"),
        [
            (P.PROCESSING, (S.PAYING_OUT, None, 4_000, 6_000, 0)),
            (P.UNKNOWN, (S.PAYING_OUT, None, 4_000, 6_000, 0)),
            (P.PAID, (S.COMPLETED, None, 4_000, 0, -6_000)),
            (P.REJECTED, (S.REFUNDED, "payout_rejected", 10_000, 0, 0)),
            (P.RETURNED, (S.REFUNDED, "payout_returned", 10_000, 0, 0)),
        ],
    )
    async def test_stands_as_its_payout_does(
        self, world: World, ordered: str, payout: P, expected: tuple[object, ...]
    ) -> None:
        await bring(world, ordered, payout)

        for _ in range(2):
            await step(world, ordered)

        assert expected == await standing(world, ordered)

    async def test_that_came_back_after_its_end_is_the_users_again(self, world: World, ordered: str) -> None:
        await bring(world, ordered, P.PAID)
        await step(world, ordered)
        await world.hear(ordered, P.RETURNED)

        await step(world, ordered)

        assert (S.REFUNDED, "payout_returned", 10_000, 0, 0) == await standing(world, ordered)
        assert 3 == await world.scalar("SELECT count(*) FROM pix_withdrawal_history")

    async def test_is_at_the_bank_by_the_name_that_the_bank_knows(self, world: World, ordered: str) -> None:
        """What reconciliation compares: the postings' key, provider and end-to-end id, once out and once back."""
        await bring(world, ordered, P.RETURNED)
        await step(world, ordered)

        async with world.engine.connect() as conn:
            statement = text("SELECT provider, key, end_to_end_id, amount_centavos FROM bank_movements ORDER BY 4")
            found = [tuple(row) for row in await conn.execute(statement)]

        name = ("sandbox", ordered, f"E{ordered}")
        assert [(*name, -6_000), (*name, 6_000)] == found

    async def test_is_for_a_person_when_nobody_said_in_time(self, world: World, ordered: str) -> None:
        await bring(world, ordered, P.UNKNOWN)
        world.pass_time(TERMS.payout_deadline_seconds + 1)

        progress = await step(world, ordered)

        assert not progress.is_over
        assert (S.NEEDS_REVIEW, "payout_outcome_unknown", 4_000, 6_000, 0) == await standing(world, ordered)

    async def test_needs_what_it_pays(self, world: World) -> None:
        await give(world, 5_999)

        with pytest.raises(InsufficientFunds):
            await withdraw(world)

        assert 0 == await world.scalar("SELECT count(*) FROM payouts")

    def test_is_never_given_back_by_time_alone(self) -> None:
        for status, payout in product(S, MAY_STILL_PAY):
            found = decide(status, payout, is_late=True)

            assert found is None or found.status is S.NEEDS_REVIEW

    def test_takes_only_steps_of_its_picture_and_comes_to_rest(self) -> None:
        for status, payout in product(S, P):
            seen = [status]
            while (found := decide(seen[-1], payout, is_late=True)) is not None:
                assert found.status in NEXT[seen[-1]]
                seen.append(found.status)
                assert len(seen) < 5


class TestAttestation:
    async def test_of_a_payment_completes(self, world: World, ordered: str) -> None:
        await bring(world, ordered, P.UNKNOWN)

        for _ in range(2):
            await say(world, ordered, paid=True)
        world.bank.write(ordered, -6_000)

        assert (S.COMPLETED, None, 4_000, 0, -6_000) == await standing(world, ordered)
        assert 1 == await world.scalar("SELECT count(*) FROM pix_withdrawal_history WHERE actor = 'operator'")

    async def test_of_no_payment_is_heard_only_after_the_deadline(self, world: World, ordered: str) -> None:
        await bring(world, ordered, P.UNKNOWN)

        with pytest.raises(IllegalTransition, match="time is not over"):
            await say(world, ordered, paid=False)
        world.pass_time(TERMS.payout_deadline_seconds + 1)
        await step(world, ordered)
        await say(world, ordered, paid=False)

        assert (S.REFUNDED, "payout_rejected", 10_000, 0, 0) == await standing(world, ordered)

    async def test_of_no_payment_is_refused_while_the_order_is_just_being_sent(
        self, world: World, ordered: str
    ) -> None:
        await bring(world, ordered, P.SUBMITTED)
        world.pass_time(TERMS.payout_deadline_seconds + 1)
        await step(world, ordered)

        with pytest.raises(IllegalTransition, match="on its way"):
            await say(world, ordered, paid=False)

    @pytest.mark.parametrize(("end", "paid"), [(P.PAID, False), (P.REJECTED, True), (P.RETURNED, False)])
    async def test_does_not_undo_an_end(self, world: World, ordered: str, end: P, paid: bool) -> None:
        await bring(world, ordered, end)
        await step(world, ordered)

        with pytest.raises(IllegalTransition):
            await say(world, ordered, paid=paid)


class TestDatabase:
    """Attacks by the program's own role."""

    async def test_gives_nothing_back_while_the_payout_may_pay(self, world: World, ordered: str) -> None:
        source, target = held(world.user_id, "BRL"), available(world.user_id, "BRL")
        for payout in [*MAY_STILL_PAY, P.PAID]:
            await bring(world, ordered, payout)

            with pytest.raises(DBAPIError, match=f"its payout is {payout}"):
                await world.execute("UPDATE pix_withdrawals SET status = 'refunded'")
            async with world.engine.connect() as conn:
                with pytest.raises(DBAPIError, match="is not refunded"):
                    await post(conn, move(f"{ordered}/release", Kind.RELEASE, ordered, source, target, 6_000))

    async def test_gives_nothing_back_after_a_payment_that_did_not_come_back(
        self, world: World, ordered: str
    ) -> None:
        await bring(world, ordered, P.PAID)
        await step(world, ordered)

        with pytest.raises(DBAPIError, match="its payout is paid"):
            await world.execute("UPDATE pix_withdrawals SET status = 'refunded'")
        async with world.engine.connect() as conn:
            source, target = house(Purpose.PIX_CLEARING, "BRL"), available(world.user_id, "BRL")
            with pytest.raises(DBAPIError, match="is not refunded"):
                await post(conn, move(f"{ordered}/x", Kind.PAYOUT_RETURN, ordered, source, target, 6_000))

    async def test_calls_nothing_completed_that_was_not_paid(self, world: World, ordered: str) -> None:
        for payout in [*MAY_STILL_PAY, P.REJECTED]:
            await bring(world, ordered, payout)

            with pytest.raises(DBAPIError, match="cannot be completed"):
                await world.execute("UPDATE pix_withdrawals SET status = 'completed'")

    async def test_looks_at_no_payout_that_is_just_changing(self, world: World, ordered: str) -> None:
        """The trigger locks the payout's row: what it saw there is still so when the withdrawal has ended."""
        await bring(world, ordered, P.UNKNOWN)
        async with world.engine.begin() as conn:
            await conn.exec_driver_sql("UPDATE payouts SET status = 'paid'")
            async with world.engine.connect() as other:
                await other.exec_driver_sql("SET lock_timeout = 100")
                with pytest.raises(DBAPIError, match="lock timeout"):
                    await other.exec_driver_sql("UPDATE pix_withdrawals SET status = 'completed'")

    async def test_begins_every_withdrawal_by_paying_out(self, world: World, ordered: str) -> None:
        for status in set(S) - {S.PAYING_OUT}:
            with pytest.raises(DBAPIError, match="begins by paying out"):
                await world.execute(INSERT, status=str(status))

    async def test_orders_no_other_payout(self, world: World, ordered: str) -> None:
        await world.execute(INSERT, status="paying_out")

        for key, amount in [("id", "amount_centavos + 1"), ("id", "amount_centavos - 1"), ("'x'", "amount_centavos")]:
            with pytest.raises(DBAPIError, match="waits for this payout"):
                await world.execute(PAYOUT.format(key=key, amount=amount), id=ordered)

    async def test_orders_one_payout_and_none_after_the_end(self, world: World, ordered: str) -> None:
        second = "INSERT INTO payouts (key, withdrawal_id, provider, amount_centavos, bank_data_id)"
        second += " SELECT id, id, provider, amount_centavos, bank_data_id FROM pix_withdrawals"
        with pytest.raises(DBAPIError, match=r"pk_payouts|uq_payouts_withdrawal_id"):
            await world.execute(second)
        await bring(world, ordered, P.REJECTED)
        await step(world, ordered)

        with pytest.raises(DBAPIError, match="waits for this payout"):
            await world.execute(second)

    async def test_lets_a_payout_belong_to_one_thing(self, world: World, ordered: str) -> None:
        with pytest.raises(DBAPIError, match="what was ordered does not change"):
            await world.execute("UPDATE payouts SET withdrawal_id = NULL")
        with pytest.raises(DBAPIError, match="no live payout outcome"):
            await world.execute(
                "INSERT INTO payouts (key, provider, amount_centavos, bank_data_id)"
                " SELECT 'x', provider, 1, bank_data_id FROM pix_withdrawals"
            )

    async def test_keeps_the_order(self, world: World, ordered: str) -> None:
        for change in (
            "amount_centavos = amount_centavos - 1",
            "user_id = 'other'",
            "bank_data_id = 'other'",
            "provider = 'other'",
            "id = 'other'",
            "deadline_at = now()",
            "created_at = now() - interval '1 day'",
        ):
            with pytest.raises(DBAPIError, match="what was ordered does not change"):
                await world.execute(f"UPDATE pix_withdrawals SET {change}")

    async def test_forgets_nothing(self, world: World, ordered: str) -> None:
        for statement in (
            "DELETE FROM pix_withdrawals",
            "DELETE FROM pix_withdrawal_history",
            "UPDATE pix_withdrawal_history SET actor = 'x'",
        ):
            with pytest.raises(DBAPIError, match="permission denied"):
                await world.execute(statement)
            with pytest.raises(DBAPIError, match="append-only"):
                await world.execute_as_owner(statement)

    async def test_follows_the_picture(self, world: World, ordered: str) -> None:
        await bring(world, ordered, P.REJECTED)
        await step(world, ordered)

        for status in set(S) - {S.REFUNDED}:
            with pytest.raises(DBAPIError, match=r"cannot go from refunded|cannot be completed"):
                await world.execute("UPDATE pix_withdrawals SET status = :s", s=str(status))

    def test_has_payouts_that_end_once(self) -> None:
        """What ``withdrawal_guard_end`` relies on: a rejected payout is never paid afterwards."""
        assert {frozenset()} == {PAYOUT_NEXT[end] for end in (P.REJECTED, P.RETURNED)}


class TestLimit:
    @pytest.mark.parametrize(
        ("now", "starts"),
        [
            ("2026-01-05T02:59:59", "2026-01-04T03:00:00"),
            ("2026-01-05T03:00:00", "2026-01-05T03:00:00"),
            ("2018-11-04T12:00:00", "2018-11-04T03:00:00"),
        ],
    )
    def test_is_of_the_day_in_sao_paulo(self, now: str, starts: str) -> None:
        day = day_of(datetime.fromisoformat(now).replace(tzinfo=UTC))

        assert datetime.fromisoformat(starts).replace(tzinfo=UTC) == day.starts_at
        assert day.starts_at <= datetime.fromisoformat(now).replace(tzinfo=UTC) < day.ends_at

    async def test_counts_what_was_not_given_back_and_begins_anew_each_day(self, world: World) -> None:
        await give(world, 200_000)
        first = await withdraw(world, 30_000)
        with pytest.raises(LimitExceeded, match=r"500\.00 in all: R\$ 300\.00 are used today, R\$ 200\.00 are left"):
            await withdraw(world, 20_001)

        await bring(world, first, P.REJECTED)
        await step(world, first)
        await withdraw(world, 50_000)
        with pytest.raises(LimitExceeded):
            await withdraw(world, 100)
        world.pass_time(timedelta(days=1).total_seconds())
        await withdraw(world, 50_000)

        async with world.engine.connect() as conn:
            assert 50_000 == (await limits.withdrawn(conn, world.user_id, LIMITS, world.now)).used_centavos

    async def test_has_a_least(self, world: World) -> None:
        await give(world, 200)

        with pytest.raises(LimitExceeded, match=r"least withdrawal is R\$ 1\.00"):
            await withdraw(world, 99)
        await withdraw(world, 100)


def test_a_hold_moves_nothing_out_of_the_users_hands() -> None:
    assert {"ana"} == {posting.account.owner for posting in hold("w", "ana", 1).postings}
