"""OTC sell through the HTTP door: what users see, what the chain shows, what the bank paid."""

from decimal import Decimal

from tests.desk import ETHER, Desk


class TestSellFromCustody:
    async def test_pays_the_quoted_reais_once_for_one_transfer_on_chain(self, desk: Desk):
        ana = await desk.person()
        await desk.give(ana, ETHER)

        trade = await desk.sell(ana, "0.5")
        ended = await desk.until(ana, trade, "completed")

        why = await desk.why(ana, trade)
        payouts = desk.payouts_of(trade)
        assert ["transferring", "confirming", "paying_out", "completed"] == await desk.log(ana, trade)
        assert [Decimal(ended["total"])] == [Decimal(p["amount_centavos"]) / 100 for p in payouts]
        assert ["final"] == [t["status"] for t in why["transfers"] if t["purpose"] == "custody"]
        assert payouts[0]["end_to_end_id"] == why["payout"]["end_to_end_id"]
        assert ETHER // 2 == await desk.available(ana)
        await desk.balanced()

    async def test_runs_one_identifier_from_end_to_end(self, desk: Desk):
        ana = await desk.person()
        await desk.give(ana, ETHER)

        trade = await desk.sell(ana, "0.1")
        await desk.until(ana, trade, "completed")

        ids = (await desk.why(ana, trade))["identifiers"]
        assert trade["id"] == ids["trade_id"] == ids["provider_key"]
        assert f"otc-sell/{trade['id']}" == ids["workflow_id"]
        assert {f"{trade['id']}/hold", f"{trade['id']}/sell", f"{trade['id']}/payout"} <= set(ids["ledger_keys"])

    async def test_sells_everything_at_the_address_because_the_house_brings_the_gas(self, desk: Desk):
        ana = await desk.person()
        await desk.give(ana, ETHER // 4)

        trade = await desk.sell(ana, "0.25")
        await desk.until(ana, trade, "completed")

        transfers = (await desk.why(ana, trade))["transfers"]
        assert {"custody", "gas"} == {t["purpose"] for t in transfers}
        assert 0 == await desk.available(ana)
        await desk.balanced()

    async def test_gives_exactly_the_reais_asked_for(self, desk: Desk):
        ana = await desk.person()
        await desk.give(ana, ETHER)
        order = {"operation": "sell", "asset": "ETH", "network": "ethereum", "funding": "custody"}

        quote = await desk.post(ana, "/api/v1/instant-trade/quote", order | {"receive_brl": "1234.56"})
        body = {"quote_id": quote["id"], "bank_data_id": ana.bank_data_id}
        trade = await desk.post(ana, "/api/v1/instant-trade/create", body)
        await desk.until(ana, trade, "completed")

        assert ["123456"] == [payout["amount_centavos"] for payout in desk.payouts_of(trade)]
        await desk.balanced()

    async def test_refuses_what_the_balance_does_not_hold_and_leaves_nothing(self, desk: Desk):
        ana = await desk.person()
        order = {"operation": "sell", "asset": "ETH", "network": "ethereum", "funding": "custody", "amount": "1"}
        quote = await desk.post(ana, "/api/v1/instant-trade/quote", order)
        body = {"quote_id": quote["id"], "bank_data_id": ana.bank_data_id}

        reply = await desk.call(ana, "POST", "/api/v1/instant-trade/create", body)

        assert 409 == reply.status_code
        assert reply.json()["type"].endswith("insufficient-funds")
        assert [] == (await desk.get(ana, "/api/v1/instant-trade/history/my-trades"))["trades"]


class TestSellByDeposit:
    async def test_pays_for_an_exact_deposit(self, desk: Desk):
        ana = await desk.person()

        trade = await desk.sell(ana, "0.3", funding="deposit")
        await desk.send(trade["deposit_address"], 3 * ETHER // 10)
        await desk.until(ana, trade, "completed")

        assert ["awaiting_deposit", "confirming", "paying_out", "completed"] == await desk.log(ana, trade)
        assert 1 == len(desk.payouts_of(trade))
        await desk.balanced()

    async def test_sums_a_deposit_in_two_parts(self, desk: Desk):
        ana = await desk.person()

        trade = await desk.sell(ana, "0.3", funding="deposit")
        await desk.send(trade["deposit_address"], ETHER // 10)
        await desk.eventually(lambda: _deposits(desk, ana, trade, 1), "the first part to be seen")
        await desk.send(trade["deposit_address"], 2 * ETHER // 10)
        await desk.until(ana, trade, "completed")

        assert 2 == len((await desk.why(ana, trade))["deposits"])
        await desk.balanced()

    async def test_settles_the_quote_and_returns_the_rest_of_a_large_deposit(self, desk: Desk):
        ana, refund = await desk.person(), desk.fresh_address()

        trade = await desk.sell(ana, "0.3", funding="deposit", refund_address=refund)
        await desk.send(trade["deposit_address"], ETHER // 2)
        await desk.until(ana, trade, "completed")

        await desk.eventually(lambda: _has(desk, refund, 2 * ETHER // 10), "the excess to arrive")
        await desk.balanced()

    async def test_expires_without_a_deposit(self, desk: Desk):
        ana = await desk.person()

        async with desk.agreed(deposit_window_seconds=1):
            trade = await desk.sell(ana, "0.3", funding="deposit")
        ended = await desk.until(ana, trade, "expired")

        assert "no_deposit_in_time" == ended["reason"]
        assert [] == desk.payouts_of(trade)
        await desk.balanced()

    async def test_refunds_a_deposit_that_stayed_too_small(self, desk: Desk):
        ana, refund = await desk.person(), desk.fresh_address()

        async with desk.agreed(deposit_window_seconds=3):
            trade = await desk.sell(ana, "0.3", funding="deposit", refund_address=refund)
        await desk.send(trade["deposit_address"], ETHER // 10)
        ended = await desk.until(ana, trade, "refunded")

        assert ETHER // 10 == await desk.coins(refund)
        assert [] == desk.payouts_of(trade)
        assert "refunding" in await desk.log(ana, trade), ended
        await desk.balanced()

    async def test_credits_dust_instead_of_sending_it_back(self, desk: Desk):
        ana, refund = await desk.person(), desk.fresh_address()

        async with desk.agreed(deposit_window_seconds=3):
            trade = await desk.sell(ana, "0.3", funding="deposit", refund_address=refund)
        await desk.send(trade["deposit_address"], ETHER // 100_000)
        await desk.until(ana, trade, "refunded")

        assert 0 == await desk.coins(refund)
        assert ETHER // 100_000 == await desk.available(ana)
        await desk.balanced()

    async def test_returns_a_deposit_that_came_too_late(self, desk: Desk):
        ana, refund = await desk.person(), desk.fresh_address()

        async with desk.agreed(deposit_window_seconds=1):
            trade = await desk.sell(ana, "0.3", funding="deposit", refund_address=refund)
        await desk.until(ana, trade, "expired")
        await desk.send(trade["deposit_address"], 3 * ETHER // 10)

        await desk.eventually(lambda: _has(desk, refund, 3 * ETHER // 10), "the late deposit to come back")
        assert "expired" == (await desk.get(ana, f"/api/v1/instant-trade/{trade['id']}"))["status"]
        assert [] == desk.payouts_of(trade)
        await desk.balanced()


class TestCancel:
    async def test_ends_a_trade_before_any_coin_has_moved(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.sell(ana, "0.3", funding="deposit")

        reply = await desk.post(ana, f"/api/v1/instant-trade/{trade['id']}/cancel")

        assert "cancelled" == reply["status"]
        await desk.balanced()

    async def test_answers_the_same_when_asked_again_with_the_same_key(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.sell(ana, "0.3", funding="deposit")
        path = f"/api/v1/instant-trade/{trade['id']}/cancel"

        first = await desk.call(ana, "POST", path, key="cancel-1")
        second = await desk.call(ana, "POST", path, key="cancel-1")

        assert first.json() == second.json()
        assert "true" == second.headers["idempotency-replayed"]

    async def test_is_refused_once_a_deposit_was_seen(self, desk: Desk):
        ana = await desk.person()
        trade = await desk.sell(ana, "0.3", funding="deposit")
        await desk.send(trade["deposit_address"], ETHER // 10)
        await desk.eventually(lambda: _deposits(desk, ana, trade, 1), "the deposit to be seen")

        reply = await desk.call(ana, "POST", f"/api/v1/instant-trade/{trade['id']}/cancel")

        assert 409 == reply.status_code
        assert reply.json()["type"].endswith("illegal-transition")

    async def test_is_refused_after_completion(self, desk: Desk):
        ana = await desk.person()
        await desk.give(ana, ETHER)
        trade = await desk.sell(ana, "0.1")
        await desk.until(ana, trade, "completed")

        reply = await desk.call(ana, "POST", f"/api/v1/instant-trade/{trade['id']}/cancel")

        assert 409 == reply.status_code


async def _deposits(desk: Desk, person, trade, count: int) -> bool:
    return len((await desk.why(person, trade))["deposits"]) >= count


async def _has(desk: Desk, address: str, units: int) -> bool:
    return await desk.coins(address) == units
