"""One on-chain transfer of ours."""

from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from models.money import Units
from models.transfer.states import TransferStatus


class TransferPurpose(StrEnum):
    """``CUSTODY``: a user's coins to the house. ``DELIVERY``: bought coins to their user. ``GAS``: native coin to an
    address of ours that must pay a fee. ``REFUND``: a trade's coins back. ``RETURN``: a late or excess deposit back.
    """

    CUSTODY = "custody"
    DELIVERY = "delivery"
    GAS = "gas"
    REFUND = "refund"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Intent:
    """What may be signed: written under the books' rules, before anything is signed."""

    key: str
    purpose: TransferPurpose
    network_id: str
    asset_id: str
    from_address_id: int
    to_address: str
    amount_units: Units
    trade_id: str | None = None
    parent_key: str | None = None
    return_id: str | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer's row. ``offer``: the fee to be signed next, as JSON of ``chains.protocol.Fee``."""

    key: str
    purpose: TransferPurpose
    network_id: str
    asset_id: str
    from_address_id: int
    from_address: str
    from_index: int
    to_address: str
    amount_units: Units
    status: TransferStatus
    version: int
    confirmations: int
    trade_id: str | None = None
    parent_key: str | None = None
    return_id: str | None = None
    nonce: int | None = None
    offer: dict[str, JsonValue] | None = None
    txid: str | None = None
    block_height: int | None = None
    block_hash: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction for a transfer. All attempts of a transfer share its nonce: one can win."""

    key: str
    attempt: int
    txid: str
    fee: dict[str, JsonValue]
    raw: str
    age_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the chain shows of a transfer, over all its attempts."""

    status: TransferStatus
    txid: str | None = None
    block_height: int | None = None
    block_hash: str | None = None
    confirmations: int = 0
    fee_units: Units = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """``gas_key``: a top-up of the sending address that must be final before this transfer is signed."""

    status: TransferStatus
    gas_key: str | None = None


@dataclass(frozen=True, slots=True)
class TransferInput:
    """One on-chain transfer, named by its operation key. Waits in seconds."""

    key: str
    recheck_first_seconds: float
    recheck_most_seconds: float
    bump_after_seconds: float
