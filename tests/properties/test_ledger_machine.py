"""The ledger against a plain-Python model of it, on real PostgreSQL: whatever callers do, the two agree.

Callers post alone and inside transactions of their own, in batches, at once, again, with used keys, with amounts
that are not there, and wrong by hand; they roll back; holds are placed and spent; meanwhile the books are sealed. At
the end every balance of now and of every remembered moment, every line of every history and every law is looked at.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liquida import checks
from liquida.database import engine
from liquida.stack.postgres import Postgres
from models.errors import HoldExceeded, InsufficientFunds, LiquidaError, OperationKeyReused
from models.hold import writes as holds
from models.ledger import queries
from models.ledger.chart import Account, Purpose, available, custody, held
from models.ledger.post import _PARAMETERS, _POST, _arrays, post, post_alone
from models.ledger.types import Kind, Posting, Transaction, move
from models.ledger.verify import verify
from models.user.writes import add_user
from tests.models.world import ETH
from tests.parts import create_database, drop_database
from tests.properties.ledger_model import Model, Outcome, Refusal, in_some_order
from tests.properties.test_trade_machine import UNSHRUNK

ASSETS = (ETH.id, "BRL")
USERS = 3
SOME = 10**6
ASIDE = "escrow"
"""Locked as ``held`` is. That one belongs to the rows of holds, and the laws compare them."""
SIZES: dict[str, Callable[[int], int]] = {
    "one": lambda _: 1,
    "half": lambda there: there // 2 or 1,
    "all": lambda there: there or 1,
    "too much": lambda there: there + 1,
    "huge": lambda _: 2**250,
}
CHANGES: dict[str, Callable[[Transaction], Transaction]] = {
    "amount": lambda t: replace(t, postings=tuple(Posting(p.account, 3 * p.units) for p in t.postings)),
    "account": lambda t: replace(
        t, postings=tuple(Posting(replace(p.account, purpose=f"{p.account.purpose}_"), p.units) for p in t.postings)
    ),
    "kind": lambda t: replace(t, kind=Kind.TRANSFER if t.kind is Kind.FUNDING else Kind.FUNDING),
    "reference": lambda t: replace(t, reference=f"{t.reference}/other"),
    "reason": lambda t: replace(t, reason=f"{t.reason}, they say"),
}
REFUSALS = {"LQ001", "LQ003", "LQ006", "23514"}
"""Another content under a key that is taken, unbalanced or of no kind we know, below zero."""
BALANCES = text("""
SELECT owner, asset_id, purpose, ledger_balance_at(id, :instant) AS units
    FROM ledger_accounts WHERE owner = ANY (:users) OR owner IS NULL AND purpose LIKE :house
""")
HISTORY = text("""
SELECT account_id, transaction_id FROM (
    SELECT account_id, transaction_id, amount, balance_after, recorded_at,
        coalesce(lag(balance_after) OVER moments, 0) AS before,
        lag(recorded_at) OVER ids AS earlier
    FROM ledger_postings WHERE account_id IN (SELECT id FROM ledger_accounts WHERE owner = ANY (:users))
    WINDOW moments AS (PARTITION BY account_id ORDER BY recorded_at, transaction_id),
           ids AS (PARTITION BY account_id ORDER BY transaction_id)
) AS lines WHERE before + amount IS DISTINCT FROM balance_after OR earlier > recorded_at
""")
"""Postings that do not begin where the one before them ended, or that are older than it."""
LINES = text("""
SELECT owner, asset_id, transaction_id FROM (
    SELECT *, coalesce(lag(available_after) OVER lines, 0) AS free, coalesce(lag(locked_after) OVER lines, 0) AS locked
    FROM balance_history WHERE owner = ANY (:users)
    WINDOW lines AS (PARTITION BY owner, asset_id ORDER BY recorded_at, transaction_id)
) AS read WHERE (available_before, locked_before) <> (free, locked)
""")
"""The same for what users read."""
WALLETS = text("SELECT owner, asset_id, available, locked FROM wallet_balances WHERE owner = ANY (:users)")
KEYS = text("SELECT key FROM ledger_transactions WHERE key LIKE :number OR key LIKE :holds")
END_OF_TIME = datetime.max.replace(tzinfo=UTC)
NUMBERS = itertools.count(1)

R = TypeVar("R")
size = st.sampled_from(sorted(SIZES))
asset = st.sampled_from(ASSETS)
pick = st.integers(0, 99)


class Shape:
    """One thing a caller may want; what it means in amounts depends on the books at that moment."""

    NAMES = ("fund", "fund", "set_aside", "give_back", "transfer", "sell", "swap", "house", "again", "changed")

    def __init__(self, name: str, who: int, other: int, what: str, how_much: str, change: str) -> None:
        self.name, self.who, self.other, self.what, self.how_much, self.change = (
            name, who, other, what, how_much, change,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"{self.name}({self.who}, {self.other}, {self.what}, {self.how_much}, {self.change})"


shape = st.builds(
    Shape,
    name=st.sampled_from(Shape.NAMES),
    who=pick,
    other=pick,
    what=asset,
    how_much=size,
    change=st.sampled_from(sorted(CHANGES)),
)
batch = st.lists(shape, min_size=1, max_size=4)


class LedgerMachine(RuleBasedStateMachine):
    """All stories are told in one database, each of users, house accounts and keys of its own: those of its number."""

    loop: ClassVar[asyncio.Runner]
    engine: ClassVar[AsyncEngine]

    def __init__(self) -> None:
        super().__init__()
        self.number = next(NUMBERS)
        self.keys = itertools.count(1)
        self.model = Model()
        self.users: list[str] = []
        self.holds: dict[str, list[Any]] = {}
        self.remembered: list[tuple[datetime, dict[Account, int]]] = []
        self.is_healthy = True

    def run(self, story: Awaitable[R]) -> R:
        self.is_healthy = False
        result = self.loop.run(_coroutine(story))
        self.is_healthy = True
        return result

    @initialize()
    def opens(self) -> None:
        async def begin() -> list[str]:
            async with self.engine.begin() as conn:
                emails = [f"user{number}-{self.number}@example.com" for number in range(USERS)]
                return [(await add_user(conn, email=email)).user_id for email in emails]

        self.users = self.run(begin())
        gifts = [self.fund(user, what, SOME) for user in self.users[1:] for what in ASSETS]
        self.expects(gifts, self.run(self.alone(gifts)))

    def teardown(self) -> None:
        if self.is_healthy and self.users:
            self.run(self.everything_agrees())

    # Callers.

    @rule(shapes=batch)
    def post_alone(self, shapes: list[Shape]) -> None:
        call = self.written(shapes)

        self.expects(call, self.run(self.alone(call)))

    @rule(shapes=batch)
    def post_inside_a_transaction(self, shapes: list[Shape]) -> None:
        call = self.written(shapes)

        self.expects(call, self.run(self.inside(call)))

    @rule(steps=st.lists(batch, min_size=2, max_size=3))
    def post_in_steps(self, steps: list[list[Shape]]) -> None:
        """One transaction of the caller's, a savepoint around each call: a refused one undoes only itself."""

        async def story() -> None:
            async with self.engine.begin() as conn:
                for shapes in steps:
                    call = self.written(shapes)
                    outcome: Outcome
                    try:
                        async with conn.begin_nested():
                            outcome = await post(conn, *call)
                    except (InsufficientFunds, OperationKeyReused) as error:
                        outcome = _refusal(error)
                    self.expects(call, outcome)

        self.run(story())

    @rule(shapes=batch)
    def roll_back_what_was_posted(self, shapes: list[Shape]) -> None:
        call = self.written(shapes)

        async def story() -> Outcome:
            async with self.engine.connect() as conn:
                outcome = await _posted(post(conn, *call))
                await conn.rollback()
                return outcome

        assert self.model.copy().post(*call) == self.run(story())

    @rule(calls=st.lists(st.tuples(st.booleans(), st.lists(shape, min_size=1, max_size=2)), min_size=2, max_size=6))
    def post_at_once(self, calls: list[tuple[bool, list[Shape]]]) -> None:
        """Sessions of their own; half of them may be about the same users, accounts and keys."""
        written = [self.written(shapes) for _, shapes in calls]
        ways = [self.alone if is_alone else self.inside for is_alone, _ in calls]

        async def story() -> list[Outcome]:
            return await asyncio.gather(*(way(call) for way, call in zip(ways, written, strict=True)))

        outcomes = self.run(story())
        self.is_healthy = False
        after = in_some_order(self.model, written, outcomes)
        note(f"at once: {list(zip(written, outcomes, strict=True))}")
        assert after is not None
        self.model, self.is_healthy = after, True

    @rule(shapes=batch, how=st.sampled_from(["amount", "kind", "missing", "nothing", "number"]), number=pick)
    def call_by_hand_and_wrongly(self, shapes: list[Shape], how: str, number: int) -> None:
        call = [t for t in self.written(shapes) if t.key not in self.model.posted]
        if not call:
            return
        arrays = dict(zip(_PARAMETERS, _arrays(call), strict=True))
        place = number % len(arrays["amounts"])
        if how == "amount":
            arrays["amounts"][place] += 1
        elif how == "kind":
            arrays["kinds"][number % len(call)] = "gift"
        elif how == "number":
            arrays["numbers"][place] = len(call) + 1
        else:
            for name in ("numbers", "owners", "assets", "purposes", "amounts"):
                arrays[name] = [] if how == "nothing" else arrays[name][:-1]

        async def story() -> None:
            async with self.engine.begin() as conn:
                await conn.execute(_POST, arrays)

        self.is_healthy = False
        with pytest.raises(DBAPIError) as refused:
            self.run(story())
        assert getattr(refused.value.orig, "sqlstate", None) in REFUSALS
        self.is_healthy = True

    # Holds: a row and postings, which their own laws compare.

    @rule(who=pick, what=asset, how_much=size, lasts=st.booleans())
    def place_a_hold(self, who: int, what: str, how_much: str, lasts: bool) -> None:
        user = self.users[who % USERS]
        units = SIZES[how_much](self.model.of(available(user, what)))
        name, ends = f"{self.number}.{next(self.keys)}", None if lasts else datetime.now(UTC)
        placed = _hold_key(name, Kind.HOLD, available(user, what), held(user, what), units)

        async def story() -> None:
            async with self.engine.begin() as conn:
                await holds.place(
                    conn, hold_id=name, user_id=user, asset_id=what, units=units, reference="r", reason=None,
                    expires_at=ends,
                )  # fmt: skip

        outcome = self.run(_tried(story()))
        self.expects([placed], [True] if outcome is None else outcome)
        if outcome is None:
            self.holds[name] = [user, what, units, ends]

    @precondition(lambda self: self.holds)
    @rule(number=pick, how_much=size, goes_back=st.booleans(), times=st.integers(1, 3), sessions=st.integers(1, 3))
    def spend_a_hold(self, number: int, how_much: str, goes_back: bool, times: int, sessions: int) -> None:
        """By several sessions at once, some of which do the same operation: no more goes than is there."""
        name = sorted(self.holds)[number % len(self.holds)]
        user, what, left, _ = self.holds[name]
        units, first = SIZES[how_much](left), next(self.keys)
        to = available(user, what) if goes_back else self.house(Purpose.DESK, what)
        kind = Kind.RELEASE if goes_back else Kind.WITHDRAWAL

        async def spend(operation: str) -> None:
            async with self.engine.begin() as conn:
                if goes_back:
                    await holds.release(conn, name, operation=operation, units=units)
                else:
                    await holds.capture(conn, name, operation=operation, units=units, to=to, kind=kind)

        async def story() -> list[Refusal | None]:
            names = [f"o{first}-{n % times}" for n in range(sessions)]
            return await asyncio.gather(*(_tried(spend(operation)) for operation in names))

        outcomes = self.run(story())
        self.is_healthy = False
        operations = min(times, sessions)
        done = min(operations, left // units)
        posted = {n % times for n, outcome in enumerate(outcomes) if outcome is None}
        assert done == len(posted)
        assert all(outcome in {None, Refusal.FUNDS} for outcome in outcomes)
        self.is_healthy = True
        for n in sorted(posted):
            moved = _hold_key(f"{name}/o{first}-{n}", kind, held(user, what), to, units)
            self.expects([moved], [True])
        self.holds[name][2] -= done * units

    @rule()
    def expire_holds(self) -> None:
        async def story() -> list[str]:
            async with self.engine.begin() as conn:
                return await holds.expire(conn, datetime.now(UTC), 99, among=self.holds)

        ended = self.run(story())
        self.is_healthy = False
        assert {name for name, (_, _, left, ends) in self.holds.items() if left and ends} == set(ended)
        self.is_healthy = True
        for name in ended:
            user, what, left, _ = self.holds[name]
            back = _hold_key(f"{name}/expiry", Kind.RELEASE, held(user, what), available(user, what), left)
            self.expects([replace(back, reason=holds.EXPIRED)], [True])
            self.holds[name][2] = 0

    # Sealing: its steps in any order and number, each in a transaction of its own.

    @rule(
        step=st.sampled_from(["ledger_announce_seal()", "ledger_mark_horizon()", "ledger_seal(2)", "ledger_seal(99)"])
    )
    def seal_a_step(self, step: str) -> None:
        self.run(self.sealing(step))

    @rule(most=st.integers(1, 5))
    def seal_in_order(self, most: int) -> None:
        self.run(self.sealing("ledger_announce_seal()", "ledger_mark_horizon()", f"ledger_seal({most})"))

    # Looking back.

    @precondition(lambda self: len(self.remembered) < 6)
    @rule()
    def remember(self) -> None:
        async def story() -> datetime:
            async with self.engine.connect() as conn:
                return (await conn.execute(text("SELECT clock_timestamp()"))).scalar_one()

        self.remembered.append((self.run(story()), dict(self.model.balances)))

    @precondition(lambda self: self.remembered)
    @rule(number=pick)
    def look_back(self, number: int) -> None:
        instant, balances = self.remembered[number % len(self.remembered)]

        account = sorted(balances, key=str)[number % len(balances)]

        async def story() -> tuple[int, dict[Account, int]]:
            async with self.engine.connect() as conn:
                one = await queries.balance(conn, account, instant=instant)
            return one, await self.balances(instant)

        found = self.run(story())
        self.is_healthy = False
        assert (balances[account], _moved(balances)) == found
        self.is_healthy = True

    # What always holds.

    @invariant()
    def balances_agree(self) -> None:
        found = self.run(self.balances())
        self.is_healthy = False
        assert _moved(self.model.balances) == found
        self.is_healthy = True

    async def everything_agrees(self) -> None:
        mine = {"users": self.users, "number": f"{self.number}/%", "holds": f"hold/{self.number}.%"}
        async with self.engine.connect() as conn:
            for account, units in self.model.balances.items():
                assert units == await queries.balance(conn, account)
            for instant, balances in self.remembered:
                assert _moved(balances) == await self.balances(instant)
            for user in self.users:
                own = {account: units for account, units in self.model.balances.items() if account.owner == user}
                assert _moved(own) == _moved(await queries.of_owner(conn, user))
            assert self.wallets() == {tuple(row) for row in await conn.execute(WALLETS, mine)}
            assert set(self.model.posted) == set((await conn.execute(KEYS, mine)).scalars())
            assert [] == list(await conn.execute(HISTORY, mine))
            assert [] == list(await conn.execute(LINES, mine))
            assert {} == await checks.check_all(conn)

    def wallets(self) -> set[tuple[object, ...]]:
        rows = set()
        for owner, what in {(a.owner, a.asset) for a in self.model.balances if a.owner is not None}:
            mine = {a.purpose: n for a, n in self.model.balances.items() if (a.owner, a.asset) == (owner, what)}
            free = mine.pop(Purpose.AVAILABLE, 0)
            rows.add((owner, what, free, sum(mine.values())))
        return rows

    async def balances(self, instant: datetime | None = None) -> dict[Account, int]:
        values = {"users": self.users, "house": f"%:{self.number}", "instant": instant or END_OF_TIME}
        async with self.engine.connect() as conn:
            rows = await conn.execute(BALANCES, values)
            return _moved({Account(row.asset_id, row.purpose, row.owner): int(row.units) for row in rows})

    # Helpers.

    async def alone(self, call: Sequence[Transaction]) -> Outcome:
        return await _posted(post_alone(self.engine, *call))

    async def inside(self, call: Sequence[Transaction]) -> Outcome:
        async def story(conn: AsyncConnection) -> list[bool]:
            fresh = await post(conn, *call)
            await conn.commit()
            return fresh

        async with self.engine.connect() as conn:
            return await _posted(story(conn))

    def expects(self, call: Sequence[Transaction], outcome: Outcome) -> None:
        was_healthy, self.is_healthy = self.is_healthy, False
        assert self.model.post(*call) == outcome
        self.is_healthy = was_healthy

    async def sealing(self, *steps: str) -> None:
        for step in steps:
            async with self.engine.begin() as conn:
                await conn.execute(text(f"SELECT {step}"))

    def written(self, shapes: Sequence[Shape]) -> list[Transaction]:
        """Amounts are chosen as if the transactions before them in the call had happened."""
        books, call = self.model.copy(), []
        for one in shapes:
            call.append(self.transaction(books, one))
            books.post(call[-1])
        return call

    def transaction(self, books: Model, one: Shape) -> Transaction:
        user, other = (self.users[n % USERS] for n in (one.who, one.who + 1 + one.other % (USERS - 1)))
        key, what = self.key(), one.what
        second = next(name for name in ASSETS if name != what)
        free, aside, desk = available(user, what), Account(what, ASIDE, user), self.house(Purpose.DESK, what)
        units = SIZES[one.how_much](books.of(aside if one.name in {"give_back", "swap"} else free))
        if one.name in {"again", "changed"}:
            known = [books.posted[name] for name in sorted(books.posted) if not name.startswith("hold/")]
            old = known[one.who % len(known)]
            return old if one.name == "again" else CHANGES[one.change](old)
        match one.name:
            case "set_aside":
                return move(key, Kind.WITHDRAWAL, "r", free, aside, units, reason=one.how_much)
            case "give_back":
                return move(key, Kind.WITHDRAWAL, "r", aside, free, units)
            case "transfer":
                return move(key, Kind.TRANSFER, "r", free, available(other, what), units)
            case "sell":
                rows = [
                    (free, -units),
                    (desk, units),
                    (self.house(Purpose.DESK, second), -7),
                    (available(user, second), 6),
                ]
                rows.append((self.house(Purpose.FEES, second), 1))
            case "swap":
                price = SIZES[one.how_much](books.of(available(other, second)))
                rows = [(aside, -units), (available(other, what), units)]
                rows += [(available(other, second), -price), (available(user, second), price)]
            case "house":
                rows = [(desk, -units), (self.house(Purpose.SUSPENSE, what), units)]
            case _:
                return self.fund(user, what, units, key=key)
        return Transaction(key, Kind.TRANSFER, "r", tuple(Posting(account, n) for account, n in rows))

    def key(self) -> str:
        return f"{self.number}/{next(self.keys)}"

    def house(self, purpose: Purpose, what: str) -> Account:
        return Account(what, f"{purpose}:{self.number}")

    def fund(self, user: str, what: str, units: int, *, key: str = "") -> Transaction:
        key, source = key or self.key(), custody(f"{self.number}", what)
        return move(key, Kind.FUNDING, key, source, available(user, what), units)


def _hold_key(name: str, kind: Kind, source: Account, target: Account, units: int) -> Transaction:
    return move(f"hold/{name}", kind, "r", source, target, units)


def _moved(balances: dict[Account, int]) -> dict[Account, int]:
    """Without the empty ones: a refused posting may leave a name behind."""
    return {account: units for account, units in balances.items() if units}


async def _posted(call: Awaitable[list[bool]]) -> Outcome:
    try:
        return await call
    except (InsufficientFunds, OperationKeyReused) as error:
        return _refusal(error)


async def _tried(story: Awaitable[None]) -> Refusal | None:
    try:
        await story
    except (InsufficientFunds, HoldExceeded, OperationKeyReused) as error:
        return _refusal(error)
    return None


def _refusal(error: LiquidaError) -> Refusal:
    return Refusal.KEY if isinstance(error, OperationKeyReused) else Refusal.FUNDS


async def found_by_verify(books: AsyncEngine) -> list[str]:
    async with books.connect() as conn:
        return (await verify(conn, lambda _done, _total: None)).findings


async def _coroutine(story: Awaitable[R]) -> R:
    return await story


class TestLedgerMachine:
    @pytest.mark.timeout(300)
    def test_agrees_with_its_model(self, postgres_server: Postgres, template: str) -> None:
        name = "ledger_machine"
        with asyncio.Runner() as loop:
            address = loop.run(create_database(postgres_server.admin_url, name, template=template))
            made = engine(address)
            machine = type("Machine", (LedgerMachine,), {"loop": loop, "engine": made})
            try:
                run_state_machine_as_test(
                    machine,
                    settings=settings(
                        max_examples=60,
                        stateful_step_count=25,
                        deadline=None,
                        suppress_health_check=list(HealthCheck),
                        print_blob=True,
                        phases=UNSHRUNK,
                    ),
                )
                assert [] == loop.run(found_by_verify(made))
            finally:
                loop.run(made.dispose())
                loop.run(drop_database(postgres_server.admin_url, name))
