"""The bank on a bad day: whatever it does, a payout is paid once or not at all, and the books know which."""

import asyncio

import pytest

from tests.desk import ETHER, Desk

PAID_ALL_THE_SAME = [
    "timeout_after_accepting",
    "error_504_after_accepting",
    "error_500_before_accepting",
    "drop_connection_after_accepting",
    "slow",
    "no_balance",
    "limit_reached",
    "webhook_duplicate",
    "webhook_never",
    "webhook_before_response",
    "webhook_out_of_order",
    "webhook_stale",
    "webhook_forged",
]


async def _sold(desk: Desk, mood: str):
    ana = await desk.person(mood)
    await desk.give(ana, ETHER // 2)
    return ana, await desk.sell(ana, "0.2")


class TestPayout:
    @pytest.mark.parametrize("mood", PAID_ALL_THE_SAME)
    async def test_is_paid_exactly_once_through(self, desk: Desk, mood: str):
        ana, trade = await _sold(desk, mood)

        await desk.until(ana, trade, "completed", seconds=60)

        assert ["paid"] == [payout["state"] for payout in desk.payouts_of(trade)]
        await desk.balanced()

    @pytest.mark.parametrize("mood", ["rejected", "refused"])
    async def test_rejected_gives_the_coins_back(self, desk: Desk, mood: str):
        ana, trade = await _sold(desk, mood)

        ended = await desk.until(ana, trade, "refunded")

        why = await desk.why(ana, trade)
        assert ETHER // 2 == await desk.available(ana)
        assert ["final"] == [t["status"] for t in why["transfers"] if t["purpose"] == "refund"]
        assert "paid" not in [payout["state"] for payout in desk.payouts_of(trade)], ended
        await desk.balanced()

    async def test_rejected_sends_a_deposit_back_on_chain(self, desk: Desk):
        ana, refund = await desk.person("rejected"), desk.fresh_address()

        trade = await desk.sell(ana, "0.2", funding="deposit", refund_address=refund)
        await desk.send(trade["deposit_address"], ETHER // 5)
        await desk.until(ana, trade, "refunded")

        assert ETHER // 5 == await desk.coins(refund)
        await desk.balanced()


class TestDarkProvider:
    async def test_leaves_the_trade_to_an_operator_and_the_payout_to_evidence(self, desk: Desk):
        ana, operator = await desk.person(), await desk.operator()
        await desk.give(ana, ETHER // 2)
        desk.bank.set_moods(_mood("dark"), count=1)
        async with desk.agreed(payout_deadline_seconds=2):
            trade = await desk.sell(ana, "0.2")

        review = await desk.until(ana, trade, "needs_review")
        why = await desk.why(ana, trade)
        refused = await desk.call(ana, "POST", _path(trade, "confirm-payment"), {"paid": True, "evidence": "mine"})
        too_early = await desk.call(
            operator, "POST", _path(trade, "complete"), {"ruling": "refund", "evidence": "impatience"}
        )
        desk.bank.clear_moods()
        ended = await desk.until(ana, trade, "completed", seconds=60)

        assert "payout_outcome_unknown" == review["reason"]
        assert "operator" in why["who_must_act"]
        assert 403 == refused.status_code
        assert 409 == too_early.status_code
        assert "late_confirmation" == ended["reason"]
        assert 1 == len(desk.payouts_of(trade))
        await desk.balanced()

    async def test_is_settled_by_an_operators_evidence(self, desk: Desk):
        """The bank took the payout and went silent; its paper says it was paid."""
        ana, operator = await desk.person("slow"), await desk.operator()
        await desk.give(ana, ETHER // 2)
        trade = await desk.sell(ana, "0.2")
        await desk.until(ana, trade, "paying_out")
        await desk.eventually(lambda: _sent(desk, trade), "the bank to have the payout")

        body = {"paid": True, "end_to_end_id": "E" + "9" * 31, "evidence": "letter 7 of the bank"}
        reply = await desk.post(operator, _path(trade, "confirm-payment"), body)

        await desk.until(ana, trade, "completed")
        log = await desk.get(operator, _path(trade, "audit-log"))
        assert reply["status"] in {"paying_out", "completed"}
        assert "letter 7 of the bank" in str(log)
        await asyncio.sleep(3.5)
        await desk.balanced()


class TestReturnedPayout:
    @pytest.mark.parametrize(("ruling", "end"), [("complete", "completed"), ("refund", "refunded")])
    async def test_reopens_the_trade_for_an_operators_ruling(self, desk: Desk, ruling: str, end: str):
        ana, operator = await desk.person(), await desk.operator()
        await desk.give(ana, ETHER // 2)
        trade = await desk.sell(ana, "0.2")
        await desk.until(ana, trade, "completed")

        desk.bank.send_back(trade["id"])
        review = await desk.until(ana, trade, "needs_review")
        await desk.balanced()
        body = {"ruling": ruling, "evidence": "call with the user"}
        await desk.post(operator, _path(trade, "complete"), body)
        await desk.until(ana, trade, end)

        total = int(trade["total"].replace(".", ""))
        assert "payout_returned" == review["reason"]
        assert (total if ruling == "complete" else 0) == await desk.available(ana, "BRL")
        assert (3 * ETHER // 10 if ruling == "complete" else ETHER // 2) == await desk.available(ana)
        await desk.balanced()


def _path(trade, action: str) -> str:
    return f"/api/v1/instant-trade/{trade['id']}/{action}"


def _mood(name: str):
    from payments.sandbox.moods import Mood

    return Mood(name)


async def _sent(desk: Desk, trade) -> bool:
    return len(desk.payouts_of(trade)) == 1
