"""The P2P part of ``liquida demo``: two users trade with each other, once in peace and once before an arbiter."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.table import Table

API = "/api/v1/p2p"
COINS, PRICE = "0.05", "15000.00"


class Caller(Protocol):
    """A user of the API."""

    async def get(self, path: str) -> Any: ...
    async def post(self, path: str, body: dict[str, Any]) -> Any: ...


@dataclass
class Couple:
    """A seller who has coins, and a buyer. ``seller_key``: the PIX key that the seller is paid at, outside."""

    seller: Caller
    buyer: Caller
    seller_key: str
    seller_name: str


@dataclass
class Scene:
    """One trade, and what was to come of it."""

    title: str
    expected: str
    trade: dict[str, Any] = field(default_factory=dict)
    notes: str = ""


Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]


async def paid_by_pix(scene: Scene, two: Couple, pay: Callable[[str], Awaitable[None]], until: Until) -> None:
    """The buyer pays a PIX charge of our bank; its receipt releases the coins, and nobody confirms anything.

    :param pay: pays the charge of this name, at the bank.
    """
    await _open(scene, two, "charge", [])

    async def payable() -> bool:
        scene.trade = await _read(two.buyer, scene)
        return scene.trade["charge"]["br_code"] is not None

    async def ended() -> bool:
        scene.trade = await _read(two.buyer, scene)
        return scene.trade["ended_at"] is not None

    await until(payable, "the BR Code")
    await pay(scene.trade["id"])
    await until(ended, "the P2P trade to end")
    scene.notes = "the bank's receipt released the coins"


async def disputed(scene: Scene, two: Couple, arbiter: Caller) -> None:
    """The buyer says that they paid, the seller that it was too little; an arbiter divides the coins."""
    key = {"kind": "pix", "label": "mine", "holder_name": two.seller_name, "pix_key": two.seller_key}
    method = await two.seller.post(f"{API}/payment-methods", key)
    await _open(scene, two, "direct", [method["id"]])
    path = f"{API}/trades/{scene.trade['id']}"
    await two.buyer.post(f"{path}/payment-sent", {})
    await two.buyer.post(f"{path}/messages", {"text": "paid, see the receipt"})
    claim = {"reason": "payment_wrong_amount", "statement": "only a part of it arrived"}
    dispute = await two.seller.post(f"{path}/dispute", claim)
    ruling = {"buyer_bps": 6_000, "reason": "payment_wrong_amount", "text": "60 % of the reais arrived"}
    await arbiter.post(f"/api/v1/ops/p2p-disputes/{dispute['id']}/rule", ruling)
    for party in (two.buyer, two.seller):
        await party.post(f"{path}/dispute/accept-ruling", {})
    scene.trade = await _read(two.seller, scene)
    scene.notes = "an arbiter gave the buyer 60 %, and both accepted"


def told(scenes: list[Scene]) -> Table:
    table = Table(title="Between users", title_justify="left", show_lines=True)
    for column in ("trade", "ended", "coins", "reais", "settled", "notes"):
        table.add_column(column, overflow="fold")
    for scene in scenes:
        trade = scene.trade
        name = f"{trade['reference']}\n{scene.title}"
        coins = f"{trade['amount'].rstrip('0')} {trade['asset']}"
        table.add_row(name, trade["status"], coins, trade["total"], trade["settlement"], scene.notes)
    return table


async def _open(scene: Scene, two: Couple, settlement: str, method_ids: list[str]) -> None:
    order = {
        "side": "sell",
        "asset": "ETH",
        "network": "ethereum",
        "amount": COINS,
        "price_kind": "fixed",
        "price": PRICE,
        "min_total": "100.00",
        "max_total": "1000.00",
        "settlements": [settlement],
        "method_ids": method_ids,
    }
    made = await two.seller.post(f"{API}/orders", order)
    take = {"order_id": made["id"], "amount": COINS, "settlement": settlement}
    scene.trade = await two.buyer.post(f"{API}/trades", take)


async def _read(caller: Caller, scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = await caller.get(f"{API}/trades/{scene.trade['id']}")
    return found
