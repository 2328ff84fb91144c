"""The chart of accounts.

Signs: what we owe is positive, what we own is negative, so all balances of an asset sum to zero.
A user's ``available`` of +5 is backed by ``custody:ethereum`` of -5: five coins under our keys.
"""

from enum import StrEnum

from pydantic.dataclasses import dataclass


class Purpose(StrEnum):
    """``PIX_CLEARING``: our reais at the bank. ``PIX_BLOCKED``: those of them that the bank keeps from us for now.
    ``PIX_PENDING``: what we owe for PIX that came in and are neither credited nor on their payer's account again.
    ``PIX_RESERVE``: what may have to be given back of PIX that were credited, while their payer's bank disputes them.
    """

    AVAILABLE = "available"
    HELD = "held"
    DESK = "desk"
    FEES = "fees"
    NETWORK_FEES = "network_fees"
    PIX_CLEARING = "pix_clearing"
    PIX_BLOCKED = "pix_blocked"
    PIX_PENDING = "pix_pending"
    PIX_RESERVE = "pix_reserve"
    SUSPENSE = "suspense"


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """``owner`` is a user's id, or None for the house. Users' accounts never go below zero."""

    asset: str
    purpose: str
    owner: str | None = None

    @property
    def is_constrained(self) -> bool:
        return self.owner is not None


def available(user_id: str, asset: str) -> Account:
    return Account(asset, Purpose.AVAILABLE, user_id)


def held(user_id: str, asset: str) -> Account:
    return Account(asset, Purpose.HELD, user_id)


def house(purpose: Purpose, asset: str) -> Account:
    return Account(asset, purpose)


def custody(network: str, asset: str) -> Account:
    """Coins under our keys on one network: balance = -(what the chain shows), less what is in flight."""
    return Account(asset, f"custody:{network}")
