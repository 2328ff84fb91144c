"""Disputes (MED) through the real desk: what the bank claims back, who bears it, and what operators do about it."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import text

from models.ledger import queries as ledger
from models.ledger.chart import Purpose, available, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from payments.sandbox.moods import Mood
from tests.desk import Desk, Person, open_desk
from tests.people import cpf

OPS = "/api/v1/ops/disputes"
STRANGER = cpf(999_998)
EVIDENCE = "ticket 4711"


@pytest.fixture(scope="module")
async def boss(desk: Desk) -> Person:
    return await desk.operator()


@pytest.fixture(autouse=True)
def errors() -> Iterator[list[logging.LogRecord]]:
    """What asked for a person meanwhile."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = found.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield found
    logging.getLogger().removeHandler(handler)


def told(errors: list[logging.LogRecord], event: str) -> int:
    return sum(record.getMessage().startswith(event) for record in errors)


async def bought(desk: Desk, person: Person, pay: str = "150.00", *, moods: tuple[Mood, ...] = ()) -> tuple[Any, str]:
    """A purchase that was delivered; the trade and its payment's endToEndId. ``moods``: its disputes have them too."""
    trade = await desk.buy(person, pay, to=desk.fresh_address())
    paid = desk.bank.pay(trade["id"], moods=moods)
    return await desk.until(person, trade, "completed"), str(paid["end_to_end_id"])


async def give_reais(desk: Desk, person: Person, centavos: int) -> None:
    """A goodwill: the house's own reais, so that the bank has no part in it."""
    async with desk.engine.begin() as conn:
        desk_brl, free = house(Purpose.DESK, "BRL"), available(person.id, "BRL")
        key = f"operator/test/{person.id}"
        await post(conn, move(key, Kind.ADJUSTMENT, "operator/test", desk_brl, free, centavos))


async def known(desk: Desk, boss: Person, claim: Any, state: str = "open", **more: Any) -> Any:
    """The dispute as operators read it, once it is in this state, and so covered where it is open."""
    seen: dict[str, Any] = {}

    async def reached() -> bool:
        page = await desk.get(boss, f"{OPS}?state=open&state=won&state=lost&limit=200")
        ids = [each["id"] for each in page["disputes"] if each["dispute_id"] == claim["id"]]
        if not ids:
            return False
        seen.update(await desk.get(boss, f"{OPS}/{ids[0]}"))
        return seen["state"] == state and all(seen[name] == value for name, value in more.items())

    await desk.eventually(reached, f"{claim['id']} to be {state} {more}", say=lambda: str(seen))
    return seen


async def balances(desk: Desk, person: Person) -> dict[str, int]:
    """In centavos: the person's free reais, the reserve, what the bank keeps from us, and the desk."""
    async with desk.engine.connect() as conn:
        return {
            "user": await ledger.balance(conn, available(person.id, "BRL")),
            "reserve": await ledger.balance(conn, house(Purpose.PIX_RESERVE, "BRL")),
            "blocked": await ledger.balance(conn, house(Purpose.PIX_BLOCKED, "BRL")),
            "desk": await ledger.balance(conn, house(Purpose.DESK, "BRL")),
        }


async def moved(desk: Desk, person: Person, before: dict[str, int]) -> dict[str, int]:
    return {name: now - before[name] for name, now in (await balances(desk, person)).items()}


async def receipt_states(desk: Desk, person: Person, trade: Any) -> list[str]:
    shown = await desk.get(person, f"/api/v1/instant-trade/{trade['id']}")
    return [receipt["status"] for receipt in shown["payment"]["receipts"]]


class TestDispute:
    async def test_that_is_won_gives_everything_back_to_where_it_came_from(self, desk: Desk, boss: Person):
        ana = await desk.person()
        trade, paid = await bought(desk, ana)
        await give_reais(desk, ana, 20_000)
        before = await balances(desk, ana)

        claim = desk.bank.dispute(paid)
        shown = await known(desk, boss, claim, cover="reserve")
        during = await moved(desk, ana, before)
        await desk.balanced()
        desk.bank.decide(claim["id"], "won")
        ended = await known(desk, boss, claim, "won")

        assert {"user": -15_000, "reserve": 15_000, "blocked": -15_000, "desk": 0} == during
        assert ("150.00", "0.00", "150.00") == (shown["from_user"], shown["from_house"], shown["reserved"])
        assert {"user": 0, "reserve": 0, "blocked": 0, "desk": 0} == await moved(desk, ana, before)
        assert ["opened", "reserved", "won"] == [entry["step"] for entry in ended["history"]]
        assert (trade["id"], "credited") == (ended["trade"]["id"], ended["receipt"]["state"])
        await desk.balanced()

    async def test_is_in_its_users_history_when_set_aside_and_when_given_back(self, desk: Desk, boss: Person):
        ana = await desk.person()
        _, paid = await bought(desk, ana)
        await give_reais(desk, ana, 20_000)

        claim = desk.bank.dispute(paid)
        await known(desk, boss, claim, cover="reserve")
        desk.bank.decide(claim["id"], "won")
        await known(desk, boss, claim, "won")

        page = await desk.get(ana, "/api/v1/wallet/history?asset=BRL&operation=dispute")
        lines = [(line["amount"], line["reason"].partition(":")[0]) for line in page["lines"]]
        assert [("150.00", "given back"), ("-150.00", "set aside")] == lines

    async def test_that_is_lost_takes_what_the_user_has_left_and_the_rest_from_the_house(
        self, desk: Desk, boss: Person
    ):
        ana = await desk.person()
        trade, paid = await bought(desk, ana)
        await give_reais(desk, ana, 4_000)
        before = await balances(desk, ana)

        claim = desk.bank.dispute(paid)
        shown = await known(desk, boss, claim, cover="reserve")
        await desk.balanced()
        desk.bank.decide(claim["id"], "lost")
        ended = await known(desk, boss, claim, "lost")

        assert ("40.00", "110.00") == (shown["from_user"], shown["from_house"])
        assert {"user": -4_000, "reserve": 0, "blocked": 0, "desk": -11_000} == await moved(desk, ana, before)
        assert (["taken_back"], "150.00") == (await receipt_states(desk, ana, trade), ended["taken"])
        assert "completed" == (await desk.get(ana, f"/api/v1/instant-trade/{trade['id']}"))["status"]
        await desk.balanced()

    async def test_of_a_part_takes_that_part_and_the_receipt_stays_credited(self, desk: Desk, boss: Person):
        ana = await desk.person()
        trade, paid = await bought(desk, ana)
        before = await balances(desk, ana)

        first, second = (desk.bank.dispute(paid, amount_centavos=amount) for amount in (6_000, 2_000))
        for claim in (first, second):
            await known(desk, boss, claim, cover="reserve")
        desk.bank.decide(first["id"], "lost")
        desk.bank.decide(second["id"], "won")
        ended = await known(desk, boss, first, "lost")
        await known(desk, boss, second, "won")

        assert ("60.00", "credited") == (ended["receipt"]["taken_back"], ended["receipt"]["state"])
        assert {"user": 0, "reserve": 0, "blocked": 0, "desk": -6_000} == await moved(desk, ana, before)
        await desk.balanced()
        rest = desk.bank.dispute(paid)
        await known(desk, boss, rest, covered="90.00")
        desk.bank.decide(rest["id"], "lost")
        await known(desk, boss, rest, "lost")
        assert ["taken_back"] == await receipt_states(desk, ana, trade)
        await desk.balanced()


class TestTakeBack:
    async def test_that_the_look_sees_first_is_booked_once_and_shared_when_the_dispute_is_known(
        self, desk: Desk, boss: Person
    ):
        ana = await desk.person()
        trade, paid = await bought(desk, ana, moods=(Mood.WEBHOOK_NEVER,))
        await give_reais(desk, ana, 4_000)
        before = await balances(desk, ana)
        claim = desk.bank.dispute(paid)
        desk.bank.decide(claim["id"], "lost")

        async def taken() -> bool:
            return await receipt_states(desk, ana, trade) == ["taken_back"]

        await desk.eventually(taken, "the charge's look to see it")
        first = await moved(desk, ana, before)
        desk.bank.resend_webhooks(claim["id"])
        ended = await known(desk, boss, claim, "lost")

        assert {"user": 0, "reserve": 0, "blocked": 0, "desk": -15_000} == first
        assert {"user": -4_000, "reserve": 0, "blocked": 0, "desk": -11_000} == await moved(desk, ana, before)
        assert ("nothing", "40.00", "110.00") == (ended["cover"], ended["from_user"], ended["from_house"])
        await desk.balanced()

    async def test_that_the_look_sees_while_the_dispute_is_open_is_left_to_the_dispute(
        self, desk: Desk, boss: Person
    ):
        ana = await desk.person()
        trade, paid = await bought(desk, ana)
        before = await balances(desk, ana)
        claim = desk.bank.dispute(paid)
        await known(desk, boss, claim, cover="reserve")

        desk.bank.decide(claim["id"], "lost")
        await asyncio.gather(
            *(desk.client.get_workflow_handle(f"charge/{trade['id']}").signal("look") for _ in "abc")
        )
        await known(desk, boss, claim, "lost")

        keys = [p["key"] for p in (await known(desk, boss, claim, "lost"))["postings"]]
        assert 2 == sum(key.endswith("/lost") for key in keys)
        assert {"user": 0, "reserve": 0, "blocked": 0, "desk": -15_000} == await moved(desk, ana, before)
        await desk.balanced()


class TestWebhook:
    @pytest.mark.parametrize(
        "moods",
        [
            pytest.param((Mood.WEBHOOK_DUPLICATE,), id="duplicated"),
            pytest.param((Mood.WEBHOOK_OUT_OF_ORDER,), id="out-of-order"),
        ],
    )
    async def test_of_a_dispute_may_come_twice_or_late_for_one_effect(
        self, desk: Desk, boss: Person, moods: tuple[Mood, ...]
    ):
        ana = await desk.person()
        _, paid = await bought(desk, ana, moods=moods)
        before = await balances(desk, ana)

        claim = desk.bank.dispute(paid)
        desk.bank.decide(claim["id"], "lost")
        await known(desk, boss, claim, "lost")

        assert {"user": 0, "reserve": 0, "blocked": 0, "desk": -15_000} == await moved(desk, ana, before)
        await desk.balanced()

    async def test_of_the_decision_alone_is_enough(self, desk: Desk, boss: Person):
        """The opening's got lost: the dispute is known when it is won."""
        ana = await desk.person()
        _, paid = await bought(desk, ana, moods=(Mood.WEBHOOK_NEVER,))
        before = await balances(desk, ana)

        claim = desk.bank.dispute(paid)
        desk.bank.decide(claim["id"], "won")
        desk.bank.resend_webhooks(claim["id"])
        ended = await known(desk, boss, claim, "won")
        desk.bank.resend_webhooks(claim["id"])

        assert ["opened", "reserved", "won"] == [entry["step"] for entry in ended["history"]]
        assert {"user": 0, "reserve": 0, "blocked": 0, "desk": 0} == await moved(desk, ana, before)
        await desk.balanced()

    async def test_of_a_decision_that_got_lost_costs_a_slow_look(self, desk: Desk, boss: Person):
        ana = await desk.person()
        _, paid = await bought(desk, ana, moods=(Mood.WEBHOOK_NEVER,))
        claim = desk.bank.dispute(paid)
        desk.bank.resend_webhooks(claim["id"])
        await known(desk, boss, claim, cover="reserve")

        desk.bank.decide(claim["id"], "lost")
        await known(desk, boss, claim, "lost")

        await desk.balanced()

    async def test_about_a_receipt_that_we_do_not_know_asks_for_a_person(
        self, desk: Desk, errors: list[logging.LogRecord]
    ):
        """The payment's webhook and look are late, so its dispute is told first."""
        ana = await desk.person()
        async with desk.waiting(charge_poll_first_seconds=60, charge_poll_most_seconds=60):
            trade = await desk.buy(ana, "150.00", to=desk.fresh_address())
        paid = desk.bank.pay(trade["id"], moods=[Mood.WEBHOOK_NEVER])
        claim = desk.bank.dispute(paid["end_to_end_id"])
        desk.bank.resend_webhooks(claim["id"])

        async def heard() -> bool:
            return told(errors, "dispute.unknown_receipt") == 1

        await desk.eventually(heard, "the log to ask for a person")
        desk.bank.resend_webhooks(trade["id"])
        await desk.until(ana, trade, "completed")
        await desk.balanced()
        assert 1 == told(errors, "dispute.unknown_receipt")


class TestWorker:
    async def test_that_is_away_meanwhile_finds_everything_when_it_is_back(self):
        """Opened while no worker is there at all, defended with one that pays nobody, decided while none is there."""
        with TemporaryDirectory(prefix="liquida-disputes-") as name:
            directory = Path(name)
            directory.chmod(0o755)
            async with open_desk(directory, working=False) as desk:
                async with desk.working():
                    await desk.open()
                    ana, boss = await desk.person(), await desk.operator()
                    trade, paid = await bought(desk, ana)
                    before = await balances(desk, ana)
                claim = desk.bank.dispute(paid)
                async with desk.working():
                    shown = await known(desk, boss, claim, cover="reserve")
                body = {"statement": TestDefence.STATEMENT, "evidence": EVIDENCE}
                async with desk.working(("settlement",)):
                    await desk.post(boss, f"{OPS}/{shown['id']}/defend", body)
                async with desk.working():
                    await desk.eventually(lambda: _handed_in(desk, boss, shown), "the defence to be handed in")
                desk.bank.decide(claim["id"], "lost")
                async with desk.working():
                    await known(desk, boss, claim, "lost")

                    assert {"user": 0, "reserve": 0, "blocked": 0, "desk": -15_000} == await moved(desk, ana, before)
                    assert 1 == desk.bank.find_dispute(claim["id"])["statements"]
                    assert ["taken_back"] == await receipt_states(desk, ana, trade)
                    await desk.balanced()


async def _handed_in(desk: Desk, boss: Person, shown: Any) -> bool:
    defence = (await desk.get(boss, f"{OPS}/{shown['id']}"))["defence"]
    return defence is not None and defence["handed_in_at"] is not None


class TestReceipt:
    """Disputes of receipts that were credited to nobody need no reserve."""

    async def test_under_a_block_stays_blocked_until_the_dispute_is_decided(self, desk: Desk, boss: Person):
        ana = await desk.person()
        trade = await desk.buy(ana, "150.00", to=desk.fresh_address())
        paid = desk.bank.pay(trade["id"], moods=[Mood.BLOCKED])["end_to_end_id"]
        await desk.until(ana, trade, "confirming_payment")
        claim = desk.bank.dispute(paid)
        shown = await known(desk, boss, claim, cover="pending")

        desk.bank.release(paid)
        await desk.client.get_workflow_handle(f"charge/{trade['id']}").signal("look")
        await desk.balanced()
        during = await receipt_states(desk, ana, trade)
        desk.bank.decide(claim["id"], "won")
        await desk.until(ana, trade, "completed")

        assert (["blocked"], "0.00") == (during, shown["reserved"])
        await desk.balanced()

    async def test_under_a_block_is_lost_with_the_dispute(self, desk: Desk, boss: Person):
        ana = await desk.person()
        async with desk.agreed(payment_window_seconds=8, payment_leniency_seconds=0.2):
            trade = await desk.buy(ana, "150.00")
        paid = desk.bank.pay(trade["id"], moods=[Mood.BLOCKED])["end_to_end_id"]
        await desk.until(ana, trade, "confirming_payment")
        claim = desk.bank.dispute(paid)
        await known(desk, boss, claim, cover="pending")

        desk.bank.decide(claim["id"], "lost")
        ended = await known(desk, boss, claim, "lost")
        await desk.until(ana, trade, "expired")

        assert ("taken_back", []) == (ended["receipt"]["state"], [p for p in ended["postings"] if p["owner"]])
        await desk.balanced()

    @pytest.mark.parametrize("outcome", ["won", "lost"])
    async def test_that_the_bank_would_not_send_back_pays_for_itself(self, desk: Desk, boss: Person, outcome: str):
        ana = await desk.person()
        async with desk.agreed(payment_window_seconds=8, payment_leniency_seconds=0.2):
            trade = await desk.buy(ana, "150.00")
        desk.bank.set_moods(Mood.REJECTED, for_="refunds")
        paid = desk.bank.pay(trade["id"], payer_tax_id=STRANGER)["end_to_end_id"]
        await desk.until(ana, trade, "needs_review")
        before = await balances(desk, ana)
        claim = desk.bank.dispute(paid)
        shown = await known(desk, boss, claim, cover="pending")
        during = await moved(desk, ana, before)
        await desk.balanced()
        desk.bank.decide(claim["id"], outcome)
        ended = await known(desk, boss, claim, outcome)

        assert ({"user": 0, "reserve": 0, "blocked": -15_000, "desk": 0}, "0.00") == (during, shown["reserved"])
        assert {"won": "refund_failed", "lost": "taken_back"}[outcome] == ended["receipt"]["state"]
        await desk.until(ana, trade, {"won": "needs_review", "lost": "refunded"}[outcome], seconds=8)
        assert {"user": 0, "reserve": 0, "blocked": 0, "desk": 0} == await moved(desk, ana, before)
        await desk.balanced()


class TestDefence:
    STATEMENT = "The coins were delivered to the address that the payer named."

    async def test_is_handed_in_once_and_the_same_again_changes_nothing(
        self, desk: Desk, boss: Person, errors: list[logging.LogRecord]
    ):
        ana = await desk.person()
        _, paid = await bought(desk, ana)
        claim = desk.bank.dispute(paid)
        shown = await known(desk, boss, claim, cover="reserve")
        path, body = f"{OPS}/{shown['id']}/defend", {"statement": self.STATEMENT, "evidence": EVIDENCE}

        for _ in range(2):
            await desk.post(boss, path, body)
        await desk.eventually(lambda: _handed_in(desk, boss, shown), "the defence to be handed in")
        await desk.post(boss, path, body)
        other = await desk.call(boss, "POST", path, body | {"statement": "Something else."})
        desk.bank.decide(claim["id"], "won")
        ended = await known(desk, boss, claim, "won")
        again = await desk.call(boss, "POST", path, body)

        assert 1 == desk.bank.find_dispute(claim["id"])["statements"]
        assert (409, 200) == (other.status_code, again.status_code)
        steps = ["opened", "reserved", "defence_given", "defended", "won"]
        assert steps == [entry["step"] for entry in ended["history"]]
        assert self.STATEMENT not in str(ended)
        assert 0 == told(errors, "dispute.undefended")
        await desk.balanced()

    async def test_is_refused_after_the_window_and_its_lack_asks_for_a_person(
        self, desk: Desk, boss: Person, errors: list[logging.LogRecord]
    ):
        ana = await desk.person()
        _, paid = await bought(desk, ana)
        claim = desk.bank.dispute(paid, answer_seconds=10)
        shown = await known(desk, boss, claim, cover="reserve")
        path, body = f"{OPS}/{shown['id']}/defend", {"statement": self.STATEMENT, "evidence": EVIDENCE}

        async def heard_twice() -> bool:
            return told(errors, "dispute.undefended") == 2

        await desk.eventually(heard_twice, "the log to ask for a person twice")
        await asyncio.sleep(3)
        late = await desk.call(boss, "POST", path, body)
        mine = await desk.call(ana, "POST", path, body)

        assert (409, 403) == (late.status_code, mine.status_code)
        assert 0 == desk.bank.find_dispute(claim["id"])["statements"]
        assert 403 == (await desk.call(ana, "GET", OPS)).status_code
        desk.bank.decide(claim["id"], "won")
        await known(desk, boss, claim, "won")

    async def test_that_the_provider_refuses_can_be_given_anew(
        self, desk: Desk, boss: Person, errors: list[logging.LogRecord]
    ):
        """Our clock is before the window's end and the bank's after it."""
        ana = await desk.person()
        _, paid = await bought(desk, ana)
        claim = desk.bank.dispute(paid, answer_seconds=0)
        shown = await known(desk, boss, claim, cover="reserve")
        path, body = f"{OPS}/{shown['id']}/defend", {"statement": self.STATEMENT, "evidence": EVIDENCE}
        async with desk.engine.begin() as conn:
            later = text("UPDATE pix_disputes SET answer_until = now() + interval '1 hour' WHERE id = :id")
            await conn.execute(later, {"id": shown["id"]})

        await desk.post(boss, path, body)

        async def refused() -> bool:
            return (await desk.get(boss, f"{OPS}/{shown['id']}"))["defence"]["refusal"] == "dispute_closed"

        await desk.eventually(refused, "the provider's refusal")
        desk.bank.decide(claim["id"], "won")
        await known(desk, boss, claim, "won")
        assert 1 == told(errors, "dispute.defence_refused")
