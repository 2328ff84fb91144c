"""A program that is not ours reads the exported ledger, adds it up, and finds the balances that we keep."""

import random
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from beancount import loader
from beancount.core import data, realization
from beancount.parser import parser
from hypothesis import given
from hypothesis import strategies as st

from liquida.ledger_reports import export
from models.errors import InvalidInput, Refused
from models.ledger import queries
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.export import (
    Entry,
    account_name,
    asset_of,
    commodity,
    open_line,
    quoted,
    transaction_lines,
)
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.money import units_text
from models.network.queries import decimals as all_decimals
from tests.models.books import Books, fund, seal
from tests.models.world import COIN, ETH, World

DAY = date(2026, 1, 2)
PLACES = {ETH.id: 18, "BRL": 2}
AWKWARD = 'a "quote", a \\ and a line; Ω 🪙 * ! #tag ^link'

Loaded = tuple[data.Directives, list[object], object]


async def journal_of(world: World, path: Path) -> str:
    await export(world.engine.url.render_as_string(hide_password=False), path)
    return path.read_text(encoding="utf-8")


def load(text: str) -> Loaded:
    return loader.load_string(text)


def beancount_balances(entries: data.Directives) -> dict[tuple[str, str], Decimal]:
    """As beancount's own realization adds them up, by account and commodity."""
    found = {}
    for leaf in realization.iter_children(realization.realize(entries), leaf_only=False):
        for position in leaf.balance:
            found[leaf.account, position.units.currency] = position.units.number
    return found


async def our_balances(world: World) -> dict[tuple[str, str], Decimal]:
    """As our own query answers, in beancount's words and sign."""
    async with world.engine.connect() as conn:
        found = await queries.balances(conn)
        places = await all_decimals(conn)
    return {
        (account_name(one.purpose, one.owner), commodity(one.asset)): Decimal(units_text(-units, places[one.asset]))
        for one, units in found
    }


class TestExport:
    async def test_is_proved_by_beancount(self, world: World, tmp_path: Path) -> None:
        books = Books(world, random.Random(11))
        await books.fill()
        await fund(world, 123_456_789 * COIN + 1)

        text = await journal_of(world, tmp_path / "ledger.beancount")

        entries, errors, _ = load(text)
        assert [] == errors
        ours = await our_balances(world)
        assert {key: number for key, number in ours.items() if number} == beancount_balances(entries)
        asserted = {(one.account, one.amount.currency): one.amount.number for one in of(entries, data.Balance)}
        assert ours == asserted
        assert {Decimal(0)} == {one.tolerance for one in of(entries, data.Balance)}
        keys = [one.meta["key"] for one in of(entries, data.Transaction)]
        assert [one.key for one in books.posted] == keys[:-1]

    async def test_has_liabilities_below_zero_and_assets_above(self, world: World, tmp_path: Path) -> None:
        await fund(world, 5 * COIN)

        entries, errors, _ = load(await journal_of(world, tmp_path / "ledger.beancount"))

        name = f"Liabilities:Users:U-{world.user_id}:Available"
        expected = {(name, "ETH.ETHEREUM"): Decimal(-5), ("Assets:Custody:Ethereum", "ETH.ETHEREUM"): Decimal(5)}
        assert ([], expected) == (errors, beancount_balances(entries))

    async def test_tells_of_each_transaction_what_the_ledger_knows(self, world: World, tmp_path: Path) -> None:
        free, coins = available(world.user_id, ETH.id), custody("ethereum", ETH.id)
        async with world.engine.begin() as conn:
            await post(conn, move("d/1", Kind.DEPOSIT, AWKWARD, coins, free, 7, reason="Ana Souza called"))
        number = await world.scalar("SELECT id FROM ledger_transactions")
        moment = await world.scalar("SELECT recorded_at FROM ledger_transactions")
        assert isinstance(moment, datetime)

        text = await journal_of(world, tmp_path / "ledger.beancount")

        entries, errors, _ = load(text)
        (found,) = of(entries, data.Transaction)
        meta = {name: found.meta[name] for name in ("id", "key", "kind", "reference", "recorded")}
        recorded = moment.astimezone(UTC).isoformat(timespec="microseconds")
        expected = {"id": str(number), "key": "d/1", "kind": "deposit", "reference": AWKWARD, "recorded": recorded}
        assert ([], expected, moment.astimezone(UTC).date()) == (errors, meta, found.date)
        assert not re.search("Souza|example.com", text)

    async def test_asserts_balances_after_the_last_day(self, world: World, tmp_path: Path) -> None:
        await fund(world, 7)
        moment = await world.scalar("SELECT max(recorded_at) FROM ledger_transactions")
        assert isinstance(moment, datetime)

        entries, _, _ = load(await journal_of(world, tmp_path / "ledger.beancount"))

        next_day = moment.astimezone(UTC).date() + timedelta(days=1)
        assert {next_day} == {one.date for one in of(entries, data.Balance)}

    async def test_of_an_empty_ledger_is_a_journal_too(self, world: World, tmp_path: Path) -> None:
        entries, errors, _ = load(await journal_of(world, tmp_path / "ledger.beancount"))

        assert [] == errors
        assert {"BRL", "ETH.ethereum", "USDT.ethereum", "POL.polygon"} == {
            one.meta["asset"] for one in of(entries, data.Commodity)
        }

    async def test_takes_balances_from_where_the_database_keeps_them(self, world: World, tmp_path: Path) -> None:
        """Otherwise the journal would agree with itself whatever the database says."""
        await fund(world, 7)
        await seal(world)
        await world.execute_as_owner("ALTER TABLE ledger_snapshots DISABLE TRIGGER USER")
        await world.execute_as_owner("UPDATE ledger_accounts SET balance = 8 WHERE is_constrained")
        await world.execute_as_owner("UPDATE ledger_snapshots SET balance = -9")

        _, errors, _ = load(await journal_of(world, tmp_path / "ledger.beancount"))

        wrong = sorted(str(one.entry.account) for one in errors)  # type: ignore[attr-defined]
        assert ["Assets:Custody:Ethereum", f"Liabilities:Users:U-{world.user_id}:Available"] == wrong

    async def test_that_was_tampered_with_is_refused_by_beancount(self, world: World, tmp_path: Path) -> None:
        """By one base unit: on one side, then on both, which balances and yet is not what the database says."""
        await fund(world, 3 * COIN)
        text = await journal_of(world, tmp_path / "ledger.beancount")
        body, mark, balances = text.partition(" balance ")
        owned, owed = "  3.000000000000000000 ", "  -3.000000000000000000 "
        assert (1, 1) == (body.count(owned), body.count(owed))
        one_side = body.replace(owned, "  3.000000000000000001 ")
        both_sides = one_side.replace(owed, "  -3.000000000000000001 ")

        refused = [names(load(some + mark + balances)) for some in (body, one_side, both_sides)]

        assert [[], ["BalanceError", "ValidationError"], ["BalanceError", "BalanceError"]] == refused

    async def test_replaces_the_file_only_with_a_whole_one(self, world: World, tmp_path: Path) -> None:
        path = tmp_path / "ledger.beancount"
        path.write_text("the one before")
        await fund(world, 10**30)

        with pytest.raises(Refused, match="more than 28 digits"):
            await journal_of(world, path)

        assert ["ledger.beancount"] == [found.name for found in tmp_path.iterdir()]
        assert "the one before" == path.read_text()

    async def test_says_where_it_cannot_write(self, world: World, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="cannot be written"):
            await journal_of(world, tmp_path / "nowhere" / "ledger.beancount")


def of(entries: data.Directives, kind: type) -> Sequence[data.Directive]:
    return [entry for entry in entries if isinstance(entry, kind)]


def names(loaded: Loaded) -> list[str]:
    return sorted(type(error).__name__ for error in loaded[1])


class TestLines:
    def test_are_written_on_the_day_in_utc(self) -> None:
        late = datetime(2026, 1, 1, 22, 30, tzinfo=timezone(timedelta(hours=-3)))
        entry = Entry(
            7, "k", "funding", "r", late, ((house(Purpose.DESK, "BRL"), -5), (house(Purpose.FEES, "BRL"), 5))
        )

        lines = list(transaction_lines(entry, PLACES))

        assert [
            "",
            '2026-01-02 * "funding"',
            '  id: "7"',
            '  key: "k"',
            '  kind: "funding"',
            '  reference: "r"',
            '  recorded: "2026-01-02T01:30:00.000000+00:00"',
            "  Equity:Desk  0.05 BRL",
            "  Income:Fees  -0.05 BRL",
        ] == lines

    @given(words=st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=200))
    def test_keep_any_words_as_they_are(self, words: str) -> None:
        entries, errors, _ = parser.parse_string(f"{DAY} commodity BRL\n  words: {quoted(words)}\n")

        assert [] == errors
        assert words == entries[0].meta["words"]


class TestCommodity:
    @pytest.mark.parametrize(
        ("asset", "expected"),
        [
            ("BRL", "BRL"),
            ("USDT.ethereum", "USDT.ETHEREUM"),
            ("USDC.e.polygon", "USDC.E'22EPOLYGON"),
            ("stETH.ethereum", "X'0'S'TETH.ETHEREUM"),
            ("1INCH.ethereum", "X'01INCH.ETHEREUM"),
            ("USD₮0.bsc", "USD'420AE0.BSC"),
        ],
    )
    def test_is_readable(self, asset: str, expected: str) -> None:
        assert expected == commodity(asset)

    @given(
        symbol=st.text(st.characters(exclude_characters=".\0", exclude_categories=("Cs",)), min_size=1, max_size=16),
        network=st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,20}", fullmatch=True),
    )
    def test_is_read_back_and_accepted_by_beancount(self, symbol: str, network: str) -> None:
        asset = f"{symbol}.{network}"

        entries, errors, _ = parser.parse_string(f"{DAY} commodity {commodity(asset)}\n")

        assert ([], asset) == (errors, asset_of(entries[0].currency))


class TestAccountName:
    @pytest.mark.parametrize("purpose", [*Purpose, "custody:ethereum", "escrow", "external", "two_words"])
    def test_of_every_purpose_is_accepted_by_beancount(self, purpose: str) -> None:
        owner = "0a" * 16

        _, errors, _ = load("\n".join(open_line(DAY, who, purpose, ["BRL", ETH.id]) for who in (None, owner)) + "\n")

        assert [] == errors

    def test_is_another_one_for_every_account(self) -> None:
        accounts = [house(purpose, "BRL") for purpose in Purpose]
        accounts += [custody(network, "BRL") for network in ("ethereum", "bsc")]
        accounts += [one(user, "BRL") for one in (available, held) for user in ("a1", "b2")]

        names = {account_name(one.purpose, one.owner) for one in accounts}

        assert len(accounts) == len(names)
        assert {"Assets:Pix-Clearing", "Liabilities:Suspense", "Expenses:Network-Fees"} < names
