"""The fiat wallet through the HTTP door: reais come in by PIX and leave by PIX, whatever payers and banks do."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models.ledger import queries as ledger
from models.ledger.chart import held
from payments import br_code
from payments.sandbox.moods import Mood
from tests.desk import Desk, Person, open_desk
from tests.flows.test_replay_and_privacy import history_of, personal, replayer
from tests.people import cpf

DEPOSITS, WITHDRAWALS = "/api/v1/wallet/pix/deposits", "/api/v1/wallet/pix/withdrawals"
STRANGER = cpf(999_998)

PAID_ALL_THE_SAME = [
    "timeout_after_accepting",
    "error_504_after_accepting",
    "drop_connection_after_accepting",
    "error_500_before_accepting",
    "no_balance",
    "limit_reached",
    "slow",
    "webhook_never",
    "webhook_duplicate",
    "webhook_before_response",
    "webhook_out_of_order",
    "webhook_stale",
    "webhook_forged",
]
GIVEN_BACK = {"rejected": "payout_rejected", "refused": "payout_rejected", "returned": "payout_returned"}


async def until(desk: Desk, person: Person, path: str, *statuses: str, seconds: float = 60) -> Any:
    """Wait for what is at this address to be in one of these states; it, then."""
    seen: dict[str, Any] = {}

    async def reached() -> bool:
        seen.update(await desk.get(person, path))
        return seen["status"] in statuses

    await desk.eventually(reached, f"{statuses}", seconds=seconds, say=lambda: str(seen))
    return seen


async def order(desk: Desk, person: Person, amount: str = "100.00") -> Any:
    """A deposit that can be paid now."""
    deposit = await desk.post(person, DEPOSITS, {"amount": amount})
    seen = dict(deposit)

    async def payable() -> bool:
        seen.update(await desk.get(person, f"{DEPOSITS}/{deposit['id']}"))
        return seen["payment"]["br_code"] is not None

    await desk.eventually(payable, "a BR Code", say=lambda: str(seen))
    return seen


async def pay(desk: Desk, deposit: Any, **how: Any) -> Any:
    return await asyncio.to_thread(desk.bank.pay, deposit["id"], **how)


async def rich(desk: Desk, tag: str = "", amount: str = "100.00", **more: Any) -> Person:
    """A person with reais on the platform, who paid them in."""
    person = await desk.person(tag, **more)
    deposit = await order(desk, person, amount)
    await pay(desk, deposit)
    await until(desk, person, f"{DEPOSITS}/{deposit['id']}", "completed")
    return person


async def withdraw(desk: Desk, person: Person, amount: str = "60.00") -> Any:
    body = {"amount": amount, "bank_data_id": person.bank_data_id}
    return await desk.post(person, WITHDRAWALS, body)


async def ended(desk: Desk, person: Person, withdrawal: Any, *statuses: str) -> Any:
    return await until(desk, person, f"{WITHDRAWALS}/{withdrawal['id']}", *statuses)


async def receipts(desk: Desk, person: Person, deposit: Any, *outcomes: tuple[str, str | None]) -> None:
    """Wait until the deposit's receipts are in these states, with these reasons."""
    seen: list[Any] = []

    async def reached() -> bool:
        seen[:] = (await desk.get(person, f"{DEPOSITS}/{deposit['id']}"))["payment"]["receipts"]
        return sorted(map(str, outcomes)) == sorted(str((r["status"], r["reason"])) for r in seen)

    await desk.eventually(reached, f"{outcomes}", say=lambda: str(seen))


async def reais(desk: Desk, person: Person) -> tuple[int, int]:
    """Available and held, in centavos."""
    async with desk.engine.connect() as conn:
        kept = await ledger.balance(conn, held(person.id, "BRL"))
    return await desk.available(person, "BRL"), kept


class TestDeposit:
    async def test_becomes_a_balance_once_it_is_paid(self, desk: Desk):
        ana = await desk.person()

        deposit = await order(desk, ana, "150.00")
        picture = await desk.call(ana, "GET", f"{DEPOSITS}/{deposit['id']}/qr.svg")
        before = await desk.available(ana, "BRL")
        await pay(desk, deposit)
        done = await until(desk, ana, f"{DEPOSITS}/{deposit['id']}", "completed")

        assert "awaiting_payment" == deposit["status"]
        assert 15_000 == br_code.parse(deposit["payment"]["br_code"]).amount_centavos
        assert "image/svg+xml" == picture.headers["content-type"]
        assert 0 == before
        assert (15_000, 0) == await reais(desk, ana)
        assert ["credited"] == [receipt["status"] for receipt in done["payment"]["receipts"]]
        assert [deposit["id"]] == [one["id"] for one in (await desk.get(ana, DEPOSITS))["deposits"]]
        await desk.balanced()

    async def test_paid_wrongly_goes_back_and_the_right_payment_still_counts(self, desk: Desk):
        wrong = {
            "payer_differs": {"payer_tax_id": STRANGER},
            "payer_unknown": {"payer_tax_id": None},
            "amount_differs": {"amount_centavos": 9_999},
        }

        async def story(reason: str, how: dict[str, Any]) -> None:
            ana = await desk.person()
            deposit = await order(desk, ana)
            await pay(desk, deposit, **how)
            await receipts(desk, ana, deposit, ("refunded", reason))
            await pay(desk, deposit)
            await receipts(desk, ana, deposit, ("refunded", reason), ("credited", None))
            assert (10_000, 0) == await reais(desk, ana)

        await asyncio.gather(*(story(*case) for case in wrong.items()))

        await desk.balanced()

    async def test_paid_three_times_at_once_is_credited_once(self, desk: Desk):
        ana = await desk.person()
        deposit = await order(desk, ana)

        await asyncio.gather(*(pay(desk, deposit) for _ in range(3)))

        twice = ("refunded", "duplicate_payment")
        await receipts(desk, ana, deposit, ("credited", None), twice, twice)
        assert (10_000, 0) == await reais(desk, ana)
        await desk.balanced()

    async def test_unpaid_in_time_expires_gives_its_limit_back_and_a_late_payment_back(self, desk: Desk):
        ana = await desk.person()
        async with desk.agreed(payment_window_seconds=6, payment_leniency_seconds=0.2):
            deposit = await order(desk, ana)
        promised = (await desk.get(ana, "/api/v1/wallet/pix/limits"))["deposit"]["used"]

        await until(desk, ana, f"{DEPOSITS}/{deposit['id']}", "expired")
        unpaid = (await desk.get(ana, "/api/v1/wallet/pix/limits"))["deposit"]["used"]
        await pay(desk, deposit)

        await receipts(desk, ana, deposit, ("refunded", "paid_after_expiry"))
        assert ("100.00", "0.00") == (promised, unpaid)
        assert (0, 0) == await reais(desk, ana)
        await desk.balanced()

    async def test_under_the_banks_block_is_shown_and_counts_when_that_ends(self, desk: Desk):
        ana = await desk.person()
        deposit = await order(desk, ana)

        receipt = await pay(desk, deposit, moods=[Mood.BLOCKED])
        await until(desk, ana, f"{DEPOSITS}/{deposit['id']}", "blocked")
        before = await reais(desk, ana)
        await asyncio.to_thread(desk.bank.release, receipt["end_to_end_id"])
        await until(desk, ana, f"{DEPOSITS}/{deposit['id']}", "completed")

        assert (0, 0) == before
        assert (10_000, 0) == await reais(desk, ana)
        await desk.balanced()

    async def test_that_the_bank_will_not_make_is_refused(self, desk: Desk):
        ana = await desk.person()
        desk.bank.set_moods(Mood.REFUSED, for_="charges")

        deposit = await desk.post(ana, DEPOSITS, {"amount": "100.00"})
        await until(desk, ana, f"{DEPOSITS}/{deposit['id']}", "refused")

        assert "0.00" == (await desk.get(ana, "/api/v1/wallet/pix/limits"))["deposit"]["used"]


class TestWithdrawal:
    async def test_leaves_the_balance_for_the_users_own_account_once(self, desk: Desk):
        ana = await rich(desk)

        withdrawal = await withdraw(desk, ana)
        done = await ended(desk, ana, withdrawal, "completed")

        paid = desk.payouts_of(withdrawal)
        log = await desk.get(ana, f"{WITHDRAWALS}/{withdrawal['id']}/audit-log")
        assert [("paid", "6000")] == [(payout["state"], payout["amount_centavos"]) for payout in paid]
        assert paid[0]["end_to_end_id"] == done["end_to_end_id"]
        assert (4_000, 0) == await reais(desk, ana)
        assert ["paying_out", "completed"] == [line["new_status"] for line in log]
        await desk.balanced()

    async def test_names_nobody_in_its_histories_and_they_replay(self, desk: Desk):
        ana = await rich(desk)
        withdrawal = await withdraw(desk, ana)
        await ended(desk, ana, withdrawal, "completed")
        desk.bank.send_back(withdrawal["id"])
        await ended(desk, ana, withdrawal, "refunded")
        deposit = (await desk.get(ana, DEPOSITS))["deposits"][0]
        own = [f"{kind}/{withdrawal['id']}" for kind in ("pix-withdrawal", "payout", "pix-withdrawal-return")]

        for workflow_id in [*own, f"charge/{deposit['id']}"]:
            history = await history_of(desk, workflow_id)
            await replayer().replay_workflow(history)

            assert [] == [secret for secret in personal(ana) if secret in history.to_json()], workflow_id

    async def test_is_paid_once_or_given_back_once_whatever_the_bank_does(self, desk: Desk):
        """Everybody at once, each at a bank that misbehaves in a way of its own."""

        async def story(mood: str) -> None:
            ana = await rich(desk, mood)
            withdrawal = await withdraw(desk, ana)
            reason = GIVEN_BACK.get(mood)
            end = await ended(desk, ana, withdrawal, "refunded" if reason else "completed")
            states = [payout["state"] for payout in desk.payouts_of(withdrawal)]
            assert reason == end["reason"], mood
            assert len(states) <= 1, mood
            assert ("paid" in states) is (reason is None), (mood, states)
            assert (10_000 if reason else 4_000, 0) == await reais(desk, ana), mood

        await asyncio.gather(*(story(mood) for mood in [*PAID_ALL_THE_SAME, *GIVEN_BACK]))

        await desk.balanced()

    async def test_that_came_back_twice_over_is_given_back_once(self, desk: Desk):
        ana = await rich(desk)
        withdrawal = await withdraw(desk, ana)
        await ended(desk, ana, withdrawal, "completed")

        desk.bank.send_back(withdrawal["id"])
        desk.bank.resend_webhooks(withdrawal["id"])
        end = await ended(desk, ana, withdrawal, "refunded")
        await desk.ended(f"pix-withdrawal-return/{withdrawal['id']}")

        log = await desk.get(ana, f"{WITHDRAWALS}/{withdrawal['id']}/audit-log")
        limits = await desk.get(ana, "/api/v1/wallet/pix/limits")
        assert ("payout_returned", "returned") == (end["reason"], end["payout_status"])
        assert ["paying_out", "completed", "refunded"] == [line["new_status"] for line in log]
        assert (10_000, 0) == await reais(desk, ana)
        assert "0.00" == limits["withdrawal"]["used"]
        await desk.balanced()


class TestDarkProvider:
    async def test_keeps_the_reais_held_until_it_speaks_or_an_operator_does(self, desk: Desk):
        *people, boss = await asyncio.gather(*(rich(desk) for _ in range(3)), desk.operator())
        evidence = {"evidence": "letter 7 of the bank"}
        desk.bank.set_moods(Mood.DARK)
        async with desk.agreed(payout_deadline_seconds=1.5):
            orders = [await withdraw(desk, person) for person in people]
        paths = [f"{WITHDRAWALS}/{one['id']}/confirm-payment" for one in orders]

        try:
            early = await desk.call(boss, "POST", paths[0], {"paid": False, **evidence})
            reviews = [await ended(desk, *each, "needs_review") for each in zip(people, orders, strict=True)]
            forbidden = await desk.call(people[0], "POST", paths[0], {"paid": False, **evidence})
            unpaid = await desk.post(boss, paths[0], {"paid": False, **evidence})
            again = await desk.post(boss, paths[0], {"paid": False, **evidence})
            otherwise = await desk.call(boss, "POST", paths[0], {"paid": True, **evidence})
            kept = [await reais(desk, person) for person in people]
        finally:
            desk.bank.clear_moods()
        late = [await ended(desk, *each, "completed") for each in zip(people[1:], orders[1:], strict=True)]

        assert {"payout_outcome_unknown"} == {review["reason"] for review in reviews}
        assert [409, 403, 409] == [reply.status_code for reply in (early, forbidden, otherwise)]
        assert {"refunded"} == {unpaid["status"], again["status"]}
        assert [(10_000, 0), (4_000, 6_000), (4_000, 6_000)] == kept
        assert {"late_confirmation"} == {one["reason"] for one in late}
        assert [0, 1, 1] == [len(desk.payouts_of(one)) for one in orders]
        log = await desk.get(boss, f"{WITHDRAWALS}/{orders[0]['id']}/audit-log")
        assert 1 == str(log).count("letter 7 of the bank")
        await desk.balanced()

    async def test_that_paid_and_fell_silent_is_believed_on_paper(self, desk: Desk):
        ana, boss = await rich(desk, "slow"), await desk.operator()
        withdrawal = await withdraw(desk, ana)
        await desk.eventually(lambda: _sent(desk, withdrawal), "the bank to have the payout")

        body = {"paid": True, "end_to_end_id": "E" + "8" * 31, "evidence": "statement line 12"}
        said = await desk.post(boss, f"{WITHDRAWALS}/{withdrawal['id']}/confirm-payment", body)
        await desk.ended(f"pix-withdrawal/{withdrawal['id']}")

        assert ("completed", "E" + "8" * 31) == (said["status"], said["end_to_end_id"])
        await desk.balanced()


class TestParts:
    async def test_away_delay_a_withdrawal_and_pay_it_once(self):
        with TemporaryDirectory(prefix="liquida-fiat-") as name:
            directory = Path(name)
            directory.chmod(0o755)
            async with open_desk(directory, working=False) as desk:
                async with desk.working():
                    await desk.open()
                    ana = await rich(desk)
                    unpaid = await order(desk, ana)

                first, second = await withdraw(desk, ana, "10.00"), await withdraw(desk, ana, "20.00")
                await pay(desk, unpaid)
                async with desk.working(("settlement",)):
                    waiting = await desk.get(ana, f"{WITHDRAWALS}/{first['id']}")
                async with desk.working():
                    for one in (first, second):
                        await ended(desk, ana, one, "completed")
                    await until(desk, ana, f"{DEPOSITS}/{unpaid['id']}", "completed")

                assert "paying_out" == waiting["status"]
                assert [1, 1] == [len(desk.payouts_of(one)) for one in (first, second)]
                assert (17_000, 0) == await reais(desk, ana)
                await desk.balanced()


async def _sent(desk: Desk, withdrawal: Any) -> bool:
    return len(desk.payouts_of(withdrawal)) == 1
