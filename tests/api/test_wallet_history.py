"""What users read of their money: balances, history, statements; their own, in any form, to the last unit."""

import csv
import io
import secrets
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from api.app import document
from api.pagination import encode
from models.ledger.chart import Purpose, available, held, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.user.types import Role
from tests.api.door import API, ETHER, Door, Person, custody_funded, now, problem

WALLET = f"{API}/wallet"
BALANCE, BALANCES, HISTORY, STATEMENT = (
    f"{WALLET}/{name}" for name in ("balance", "balances", "history", "statement")
)
ETH = "ETH.ethereum"
OWN = {"asset": "ETH", "from": "2026-01-01", "to": "2026-12-01"}


@pytest.fixture(scope="module")
async def operator(door: Door) -> Person:
    return await door.person(role=Role.OPERATOR)


@pytest.fixture(scope="module")
async def bea(door: Door) -> Person:
    """One ether came, a half was frozen, a quarter given back, and the other quarter spent; some reais came too."""
    bea = await door.rich(ETHER)
    free, kept, desk = available(bea.id, ETH), held(bea.id, ETH), house(Purpose.DESK, ETH)
    for source, target, part, kind, reason in (
        (free, kept, 2, Kind.HOLD, None),
        (kept, free, 4, Kind.RELEASE, "ticket 7"),
        (kept, desk, 4, Kind.SELL, None),
    ):
        await _post(door, move(_key(), kind, "case/1", source, target, ETHER // part, reason=reason))
    reais = (house(Purpose.DESK, "BRL"), available(bea.id, "BRL"))
    await _post(door, move(_key(), Kind.ADJUSTMENT, "operator/" + "a" * 32, *reais, 1050, reason="=1+1 -2"))
    return bea


def _key() -> str:
    return f"test/{secrets.token_hex(8)}"


async def _post(door: Door, transaction: Any) -> None:
    async with door.engine.begin() as conn:
        await post(conn, transaction)


def days(before: float, after: float) -> dict[str, str]:
    """Around now, as instants."""
    start, end = now() - timedelta(days=before), now() + timedelta(days=after)
    return {"from": f"{start:%Y-%m-%dT%H:%M:%SZ}", "to": f"{end:%Y-%m-%dT%H:%M:%SZ}"}


def plain(line: dict[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(f"{Decimal(line[name]).normalize():f}" for name in names)


class TestBalance:
    async def test_is_of_one_asset_with_its_last_reason(self, door: Door, bea: Person):
        reply = await door.get(bea, BALANCE, params={"asset": "BRL"})

        found = reply.json()
        assert 200 == reply.status_code
        assert ("BRL", None, "10.50", "0.00", "10.50", "=1+1 -2") == tuple(
            found[name] for name in ("asset", "network", "available", "locked", "total", "last_reason")
        )
        assert found["updated_at"] is not None

    async def test_of_an_asset_never_had_is_zero(self, door: Door, bea: Person):
        found = (await door.get(bea, BALANCE, params={"asset": "POL", "network": "polygon"})).json()

        assert ("0", "0", "0") == plain(found, "available", "locked", "total")
        assert (None, None) == (found["last_reason"], found["updated_at"])

    async def test_is_among_all_balances(self, door: Door, bea: Person):
        rows = {row["asset"]: row for row in (await door.get(bea, BALANCES)).json()}

        for asset in ("BRL", "ETH", "POL", "USDT"):
            one = (await door.get(bea, BALANCE, params={"asset": asset})).json()
            assert one == rows[asset]

    @pytest.mark.parametrize(
        ("query", "kind", "field"),
        [
            ({}, "invalid-input", "asset"),
            ({"asset": "XRP"}, "unknown-asset", "asset"),
            ({"asset": "ETH", "network": "solana"}, "unknown-network", "network"),
            ({"asset": "BRL", "network": "ethereum"}, "unknown-network", "network"),
        ],
        ids=str,
    )
    async def test_needs_an_asset_that_there_is(
        self, door: Door, bea: Person, query: dict[str, str], kind: str, field: str
    ):
        reply = await door.get(bea, BALANCE, params=query)

        assert 422 == reply.status_code
        problem(reply, kind, field=field)


class TestHistory:
    async def test_explains_every_movement(self, door: Door, bea: Person):
        lines = (await door.get(bea, HISTORY, params={"asset": "ETH"})).json()["lines"]

        names = ("amount", "available_before", "available_after", "locked_before", "locked_after")
        assert [
            ("trade", "sell", None, "-0.25", "0.75", "0.75", "0.25", "0"),
            ("unfreeze", "release", "ticket 7", "0.25", "0.5", "0.75", "0.5", "0.25"),
            ("freeze", "hold", None, "-0.5", "1", "0.5", "0", "0.5"),
            ("deposit", "deposit", None, "1", "0", "1", "0", "0"),
        ] == [(line["operation"], line["kind"], line["reason"], *plain(line, *names)) for line in lines]
        assert ["case/1"] * 3 == [line["reference"] for line in lines[:3]]

    async def test_comes_page_by_page_newest_first(self, door: Door, bea: Person):
        whole = (await door.get(bea, HISTORY)).json()["lines"]

        found: list[Any] = []
        query: dict[str, Any] = {"limit": 2}
        while query.get("cursor", "") is not None:
            page = (await door.get(bea, HISTORY, params=query)).json()
            assert len(page["lines"]) <= 2
            found += page["lines"]
            query["cursor"] = page["next_cursor"]

        assert 5 == len(whole)
        assert whole == found
        assert whole == sorted(whole, key=lambda line: line["at"], reverse=True)

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ({"asset": "BRL"}, 1),
            ({"network": "ethereum"}, 4),
            ({"network": "polygon"}, 0),
            ({"operation": "freeze"}, 1),
            ({"operation": "fee"}, 0),
            ({"asset": "ETH", "network": "ethereum", "operation": "deposit"}, 1),
            (days(1, 1), 5),
            (days(3, -1), 0),
            ({"from": "2020-01-01", "to": "2020-01-02"}, 0),
        ],
        ids=["asset", "network", "other-network", "operation", "none", "all-of-them", "today", "yesterday", "then"],
    )
    async def test_can_be_narrowed(self, door: Door, bea: Person, query: dict[str, str], count: int):
        reply = await door.get(bea, HISTORY, params=query)

        assert (200, count) == (reply.status_code, len(reply.json()["lines"]))

    async def test_names_no_operator_to_users(self, door: Door, bea: Person, operator: Person):
        query = {"asset": "BRL", "user_id": bea.id}

        own, theirs = [(await door.get(who, HISTORY, params=query)).json() for who in (bea, operator)]

        assert "operator" == own["lines"][0]["reference"]
        assert "operator/" + "a" * 32 == theirs["lines"][0]["reference"]

    @pytest.mark.parametrize(
        ("query", "kind", "field"),
        [
            ({"asset": "XRP"}, "unknown-asset", "asset"),
            ({"network": "solana"}, "unknown-network", "network"),
            ({"operation": "gift"}, "invalid-input", "operation"),
            ({"limit": "0"}, "invalid-input", "limit"),
            ({"limit": "201"}, "invalid-input", "limit"),
            ({"cursor": "x"}, "invalid-input", "cursor"),
            ({"cursor": encode((now(), "f" * 32))}, "invalid-input", "cursor"),
            ({"from": "yesterday"}, "invalid-input", "from"),
            ({"from": "2026-02-30"}, "invalid-input", "from"),
            ({"to": "0001-01-01"}, "invalid-input", "to"),
            ({"from": "2026-02-01", "to": "2026-02-01T00:00:00Z"}, "invalid-input", "to"),
        ],
        ids=[str(number) for number in range(11)],
    )
    async def test_says_what_is_wrong(self, door: Door, bea: Person, query: dict[str, str], kind: str, field: str):
        reply = await door.get(bea, HISTORY, params=query)

        assert 422 == reply.status_code
        problem(reply, kind, field=field)

    async def test_tells_a_whole_trade(self, door: Door):
        seller = await door.rich(ETHER)
        trade = await door.trade(seller, **custody_funded("0.25"))

        line = (await door.get(seller, HISTORY)).json()["lines"][0]

        assert ("freeze", trade["id"], "-0.25") == (line["operation"], line["reference"], *plain(line, "amount"))


class TestStatement:
    async def test_leads_from_the_opening_to_the_closing_balance(self, door: Door, bea: Person):
        reply = await door.get(bea, STATEMENT, params={"asset": "ETH", **days(1, 1)})

        found = reply.json()
        assert 200 == reply.status_code
        assert {"asset", "network", "from", "to", "opening", "lines", "closing"} == set(found)
        assert ("0", "0", "0") == plain(found["opening"], "available", "locked", "total")
        assert ("0.75", "0", "0.75") == plain(found["closing"], "available", "locked", "total")
        for pocket in ("available", "locked"):
            moved = sum(
                Decimal(line[f"{pocket}_after"]) - Decimal(line[f"{pocket}_before"]) for line in found["lines"]
            )
            assert Decimal(found["closing"][pocket]) == Decimal(found["opening"][pocket]) + moved

    async def test_of_a_time_without_movement_opens_and_closes_at_the_same(self, door: Door, bea: Person):
        found = (await door.get(bea, STATEMENT, params={"asset": "ETH", **days(-1, 2)})).json()

        assert (found["opening"], []) == (found["closing"], found["lines"])
        assert ("0.75",) == plain(found["opening"], "total")

    @pytest.mark.parametrize("way", ["accept", "format"])
    async def test_as_csv_parses_back_to_the_same(self, door: Door, bea: Person, way: str):
        query = {"asset": "ETH", **days(1, 1)}
        expected = (await door.get(bea, STATEMENT, params=query)).json()

        headers = {"authorization": f"Bearer {bea.key}", "accept": "text/csv" if way == "accept" else "*/*"}
        form = {"format": "csv"} if way == "format" else {}
        reply = await door.http.get(STATEMENT, params=query | form, headers=headers)

        opening, *lines, closing = csv.DictReader(io.StringIO(reply.text))
        assert "text/csv; charset=utf-8" == reply.headers["content-type"]
        assert reply.headers["content-disposition"].startswith('attachment; filename="statement-ETH.ethereum-')
        assert ("opening_balance", "closing_balance") == (opening["operation"], closing["operation"])
        assert (expected["from"], expected["to"]) == (opening["at"], closing["at"])
        for row, pockets in ((opening, expected["opening"]), (closing, expected["closing"])):
            assert (pockets["available"], pockets["locked"]) == (row["available_after"], row["locked_after"])
        assert [
            {name: value or "" for name, value in line.items() if name not in {"asset", "network"}}
            for line in expected["lines"]
        ] == lines

    async def test_as_csv_runs_no_formula(self, door: Door, bea: Person):
        reply = await door.get(bea, STATEMENT, params={"asset": "BRL", "format": "csv", **days(1, 1)})

        assert "'=1+1 -2" == list(csv.DictReader(io.StringIO(reply.text)))[1]["reason"]

    @pytest.mark.parametrize(
        ("accept", "form", "kind"),
        [
            ("*/*", None, "application/json"),
            ("application/json, text/csv", None, "application/json"),
            ("text/csv", "json", "application/json"),
            ("text/csv;q=0.9, */*;q=0.1", None, "text/csv"),
            ("application/json", "csv", "text/csv"),
        ],
    )
    async def test_comes_in_the_form_asked_for(
        self, door: Door, bea: Person, accept: str, form: str | None, kind: str
    ):
        query = OWN | ({} if form is None else {"format": form})

        reply = await door.http.get(
            STATEMENT, params=query, headers={"authorization": f"Bearer {bea.key}", "accept": accept}
        )

        assert kind == reply.headers["content-type"].partition(";")[0]

    @pytest.mark.parametrize(
        ("change", "kind", "field"),
        [
            ({"from": None}, "invalid-input", "from"),
            ({"to": None}, "invalid-input", "to"),
            ({"asset": None}, "invalid-input", "asset"),
            ({"asset": "XRP"}, "unknown-asset", "asset"),
            ({"network": "solana"}, "unknown-network", "network"),
            ({"to": "2026-01-01"}, "invalid-input", "to"),
            ({"to": "2025-12-31"}, "invalid-input", "to"),
            ({"to": "2027-01-03"}, "limit-exceeded", "to"),
            ({"from": "2026-01-01T00:00:00-03:00"}, "invalid-input", "from"),
            ({"format": "pdf"}, "invalid-input", "format"),
        ],
        ids=str,
    )
    async def test_says_what_is_wrong(
        self, door: Door, bea: Person, change: dict[str, str | None], kind: str, field: str
    ):
        query = {name: value for name, value in (OWN | change).items() if value is not None}

        reply = await door.get(bea, STATEMENT, params=query)

        assert 422 == reply.status_code
        problem(reply, kind, field=field)

    async def test_covers_a_leap_year(self, door: Door, bea: Person):
        reply = await door.get(bea, STATEMENT, params=OWN | {"from": "2028-01-01", "to": "2029-01-01"})

        assert 200 == reply.status_code


READS = sorted(
    path
    for path, operations in document()["paths"].items()
    if "/wallet/" in path
    and any(
        (parameter["name"], parameter["in"]) == ("user_id", "query")
        for parameter in operations.get("get", {}).get("parameters", [])
    )
)


class TestOthers:
    """Every read that may be asked about another user, found in the API's own description."""

    def test_are_all_of_the_wallets_reads(self):
        assert sorted([BALANCE, BALANCES, HISTORY, STATEMENT]) == READS

    @pytest.mark.parametrize("path", READS)
    async def test_wallets_are_closed_to_users(self, door: Door, bea: Person, path: str):
        eve = await door.person()

        real, none = [await door.get(eve, path, params=OWN | {"user_id": who}) for who in (bea.id, "0" * 32)]

        assert (403, 403) == (real.status_code, none.status_code)
        assert problem(real, "forbidden") == problem(none, "forbidden")

    @pytest.mark.parametrize("path", READS)
    async def test_wallets_are_open_to_operators(self, door: Door, bea: Person, operator: Person, path: str):
        seen = await door.get(operator, path, params=OWN | {"user_id": bea.id, "operation": "trade"})
        own = await door.get(bea, path, params=OWN | {"user_id": bea.id, "operation": "trade"})

        assert (200, own.json()) == (seen.status_code, seen.json())

    @pytest.mark.parametrize("path", READS)
    async def test_wallets_of_nobody_are_not_found(self, door: Door, operator: Person, path: str):
        reply = await door.get(operator, path, params=OWN | {"user_id": "0" * 32})

        assert 404 == reply.status_code
        problem(reply, "not-found", field="user_id")

    @pytest.mark.parametrize("path", READS)
    async def test_without_a_name_see_nothing(self, door: Door, path: str):
        assert 401 == (await door.get(None, path, params=OWN)).status_code

    @pytest.mark.parametrize("path", READS)
    async def test_get_their_own_without_asking_for_it(self, door: Door, bea: Person, path: str):
        eve = await door.person()

        reply = await door.get(eve, path, params=OWN)

        assert 200 == reply.status_code
        assert "case/1" not in reply.text
