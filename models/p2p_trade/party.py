"""The two sides of a P2P trade; a file of its own because the orders' rules speak of them too."""

from enum import StrEnum


class Party(StrEnum):
    BUYER = "buyer"
    SELLER = "seller"
