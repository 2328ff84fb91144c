"""A dispute has one end, which divides what is held in one balanced transaction; and nobody judges their own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.errors import Forbidden, IllegalTransition, LimitExceeded, NotFound
from models.p2p_dispute import rules
from models.p2p_dispute.states import ENDED, NEXT, P2PDisputeStatus
from models.p2p_dispute.types import (
    OFFERS_MOST,
    STATEMENTS_MOST,
    DisputeReason,
    P2PDispute,
    Ruling,
    RulingFate,
    RulingReason,
    Step,
)
from models.p2p_order.types import Settlement
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import Command, P2PTrade, Party
from models.p2p_trade.writes import command
from models.reputation import queries as reputations
from tests.models.p2p_books import UNITS, move_to
from tests.models.p2p_disputes import TOGETHER, Fight, begin, bring
from tests.models.world import World

S, F = P2PDisputeStatus, RulingFate
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
COMMANDS = ("rule", "approve", "reject", "accept ruling", "appeal", "offer", "accept", "concede", "state")
ANY = {"offer", "accept", "concede", "state"}
ALLOWED: dict[str, set[str]] = {
    "open": ANY | {"rule"},
    "proposed": ANY | {"approve", "reject"},
    "ruled": ANY | {"accept ruling", "appeal"},
    "appealed": ANY | {"rule"},
    "proposed again": ANY | {"approve", "reject"},
    "closed": set(),
    "settled": set(),
}
"""What may be done in which state, by whoever may do it at all."""


TRADE = P2PTrade(
    *("t", "P2P-1", "o", 1, "seller", "seller", "buyer", "ETH.ethereum", UNITS, Decimal(15_000), 1_500_000),
    *(200, UNITS // 50, Party.BUYER, Settlement.DIRECT, "m", P2PTradeStatus.DISPUTED, 3, None, None, 900, 3600),
    *(None, NOW, None, None, NOW, NOW),
)


def a_dispute(status: S, *, number: int = 1, deadline: datetime | None = None) -> P2PDispute:
    return P2PDispute(
        *("d", "t", None, DisputeReason.OTHER, status, 1, number, "r", None, None, None, None, deadline, None),
        *(NOW, NOW),
    )


def a_ruling(by: str, fate: F | None, *, number: int = 1, second: str | None = None, name: str = "r") -> Ruling:
    return Ruling(name, number, 10_000, RulingReason.OTHER, by, True, fate, second, NOW, NOW)


class TestRules:
    @pytest.mark.parametrize(("status", "number"), list(product(S, (1, 2))), ids=str)
    def test_of_ruling_ask_for_a_dispute_without_a_ruling(self, status: S, number: int) -> None:
        for user, is_fresh in (("stranger", True), ("first", number == 1), ("second", number == 1)):
            first = a_ruling("first", F.APPROVED, second="second")
            expected = None if status in {S.OPEN, S.APPEALED} and is_fresh else (IllegalTransition, Forbidden)
            found = a_dispute(status, number=number)
            if expected is None:
                rules.require_ruling(TRADE, found, [first], user)
                continue
            with pytest.raises(expected):
                rules.require_ruling(TRADE, found, [first], user)

    @pytest.mark.parametrize(("status", "yes"), list(product(S, (True, False))), ids=str)
    def test_of_approval_want_another_arbiter_and_the_proposal_that_waits(self, status: S, yes: bool) -> None:
        found, waiting = a_dispute(status), a_ruling("first", None)

        for user, ruling_id in product(("first", "second"), ("r", "other")):
            waits = status is S.PROPOSED and ruling_id == "r"
            if waits and not (yes and user == "first"):
                assert waiting == rules.require_decision(TRADE, found, [waiting], user, ruling_id, yes=yes)
                continue
            with pytest.raises(Forbidden if waits else IllegalTransition):
                rules.require_decision(TRADE, found, [waiting], user, ruling_id, yes=yes)

    def test_keep_both_hands_of_an_appealed_ruling_from_the_second(self) -> None:
        found = a_dispute(S.PROPOSED, number=2)
        known = [
            a_ruling("first", F.APPROVED, second="second", name="old"),
            a_ruling("third", F.REJECTED, second="fourth", name="no"),
            a_ruling("fifth", None, number=2),
        ]

        for user in ("first", "second"):
            with pytest.raises(Forbidden, match="hand in the ruling"):
                rules.require_decision(TRADE, found, known, user, "r", yes=True)
        for user in ("third", "fourth", "sixth"):
            assert known[2] == rules.require_decision(TRADE, found, known, user, "r", yes=True)

    def test_keep_the_parties_from_judging(self) -> None:
        for user in (TRADE.buyer_id, TRADE.seller_id):
            with pytest.raises(Forbidden, match="your own trade"):
                rules.require_ruling(TRADE, a_dispute(S.OPEN), [], user)
            for yes in (True, False):
                with pytest.raises(Forbidden, match="your own trade"):
                    rules.require_decision(
                        TRADE, a_dispute(S.PROPOSED), [a_ruling("first", None)], user, "r", yes=yes
                    )

    @pytest.mark.parametrize("status", S, ids=str)
    @pytest.mark.parametrize("seconds", [-1, 0, 1], ids=["before", "then", "after"])
    def test_of_the_clock_know_what_is_due(self, status: S, seconds: int) -> None:
        found = a_dispute(status, deadline=NOW if status in {S.PROPOSED, S.RULED} else None)
        late = {S.PROPOSED: Step.PROPOSAL_EXPIRED, S.RULED: Step.CLOSED}.get(status) if seconds >= 0 else None
        ended = None if status in ENDED else Step.ENDED_WITH_TRADE

        now = NOW + timedelta(seconds=seconds)

        assert late == rules.due(found, now, trade_is_over=False)
        assert ended == rules.due(found, now, trade_is_over=True)

    @pytest.mark.parametrize("status", S, ids=str)
    def test_of_the_window_end_with_it(self, status: S) -> None:
        found = a_dispute(status, deadline=NOW)

        before = NOW - timedelta(microseconds=1)
        if status is S.RULED:
            rules.require_open_window(found, before)
        for now in (NOW,) if status is S.RULED else (before, NOW):
            with pytest.raises(IllegalTransition):
                rules.require_open_window(found, now)

    def test_picture_reaches_every_state_from_the_first(self) -> None:
        reached, waiting = {S.OPEN}, [S.OPEN]
        while waiting:
            new = NEXT[waiting.pop()] - reached
            reached |= new
            waiting += new

        assert set(S) == reached == set(NEXT)
        assert {state for state, after in NEXT.items() if not after} == ENDED


class TestCommands:
    @pytest.mark.parametrize("state", list(ALLOWED))
    async def test_are_taken_in_their_states_and_in_no_other(self, arena: World, state: str) -> None:
        fight = await begin(arena)
        await bring(fight, state)
        with suppress(IllegalTransition):
            await fight.offer(fight.buyer, 5_000)
        offers = await arena.scalar("SELECT id FROM p2p_dispute_offers WHERE dispute_id = :id", id=fight.id)
        ruling_id = await fight.ruling_id()
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "rule": lambda: fight.rule(2),
            "approve": lambda: fight.approve(2, ruling_id),
            "reject": lambda: fight.reject(2, ruling_id),
            "accept ruling": lambda: fight.accept_ruling(fight.buyer),
            "appeal": lambda: fight.appeal(fight.buyer),
            "offer": lambda: fight.offer(fight.seller, 4_000),
            "accept": lambda: fight.accept(fight.seller, str(offers)),
            "concede": lambda: fight.concede(fight.seller),
            "state": lambda: fight.state(fight.seller),
        }

        taken = set()
        for name in COMMANDS:
            async with Undone(fight):
                with suppress(IllegalTransition):
                    await calls[name]()
                    taken.add(name)

        assert ALLOWED[state] == taken
        assert {} == await arena.broken_laws()

    @pytest.mark.parametrize("status", [s for s in P2PTradeStatus if s is not P2PTradeStatus.PAYMENT_SENT], ids=str)
    async def test_open_a_dispute_only_once_somebody_says_that_they_paid(
        self, arena: World, status: P2PTradeStatus
    ) -> None:
        fight = await begin(arena, paid=status not in {P2PTradeStatus.OPEN, P2PTradeStatus.EXPIRED})
        if status is P2PTradeStatus.SPLIT:
            await fight.open()
            await fight.accept(fight.seller, await fight.offer(fight.buyer, 5_000))
        elif status is P2PTradeStatus.REFUNDED:
            await bring(fight, "settled")
        elif status is not P2PTradeStatus.OPEN:
            await move_to(arena.engine, fight.trade.id, status)

        with pytest.raises(IllegalTransition):
            await fight.open()

    async def test_are_for_the_two_alone(self, arena: World) -> None:
        fight = await begin(arena)
        stranger = fight.arbiters[0]
        with pytest.raises(NotFound):
            await fight.open(stranger)
        await fight.open()
        offer = await fight.offer(fight.buyer, 5_000)

        for call in (
            lambda: fight.offer(stranger, 1),
            lambda: fight.accept(stranger, offer),
            lambda: fight.concede(stranger),
            lambda: fight.state(stranger),
            lambda: fight.appeal(stranger),
            lambda: fight.accept_ruling(stranger),
        ):
            with pytest.raises(NotFound):
                await call()

    async def test_are_bounded(self, arena: World) -> None:
        fight = await begin(arena)
        await fight.open()
        for _ in range(STATEMENTS_MOST - 1):
            await fight.state(fight.buyer)
        for _ in range(OFFERS_MOST):
            await fight.offer(fight.buyer, 5_000)

        with pytest.raises(LimitExceeded):
            await fight.state(fight.buyer)
        with pytest.raises(LimitExceeded):
            await fight.offer(fight.buyer, 5_000)
        await fight.state(fight.seller)


class Undone:
    """What commands do in the block is undone at its end: they run in savepoints of one transaction."""

    def __init__(self, fight: Fight) -> None:
        self._fight = fight
        self._run = fight.run

    async def __aenter__(self) -> None:
        self._conn = await self._fight.world.engine.connect()

        async def run(command: Callable[..., Awaitable[object]], *args: object, **more: object) -> object:
            async with self._conn.begin_nested():
                return await command(self._conn, *args, **more)

        self._fight.run = run  # type: ignore[method-assign]

    async def __aexit__(self, *_: object) -> None:
        self._fight.run = self._run  # type: ignore[method-assign]
        await self._conn.rollback()
        await self._conn.close()


async def _window_over(fight: Fight, bps: int) -> None:
    await fight.rule(bps=bps)
    await fight.advance(fight.now + timedelta(seconds=3599))
    assert "ruled disputed" == await fight.status()
    assert (await fight.advance(fight.now + timedelta(seconds=3600))).is_over


async def _both_accept(fight: Fight, bps: int) -> None:
    await fight.rule(bps=bps)
    await fight.accept_ruling(fight.buyer)
    assert "ruled disputed" == await fight.status()
    await fight.accept_ruling(fight.seller)


async def _approved(fight: Fight, bps: int) -> None:
    await fight.rule(0, bps, TOGETHER)
    await fight.approve(1)
    await fight.advance(fight.now + timedelta(seconds=3600))


async def _second_ruling(fight: Fight, bps: int) -> None:
    await fight.rule(0, 10_000 - bps)
    await fight.appeal()
    await fight.rule(1, bps)


async def _second_approved(fight: Fight, bps: int) -> None:
    await fight.rule(0, 10_000 - bps)
    await fight.appeal(fight.buyer)
    await fight.rule(1, bps, TOGETHER)
    await fight.approve(2)


async def _settled(fight: Fight, bps: int) -> None:
    if bps in {0, 10_000}:
        await fight.concede(fight.seller if bps else fight.buyer)
    else:
        await fight.accept(fight.buyer, await fight.offer(fight.seller, bps))


async def _settled_late(fight: Fight, bps: int) -> None:
    await fight.rule(0, 10_000 - bps, TOGETHER)
    await _settled(fight, bps)


ENDS = {
    "window over": _window_over,
    "both accept": _both_accept,
    "approved": _approved,
    "second ruling": _second_ruling,
    "second ruling approved": _second_approved,
    "settled": _settled,
    "settled while a proposal waits": _settled_late,
}
STATUS = {0: "refunded", 10_000: "completed"}


def shares(bps: int, payer: Party, settlement: Settlement) -> dict[str, int]:
    """By hand: the fee is two hundredths of the buyer's part, out of it or on top of it."""
    part = UNITS // 10_000 * bps
    fee = part // 50
    expected = {"fees": fee}
    if payer is Party.BUYER:
        expected |= {"buyer": part - fee, "seller": UNITS - part}
    else:
        expected |= {"buyer": part, "seller": UNITS + UNITS // 50 - part - fee}
    if settlement is Settlement.BALANCE:
        expected |= {"seller brl": 150 * bps, "buyer brl": 1_500_000 - 150 * bps}
    return {name: units for name, units in expected.items() if units}


class TestEnd:
    @pytest.mark.parametrize("bps", [10_000, 0, 2_500])
    @pytest.mark.parametrize("way", list(ENDS))
    async def test_divides_what_is_held_and_leaves_nothing(self, arena: World, way: str, bps: int) -> None:
        fight = await begin(arena)
        await fight.open()

        await ENDS[way](fight, bps)

        ended = "settled" if way.startswith("settled") else "closed"
        assert f"{ended} {STATUS.get(bps, 'split')}" == await fight.status()
        assert shares(bps, Party.BUYER, Settlement.DIRECT) == await fight.shares()
        assert (bps, 1) == ((await fight.row()).buyer_bps, await fight.outcomes())

    @pytest.mark.parametrize("bps", [10_000, 0, 1, 9_999])
    @pytest.mark.parametrize("payer", Party, ids=str)
    async def test_is_fair_to_the_unit_when_the_seller_pays_the_fee(
        self, arena: World, bps: int, payer: Party
    ) -> None:
        fight = await begin(arena, fee_payer=payer)
        await fight.open(fight.seller)

        await _both_accept(fight, bps)

        assert shares(bps, payer, Settlement.DIRECT) == await fight.shares()

    async def test_is_also_the_sellers_own_release_or_the_buyers_giving_up(self, arena: World) -> None:
        for status, actor in ((P2PTradeStatus.COMPLETED, "seller"), (P2PTradeStatus.REFUNDED, "buyer")):
            fight = await begin(arena)
            await fight.open()

            await move_to(arena.engine, fight.trade.id, status, actor=getattr(fight, actor))

            assert f"settled {status}" == await fight.status()
            assert "conceded" == (await fight.steps())[-1]
            assert {} == await arena.broken_laws()
            assert (await fight.advance()).is_over

    async def test_overtakes_a_proposal_that_waits(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "proposed")

        await fight.concede(fight.buyer)

        fate = await arena.scalar("SELECT fate FROM p2p_dispute_rulings WHERE dispute_id = :id", id=fight.id)
        assert "overtaken" == fate


class TestRecord:
    """(disputes lost by the seller, by the buyer) of a dispute that was ruled for the buyer, however it ended."""

    async def lost(self, fight: Fight) -> tuple[int, int]:
        async with fight.world.engine.connect() as conn:
            found = await reputations.of_users(conn, [fight.seller, fight.buyer])
        return found[fight.seller].disputes_lost, found[fight.buyer].disputes_lost

    @pytest.mark.parametrize("state", ["ruled", "appealed"])
    @pytest.mark.parametrize("way", ["concede", "confirm"])
    async def test_shows_a_ruling_that_its_loser_gave_in_to(self, arena: World, state: str, way: str) -> None:
        fight = await begin(arena)
        await bring(fight, state)

        if way == "concede":
            await fight.concede(fight.seller)
        else:
            await fight.run(command, fight.trade.id, Command.CONFIRM_PAYMENT, user_id=fight.seller, now=fight.now)

        assert ("settled completed", (1, 0)) == (await fight.status(), await self.lost(fight))

    async def test_shows_none_where_its_winner_gave_in(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "ruled")

        await fight.concede(fight.buyer)

        assert ("settled refunded", (0, 0)) == (await fight.status(), await self.lost(fight))

    @pytest.mark.parametrize("state", ["open", "proposed"])
    async def test_shows_none_where_no_ruling_held_good(self, arena: World, state: str) -> None:
        fight = await begin(arena)
        await bring(fight, state)

        await fight.concede(fight.seller)

        assert (0, 0) == await self.lost(fight)

    async def test_shows_the_last_ruling(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "appealed")

        await fight.rule(1, bps=0)

        assert ("closed refunded", (0, 1)) == (await fight.status(), await self.lost(fight))


class TestSystem:
    async def test_opens_one_when_the_seller_is_silent(self, arena: World) -> None:
        fight = await begin(arena)

        await move_to(
            arena.engine, fight.trade.id, P2PTradeStatus.DISPUTED, actor="system", reason="confirmation_window_over"
        )

        found = await fight.row()
        assert (None, "not_confirmed_in_time", "open") == (found.opened_by, found.reason, found.status)
        workflow = f"p2p-dispute/{found.id}"
        assert "start" == await arena.scalar("SELECT kind FROM outbox WHERE workflow_id = :id", id=workflow)
        assert {} == await arena.broken_laws()


class TestProposal:
    async def test_is_carried_out_by_nobody_alone(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "proposed")

        with pytest.raises(Forbidden):
            await fight.approve(0)

        assert "proposed disputed" == await fight.status()

    async def test_is_ended_by_one_no_and_may_be_made_anew(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "proposed")

        await fight.reject(1)
        await fight.rule(1, 0, TOGETHER)
        await fight.approve(0)

        assert "ruled disputed" == await fight.status()
        assert ["ruling_proposed", "ruling_rejected", "ruling_proposed", "ruled"] == (await fight.steps())[1:]

    @pytest.mark.parametrize(("state", "back"), [("proposed", "open"), ("proposed again", "appealed")])
    async def test_expires(self, arena: World, state: str, back: str) -> None:
        fight = await begin(arena)
        await bring(fight, state)
        late = fight.now + timedelta(seconds=600)

        fight.now = late
        with pytest.raises(IllegalTransition, match="until"):
            await fight.approve(2)
        progress = await fight.advance(late)

        assert f"{back} disputed" == await fight.status()
        assert (False, None) == (progress.is_over, progress.seconds_to_next)
        assert {} == await arena.broken_laws()

    async def test_may_be_taken_back_by_who_made_it(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "proposed")

        await fight.reject(0)

        assert "open disputed" == await fight.status()


class TestAppeal:
    async def test_is_decided_by_others(self, arena: World) -> None:
        fight = await begin(arena)
        await fight.open()
        await fight.rule(0, rules=TOGETHER)
        await fight.approve(1)
        await fight.appeal()

        for arbiter in (0, 1):
            with pytest.raises(Forbidden, match="hand in the ruling"):
                await fight.rule(arbiter)
        await fight.rule(2, 0)

        assert "closed refunded" == await fight.status()

    async def test_is_lost_by_accepting(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "ruled")
        await fight.accept_ruling(fight.buyer)

        with pytest.raises(IllegalTransition, match="accepted"):
            await fight.appeal(fight.buyer)
        with pytest.raises(IllegalTransition, match="accepted"):
            await fight.accept_ruling(fight.buyer)
        await fight.appeal(fight.seller)

        assert "appealed disputed" == await fight.status()

    async def test_comes_too_late_at_the_windows_end_even_while_nobody_closed_it(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "ruled")
        fight.now += timedelta(seconds=3600)

        with pytest.raises(IllegalTransition, match="until"):
            await fight.appeal()


class TestOffer:
    async def test_is_accepted_by_the_other_and_as_it_stands(self, arena: World) -> None:
        fight = await begin(arena)
        await fight.open()
        first = await fight.offer(fight.buyer, 9_000)
        second = await fight.offer(fight.buyer, 5_000)

        with pytest.raises(NotFound):
            await fight.accept(fight.buyer, second)
        with pytest.raises(IllegalTransition, match="something else since"):
            await fight.accept(fight.seller, first)
        await fight.accept(fight.seller, second)

        assert 5_000 == (await fight.row()).buyer_bps

    @pytest.mark.parametrize("after", ["ruled", "appealed"])
    async def test_of_before_a_ruling_or_an_appeal_is_taken_no_more(self, arena: World, after: str) -> None:
        fight = await begin(arena)
        await fight.open()
        old = await fight.offer(fight.buyer, 100)
        await fight.rule(0, 10_000)
        if after == "appealed":
            old = await fight.offer(fight.buyer, 9_000)
            await fight.appeal()

        with pytest.raises(IllegalTransition, match="before the last ruling"):
            await fight.accept(fight.seller, old)
        await fight.accept(fight.seller, await fight.offer(fight.buyer, 9_500))

        assert 9_500 == (await fight.row()).buyer_bps


RACES: dict[str, tuple[str, Callable[[Fight], list[Callable[[], Awaitable[object]]]], int]] = {
    "two rule at once": ("open", lambda f: [lambda: f.rule(0, 0), lambda: f.rule(1, 10_000)], 1),
    "two propose at once": (
        "open",
        lambda f: [lambda: f.rule(0, 0, TOGETHER), lambda: f.rule(1, 10_000, TOGETHER)],
        1,
    ),
    "two approve at once": ("proposed", lambda f: [lambda: f.approve(1), lambda: f.approve(2)], 1),
    "one approves, one rejects": ("proposed", lambda f: [lambda: f.approve(1), lambda: f.reject(2)], 1),
    "both final rulings at once": ("appealed", lambda f: [lambda: f.rule(1, 0), lambda: f.rule(2, 10_000)], 1),
    "both concede": ("open", lambda f: [lambda: f.concede(f.buyer), lambda: f.concede(f.seller)], 1),
    "conceded and finally ruled": ("appealed", lambda f: [lambda: f.concede(f.buyer), lambda: f.rule(1)], 1),
    "conceded and finally approved": (
        "proposed again",
        lambda f: [lambda: f.concede(f.buyer), lambda: f.approve(2)],
        1,
    ),
    "both appeal": ("ruled", lambda f: [lambda: f.appeal(f.buyer), lambda: f.appeal(f.seller)], 1),
    "both accept the ruling": (
        "ruled",
        lambda f: [lambda: f.accept_ruling(f.buyer), lambda: f.accept_ruling(f.seller)],
        2,
    ),
    "released and finally ruled": (
        "appealed",
        lambda f: [
            lambda: move_to(f.world.engine, f.trade.id, P2PTradeStatus.COMPLETED, actor=f.seller),
            lambda: f.rule(1, 0),
        ],
        1,
    ),
    "opened twice": ("", lambda f: [lambda: f.open(f.buyer), lambda: f.open(f.seller)], 1),
    "opened and released": (
        "",
        lambda f: [
            lambda: f.open(f.buyer),
            lambda: move_to(f.world.engine, f.trade.id, P2PTradeStatus.CANCELLED, actor=f.buyer),
        ],
        1,
    ),
}


class TestRace:
    @pytest.mark.parametrize("name", list(RACES))
    async def test_is_won_by_exactly_one(self, arena: World, name: str) -> None:
        state, calls, winners = RACES[name]
        for turn in range(3):
            fight = await begin(arena)
            if state:
                await bring(fight, state)
            racers = calls(fight)

            done = await asyncio.gather(
                *(call() for call in racers[:: -1 if turn % 2 else 1]), return_exceptions=True
            )

            lost = [each for each in done if isinstance(each, BaseException)]
            assert all(isinstance(each, IllegalTransition) for each in lost), lost
            assert winners == len(done) - len(lost)
            assert await fight.outcomes() <= 1
        assert {} == await arena.broken_laws()

    @pytest.mark.parametrize("first", ["appeal", "end"])
    async def test_of_an_appeal_with_the_windows_end_has_one_winner(self, arena: World, first: str) -> None:
        fight = await begin(arena)
        await bring(fight, "ruled")
        end = fight.now + timedelta(seconds=3600)
        fight.now = end - timedelta(microseconds=1)
        racers = {"appeal": fight.appeal, "end": lambda: fight.advance(end)}

        done = await asyncio.gather(
            *(racers[name]() for name in sorted(racers, reverse=first == "end")), return_exceptions=True
        )

        refused = sum(isinstance(each, IllegalTransition) for each in done)
        assert await fight.status() == ("closed completed" if refused else "appealed disputed")
        assert refused == await fight.outcomes()
        assert {} == await arena.broken_laws()

    async def test_of_an_accepted_offer_with_a_better_one_takes_what_was_read(self, arena: World) -> None:
        fight = await begin(arena)
        await fight.open()
        offer = await fight.offer(fight.seller, 3_000)

        done = await asyncio.gather(
            fight.accept(fight.buyer, offer), fight.offer(fight.seller, 1_000), return_exceptions=True
        )

        lost = [each for each in done if isinstance(each, BaseException)]
        assert [IllegalTransition] == [type(each) for each in lost]
        assert (await fight.row()).buyer_bps in {3_000, None}


GUARDS = [
    ("ruled", "UPDATE p2p_disputes SET status = 'open', deadline_at = NULL"),
    ("ruled", "UPDATE p2p_disputes SET status = 'closed', deadline_at = NULL, ended_at = now(), buyer_bps = 1"),
    ("proposed", "UPDATE p2p_disputes SET status = 'ruled'"),
    ("closed", "UPDATE p2p_disputes SET buyer_bps = 1"),
    ("open", "UPDATE p2p_disputes SET reason = 'fraud'"),
    ("appealed", "UPDATE p2p_disputes SET round = 1, appealed_by = NULL"),
    ("proposed", "UPDATE p2p_dispute_rulings SET buyer_bps = 1"),
    ("proposed", "UPDATE p2p_dispute_rulings SET fate = 'alone', decided_at = now()"),
    (
        "proposed",
        "UPDATE p2p_dispute_rulings SET fate = 'approved', decided_at = now(), decided_by = proposed_by",
    ),
    (
        "proposed",
        "UPDATE p2p_dispute_rulings SET fate = 'approved', decided_at = now(), decided_by = {buyer}",
    ),
    ("ruled", "UPDATE p2p_dispute_rulings SET fate = NULL, decided_at = NULL"),
    ("ruled", "UPDATE p2p_dispute_history SET actor = 'x'"),
    ("ruled", "UPDATE p2p_dispute_statements SET at = now()"),
    ("ruled", "DELETE FROM p2p_disputes"),
    ("ruled", "DELETE FROM p2p_dispute_rulings"),
    ("ruled", "DELETE FROM p2p_dispute_statements"),
    ("ruled", "DELETE FROM p2p_dispute_history"),
]


class TestDatabase:
    @pytest.mark.parametrize("state", ["open", "proposed", "ruled", "appealed", "closed"])
    async def test_refuses_what_the_program_must_not_do(self, arena: World, state: str) -> None:
        fight = await begin(arena)
        await bring(fight, state)

        for _, statement in (each for each in GUARDS if each[0] == state):
            where = "id" if " p2p_disputes" in statement else "dispute_id"
            async with arena.as_owner() as conn:
                undo = await conn.begin_nested()
                with pytest.raises(DBAPIError):
                    await conn.execute(
                        text(f"{statement} WHERE {where} = :id".format(buyer=f"'{fight.buyer}'")), {"id": fight.id}
                    )
                await undo.rollback()

    async def test_keeps_words_sealed_and_tells_none(self, arena: World) -> None:
        fight = await begin(arena)
        await bring(fight, "ruled")

        sealed = await arena.scalar(
            "SELECT string_agg(encode(s, 'escape'), '') FROM (SELECT text_sealed AS s FROM p2p_dispute_statements"
            " UNION ALL SELECT text_sealed FROM p2p_dispute_rulings) AS x"
        )
        told = await arena.scalar("SELECT string_agg(payload::text, '') FROM events")

        for words in ("I paid", "receipt is good"):
            assert words not in str(sealed)
            assert words not in str(told)
        assert not any(arbiter in str(told) for arbiter in fight.arbiters)
