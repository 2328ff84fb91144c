"""A quote and its parts."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.money import Units


class Side(StrEnum):
    """What the user does: crypto for reais, or reais for crypto."""

    SELL = "sell"
    BUY = "buy"


class Funding(StrEnum):
    """``CUSTODY``: the coins sold are at the user's platform address. ``DEPOSIT``: they come from outside.
    ``PIX``: the reais come by a PIX charge.
    """

    CUSTODY = "custody"
    DEPOSIT = "deposit"
    PIX = "pix"


class Delivery(StrEnum):
    """Where bought coins go: ``CUSTODY``: to the user's platform address. ``ADDRESS``: to one outside."""

    CUSTODY = "custody"
    ADDRESS = "address"


class LockedSide(StrEnum):
    """Which side of the quote is exact: the crypto, or the reais received (``RECEIVE``) or paid (``PAY``)."""

    AMOUNT = "amount"
    RECEIVE = "receive"
    PAY = "pay"


@dataclass(frozen=True, slots=True)
class Rates:
    """``*_bps``: basis points of the gross value. ``*_centavos``: limits of what the user receives or pays."""

    spread_bps: int
    network_fee_bps: int
    trade_min_centavos: int
    trade_max_centavos: int
    return_min_centavos: int


@dataclass(frozen=True, slots=True)
class Parts:
    """Each to the centavo, as it will be posted. Of a sale, ``total = gross - spread - network_fee``, which the user
    receives; of a purchase, ``total = gross + spread + network_fee``, which the user pays.
    """

    amount_units: Units
    gross_centavos: Units
    spread_centavos: Units
    network_fee_centavos: Units
    total_centavos: Units


@dataclass(frozen=True, slots=True)
class Quote:
    """``price``: BRL per unit shown. ``refund_address``: only with ``Funding.DEPOSIT``.
    ``delivery_address``: only with ``Delivery.ADDRESS``.
    """

    id: str
    user_id: str
    operation: Side
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
    delivery: Delivery | None = None
    delivery_address: str | None = None
