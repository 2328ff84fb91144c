"""A transfer from outside to one of our addresses."""

from datetime import datetime

from pydantic.dataclasses import dataclass

from models.instant_trade.types import Waits
from models.money import Units


@dataclass(frozen=True, slots=True)
class Found:
    """A deposit as the chain shows it. ``log_index`` -1: the native transfer itself."""

    txid: str
    log_index: int
    asset_id: str
    address_id: int
    trade_id: str | None
    from_address: str
    amount_units: Units
    block_height: int
    block_hash: str
    block_time: datetime


@dataclass(frozen=True, slots=True)
class BlockMark:
    """A block that was read."""

    height: int
    hash: str


@dataclass(frozen=True, slots=True)
class DepositView:
    txid: str
    asset_id: str
    amount_units: Units
    block_height: int
    block_time: datetime
    status: str
    booked_to: str | None


@dataclass(frozen=True, slots=True)
class ReturnView:
    id: str
    amount_units: Units
    reason: str
    status: str


@dataclass(frozen=True, slots=True)
class CloseReturn:
    """``returned``: the coins' departure is final; else they stayed, and an operator is needed."""

    return_id: str
    returned: bool


@dataclass(frozen=True, slots=True)
class ReturnInput:
    """One return to be sent; the relay adds the waits."""

    return_id: str
    waits: Waits
