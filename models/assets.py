"""What we settle: networks and assets as rows of data.

The catalogue below seeds the tables ``networks`` and ``assets``; settings say which networks an
installation runs, with which chain id and how many confirmations (a test network differs only there).
"""

from enum import StrEnum

from pydantic.dataclasses import dataclass


class Family(StrEnum):
    """Networks of one family share one adapter in ``chains/``."""

    EVM = "evm"


@dataclass(frozen=True, slots=True)
class Network:
    """One chain.

    ``confirmations``: blocks, counting the transaction's own, after which we treat it as final.
    ``chain_id``: EIP-155; part of every signature.
    """

    id: str
    name: str
    family: Family
    chain_id: int
    confirmations: int
    native_asset: str


@dataclass(frozen=True, slots=True)
class Asset:
    """Something the ledger counts. ``id`` is ``ETH.ethereum``, ``USDT.polygon`` or ``BRL``.

    ``decimals``: 1 unit shown = 10^decimals base units.
    ``contract``: token contract on ``network``; None for a native coin and for BRL.
    ``price_decimals``: places of a price in BRL per unit shown (SHIB needs more than ETH).
    """

    id: str
    symbol: str
    decimals: int
    network: str | None = None
    contract: str | None = None
    price_decimals: int = 2


BRL = Asset(id="BRL", symbol="BRL", decimals=2)

NETWORKS: dict[str, Network] = {
    network.id: network
    for network in (
        Network("ethereum", "Ethereum", Family.EVM, 1, 64, "ETH.ethereum"),
        Network("polygon", "Polygon", Family.EVM, 137, 128, "POL.polygon"),
        Network("bsc", "BNB Smart Chain", Family.EVM, 56, 15, "BNB.bsc"),
        Network("base", "Base", Family.EVM, 8453, 64, "ETH.base"),
        Network("avalanche", "Avalanche C-Chain", Family.EVM, 43114, 20, "AVAX.avalanche"),
        Network("arbitrum", "Arbitrum One", Family.EVM, 42161, 64, "ETH.arbitrum"),
        Network("optimism", "Optimism", Family.EVM, 10, 64, "ETH.optimism"),
    )
}

NATIVE_ASSETS: dict[str, Asset] = {
    network.native_asset: Asset(network.native_asset, network.native_asset.split(".")[0], 18, network.id)
    for network in NETWORKS.values()
}
