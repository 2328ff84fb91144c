"""A user's history says what the postings say, page by page, and a page costs the same however long it is."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from models.errors import LimitExceeded
from models.ledger import history
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.history import Balance, Line, Place
from models.ledger.post import post
from models.ledger.types import OPERATIONS, Kind, Operation, Posting, Transaction, move
from tests.models.world import ETH, USDT, World

TRANSACTIONS = 200
ASSETS = (ETH.id, USDT.id, "BRL")
LONG = 20_000
PAGE = 50


async def random_ledger(world: World, seed: int) -> str:
    """Ana and another user move three assets about, now and then two in one transaction; the other's id."""
    pick, other = random.Random(seed), (await world.join("other@example.com"))[0]
    owned: dict[tuple[str, str, str], int] = {}
    for number in range(TRANSACTIONS):
        postings: dict[tuple[str, str, str | None], int] = {}
        for asset in pick.sample(ASSETS, 1 + (pick.random() < 0.2)):
            full = [place for place, units in owned.items() if units and place[1] == asset]
            source = pick.choice(full) if full and pick.random() < 0.8 else None
            units = pick.randint(1, owned[source]) if source else pick.randint(1, 1_000)
            target = (pick.choice([world.user_id, other]), asset, pick.choice(["available", "held"]))
            if source is None:
                postings[None, asset, "desk"] = -units  # type: ignore[index]
            else:
                postings[source] = -units
                owned[source] -= units
            if source != target:
                postings[target] = units
            else:
                postings[None, asset, "fees"] = units  # type: ignore[index]
                continue
            owned[target] = owned.get(target, 0) + units
        rows = tuple(Posting(_account(place), units) for place, units in postings.items())
        reason = f"reason {number}" if pick.random() < 0.3 else None
        async with world.engine.begin() as conn:
            await post(conn, Transaction(f"k/{number}", pick.choice(list(Kind)), f"r/{number}", rows, reason))
    return other


def _account(place: tuple[str | None, str, str]):
    owner, asset, purpose = place
    return (
        house(Purpose(purpose), asset)
        if owner is None
        else (available if purpose == "available" else held)(owner, asset)
    )


@dataclass
class Moment:
    """A transaction of the ledger, read row by row."""

    kind: str
    reference: str
    reason: str | None
    at: datetime
    moved: dict[tuple[str, str], int]


async def recomputed(world: World, user_id: str) -> list[Line]:
    """Every line of a user, newest first, from nothing but postings, by adding up."""
    rows = "SELECT t.id, t.kind, t.reference, t.reason, t.recorded_at, a.asset_id, a.purpose, p.amount FROM ledger_postings AS p JOIN ledger_transactions AS t ON t.id = p.transaction_id JOIN ledger_accounts AS a ON a.id = p.account_id WHERE a.owner = :owner ORDER BY t.id, a.id"
    moments: dict[int, Moment] = {}
    first_account: dict[tuple[int, str], int] = {}
    async with world.engine.connect() as conn:
        for number, row in enumerate(await conn.execute(text(rows), {"owner": user_id})):
            moment = moments.setdefault(row.id, Moment(row.kind, row.reference, row.reason, row.recorded_at, {}))
            moment.moved[row.asset_id, row.purpose] = int(row.amount)
            first_account.setdefault((row.id, row.asset_id), number)
    have: dict[tuple[str, str], int] = {}
    lines = []
    for number, moment in moments.items():
        for asset in sorted({asset for asset, _ in moment.moved}, key=lambda asset: first_account[number, asset]):
            free, kept = have.get((asset, "available"), 0), have.get((asset, "held"), 0)
            free_after = free + moment.moved.get((asset, "available"), 0)
            kept_after = kept + moment.moved.get((asset, "held"), 0)
            have[asset, "available"], have[asset, "held"] = free_after, kept_after
            kind = Kind(moment.kind)
            lines.append(
                Line(
                    asset,
                    moment.at,
                    kind,
                    OPERATIONS[kind],
                    moment.reference,
                    moment.reason,
                    free,
                    free_after,
                    kept,
                    kept_after,
                )
            )
    return lines[::-1]


async def whole(world: World, user_id: str, *, limit: int = 7, **filters: object) -> list[Line]:
    """All pages, one after the other."""
    lines: list[Line] = []
    before: Place | None = None
    async with world.engine.connect() as conn:
        while True:
            page = await history.page(conn, user_id, limit=limit, before=before, **filters)  # type: ignore[arg-type]
            assert len(page.lines) <= limit
            lines += page.lines
            before = page.following
            if before is None:
                return lines


async def pay_in(world: World, units: int, *, key: str, asset: str = ETH.id) -> None:
    async with world.engine.begin() as conn:
        await post(
            conn, move(key, Kind.DEPOSIT, key, custody("ethereum", asset), available(world.user_id, asset), units)
        )


class TestPage:
    @pytest.mark.parametrize("seed", [1, 2])
    async def test_is_what_the_postings_add_up_to(self, world: World, seed: int) -> None:
        other = await random_ledger(world, seed)

        for user_id in (world.user_id, other):
            expected = await recomputed(world, user_id)

            assert expected == await whole(world, user_id)
            assert expected == await whole(world, user_id, limit=1)
            for asset in ASSETS:
                assert [line for line in expected if line.asset_id == asset] == await whole(
                    world, user_id, assets=[asset]
                )

    async def test_can_be_of_an_operation_of_assets_and_of_a_time(self, world: World) -> None:
        await random_ledger(world, 3)
        expected = await recomputed(world, world.user_id)
        since, until = expected[-20].recorded_at, expected[20].recorded_at

        found = await whole(
            world, world.user_id, assets=ASSETS[:2], operation=Operation.REFUND, since=since, until=until
        )

        assert found
        assert found == [
            line
            for line in expected
            if line.asset_id in ASSETS[:2]
            and line.operation is Operation.REFUND
            and since <= line.recorded_at < until
        ]

    async def test_looks_through_a_bounded_number_of_lines(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The one line of that operation is the oldest: pages on the way are empty, and lead on."""
        monkeypatch.setattr(history, "LOOKED_AT_MOST", 3)
        async with world.engine.begin() as conn:
            for number, kind in enumerate([Kind.FUNDING, *[Kind.DEPOSIT] * 8]):
                coins, mine = custody("ethereum", ETH.id), available(world.user_id, ETH.id)
                await post(conn, move(f"k/{number}", kind, "r", coins, mine, 1))

        async with world.engine.connect() as conn:
            first = await history.page(conn, world.user_id, limit=2, operation=Operation.ADJUSTMENT)
        every = await whole(world, world.user_id, limit=2, operation=Operation.ADJUSTMENT)

        assert ([], True) == (first.lines, first.following is not None)
        assert [Kind.FUNDING] == [line.kind for line in every]

    async def test_stays_in_place_while_money_moves(self, world: World) -> None:
        for number in range(6):
            await pay_in(world, 1, key=f"deposit/{number}")
        async with world.engine.connect() as conn:
            first = await history.page(conn, world.user_id, limit=3)

        await pay_in(world, 1, key="deposit/6")
        async with world.engine.connect() as conn:
            second = await history.page(conn, world.user_id, limit=3, before=first.following)

        assert [f"deposit/{number}" for number in (5, 4, 3, 2, 1, 0)] == [
            line.reference for line in first.lines + second.lines
        ]

    async def test_of_nobody_is_empty(self, world: World) -> None:
        assert [] == await whole(world, world.user_id)

    async def test_reads_as_many_rows_as_it_shows_of_a_long_history(self, world: World) -> None:
        await long_history(world)
        middle = await place_of_line(world, LONG // 2)

        for mode in ("auto", "force_custom_plan", "force_generic_plan"):
            for statement in (history._PICK, history._LINES):
                rows = await rows_read(world, statement, middle, mode)

                assert rows <= 8 * PAGE, (mode, rows, str(statement))


async def long_history(world: World) -> None:
    """Deposits and freezes, in few calls."""
    coins, free, kept = custody("ethereum", ETH.id), available(world.user_id, ETH.id), held(world.user_id, ETH.id)
    for batch in range(LONG // 500):
        moves = [
            move(f"k/{batch}/{number}", Kind.DEPOSIT, "r", coins, free, 2)
            if number % 2
            else move(f"k/{batch}/{number}", Kind.HOLD, "r", free, kept, 1)
            for number in range(1, 501)
        ]
        async with world.engine.begin() as conn:
            await post(conn, *moves)
    await world.execute_as_owner("ANALYZE")


async def place_of_line(world: World, number: int) -> Place:
    found = "SELECT recorded_at, transaction_id FROM ledger_postings ORDER BY transaction_id OFFSET :number LIMIT 1"
    async with world.engine.connect() as conn:
        row = (await conn.execute(text(found), {"number": number})).one()
    return Place(row.recorded_at, row.transaction_id, 0)


async def rows_read(world: World, statement, before: Place, mode: str) -> int:
    """Postings and transactions that PostgreSQL looks at to answer this statement of a page."""
    async with world.engine.connect() as conn:
        picked = await history._pick(conn, world.user_id, [ETH.id], None, None, before, PAGE)
        values = {
            "owner": world.user_id,
            "since": None,
            "until": None,
            "before_at": before.recorded_at,
            "before_transaction": before.transaction_id,
            "before_account": before.account_id,
            "most": PAGE,
            "transactions": [line.place.transaction_id for line in picked],
            "assets": [line.asset_id for line in picked],
        }
        if statement is history._PICK:
            values["assets"] = [ETH.id]
        await conn.execute(text(f"SET LOCAL plan_cache_mode = {mode}"))
        wanted = {name: values[name] for name in statement._bindparams}
        plan = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}").bindparams(*statement._bindparams.values())
        (found,) = (await conn.execute(plan, wanted)).scalar_one()
    return _scanned(found["Plan"])


def _scanned(node: dict) -> int:
    own = 0
    if node.get("Relation Name") in {"ledger_postings", "ledger_transactions"}:
        per_loop = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        own = int(per_loop * node["Actual Loops"])
    return own + sum(_scanned(inner) for inner in node.get("Plans", []))


class TestBalances:
    async def test_say_how_much_where_and_why_last(self, world: World) -> None:
        await pay_in(world, 10, key="deposit/1")
        free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
        async with world.engine.begin() as conn:
            await post(conn, move("k", Kind.HOLD, "r", free, kept, 4, reason="ticket 7"))

        async with world.engine.connect() as conn:
            found = await history.balances(conn, world.user_id)

        moved_at = await world.scalar("SELECT max(recorded_at) FROM ledger_transactions")
        assert {ETH.id: Balance(ETH.id, 6, 4, "ticket 7", moved_at)} == found  # type: ignore[arg-type]
        assert 10 == found[ETH.id].total_units

    async def test_name_the_kind_where_nobody_gave_a_reason(self, world: World) -> None:
        await pay_in(world, 10, key="deposit/1")

        async with world.engine.connect() as conn:
            assert "deposit" == (await history.balances(conn, world.user_id))[ETH.id].last_reason


class TestStatement:
    async def test_ties_whatever_the_bounds(self, world: World) -> None:
        await random_ledger(world, 4)
        every = [line for line in reversed(await recomputed(world, world.user_id)) if line.asset_id == ETH.id]

        for first, last in ((0, -1), (10, 30), (20, 20)):
            since, until = every[first].recorded_at, every[last].recorded_at
            found = await history.statement(world.engine, world.user_id, ETH.id, since=since, until=until)

            assert [line for line in every if since <= line.recorded_at < until] == found.lines
            assert _pockets(found.opening) == _pockets_after(every, since)
            assert _pockets(found.closing) == _pockets_after(every, until)
            moved = sum(line.available_moved + line.locked_moved for line in found.lines)
            assert found.closing.total_units == found.opening.total_units + moved

    async def test_of_nothing_opens_and_closes_at_the_same(self, world: World) -> None:
        await pay_in(world, 10, key="deposit/1")
        at = world.now + timedelta(days=1)

        found = await history.statement(world.engine, world.user_id, ETH.id, since=at, until=at + timedelta(days=1))

        assert (10, [], 10) == (found.opening.total_units, found.lines, found.closing.total_units)

    async def test_is_not_endless(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history, "_PAGE_OF_STATEMENT", 2)
        monkeypatch.setattr(history, "STATEMENT_LINES_MOST", 2)
        for number in range(3):
            await pay_in(world, 1, key=f"deposit/{number}")
        today = {"since": world.now - timedelta(days=1), "until": world.now + timedelta(days=1)}

        with pytest.raises(LimitExceeded):
            await history.statement(world.engine, world.user_id, ETH.id, **today)


def _pockets(found: Balance) -> tuple[int, int]:
    return found.available_units, found.locked_units


def _pockets_after(every: list[Line], at: datetime) -> tuple[int, int]:
    """As the last line before ``at`` left them."""
    last = [(line.available_after, line.locked_after) for line in every if line.recorded_at < at]
    return last[-1] if last else (0, 0)
