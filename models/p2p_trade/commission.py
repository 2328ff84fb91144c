"""What the house earns by a P2P trade: a share of the coins. Pure arithmetic, in base units of the asset."""

from models.quote.rules import BPS


def fee_of(units: int, bps: int) -> int:
    """Basis points of ``units``, rounded down: the parties gain less than one base unit."""
    return units * bps // BPS
