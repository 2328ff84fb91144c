"""What the house earns by a P2P trade: a share of the coins. Pure arithmetic, in base units of the asset."""

from datetime import timedelta

from models.quote.rules import BPS

VOLUME_SPAN = timedelta(days=30)
"""What the fee payer has traded for so long decides the rate: ``P2PRules.commission_bps_at``."""


def fee_of(units: int, bps: int) -> int:
    """Basis points of ``units``, rounded down: the parties gain less than one base unit."""
    return units * bps // BPS
