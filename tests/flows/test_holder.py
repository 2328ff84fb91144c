"""Reais go to the user's own account: looked at again where the payout leaves, whatever was accepted before."""

import asyncio

from sqlalchemy import text

from activities.pix import HOLDER_DIFFERS
from liquida import database
from payments.sandbox.moods import Mood
from tests.desk import ETHER, PERSON, Desk, Person
from tests.people import fresh_cpf


async def now_is(desk: Desk, person: Person, tax_id: str) -> None:
    """An operator puts another document in the place of the person's."""
    operator = await desk.operator()
    body = {"tax_id": tax_id, "name": PERSON["holder_name"], "evidence": "ticket 2", "replace": True}
    reply = await desk.call(operator, "PUT", f"/api/v1/users/{person.id}/document", body)
    assert reply.is_success, reply.text


async def sold(desk: Desk, person: Person) -> dict:
    """A sale by deposit that waits for its coins."""
    return await desk.sell(person, "0.1", funding="deposit")


class TestPayout:
    async def test_to_another_holder_than_the_user_never_leaves_and_the_coins_go_back(self, desk: Desk):
        ana = await desk.person()
        trade = await sold(desk, ana)
        await now_is(desk, ana, fresh_cpf())

        await desk.send(trade["deposit_address"], ETHER // 10)
        await desk.until(ana, trade, "refunded")

        why = await desk.why(ana, trade)
        assert ("rejected", HOLDER_DIFFERS) == (why["payout"]["status"], why["payout"]["reason"])
        assert [] == desk.payouts_of(trade)
        assert ETHER // 10 == await desk.coins(trade["refund_address"])
        await desk.balanced()

    async def test_of_a_trade_older_than_documents_never_leaves_without_one(self, desk: Desk):
        """Its program asked for no document, and nobody has verified one since."""
        ana = await desk.person()
        trade = await sold(desk, ana)
        owner = database.engine(desk.settings.database_owner_url, pool=1)
        async with owner.begin() as conn:
            await conn.execute(text("DELETE FROM user_documents WHERE user_id = :id"), {"id": ana.id})
        await owner.dispose()

        await desk.send(trade["deposit_address"], ETHER // 10)
        await desk.until(ana, trade, "refunded")

        assert HOLDER_DIFFERS == (await desk.why(ana, trade))["payout"]["reason"]
        assert [] == desk.payouts_of(trade)
        await desk.balanced()

    async def test_that_may_have_left_before_waits_instead_of_being_refused(self, desk: Desk):
        """The first sending got no answer: our own no, now, must not give the coins back while it may arrive."""
        ana = await desk.person()
        trade = await sold(desk, ana)
        desk.bank.set_moods(Mood.DARK, count=1)
        await desk.send(trade["deposit_address"], ETHER // 10)
        await desk.eventually(lambda: _is(desk, ana, trade, "unknown"), "the first sending to be unknown")
        await now_is(desk, ana, fresh_cpf())
        desk.bank.clear_moods()
        await desk.eventually(lambda: _is(desk, ana, trade, "unknown", HOLDER_DIFFERS), "the resending to be kept")
        await asyncio.sleep(1.5)
        waiting = await desk.until(ana, trade, "paying_out")
        kept = desk.payouts_of(trade)

        await now_is(desk, ana, ana.tax_id)
        await desk.until(ana, trade, "completed")

        assert ("paying_out", []) == (waiting["status"], kept)
        assert ["paid"] == [payout["state"] for payout in desk.payouts_of(trade)]
        await desk.balanced()


async def _is(desk: Desk, person: Person, trade: dict, *known: str) -> bool:
    payout = (await desk.why(person, trade))["payout"] or {}
    return known == (payout.get("status"), payout.get("reason"))[: len(known)]
