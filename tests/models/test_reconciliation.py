"""A bank day against the ledger, on real rows: what is found, found again, cleared, worked through and told."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.errors import IllegalTransition, NotFound
from models.ids import new_id
from models.ledger.chart import Purpose, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.payout.states import PayoutStatus
from models.quote.types import Funding
from models.reconciliation import bank_lines, breaks, queries
from models.reconciliation.queries import BreakView, Suggestion
from models.reconciliation.reconcile import reconcile
from models.reconciliation.states import LIVE, BreakStatus, Resolution
from models.reconciliation.types import Class, Hint, Line, Question, Reading, Result, bank_day
from tests.models.world import COIN, World

BANK = "sandbox"
TOLERANCE = timedelta(hours=2)
LATER = timedelta(hours=3)
"""Past the tolerance."""
S = BreakStatus


@dataclass
class Office:
    """A desk with a bank whose statement is a list of lines, compared at times that a test chooses."""

    world: World
    lines: list[Line] = field(default_factory=list)

    @property
    def today(self) -> date:
        return bank_day(datetime.now(UTC))

    def shows(self, key: str | None, amount: int, end_to_end_id: str | None = None, **other: Any) -> Line:
        values = {"id": f"line-{len(self.lines)}", "time": datetime.now(UTC)} | other
        line = Line(key=key, end_to_end_id=end_to_end_id, amount_centavos=amount, **values)
        self.lines.append(line)
        return line

    async def compare(
        self, after: timedelta = LATER, *, day: date | None = None, balance: int | None = None
    ) -> Result:
        """As the workflow does, ``after`` the moment."""
        day = day or self.today
        now = datetime.now(UTC)
        async with self.world.engine.begin() as conn:
            shown = [line for line in self.lines if bank_day(line.time) == day]
            await bank_lines.store(conn, provider=BANK, day=day, lines=shown)
        reading = Reading(now + after, len(shown), balance)
        async with self.world.engine.begin() as conn:
            return await reconcile(conn, Question(BANK, day, reading, new_id(), now), tolerance=TOLERANCE)

    async def breaks(self, *states: BreakStatus) -> list[BreakView]:
        async with self.world.engine.connect() as conn:
            return (await queries.page(conn, limit=1_000, states=states or LIVE)).breaks

    async def the_break(self, *states: BreakStatus) -> BreakView:
        (found,) = await self.breaks(*states)
        return found

    async def story(self, break_id: str) -> list[tuple[str, str | None]]:
        async with self.world.engine.connect() as conn:
            return [(entry.new_status, entry.reason) for entry in await queries.history(conn, break_id)]

    async def pay(self) -> tuple[str, int]:
        """A sale whose payout is booked; its key and centavos. The bank does not show it yet."""
        trade = await self.world.sell(Funding.DEPOSIT)
        await self.world.make_final(await self.world.deposit(trade, COIN))
        await self.world.advance(trade)
        await self.world.hear(trade, PayoutStatus.PAID)
        await self.world.advance(trade)
        return trade, (await self.world.trade(trade)).total_centavos

    async def post(self, key: str, centavos: int) -> None:
        """By hand, at the bank account: money out of it, from our side."""
        async with self.world.engine.begin() as conn:
            source, bank = house(Purpose.DESK, "BRL"), house(Purpose.PIX_CLEARING, "BRL")
            await post(conn, move(key, Kind.ADJUSTMENT, key, source, bank, centavos))

    async def operator(self, name: str = "ops") -> str:
        user_id, _ = await self.world.join(f"{name}@example.com")
        return user_id

    async def acknowledge(self, break_id: str, operator: str, *, take_over: bool = False) -> None:
        async with self.world.engine.begin() as conn:
            await breaks.acknowledge(conn, break_id, operator_id=operator, take_over=take_over)

    async def resolve(self, break_id: str, operator: str, evidence: str = "ticket 7") -> None:
        async with self.world.engine.begin() as conn:
            await breaks.resolve(
                conn, break_id, operator_id=operator, resolution=Resolution.BANK_FEE, evidence=evidence
            )


@pytest.fixture
async def office(world: World) -> Office:
    return Office(world)


class TestBankMovements:
    async def test_are_one_for_each_transaction_at_the_bank_account(self, office: Office) -> None:
        trade, centavos = await office.pay()
        await office.world.hear(trade, PayoutStatus.RETURNED)
        await office.world.reopen(trade)
        await office.post("by-hand", 5)

        async with office.world.engine.connect() as conn:
            rows = (await conn.execute(text("SELECT * FROM bank_movements ORDER BY recorded_at"))).all()

        assert [
            (BANK, trade, f"E{trade}", -centavos, f"{trade}/payout", trade),
            (BANK, trade, f"E{trade}", centavos, f"{trade}/payout-return", trade),
            (None, None, None, -5, "by-hand", "by-hand"),
        ] == [
            (row.provider, row.key, row.end_to_end_id, row.amount_centavos, row.ledger_key, row.reference)
            for row in rows
        ]
        assert -centavos + centavos - 5 == -await office.world.balance(house(Purpose.PIX_CLEARING, "BRL"))


class TestBankLines:
    async def test_are_kept_once_however_often_they_are_read(self, office: Office) -> None:
        office.shows("a", 5)
        office.shows("b", -5)

        first = await self.store(office)
        again = await self.store(office)

        assert (2, [], []) == (first.lines, first.changed, first.vanished)
        assert (2, [], []) == (again.lines, again.changed, again.vanished)
        assert 2 == await office.world.scalar("SELECT count(*) FROM bank_lines")

    async def test_that_the_bank_shows_otherwise_are_kept_both_and_the_newer_one_counts(self, office: Office) -> None:
        line = office.shows("a", 5)
        await self.store(office)
        office.lines = [replace(line, amount_centavos=6)]

        stored = await self.store(office)

        assert ([line.id], []) == (stored.changed, stored.vanished)
        shown = "SELECT array_agg(amount_centavos ORDER BY amount_centavos) FROM bank_lines WHERE gone_at IS"
        assert ([6], [5]) == (
            await office.world.scalar(f"{shown} NULL"),
            await office.world.scalar(f"{shown} NOT NULL"),
        )

    async def test_that_the_bank_hides_are_gone_until_it_shows_them_again(self, office: Office) -> None:
        office.shows("a", 5)
        hidden = office.shows("b", 5)
        await self.store(office)
        office.lines.remove(hidden)

        without = await self.store(office)
        office.lines.append(hidden)
        await self.store(office)

        assert [hidden.id] == without.vanished
        assert 2 == await office.world.scalar("SELECT count(*) FROM bank_lines WHERE gone_at IS NULL")

    async def test_of_one_id_and_two_contents_are_two(self, office: Office) -> None:
        line = office.shows("a", 5)
        office.lines += [line, replace(line, amount_centavos=6)]

        assert 2 == (await self.store(office)).lines

    async def test_never_change_nor_leave(self, office: Office) -> None:
        office.shows("a", 5)
        await self.store(office)

        for statement in ("UPDATE bank_lines SET amount_centavos = 6", "UPDATE bank_lines SET key = 'b'"):
            with pytest.raises(DBAPIError, match="what a bank said does not change"):
                await office.world.execute(statement)
        with pytest.raises(DBAPIError, match="append-only"):
            await office.world.execute_as_owner("DELETE FROM bank_lines")

    @staticmethod
    async def store(office: Office) -> bank_lines.Stored:
        async with office.world.engine.begin() as conn:
            return await bank_lines.store(conn, provider=BANK, day=office.today, lines=office.lines)


class TestReconcile:
    async def test_matches_what_both_sides_have(self, office: Office) -> None:
        trade, centavos = await office.pay()
        office.shows(trade, -centavos)

        result = await office.compare(timedelta(0))

        assert {Class.MATCHED: (1, 1, -centavos, -centavos)} == {
            cls: (t.lines, t.movements, t.bank_centavos, t.ledger_centavos) for cls, t in result.classes.items()
        }
        assert [] == await office.breaks()

    async def test_waits_for_the_other_side_before_it_says_that_something_is_missing(self, office: Office) -> None:
        trade, centavos = await office.pay()

        early = await office.compare(timedelta(hours=1))
        young = await office.the_break()
        late = await office.compare(LATER)
        old = await office.the_break()

        assert (1, 0) == (early.opened, early.cleared)
        assert (1, 1) == (late.opened, late.cleared)
        assert (Class.TIMING, Class.MISSING_AT_BANK) == (young.cls, old.cls)
        assert (centavos, f"{trade}/payout", trade) == (
            old.amount_centavos,
            old.ledger and old.ledger.ledger_key,
            old.ledger and old.ledger.reference,
        )
        assert young.first_seen_at == old.first_seen_at
        assert [("open", None), ("cleared", "missing_at_bank")] == await office.story(young.id)

    async def test_finds_the_same_break_again_as_the_same_row(self, office: Office) -> None:
        await office.pay()
        await office.compare()
        first = await office.the_break()

        again = await office.compare()

        second = await office.the_break()
        assert (0, 0) == (again.opened, again.cleared)
        assert (first.id, first.first_seen_at) == (second.id, second.first_seen_at)
        assert first.last_seen_at < second.last_seen_at

    async def test_clears_what_came_after_all_and_opens_it_anew_if_it_goes_again(self, office: Office) -> None:
        trade, centavos = await office.pay()
        await office.compare()
        found = await office.the_break()

        late = office.shows(trade, -centavos)
        cleared = await office.compare()
        nothing = await office.breaks()
        office.lines.remove(late)
        await office.compare()

        assert (0, 1, []) == (cleared.opened, cleared.cleared, nothing)
        assert found.id == (await office.the_break()).id
        assert [("open", None), ("cleared", "matched"), ("open", "found_again")] == await office.story(found.id)

    async def test_pairs_a_late_line_of_another_day_and_clears_the_break_of_the_first(self, office: Office) -> None:
        trade, centavos = await office.pay()
        await office.compare()
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        office.shows(trade, -centavos, time=tomorrow)

        result = await office.compare(timedelta(days=1), day=bank_day(tomorrow))

        assert [Class.TIMING] == list(result.classes)
        assert [] == await office.breaks()
        again = await office.compare(timedelta(days=1))
        assert ([Class.TIMING], 0) == (list(again.classes), again.opened)

    async def test_tells_of_another_amount_with_both_sides(self, office: Office) -> None:
        trade, centavos = await office.pay()
        line = office.shows(trade, -centavos - 7)

        await office.compare(timedelta(0))

        found = await office.the_break()
        assert (Class.AMOUNT, -7) == (found.cls, found.amount_centavos)
        assert found.bank is not None
        assert found.ledger is not None
        assert (line.id, -centavos - 7, -centavos) == (
            found.bank.id,
            found.bank.amount_centavos,
            found.ledger.amount_centavos,
        )

    async def test_tells_at_once_of_a_key_that_was_paid_twice(self, office: Office) -> None:
        trade, centavos = await office.pay()
        office.shows(trade, -centavos, "E1")
        second = office.shows(trade, -centavos, "E2")

        await office.compare(timedelta(0))

        found = await office.the_break()
        assert (Class.DUPLICATE, second.id) == (found.cls, found.bank and found.bank.id)

    async def test_takes_a_payout_that_left_and_came_back_for_no_break(self, office: Office) -> None:
        office.shows("failed", -100, "E1")
        office.shows("failed", 100, "E1")

        result = await office.compare()

        assert [(Class.REVERSED, 2)] == [(cls, tally.lines) for cls, tally in result.classes.items()]
        assert [] == await office.breaks()

    async def test_hints_at_fees_and_suggests_what_might_belong_together(self, office: Office) -> None:
        office.shows(None, -190)
        await office.post("fee-by-hand", 190)

        await office.compare()

        by_class = {found.cls: found for found in await office.breaks()}
        fee, posting = by_class[Class.MISSING_IN_LEDGER], by_class[Class.UNEXPLAINED]
        assert (Hint.BANK_FEE, [Suggestion("ledger", "fee-by-hand")]) == (fee.hint, fee.suggestions)
        assert (None, [Suggestion("bank", "line-0")]) == (posting.provider, posting.suggestions)

    async def test_drops_what_it_said_of_a_line_that_the_bank_takes_out(self, office: Office) -> None:
        office.shows("unknown", -100)
        await office.compare()
        found = await office.the_break()

        office.lines.clear()
        await office.compare()

        assert [] == await office.breaks()
        assert [("open", None), ("cleared", "line_gone")] == await office.story(found.id)

    async def test_says_nothing_of_a_day_of_which_the_bank_did_not_answer(self, office: Office) -> None:
        await office.pay()
        now = datetime.now(UTC)

        async with office.world.engine.begin() as conn:
            question = Question(BANK, office.today, Reading(None), new_id(), now)
            result = await reconcile(conn, question, tolerance=TOLERANCE)

        assert (False, {}) == (result.bank_answered, result.classes)
        assert [] == await office.breaks()
        (day,) = await self.days(office)
        assert (False, None, {}) == (day.bank_answered, day.compared_at, day.classes)

    async def test_writes_a_row_for_each_run_whose_classes_sum_to_the_day(self, office: Office) -> None:
        trade, centavos = await office.pay()
        office.shows(trade, -centavos)
        office.shows("unknown", 1_000)

        await office.compare(balance=50_000)

        (day,) = await self.days(office)
        assert (2, 1_000 - centavos, 1, -centavos) == (
            day.lines,
            day.lines_centavos,
            day.movements,
            day.movements_centavos,
        )
        assert day.lines_centavos == sum(tally.bank_centavos for tally in day.classes.values())
        assert (50_000 - 1_000 + centavos, 50_000) == (day.opening_centavos, day.closing_centavos)
        assert 1 == day.live_breaks

    async def test_closes_a_day_with_what_the_next_one_opened_with(self, office: Office) -> None:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        office.shows("a", 300, time=yesterday)
        office.shows("b", 200)
        await office.compare(balance=1_000)

        await office.compare(day=bank_day(yesterday))

        opened = {day.day: (day.opening_centavos, day.closing_centavos) for day in await self.days(office)}
        assert {office.today: (800, 1_000), bank_day(yesterday): (500, 800)} == opened

    async def test_of_one_run_is_one_row(self, office: Office) -> None:
        question = Question(BANK, office.today, Reading(datetime.now(UTC)), "run", datetime.now(UTC))

        for _ in range(2):
            async with office.world.engine.begin() as conn:
                await reconcile(conn, question, tolerance=TOLERANCE)

        assert 1 == await office.world.scalar("SELECT count(*) FROM reconciliations")

    async def test_moves_nothing_in_the_ledger(self, office: Office) -> None:
        await office.pay()
        office.shows("unknown", -100)
        before = await office.world.scalar("SELECT count(*) FROM ledger_transactions")

        await office.compare()

        assert 2 == len(await office.breaks())
        assert before == await office.world.scalar("SELECT count(*) FROM ledger_transactions")
        assert {} == await office.world.broken_laws()

    @staticmethod
    async def days(office: Office) -> list[queries.DayView]:
        async with office.world.engine.connect() as conn:
            since, until = office.today - timedelta(days=3), office.today + timedelta(days=3)
            return await queries.days(conn, since=since, until=until)


class TestBreak:
    @pytest.fixture
    async def found(self, office: Office) -> BreakView:
        office.shows("unknown", -100)
        await office.compare()
        return await office.the_break()

    async def test_is_owned_and_then_resolved_with_evidence(self, office: Office, found: BreakView) -> None:
        ops = await office.operator()

        await office.acknowledge(found.id, ops)
        owned = await office.the_break()
        await office.resolve(found.id, ops)

        ended = await office.the_break(S.RESOLVED)
        assert (S.ACKNOWLEDGED, ops) == (owned.status, owned.owner_id)
        assert (Resolution.BANK_FEE, "ticket 7", ops) == (ended.resolution, ended.evidence, ended.owner_id)
        assert [("open", None), ("acknowledged", None), ("resolved", "bank_fee")] == await office.story(found.id)

    async def test_said_twice_is_done_once(self, office: Office, found: BreakView) -> None:
        ops = await office.operator()

        for _ in range(2):
            await office.acknowledge(found.id, ops)
        for _ in range(2):
            await office.resolve(found.id, ops)

        assert 3 == len(await office.story(found.id))

    async def test_of_another_operator_must_be_taken_over(self, office: Office, found: BreakView) -> None:
        ana, bob = await office.operator("ops.ana"), await office.operator("ops.bob")
        await office.acknowledge(found.id, ana)

        with pytest.raises(IllegalTransition, match="take_over"):
            await office.acknowledge(found.id, bob)
        with pytest.raises(IllegalTransition, match="take_over"):
            await office.resolve(found.id, bob)
        await office.acknowledge(found.id, bob, take_over=True)

        assert bob == (await office.the_break()).owner_id

    async def test_is_not_resolved_by_who_does_not_own_it(self, office: Office, found: BreakView) -> None:
        with pytest.raises(IllegalTransition, match="open to resolved"):
            await office.resolve(found.id, await office.operator())

    async def test_stays_resolved_though_the_next_run_finds_it(self, office: Office, found: BreakView) -> None:
        ops = await office.operator()
        await office.acknowledge(found.id, ops)
        await office.resolve(found.id, ops)

        result = await office.compare()

        assert (0, []) == (result.opened, await office.breaks())

    async def test_that_somebody_works_on_clears_by_itself_too(self, office: Office, found: BreakView) -> None:
        await office.acknowledge(found.id, await office.operator())
        office.shows("unknown", 100)

        await office.compare()

        assert [("open", None), ("acknowledged", None), ("cleared", "reversed")] == await office.story(found.id)

    async def test_that_nobody_knows_is_not_found(self, office: Office) -> None:
        with pytest.raises(NotFound):
            await office.acknowledge("0" * 32, await office.operator())

    async def test_is_guarded_by_the_database(self, office: Office, found: BreakView) -> None:
        for statement, words in (
            ("UPDATE breaks SET status = 'resolved'", "break cannot go from open to resolved"),
            ("UPDATE breaks SET status = 'acknowledged'", "in_work_have_an_owner"),
            ("UPDATE breaks SET bank_centavos = 1", "what a break is about does not change"),
            ("UPDATE break_history SET actor = 'me'", "permission denied"),
            ("DELETE FROM breaks", "permission denied"),
            ("UPDATE reconciliations SET lines = 0", "permission denied"),
        ):
            with pytest.raises(DBAPIError, match=words):
                await office.world.execute(statement)

    async def test_that_stays_open_is_told_once_and_timing_never(self, office: Office) -> None:
        line = office.shows("unknown", -100, time=datetime.now(UTC) - TOLERANCE)
        await office.pay()
        for day in {bank_day(line.time), office.today}:
            await office.compare(timedelta(hours=1), day=day)
        by_class = {found.cls: found for found in await office.breaks()}
        missing = by_class[Class.MISSING_IN_LEDGER]

        early = await self.tell(office, missing.first_seen_at)
        first = await self.tell(office, datetime.now(UTC))
        second = await self.tell(office, datetime.now(UTC))

        assert {Class.TIMING, Class.MISSING_IN_LEDGER} == set(by_class)
        assert ([], [missing.id], []) == (early, first, second)

    async def test_that_somebody_owns_is_not_told(self, office: Office, found: BreakView) -> None:
        await office.acknowledge(found.id, await office.operator())

        assert [] == await self.tell(office, datetime.now(UTC))

    @staticmethod
    async def tell(office: Office, older_than: datetime) -> list[str]:
        async with office.world.engine.begin() as conn:
            return [row.id for row in await breaks.tell(conn, older_than=older_than, limit=10)]


class TestPage:
    async def test_gives_the_oldest_first_in_pages_and_by_filters(self, office: Office) -> None:
        for number in range(5):
            office.shows(f"unknown-{number}", -100)
            await office.compare()
        ids = [found.id for found in await office.breaks()]

        async with office.world.engine.connect() as conn:
            first = await queries.page(conn, limit=3, states=LIVE)
            second = await queries.page(conn, limit=3, states=LIVE, cursor=first.next_cursor)
            other = await queries.page(conn, limit=3, states=LIVE, cls=Class.AMOUNT)
            elsewhere = await queries.page(conn, limit=3, states=LIVE, provider="efi")
            early = await queries.page(conn, limit=9, states=LIVE, first_seen_before=first.breaks[-1].first_seen_at)
            gauge = await queries.live_by_class_and_age(conn)
            silence = await queries.silence_seconds(conn)

        assert ids == [found.id for page in (first, second) for found in page.breaks]
        assert second.next_cursor is None
        assert ([], []) == (other.breaks, elsewhere.breaks)
        assert ids[:2] == [found.id for found in early.breaks]
        assert (5, 0) == (gauge[Class.MISSING_IN_LEDGER, "hour"], gauge[Class.MISSING_IN_LEDGER, "older"])
        assert [BANK] == list(silence)
