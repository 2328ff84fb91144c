"""The marketplace for tests of the API: an asset that no other test trades, so that its market is empty."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import httpx
from sqlalchemy import insert

from api.prices import CachedFeed
from liquida.prices import FixedFeed
from models.assets import Asset
from models.network.tables import assets
from models.p2p_order.types import P2PRules
from tests.api.door import API, Door, Person
from tests.models.p2p_rows import trade_row

P2P = f"{API}/p2p"
ORDERS = f"{P2P}/orders"
METHODS = f"{P2P}/payment-methods"
PRICE = "15000.00"
TERMS: Mapping[str, Any] = {
    "amount": "1",
    "price_kind": "fixed",
    "price": PRICE,
    "min_total": "50.00",
    "max_total": "5000.00",
    "settlements": ["balance"],
}
FLOATING: Mapping[str, Any] = {"price_kind": "floating", "price": None, "margin_bps": 0}


@dataclass
class Market:
    door: Door
    asset: Asset

    @property
    def named(self) -> dict[str, str]:
        return {"asset": self.asset.symbol, "network": "ethereum"}

    async def offer(self, maker: Person, **changes: Any) -> httpx.Response:
        body = {"side": "sell", **self.named, **TERMS, **changes}
        return await self.door.post(maker, ORDERS, {k: v for k, v in body.items() if v is not None})

    async def order(self, maker: Person, **changes: Any) -> dict[str, Any]:
        reply = await self.offer(maker, **changes)
        assert 201 == reply.status_code, reply.text
        made: dict[str, Any] = reply.json()
        return made

    async def page(self, person: Person, **query: Any) -> dict[str, Any]:
        reply = await self.door.get(person, ORDERS, params=self.named | {"side": "sell"} | query)
        assert 200 == reply.status_code, reply.text
        page: dict[str, Any] = reply.json()
        return page

    async def ids(self, person: Person, **query: Any) -> list[str]:
        return [order["id"] for order in (await self.page(person, **query))["orders"]]

    @asynccontextmanager
    async def at(self, price: str | None = PRICE, *, rules: P2PRules | None = None) -> AsyncIterator["Market"]:
        """The same market when the world's price is another; None: when nobody tells it."""
        prices = {} if price is None else {self.asset.symbol: Decimal(price)}
        feed = CachedFeed(FixedFeed(prices), seconds=30)
        async with self.door.other(feed=feed, p2p=rules or self.door.services.p2p) as other:
            yield Market(other, self.asset)


@asynccontextmanager
async def open_market(door: Door, *, price_decimals: int = 2) -> AsyncIterator[Market]:
    symbol = f"T{secrets.token_hex(5).upper()}"
    asset = Asset(f"{symbol}.ethereum", symbol, 18, "ethereum", f"0x{secrets.token_hex(20)}", price_decimals)
    row = {
        "id": asset.id,
        "symbol": symbol,
        "network_id": asset.network,
        "contract": asset.contract,
        "decimals": asset.decimals,
        "price_decimals": price_decimals,
        "is_enabled": False,
    }
    async with door.engine.begin() as conn:
        await conn.execute(insert(assets).values(row))
    known = door.services.catalogue
    catalogue = replace(known, assets={**known.assets, asset.id: asset})
    feed = CachedFeed(FixedFeed({symbol: Decimal(PRICE)}), seconds=30)
    async with door.other(catalogue=catalogue, feed=feed) as other:
        yield Market(other, asset)


async def pix(door: Door, person: Person, **changes: Any) -> dict[str, Any]:
    """A PIX key of the person's own, kept as a payment method."""
    body = {"kind": "pix", "label": "my bank", "holder_name": "Ana Beatriz", "pix_key": person.email} | changes
    reply = await door.post(person, METHODS, body)
    assert 201 == reply.status_code, reply.text
    kept: dict[str, Any] = reply.json()
    return kept


async def delete(door: Door, person: Person, path: str) -> httpx.Response:
    return await door.http.delete(path, headers={"authorization": f"Bearer {person.key}"})


async def trade(door: Door, seller: Person, buyer: Person, **how: Any) -> str:
    async with door.engine.begin() as conn:
        return await trade_row(conn, seller=seller.id, buyer=buyer.id, **how)


async def reputation(door: Door, person: Person) -> dict[str, Any]:
    reply = await door.get(person, f"{P2P}/users/{person.id}/reputation")
    found: dict[str, Any] = reply.json()
    return found
