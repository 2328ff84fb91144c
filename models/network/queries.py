"""The networks and assets in use, read once per process."""

from collections.abc import Mapping

from pydantic.dataclasses import dataclass
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL, Asset, Network
from models.errors import UnknownAsset, UnknownNetwork
from models.network.tables import assets, networks


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Enabled networks and assets by id."""

    networks: Mapping[str, Network]
    assets: Mapping[str, Asset]

    def network(self, network_id: str) -> Network:
        """:raises UnknownNetwork: not one that this installation runs."""
        if network_id not in self.networks:
            raise UnknownNetwork(f"choose one of: {', '.join(sorted(self.networks))}", field="network")
        return self.networks[network_id]

    def asset(self, symbol: str, network_id: str) -> Asset:
        """:raises UnknownNetwork: see :meth:`network`.
        :raises UnknownAsset: not traded on this network.
        """
        network = self.network(network_id)
        here = {asset.symbol: asset for asset in self.assets.values() if asset.network == network.id}
        if symbol not in here:
            raise UnknownAsset(f"on {network.id} choose one of: {', '.join(sorted(here))}", field="asset")
        return here[symbol]

    def by_id(self, asset_id: str) -> Asset:
        return BRL if asset_id == BRL.id else self.assets[asset_id]

    def by_contract(self, network_id: str, contract: str | None) -> Asset | None:
        """The asset of a token contract, or the native coin for None; None if we do not trade it."""
        for asset in self.assets.values():
            if asset.network == network_id and asset.contract == contract:
                return asset
        return None


async def decimals(conn: AsyncConnection) -> dict[str, int]:
    """Decimals by asset id, of every asset that was ever traded here: old trades outlive the catalogue."""
    return dict((await conn.execute(select(assets.c.id, assets.c.decimals))).all())


async def ever_traded(conn: AsyncConnection) -> dict[str, Asset]:
    """By id, every asset that was ever traded here, enabled or not."""
    return {
        row.id: Asset(row.id, row.symbol, row.decimals, row.network_id, row.contract, row.price_decimals)
        for row in await conn.execute(select(assets))
    }


async def catalogue(conn: AsyncConnection) -> Catalogue:
    network_rows = (await conn.execute(select(networks).where(networks.c.is_enabled))).all()
    asset_rows = (await conn.execute(select(assets).where(assets.c.is_enabled))).all()
    return Catalogue(
        networks={
            row.id: Network(row.id, row.name, row.family, row.chain_id, row.confirmations, row.native_asset)
            for row in network_rows
        },
        assets={
            row.id: Asset(row.id, row.symbol, row.decimals, row.network_id, row.contract, row.price_decimals)
            for row in asset_rows
        },
    )
