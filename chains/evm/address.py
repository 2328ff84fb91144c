"""What an EVM address is, and what people type for one.

Kept apart from web3 and eth-account, so that reading an address costs no slow import.
"""

import re

from eth_hash.auto import keccak

from models.errors import InvalidAddress

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
ZERO = "0x" + "0" * 40


class EvmAddressFormat:
    """Implements :class:`chains.protocol.AddressFormat` for every EVM network."""

    def parse(self, text: str) -> str:
        """The address with its EIP-55 checksum.

        Hex in one case carries no checksum and is taken as it is; mixed case must be right. The zero
        address is refused: what is sent there is lost.

        :raises InvalidAddress: not 20 bytes of hex, a wrong checksum, or the zero address.
        """
        if not ADDRESS.fullmatch(text):
            raise InvalidAddress("an address here is 0x and 40 hex digits, with nothing around it")
        digits = text[2:]
        address = checksummed(text)
        if text != address and digits not in (digits.lower(), digits.upper()):
            raise InvalidAddress("the checksum (EIP-55) is wrong: a character was mistyped or changed")
        if address == ZERO:
            raise InvalidAddress("this is the zero address: what is sent there is lost")
        return address


def checksummed(address: str) -> str:
    """``0x`` and 40 hex digits with the capitals of EIP-55, whatever their case before."""
    digits = address[2:].lower()
    nibbles = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )
