"""``liquida ledger ...`` as an operator runs it: a process of its own, its output and its exit code."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text

from models.ids import new_id
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from tests.models.world import COIN, ETH, World

MICROSECOND = timedelta(microseconds=1)
HOURS_HELD = 30


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)

    @property
    def rows(self) -> set[tuple[str, ...]]:
        """The cells of the printed tables."""
        bars = [line.replace("\u2503", "\u2502") for line in self.out.splitlines()]
        return {tuple(cell.strip() for cell in line.split("\u2502")[1:-1]) for line in bars if "\u2502" in line}


async def run(*command: str, cwd: Path, **environment: str) -> Ended:
    """In an empty directory, so that no ``.env`` and no embedded stack of this checkout is found."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, cwd=cwd, env=os.environ | environment, stdout=-1, stderr=-1
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def ledger(world: World, cwd: Path, *arguments: str) -> Ended:
    """On a machine whose own clock is not UTC."""
    environment = {"LIQUIDA_DATABASE_URL": str(world.engine.url), "LIQUIDA_STATE_DIR": str(cwd / "state")}
    return await run("liquida", "ledger", *arguments, cwd=cwd, TZ="BRT3", **environment)


@pytest.fixture
async def books(world: World) -> list[datetime]:
    """Ana's two coins, of which a half is held for 30 hours, and a fee in reais; the times of the postings."""
    hold = new_id()
    free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
    for posting in (
        move("d", Kind.DEPOSIT, "d", custody("ethereum", ETH.id), free, 2 * COIN),
        move("h", Kind.HOLD, hold, free, kept, COIN // 2),
        move("f", Kind.FUNDING, "f", house(Purpose.DESK, "BRL"), house(Purpose.FEES, "BRL"), 1_050),
    ):
        async with world.engine.begin() as conn:
            await post(conn, posting)
    await world.execute(
        "INSERT INTO holds (id, user_id, asset_id, amount_units, reference, created_at)"
        " VALUES (:id, :user, :asset, :units, 'ticket-7', now() - CAST(:age AS interval))",
        id=hold,
        user=world.user_id,
        asset=ETH.id,
        units=COIN // 2,
        age=timedelta(hours=HOURS_HELD),
    )
    async with world.engine.connect() as conn:
        times = await conn.execute(text("SELECT recorded_at FROM ledger_transactions ORDER BY id"))
        return list(times.scalars())


async def tamper(world: World) -> None:
    await world.execute_as_owner(
        "INSERT INTO ledger_postings (transaction_id, account_id, amount, recorded_at)"
        " SELECT t.id, a.id, 7, t.recorded_at FROM ledger_transactions AS t, ledger_accounts AS a"
        " WHERE t.key = 'd' AND a.purpose = 'fees'"
    )


class TestTrialBalance:
    async def test_shows_what_we_own_as_debit_and_what_we_owe_as_credit(
        self, world: World, books: list[datetime], tmp_path: Path
    ) -> None:
        shown = await ledger(world, tmp_path, "trial-balance")

        assert (0, "") == (shown.code, shown.err)
        assert {
            ("asset", "account", "debit", "credit"),
            ("BRL", "house: desk", "10.50", ""),
            ("BRL", "house: fees", "", "10.50"),
            ("BRL", "total", "10.50", "10.50"),
            ("ETH.ethereum", "house: custody:ethereum", "2.000000000000000000", ""),
            ("ETH.ethereum", "users: available", "", "1.500000000000000000"),
            ("ETH.ethereum", "users: held", "", "0.500000000000000000"),
            ("ETH.ethereum", "total", "2.000000000000000000", "2.000000000000000000"),
        } == shown.rows

    async def test_lists_each_account_as_json(self, world: World, books: list[datetime], tmp_path: Path) -> None:
        shown = await ledger(world, tmp_path, "trial-balance", "--format", "json")

        assert 0 == shown.code
        assert {
            "asset": "ETH.ethereum",
            "owner": world.user_id,
            "purpose": "held",
            "debit": "0.000000000000000000",
            "credit": "0.500000000000000000",
        } in shown.json["accounts"]
        assert 5 == len(shown.json["accounts"])
        assert {"asset": "BRL", "debit": "10.50", "credit": "10.50", "is_balanced": True} == shown.json["totals"][0]

    async def test_at_an_instant_counts_what_was_posted_until_then(
        self, world: World, books: list[datetime], tmp_path: Path
    ) -> None:
        """A time without a zone is UTC."""
        held_at = books[1].astimezone(UTC)
        naive = held_at.replace(tzinfo=None).isoformat(timespec="microseconds")
        elsewhere = (held_at - MICROSECOND).astimezone(timezone(timedelta(hours=-3)))

        at, before = await asyncio.gather(
            *(
                ledger(world, tmp_path, "trial-balance", "--format", "json", "--at", instant)
                for instant in (naive, elsewhere.isoformat(timespec="microseconds"))
            )
        )

        half, nothing = "0.500000000000000000", "0.000000000000000000"
        assert [half, nothing] == [credit(one, "held") for one in (at, before)]
        assert "2.000000000000000000" == credit(before, "available")
        assert held_at.isoformat() == at.json["at"]

    async def test_fails_naming_the_asset_that_does_not_sum_to_zero(
        self, world: World, books: list[datetime], tmp_path: Path
    ) -> None:
        await tamper(world)

        table, as_json = await asyncio.gather(
            ledger(world, tmp_path, "trial-balance"), ledger(world, tmp_path, "trial-balance", "--format", "json")
        )

        assert (1, 1) == (table.code, as_json.code)
        assert "BRL sums to 0.07 instead of zero" in table.err
        assert ("BRL", "total", "10.50", "10.57") in table.rows
        assert [False, True] == [total["is_balanced"] for total in as_json.json["totals"]]


def credit(shown: Ended, purpose: str) -> str:
    (found,) = [line["credit"] for line in shown.json["accounts"] if line["purpose"] == purpose]
    return str(found)


class TestHolds:
    async def test_show_causes_ages_and_the_oldest(self, world: World, books: list[datetime], tmp_path: Path) -> None:
        shown, as_json = await asyncio.gather(
            ledger(world, tmp_path, "holds"), ledger(world, tmp_path, "holds", "--format", "json")
        )

        half = "0.500000000000000000"
        (oldest,) = as_json.json["oldest"]
        assert (0, 0, "") == (shown.code, as_json.code, shown.err)
        assert ("ETH.ethereum", "hold", "< 7 d", "1", half) in shown.rows
        assert ("ETH.ethereum", "hold", oldest["reference"], "1 d 6 h", half) in shown.rows
        assert ("ETH.ethereum", half, half, "equal") in shown.rows
        assert (world.user_id, half) == (oldest["owner"], oldest["amount"])
        assert HOURS_HELD * 3_600 <= oldest["age_seconds"] < HOURS_HELD * 3_600 + 120
        assert [{"asset": "ETH.ethereum", "ledger": half, "parts": half, "is_equal": True}] == as_json.json["checks"]

    async def test_fail_when_the_ledger_holds_something_else(
        self, world: World, books: list[datetime], tmp_path: Path
    ) -> None:
        free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
        async with world.engine.begin() as conn:
            await post(conn, move("stray", Kind.HOLD, "stray", free, kept, COIN))

        shown = await ledger(world, tmp_path, "holds")

        assert 1 == shown.code
        assert "1.500000000000000000 is held in the ledger, but its parts sum to 0.500000000000000000" in shown.err
        assert ("ETH.ethereum", "1.500000000000000000", "0.500000000000000000", "DIFFERENT") in shown.rows


class TestExport:
    async def test_is_proved_by_bean_check(self, world: World, books: list[datetime], tmp_path: Path) -> None:
        written = await ledger(world, tmp_path, "export", "whole.beancount")
        whole = (tmp_path / "whole.beancount").read_text()
        (tmp_path / "changed.beancount").write_text(whole.replace("-10.50 BRL", "-10.51 BRL"))

        proved, refused = await asyncio.gather(
            *(run("beancount.scripts.check", f"{name}.beancount", cwd=tmp_path) for name in ("whole", "changed"))
        )

        assert (0, "") == (written.code, written.err)
        assert (0, "", "") == (proved.code, proved.out, proved.err)
        assert refused.code == 1
        assert "does not balance" in refused.err

    async def test_says_in_one_sentence_where_it_cannot_write(self, world: World, tmp_path: Path) -> None:
        failed = await ledger(world, tmp_path, "export", "nowhere/ledger.beancount")

        assert 1 == failed.code
        assert "nowhere/ledger.beancount cannot be written: No such file or directory" in failed.err
        assert 1 == len(failed.err.splitlines())
