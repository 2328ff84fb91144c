"""A quote and its parts."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.money import Units


class Funding(StrEnum):
    """``CUSTODY``: the coins are at the user's platform address. ``DEPOSIT``: they come from outside."""

    CUSTODY = "custody"
    DEPOSIT = "deposit"


class LockedSide(StrEnum):
    """Which side of the quote is exact: the crypto handed in, or the reais received."""

    AMOUNT = "amount"
    RECEIVE = "receive"


@dataclass(frozen=True, slots=True)
class Rates:
    """``*_bps``: basis points of the gross value. ``*_centavos``: limits of what the user receives."""

    spread_bps: int
    network_fee_bps: int
    trade_min_centavos: int
    trade_max_centavos: int
    return_min_centavos: int


@dataclass(frozen=True, slots=True)
class Parts:
    """``total = gross - spread - network_fee``, each to the centavo, as it will be posted."""

    amount_units: Units
    gross_centavos: Units
    spread_centavos: Units
    network_fee_centavos: Units
    total_centavos: Units


@dataclass(frozen=True, slots=True)
class Quote:
    """``price``: BRL per unit shown. ``refund_address``: only with ``Funding.DEPOSIT``."""

    id: str
    user_id: str
    operation: str
    asset_id: str
    network_id: str
    funding: Funding
    locked_side: LockedSide
    amount_units: Units
    price: Decimal
    gross_centavos: Units
    spread_centavos: Units
    network_fee_centavos: Units
    total_centavos: Units
    return_min_centavos: Units
    refund_address: str | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
