"""Operators give, freeze and unfreeze; each once, with a reason, and nobody else can."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models.hold import writes as holds
from models.ids import new_id
from models.user.types import Role
from tests.api.door import API, ETHER, Door, Person, now, problem

DEPOSIT, FREEZE, UNFREEZE = (f"{API}/wallet/{name}" for name in ("deposit", "freeze", "unfreeze"))
ETH = "ETH.ethereum"


@pytest.fixture(scope="module")
async def operator(door: Door) -> Person:
    return await door.person(role=Role.OPERATOR)


@pytest.fixture
async def bea(door: Door) -> Person:
    """She has one ether."""
    return await door.rich(ETHER)


@pytest.fixture(scope="module")
async def poor(door: Door) -> Person:
    return await door.person()


def order(person: Person, **changes: Any) -> dict[str, Any]:
    body = {
        "user_id": person.id,
        "asset": "ETH",
        "network": "ethereum",
        "amount": "0.4",
        "reason": "correção: chamado 4711",
    }
    return {name: value for name, value in (body | changes).items() if value is not None}


async def balance(door: Door, person: Person) -> dict[str, Any]:
    reply = await door.get(person, f"{API}/wallet/balance", params={"asset": "ETH", "network": "ethereum"})
    found: dict[str, Any] = reply.json()
    return found


async def freeze(door: Door, operator: Person, person: Person, **changes: Any) -> dict[str, Any]:
    reply = await door.post(operator, FREEZE, order(person, **changes))
    assert 201 == reply.status_code, reply.text
    found: dict[str, Any] = reply.json()
    return found


class TestDeposit:
    async def test_gives_from_the_desk_with_the_reason(self, door: Door, operator: Person, bea: Person):
        reply = await door.post(operator, DEPOSIT, order(bea, network=None))

        assert 200 == reply.status_code
        assert await balance(door, bea) == reply.json()
        assert (Decimal("1.4"), "correção: chamado 4711") == (
            Decimal(reply.json()["available"]),
            reply.json()["last_reason"],
        )
        lines = (await door.get(bea, f"{API}/wallet/history")).json()["lines"]
        assert ("adjustment", "operator", Decimal("0.4")) == (
            lines[0]["operation"],
            lines[0]["reference"],
            Decimal(lines[0]["amount"]),
        )

    async def test_in_reais_needs_no_network(self, door: Door, operator: Person, bea: Person):
        reply = await door.post(operator, DEPOSIT, order(bea, asset="BRL", network=None, amount="10.50"))

        assert ("BRL", None, "10.50") == tuple(reply.json()[name] for name in ("asset", "network", "available"))

    async def test_of_one_key_is_one_however_many_send_it(self, door: Door, operator: Person, bea: Person):
        key = new_id()

        replies = await asyncio.gather(*(door.post(operator, DEPOSIT, order(bea), key=key) for _ in range(10)))

        assert {200} == {reply.status_code for reply in replies}
        assert 9 == sum("idempotency-replayed" in reply.headers for reply in replies)
        assert Decimal("1.4") == Decimal((await balance(door, bea))["available"])

    async def test_moves_once_though_its_key_was_forgotten(self, door: Door, operator: Person, bea: Person):
        """The ledger knows the key too."""
        await door.post(operator, DEPOSIT, order(bea), key="forgotten")
        async with door.engine.begin() as conn:
            await conn.execute(text("DELETE FROM idempotency_keys WHERE key = 'forgotten'"))

        again = await door.post(operator, DEPOSIT, order(bea), key="forgotten")

        assert 200 == again.status_code
        assert Decimal("1.4") == Decimal((await balance(door, bea))["available"])

    async def test_cannot_take_a_key_of_another_request(self, door: Door, operator: Person, bea: Person):
        await door.post(operator, DEPOSIT, order(bea), key="taken")

        reply = await door.post(operator, DEPOSIT, order(bea, amount="0.5"), key="taken")

        assert 422 == reply.status_code
        problem(reply, "idempotency-mismatch")


class TestFreeze:
    async def test_sets_money_aside_and_gives_the_hold(self, door: Door, operator: Person, bea: Person):
        until = (now() + timedelta(days=1)).isoformat()

        hold = await freeze(door, operator, bea, expires_at=until)

        found = await balance(door, bea)
        assert ("0.4", "0.4", "0", "0") == tuple(
            f"{Decimal(hold[name]).normalize():f}" for name in ("amount", "remaining", "released", "captured")
        )
        assert (bea.id, f"operator/{operator.id}", "correção: chamado 4711", None) == tuple(
            hold[name] for name in ("user_id", "reference", "reason", "ended_at")
        )
        assert (Decimal("0.6"), Decimal("0.4")) == (Decimal(found["available"]), Decimal(found["locked"]))

    async def test_of_one_key_is_one_however_many_send_it(self, door: Door, operator: Person, bea: Person):
        key = new_id()

        replies = await asyncio.gather(*(door.post(operator, FREEZE, order(bea), key=key) for _ in range(10)))

        assert {201} == {reply.status_code for reply in replies}
        assert 1 == len({reply.json()["id"] for reply in replies})
        assert Decimal("0.4") == Decimal((await balance(door, bea))["locked"])

    async def test_of_more_than_is_there_is_refused(self, door: Door, operator: Person, bea: Person):
        reply = await door.post(operator, FREEZE, order(bea, amount="1.000000000000000001"))

        assert 409 == reply.status_code
        problem(reply, "insufficient-funds")

    @pytest.mark.parametrize(
        "time",
        [
            "2020-01-01T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "2036-01-05T12:00:00",
            "soon",
        ],
    )
    async def test_ends_at_a_time_to_come(self, door: Door, operator: Person, poor: Person, time: str):
        reply = await door.post(operator, FREEZE, order(poor, expires_at=time))

        problem(reply, "invalid-input", field="expires_at")


class TestUnfreeze:
    async def test_gives_back_a_part_then_the_rest(self, door: Door, operator: Person, bea: Person):
        hold = await freeze(door, operator, bea)

        part = await door.post(operator, UNFREEZE, {"hold_id": hold["id"], "amount": "0.1", "reason": "a part"})
        rest = await door.post(operator, UNFREEZE, {"hold_id": hold["id"], "reason": "the rest"})

        assert (200, 200) == (part.status_code, rest.status_code)
        assert (Decimal("0.3"), None) == (Decimal(part.json()["remaining"]), part.json()["ended_at"])
        assert (Decimal(0), True) == (Decimal(rest.json()["remaining"]), rest.json()["ended_at"] is not None)
        found = await balance(door, bea)
        assert (Decimal(1), "the rest") == (Decimal(found["available"]), found["last_reason"])

    async def test_of_one_key_is_one_however_many_send_it(self, door: Door, operator: Person, bea: Person):
        hold, key = await freeze(door, operator, bea), new_id()
        body = {"hold_id": hold["id"], "amount": "0.1", "reason": "a part"}

        replies = await asyncio.gather(*(door.post(operator, UNFREEZE, body, key=key) for _ in range(10)))

        assert {200} == {reply.status_code for reply in replies}
        assert Decimal("0.3") == Decimal((await balance(door, bea))["locked"])

    async def test_of_more_than_remains_is_refused_with_the_numbers(self, door: Door, operator: Person, bea: Person):
        hold = await freeze(door, operator, bea, amount="0.000000000000000007")

        reply = await door.post(
            operator, UNFREEZE, {"hold_id": hold["id"], "amount": "0.000000000000000008", "reason": "all"}
        )

        assert 409 == reply.status_code
        detail = problem(reply, "hold-exceeded", field="amount")["detail"]
        assert f"8 base units asked of hold {hold['id']}, 7 are left" == detail

    async def test_of_what_has_ended_is_refused(self, door: Door, operator: Person, bea: Person):
        hold = await freeze(door, operator, bea)
        await door.post(operator, UNFREEZE, {"hold_id": hold["id"], "reason": "all"})

        reply = await door.post(operator, UNFREEZE, {"hold_id": hold["id"], "reason": "again"})

        problem(reply, "hold-exceeded")

    async def test_of_nothing_known_is_refused(self, door: Door, operator: Person):
        reply = await door.post(operator, UNFREEZE, {"hold_id": new_id(), "reason": "all"})

        assert 404 == reply.status_code
        problem(reply, "not-found", field="hold_id")

    async def test_leaves_what_a_flow_holds_to_the_flow(self, door: Door, operator: Person, bea: Person):
        async with door.engine.begin() as conn:
            hold = await holds.place(
                conn, hold_id=new_id(), user_id=bea.id, asset_id=ETH, units=5, reference="p2p/1", reason=None
            )

        reply = await door.post(operator, UNFREEZE, {"hold_id": hold.id, "reason": "please"})

        assert 409 == reply.status_code
        assert "p2p/1" in problem(reply, "illegal-transition")["detail"]


class TestOrder:
    """What all of them ask for."""

    @pytest.mark.parametrize("path", [DEPOSIT, FREEZE, UNFREEZE])
    async def test_is_an_operators(self, door: Door, poor: Person, path: str):
        reply = await door.post(poor, path, order(poor))

        assert 403 == reply.status_code
        problem(reply, "forbidden")

    @pytest.mark.parametrize("path", [DEPOSIT, FREEZE, UNFREEZE])
    async def test_needs_a_key(self, door: Door, operator: Person, poor: Person, path: str):
        headers = {"authorization": f"Bearer {operator.key}"}

        reply = await door.http.post(path, json=order(poor), headers=headers)

        problem(reply, "invalid-input", field="Idempotency-Key")

    @pytest.mark.parametrize("path", [DEPOSIT, FREEZE])
    @pytest.mark.parametrize(
        ("change", "kind", "field"),
        [
            ({"amount": "0"}, "invalid-input", "amount"),
            ({"amount": "-1"}, "invalid-input", "amount"),
            ({"amount": "much"}, "not-an-amount", "amount"),
            ({"amount": "1" + "0" * 30}, "limit-exceeded", "amount"),
            ({"amount": "0.0000000000000000001"}, "too-precise", "amount"),
            ({"asset": "XRP"}, "unknown-asset", "asset"),
            ({"network": "polygon"}, "unknown-network", "network"),
            ({"asset": "BRL"}, "unknown-network", "network"),
            ({"user_id": "0" * 32}, "not-found", "user_id"),
            ({"user_id": "me"}, "invalid-input", "user_id"),
            ({"reason": "no"}, "invalid-input", "reason"),
            ({"reason": "x" * 201}, "invalid-input", "reason"),
            ({"reason": "for 529.982.247-25"}, "invalid-input", "reason"),
            ({"reason": "ana@example.com"}, "invalid-input", "reason"),
            ({"other": 1}, "invalid-input", "other"),
        ],
        ids=str,
    )
    async def test_names_what_is_wrong(
        self, door: Door, operator: Person, poor: Person, path: str, change: dict[str, Any], kind: str, field: str
    ):
        reply = await door.post(operator, path, order(poor, **change))

        assert (404 if kind == "not-found" else 422) == reply.status_code
        problem(reply, kind, field=field)
        assert "529" not in reply.text
