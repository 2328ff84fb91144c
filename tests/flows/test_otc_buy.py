"""OTC buy through the HTTP door: what users pay, what the chain shows, what the bank kept and sent back."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from models.ledger import queries as ledger
from models.ledger.chart import Purpose, held, house
from payments import br_code
from payments.sandbox.moods import Mood
from tests.desk import Desk, Person
from tests.people import cpf

STRANGER = cpf(999_999)


async def receipts(desk: Desk, person: Person, trade: Any) -> list[Any]:
    return (await desk.get(person, f"/api/v1/instant-trade/{trade['id']}"))["payment"]["receipts"]


async def settled(desk: Desk, person: Person, trade: Any, *outcomes: tuple[str, str | None]) -> None:
    """Wait until the trade's receipts are in these states, with these reasons."""
    seen: list[Any] = []

    async def reached() -> bool:
        seen[:] = await receipts(desk, person, trade)
        return sorted(map(str, outcomes)) == sorted(str((r["status"], r["reason"])) for r in seen)

    await desk.eventually(reached, f"{outcomes}", say=lambda: str(seen))


async def nothing_left(desk: Desk, person: Person) -> None:
    """No reais and no coins of the person are held by anything, and none wait for their fate at the house."""
    async with desk.engine.connect() as conn:
        assert 0 == await ledger.balance(conn, held(person.id, "BRL"))
        assert 0 == await ledger.balance(conn, held(person.id, "ETH.ethereum"))


class TestBuyToAnAddress:
    async def test_delivers_what_was_quoted_once_for_one_pix(self, desk: Desk):
        ana, there = await desk.person(), desk.fresh_address()

        trade = await desk.buy(ana, "150.00", to=there)
        desk.bank.pay(trade["id"])
        ended = await desk.until(ana, trade, "completed")

        why = await desk.why(ana, trade)
        assert ["awaiting_payment", "delivering", "completed"] == await desk.log(ana, trade)
        assert int(Decimal(ended["amount"]) * 10**18) == await desk.coins(there)
        assert [("delivery", "final")] == [(t["purpose"], t["status"]) for t in why["transfers"]]
        assert ["credited"] == [receipt["status"] for receipt in ended["payment"]["receipts"]]
        assert "150.00" == ended["total"]
        await nothing_left(desk, ana)
        await desk.balanced()

    async def test_runs_one_identifier_from_end_to_end(self, desk: Desk):
        ana = await desk.person()

        trade = await desk.buy(ana, "50.00", to=desk.fresh_address())
        desk.bank.pay(trade["id"])
        await desk.until(ana, trade, "completed")

        ids = (await desk.why(ana, trade))["identifiers"]
        assert trade["id"] == ids["trade_id"] == ids["provider_key"]
        assert f"otc-buy/{trade['id']}" == ids["workflow_id"]
        assert {f"{trade['id']}/buy", f"{trade['id']}/delivery"} <= set(ids["ledger_keys"])

    async def test_buys_an_exact_amount_of_coins(self, desk: Desk):
        ana, there = await desk.person(), desk.fresh_address()

        trade = await desk.buy(ana, to=there, pay_brl=None, amount="0.01")
        desk.bank.pay(trade["id"])
        await desk.until(ana, trade, "completed")

        assert 10**16 == await desk.coins(there)
        await desk.balanced()

    async def test_shows_the_parts_that_make_the_total(self, desk: Desk):
        ana = await desk.person()

        trade = await desk.buy(ana, "150.00")

        parts = [Decimal(trade[name]) for name in ("gross", "spread", "network_fee")]
        assert Decimal(trade["total"]) == sum(parts)
        assert Decimal("150.00") == br_code.parse(trade["payment"]["br_code"]).amount_centavos / Decimal(100)


class TestBuyToThePlatform:
    async def test_makes_the_coins_a_balance_that_can_be_sold_again(self, desk: Desk):
        ana = await desk.person()

        trade = await desk.buy(ana, "300.00")
        desk.bank.pay(trade["id"])
        bought = await desk.until(ana, trade, "completed")

        units = int(Decimal(bought["amount"]) * 10**18)
        assert units == await desk.available(ana) == await desk.coins(ana.address)
        sale = await desk.sell(ana, "0.01")
        await desk.until(ana, sale, "completed")
        await desk.balanced()


class TestWrongPayment:
    """Each goes back to its payer with a coded reason, and the trade can still be paid rightly until its end."""

    @pytest.mark.parametrize(
        ("payment", "reason"),
        [
            pytest.param({"payer_tax_id": STRANGER}, "payer_differs", id="by-a-stranger"),
            pytest.param({"payer_tax_id": None}, "payer_unknown", id="by-nobody-knows-whom"),
            pytest.param({"amount_centavos": 14_999}, "amount_differs", id="too-little"),
            pytest.param({"amount_centavos": 15_001}, "amount_differs", id="too-much"),
        ],
    )
    async def test_goes_back_and_the_right_one_still_buys(self, desk: Desk, payment: Any, reason: str):
        ana = await desk.person()
        trade = await desk.buy(ana, "150.00", to=desk.fresh_address())

        desk.bank.pay(trade["id"], **payment)
        await settled(desk, ana, trade, ("refunded", reason))
        desk.bank.pay(trade["id"])
        await desk.until(ana, trade, "completed")

        await settled(desk, ana, trade, ("refunded", reason), ("credited", None))
        await nothing_left(desk, ana)
        await desk.balanced()

    async def test_alone_ends_the_trade_refunded(self, desk: Desk):
        ana = await desk.person()
        async with desk.agreed(payment_window_seconds=7, payment_leniency_seconds=0.2):
            trade = await desk.buy(ana, "150.00")

        desk.bank.pay(trade["id"], payer_tax_id=STRANGER)
        ended = await desk.until(ana, trade, "refunded")

        assert "payer_differs" == ended["reason"]
        assert "awaiting_payment" == (await desk.log(ana, trade))[0]
        await nothing_left(desk, ana)
        await desk.balanced()

    async def test_twice_is_credited_once(self, desk: Desk):
        ana, there = await desk.person(), desk.fresh_address()
        trade = await desk.buy(ana, "150.00", to=there)

        await asyncio.gather(*(asyncio.to_thread(desk.bank.pay, trade["id"]) for _ in range(3)))
        ended = await desk.until(ana, trade, "completed")

        twice = ("refunded", "duplicate_payment")
        await settled(desk, ana, trade, ("credited", None), twice, twice)
        assert int(Decimal(ended["amount"]) * 10**18) == await desk.coins(there)
        await desk.balanced()


class TestTime:
    async def test_that_runs_out_unpaid_expires_the_trade(self, desk: Desk):
        ana = await desk.person()

        async with desk.agreed(payment_window_seconds=6, payment_leniency_seconds=0.2):
            trade = await desk.buy(ana, "150.00")
        ended = await desk.until(ana, trade, "expired")

        assert "no_payment_in_time" == ended["reason"]
        await desk.balanced()

    async def test_that_ran_out_sends_a_payment_back(self, desk: Desk):
        ana = await desk.person()
        async with desk.agreed(payment_window_seconds=6, payment_leniency_seconds=0.2):
            trade = await desk.buy(ana, "150.00")
        await desk.until(ana, trade, "expired")

        desk.bank.pay(trade["id"])

        await settled(desk, ana, trade, ("refunded", "paid_after_expiry"))
        assert "expired" == (await desk.get(ana, f"/api/v1/instant-trade/{trade['id']}"))["status"]
        await desk.balanced()

    async def test_long_over_still_sends_a_payment_back(self, desk: Desk):
        """The charge's own watch has ended, so the webhook has to wake another."""
        ana = await desk.person()
        async with (
            desk.agreed(payment_window_seconds=6, payment_leniency_seconds=0.1),
            desk.waiting(charge_watch_seconds=0.5),
        ):
            trade = await desk.buy(ana, "150.00")
        await desk.until(ana, trade, "expired")
        await desk.ended(f"charge/{trade['id']}")

        desk.bank.pay(trade["id"])

        await settled(desk, ana, trade, ("refunded", "paid_after_expiry"))
        await desk.balanced()

    async def test_is_not_over_for_a_payment_whose_webhook_got_lost(self, desk: Desk):
        ana = await desk.person()
        async with (
            desk.agreed(payment_window_seconds=8, payment_leniency_seconds=0.5),
            desk.waiting(charge_poll_first_seconds=60, charge_poll_most_seconds=60),
        ):
            trade = await desk.buy(ana, "150.00")

        desk.bank.pay(trade["id"], moods=[Mood.WEBHOOK_NEVER])
        await desk.until(ana, trade, "completed")

        assert "confirming_payment" in await desk.log(ana, trade)
        await desk.balanced()

    async def test_spent_by_a_dark_bank_is_nobodys_verdict(self, desk: Desk):
        """The bank cannot be asked when the window ends: the trade waits, and the payment counts in the end."""
        ana = await desk.person()
        async with desk.agreed(payment_window_seconds=7, payment_leniency_seconds=0.3):
            trade = await desk.buy(ana, "150.00")
        desk.bank.pay(trade["id"], moods=[Mood.WEBHOOK_NEVER])
        desk.bank.set_moods(Mood.DARK)

        try:
            await desk.until(ana, trade, "confirming_payment", "completed")
        finally:
            desk.bank.clear_moods()
        await desk.until(ana, trade, "completed")

        await desk.balanced()


class TestCancel:
    async def test_before_a_payment_ends_it_and_a_later_one_goes_back(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.buy(ana, "150.00")

        cancelled = await desk.post(ana, f"/api/v1/instant-trade/{trade['id']}/cancel")
        desk.bank.pay(trade["id"])

        assert "cancelled" == cancelled["status"]
        await settled(desk, ana, trade, ("refunded", "trade_over"))
        await desk.balanced()

    async def test_after_the_payment_is_refused(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.buy(ana, "150.00", to=desk.fresh_address())
        desk.bank.pay(trade["id"])
        await desk.until(ana, trade, "delivering", "completed")

        reply = await desk.call(ana, "POST", f"/api/v1/instant-trade/{trade['id']}/cancel")

        assert 409 == reply.status_code
        await desk.until(ana, trade, "completed")
        await desk.balanced()


class TestBlock:
    async def test_that_is_lifted_lets_the_payment_count(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.buy(ana, "150.00", to=desk.fresh_address())
        before = await blocked_centavos(desk)

        paid = desk.bank.pay(trade["id"], moods=[Mood.BLOCKED])
        await desk.until(ana, trade, "confirming_payment")
        await settled(desk, ana, trade, ("blocked", None))
        blocked = await blocked_centavos(desk) - before
        desk.bank.release(paid["end_to_end_id"])
        await desk.until(ana, trade, "completed")

        assert -15_000 == blocked
        await nothing_left(desk, ana)
        await desk.balanced()

    async def test_that_ends_at_the_payers_leaves_nothing(self, desk: Desk):
        ana = await desk.person()
        async with desk.agreed(payment_window_seconds=7, payment_leniency_seconds=0.2):
            trade = await desk.buy(ana, "150.00")

        paid = desk.bank.pay(trade["id"], moods=[Mood.BLOCKED])
        await desk.until(ana, trade, "confirming_payment")
        desk.bank.take_back(paid["end_to_end_id"])
        await desk.until(ana, trade, "expired")

        await settled(desk, ana, trade, ("taken_back", None))
        await desk.balanced()


class TestDelivery:
    async def test_that_the_network_refuses_sends_the_reais_back(self, desk: Desk):
        """A contract that takes no coins: the node says so before anything is signed."""
        ana, there = await desk.person(), desk.fresh_address()
        await desk.anvil.rpc("anvil_setCode", there, "0x60006000fd")
        trade = await desk.buy(ana, "150.00", to=there)

        desk.bank.pay(trade["id"])
        ended = await desk.until(ana, trade, "refunded")

        assert ["awaiting_payment", "delivering", "refunding", "refunded"] == await desk.log(ana, trade)
        assert "delivery_failed" == ended["reason"]
        assert 0 == await desk.coins(there)
        await settled(desk, ana, trade, ("refunded", "delivery_failed"))
        await nothing_left(desk, ana)
        await desk.balanced()


class TestRefund:
    @pytest.mark.parametrize(
        "mood",
        [
            pytest.param(mood, id=mood.value)
            for mood in (
                Mood.TIMEOUT_AFTER_ACCEPTING,
                Mood.ERROR_504_AFTER_ACCEPTING,
                Mood.DROP_CONNECTION_AFTER_ACCEPTING,
                Mood.ERROR_500_BEFORE_ACCEPTING,
                Mood.NO_BALANCE,
                Mood.WEBHOOK_NEVER,
                Mood.WEBHOOK_DUPLICATE,
                Mood.WEBHOOK_OUT_OF_ORDER,
                Mood.WEBHOOK_FORGED,
                Mood.WEBHOOK_STALE,
                Mood.SLOW,
            )
        ],
    )
    async def test_happens_once_whatever_the_bank_does(self, desk: Desk, mood: Mood):
        ana = await desk.person()
        trade = await desk.buy(ana, "150.00")
        desk.bank.set_moods(mood, for_="refunds")

        desk.bank.pay(trade["id"], payer_tax_id=STRANGER)

        await settled(desk, ana, trade, ("refunded", "payer_differs"))
        sent = [refund for refund in desk.bank.refunds() if refund["state"] == "refunded"]
        shown = (await receipts(desk, ana, trade))[0]
        assert 1 == sum(refund["end_to_end_id"] == shown["end_to_end_id"] for refund in sent)
        await desk.balanced()

    async def test_that_the_bank_rejects_is_tried_again_by_an_operator(self, desk: Desk):
        ana, boss = await desk.person(), await desk.operator()
        async with desk.agreed(payment_window_seconds=7, payment_leniency_seconds=0.2):
            trade = await desk.buy(ana, "150.00")
        desk.bank.set_moods(Mood.REJECTED, for_="refunds")
        desk.bank.pay(trade["id"], payer_tax_id=STRANGER)
        review = await desk.until(ana, trade, "needs_review")

        command = f"/api/v1/instant-trade/{trade['id']}/transfer"
        await desk.post(boss, command, {"evidence": "bank ticket 7"})
        await desk.until(ana, trade, "refunded")

        assert "refund_rejected" == review["reason"]
        await settled(desk, ana, trade, ("refunded", "payer_differs"))
        await nothing_left(desk, ana)
        await desk.balanced()

    async def test_that_cannot_be_is_left_to_the_user_where_an_operator_rules_so(self, desk: Desk):
        ana, boss = await desk.person(), await desk.operator()
        async with desk.agreed(payment_window_seconds=7, payment_leniency_seconds=0.2):
            trade = await desk.buy(ana, "150.00")
        desk.bank.set_moods(Mood.REJECTED, for_="refunds")
        desk.bank.pay(trade["id"], amount_centavos=14_000)
        await desk.until(ana, trade, "needs_review")

        ruling = {"ruling": "complete", "evidence": "letter of 3 May"}
        await desk.post(boss, f"/api/v1/instant-trade/{trade['id']}/complete", ruling)
        await desk.until(ana, trade, "refunded")

        assert 14_000 == await desk.available(ana, "BRL")
        await desk.balanced()


class TestCharge:
    @pytest.mark.parametrize(
        "mood",
        [
            pytest.param(mood, id=mood.value)
            for mood in (
                Mood.TIMEOUT_AFTER_ACCEPTING,
                Mood.ERROR_504_AFTER_ACCEPTING,
                Mood.DROP_CONNECTION_AFTER_ACCEPTING,
                Mood.ERROR_500_BEFORE_ACCEPTING,
            )
        ],
    )
    async def test_is_made_once_whatever_the_bank_does(self, desk: Desk, mood: Mood):
        ana = await desk.person()
        desk.bank.set_moods(mood, for_="charges")

        trade = await desk.buy(ana, "150.00", to=desk.fresh_address())
        desk.bank.pay(trade["id"])
        await desk.until(ana, trade, "completed")

        assert 1 == sum(charge["key"] == trade["id"] for charge in desk.bank.charges())
        await desk.balanced()

    async def test_that_the_bank_refuses_cancels_the_trade(self, desk: Desk):
        ana = await desk.person()
        desk.bank.set_moods(Mood.REFUSED, for_="charges")
        order = {"operation": "buy", "asset": "ETH", "network": "ethereum", "pay_brl": "150.00"}

        quote = await desk.post(ana, "/api/v1/instant-trade/quote", order)
        trade = await desk.post(ana, "/api/v1/instant-trade/create", {"quote_id": quote["id"]})
        ended = await desk.until(ana, trade, "cancelled")

        assert "charge_refused" == ended["reason"]
        await desk.balanced()


class TestWebhook:
    @pytest.mark.parametrize(
        "mood",
        [
            pytest.param(mood, id=mood.value)
            for mood in (
                Mood.WEBHOOK_NEVER,
                Mood.WEBHOOK_DUPLICATE,
                Mood.WEBHOOK_FORGED,
                Mood.WEBHOOK_STALE,
            )
        ],
    )
    async def test_of_a_payment_may_be_anything_and_it_is_credited_once(self, desk: Desk, mood: Mood):
        ana, there = await desk.person(), desk.fresh_address()
        trade = await desk.buy(ana, "150.00", to=there)

        desk.bank.pay(trade["id"], moods=[mood])
        ended = await desk.until(ana, trade, "completed")

        assert int(Decimal(ended["amount"]) * 10**18) == await desk.coins(there)
        await desk.balanced()


class TestPicture:
    async def test_of_the_br_code_is_an_svg(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.buy(ana, "150.00")

        reply = await desk.call(ana, "GET", f"/api/v1/instant-trade/{trade['id']}/qr.svg")

        assert (200, "image/svg+xml") == (reply.status_code, reply.headers["content-type"])
        assert "<svg" in reply.text[:200]

    async def test_is_not_there_for_a_sale(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.sell(ana, "0.01", funding="deposit")

        reply = await desk.call(ana, "GET", f"/api/v1/instant-trade/{trade['id']}/qr.svg")

        assert 404 == reply.status_code


async def blocked_centavos(desk: Desk) -> int:
    """Of all receipts; those of other tests may be blocked for good."""
    async with desk.engine.connect() as conn:
        return await ledger.balance(conn, house(Purpose.PIX_BLOCKED, "BRL"))
