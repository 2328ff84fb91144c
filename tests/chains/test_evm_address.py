import subprocess
import sys

import pytest

from chains.evm.address import EvmAddressFormat
from models.errors import InvalidAddress

PAYEE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


class TestEvmAddressFormat:
    def test_accepts_the_published_addresses_and_adds_the_checksum_to_those_in_one_case(self, vectors):
        addresses = vectors["eip55"]["addresses"]

        parsed = [EvmAddressFormat().parse(address) for address in addresses]

        assert [address.lower() for address in addresses] == [address.lower() for address in parsed]
        assert [EvmAddressFormat().parse(address) for address in parsed] == parsed

    @pytest.mark.parametrize("text", [PAYEE, PAYEE.lower(), "0x" + PAYEE[2:].upper()])
    def test_reads_one_address_from_each_way_of_writing_it(self, text):
        assert PAYEE == EvmAddressFormat().parse(text)

    @pytest.mark.parametrize("place", [place for place, digit in enumerate(PAYEE) if digit in "abcdefABCDEF"])
    def test_refuses_each_single_letter_in_the_wrong_case(self, place):
        wrong = PAYEE[:place] + PAYEE[place].swapcase() + PAYEE[place + 1 :]

        with pytest.raises(InvalidAddress, match="EIP-55"):
            EvmAddressFormat().parse(wrong)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0x",
            PAYEE[:-1],
            PAYEE + "0",
            PAYEE[2:],
            "0X" + PAYEE[2:],
            f" {PAYEE}",
            f"{PAYEE}\n",
            PAYEE[:-1] + "g",
            "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
            "0x" + "١" * 40,
        ],
    )
    def test_refuses_what_is_no_address(self, text):
        with pytest.raises(InvalidAddress, match="40 hex digits"):
            EvmAddressFormat().parse(text)

    def test_refuses_the_zero_address(self):
        with pytest.raises(InvalidAddress, match="zero address"):
            EvmAddressFormat().parse("0x" + "0" * 40)

    def test_needs_none_of_the_slow_imports(self):
        program = (
            "import sys; from chains.registry import address_format; from models.assets import Family;"
            "address_format(Family.EVM); sys.exit('web3' in sys.modules or 'eth_account' in sys.modules)"
        )

        done = subprocess.run([sys.executable, "-c", program], check=False, timeout=30)

        assert 0 == done.returncode
