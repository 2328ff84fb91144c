"""P2P trades paid by PIX at our own provider: nobody confirms anything, the bank's receipt does."""

from typing import Any

from payments.sandbox.moods import Mood
from tests.desk import Desk, Person
from tests.flows.test_p2p import FEE, PAID, TAKE, TRADES, couple, log, moved, opened, over, ruled, until
from tests.people import cpf

STRANGER = cpf(777_777)


async def payable(desk: Desk, seller: Person, buyer: Person, **more: Any) -> Any:
    """A trade whose BR Code is there."""
    trade = await opened(desk, seller, buyer, "charge", **more)
    seen: dict[str, Any] = {}

    async def is_there() -> bool:
        seen.update(await desk.get(buyer, f"{TRADES}/{trade['id']}"))
        return seen["charge"]["br_code"] is not None

    await desk.eventually(is_there, "a BR Code")
    return seen


async def sold(desk: Desk, seller: Person, buyer: Person) -> None:
    assert (-TAKE, 0, PAID, 0) == await moved(desk, seller)
    assert (TAKE - FEE, 0, 0, 0) == await moved(desk, buyer)
    await desk.balanced()


class TestCharge:
    async def test_paid_by_the_buyer_completes_the_trade_by_itself(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await payable(desk, seller, buyer)

        desk.bank.pay(trade["id"])
        done = await until(desk, buyer, trade, "completed")
        await over(desk, trade)

        assert ("completed", "pix_received") == (done["status"], done["reason"])
        assert [("credited", None)] == [(one["status"], one["reason"]) for one in done["charge"]["receipts"]]
        assert (await desk.get(seller, f"{TRADES}/{trade['id']}"))["charge"] is None
        assert [] == (await desk.get(buyer, "/api/v1/wallet/pix/deposits"))["deposits"]
        await sold(desk, seller, buyer)

    async def test_paid_by_a_stranger_goes_back_and_waits_for_the_buyer(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await payable(desk, seller, buyer)

        desk.bank.pay(trade["id"], payer_tax_id=STRANGER)

        async def is_back() -> bool:
            shown = (await desk.get(buyer, f"{TRADES}/{trade['id']}"))["charge"]["receipts"]
            return [("refunded", "payer_differs")] == [(one["status"], one["reason"]) for one in shown]

        await desk.eventually(is_back, "the stranger's reais to go back")
        desk.bank.pay(trade["id"])
        await until(desk, buyer, trade, "completed")
        await sold(desk, seller, buyer)

    async def test_under_a_block_waits_for_its_end(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await payable(desk, seller, buyer)

        paid = desk.bank.pay(trade["id"], moods=[Mood.BLOCKED])
        await until(desk, buyer, trade, "payment_sent")
        refused = await desk.call(seller, "POST", f"{TRADES}/{trade['id']}/confirm-payment")
        desk.bank.release(paid["end_to_end_id"])
        await until(desk, buyer, trade, "completed")

        assert 409 == refused.status_code
        assert ["open", "payment_sent", "completed"] == [status for status, _ in await log(desk, seller, trade)]
        await sold(desk, seller, buyer)

    async def test_unpaid_in_its_window_ends_the_trade_and_a_late_payment_goes_back(self, desk: Desk):
        seller, buyer = await couple(desk)
        async with ruled(desk), desk.agreed(payment_leniency_seconds=0.2):
            trade = await payable(desk, seller, buyer, window=5)

        expired = await until(desk, buyer, trade, "expired")
        await over(desk, trade)
        desk.bank.pay(trade["id"])

        async def is_back() -> bool:
            shown = (await desk.get(buyer, f"{TRADES}/{trade['id']}"))["charge"]["receipts"]
            return ["refunded"] == [one["status"] for one in shown]

        await desk.eventually(is_back, "the late payment to go back")
        assert "not_paid_in_time" == expired["reason"]
        assert ((0, 0, 0, 0), (0, 0, 0, 0)) == (await moved(desk, seller), await moved(desk, buyer))
        await desk.balanced()

    async def test_has_a_picture_for_the_buyer_alone(self, desk: Desk):
        seller, buyer = await couple(desk)
        trade = await payable(desk, seller, buyer)

        shown = [await desk.call(who, "GET", f"{TRADES}/{trade['id']}/qr.svg") for who in (buyer, seller)]

        assert [200, 404] == [reply.status_code for reply in shown]
        assert "<svg" in shown[0].text[:200]
