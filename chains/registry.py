"""From a row of data to the parts that serve it: the one place that knows which family has which adapter.

Adapters are imported when they are asked for: web3 alone takes over a second, and a process that only
reads addresses needs none of it.
"""

from collections.abc import Sequence

from pydantic import SecretBytes

from chains.protocol import AddressFormat, Chain, Signer
from models.assets import Family, Network


def node(network: Network, rpc_urls: Sequence[str], *, timeout_seconds: float = 10.0) -> Chain:
    """The node-facing half for ``network``. Close it when done.

    :param timeout_seconds: for each request to a node.
    """
    match network.family:
        case Family.EVM:
            from chains.evm.node import EvmNode  # noqa: PLC0415 imports web3

            return EvmNode(chain_id=network.chain_id, rpc_urls=rpc_urls, timeout_seconds=timeout_seconds)


def address_format(family: Family) -> AddressFormat:
    """Reads the addresses that people type for networks of ``family``."""
    match family:
        case Family.EVM:
            from chains.evm.address import EvmAddressFormat  # noqa: PLC0415 only the family asked for

            return EvmAddressFormat()


def signer(family: Family, seed: SecretBytes) -> Signer:
    """The key-holding half for ``family``, over an opened key store's seed.

    :raises models.errors.Broken: this installation derives or signs otherwise than the published vectors.
    """
    match family:
        case Family.EVM:
            from chains.evm.signer import EvmSigner  # noqa: PLC0415 imports eth-account

            return EvmSigner(seed)
