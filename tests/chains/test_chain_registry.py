from chains.registry import address_format, node, signer
from models.assets import NETWORKS, Family, Network
from tests.chains.conftest import SEED


class TestRegistry:
    async def test_makes_the_parts_that_carry_a_transfer_through(self, anvil):
        network = Network("local", "Local", Family.EVM, anvil.chain_id, 1, "ETH.local")
        local = node(network, [anvil.url])

        reported = await local.chain_id()
        await local.close()

        assert network.chain_id == reported

    def test_has_every_part_for_every_network_of_the_catalogue(self):
        for network in NETWORKS.values():
            address = signer(network.family, SEED).address(0)

            assert address == address_format(network.family).parse(address.lower())
