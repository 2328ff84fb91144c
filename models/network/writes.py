"""Bring the tables ``networks`` and ``assets`` to what settings say."""

from collections.abc import Iterable

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL, Asset, Network
from models.network.tables import assets, networks


async def seed(conn: AsyncConnection, enabled: Iterable[Network], traded: Iterable[Asset]) -> None:
    """Enable exactly these networks and assets. Rows are never deleted: old trades point at them."""
    await conn.execute(update(networks).values(is_enabled=False))
    await conn.execute(update(assets).where(assets.c.id != BRL.id).values(is_enabled=False))
    for network in enabled:
        row = {
            "name": network.name,
            "family": network.family,
            "chain_id": network.chain_id,
            "confirmations": network.confirmations,
            "native_asset": network.native_asset,
            "is_enabled": True,
        }
        await conn.execute(
            insert(networks).values(id=network.id, **row).on_conflict_do_update(index_elements=["id"], set_=row)
        )
    for asset in (BRL, *traded):
        row = {
            "symbol": asset.symbol,
            "network_id": asset.network,
            "contract": asset.contract,
            "decimals": asset.decimals,
            "price_decimals": asset.price_decimals,
            "is_enabled": True,
        }
        await conn.execute(
            insert(assets).values(id=asset.id, **row).on_conflict_do_update(index_elements=["id"], set_=row)
        )
