"""ERC-20 tokens: sold from custody with gas brought by the house, sold by deposit, and sent by mistake."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.desk import ETHER, Desk, open_desk

USDT = 10**6


@pytest.fixture(scope="module")
async def token_desk() -> AsyncIterator[Desk]:
    """A desk that trades a token deployed on its own chain."""
    with TemporaryDirectory(prefix="liquida-tokens-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        async with open_desk(directory, tokens=True) as desk:
            yield desk


async def mint(desk: Desk, to: str, units: int) -> None:
    await desk.anvil.call_erc20(desk.token, "mint", to, units)


class TestToken:
    async def test_is_sold_from_custody_from_an_address_without_gas(self, token_desk: Desk):
        desk, ana = token_desk, await token_desk.person()
        await mint(desk, ana.address, 1_000 * USDT)
        await desk.eventually(lambda: _has(desk, ana, 1_000 * USDT), "the tokens to be in the balance")

        trade = await desk.sell(ana, "400", asset="USDT")
        await desk.until(ana, trade, "completed")

        transfers = (await desk.why(ana, trade))["transfers"]
        assert {"custody", "gas"} == {transfer["purpose"] for transfer in transfers}
        assert 600 * USDT == await desk.available(ana, "USDT.ethereum")
        await desk.balanced()

    async def test_is_sold_by_deposit_and_refunded_when_the_payout_is_rejected(self, token_desk: Desk):
        desk, ana, refund = token_desk, await token_desk.person("rejected"), token_desk.fresh_address()

        trade = await desk.sell(ana, "250", asset="USDT", funding="deposit", refund_address=refund)
        await mint(desk, trade["deposit_address"], 250 * USDT)
        await desk.until(ana, trade, "refunded")

        assert 250 * USDT == await _tokens_of(desk, refund)
        await desk.balanced()

    async def test_of_another_kind_waits_in_suspense_for_an_operator(self, token_desk: Desk):
        desk, ana = token_desk, await token_desk.person()
        trade = await desk.sell(ana, "0.2", funding="deposit")

        await mint(desk, trade["deposit_address"], 77 * USDT)
        await desk.eventually(lambda: _booked(desk, ana, trade), "the wrong token to be booked")
        await desk.send(trade["deposit_address"], ETHER // 5)
        await desk.until(ana, trade, "completed")

        log = await desk.get(ana, f"/api/v1/instant-trade/{trade['id']}/audit-log")
        assert "wrong_asset_received" in {line["reason"] for line in log}
        await desk.balanced()


async def _has(desk: Desk, person, units: int) -> bool:
    return await desk.available(person, "USDT.ethereum") == units


async def _booked(desk: Desk, person, trade) -> bool:
    deposits = (await desk.why(person, trade))["deposits"]
    return [deposit["booked_to"] for deposit in deposits] == ["suspense"]


async def _tokens_of(desk: Desk, address: str) -> int:
    data = "0x70a08231" + address.removeprefix("0x").lower().rjust(64, "0")
    return int(await desk.anvil.rpc("eth_call", {"to": desk.token, "data": data}, "latest"), 16)
