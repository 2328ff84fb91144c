"""Where a user is paid."""

from datetime import datetime

from pydantic.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BankData:
    """As shown: nothing that identifies a person beyond a masked key."""

    id: str
    pix_key_kind: str
    pix_key_masked: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Payee:
    """As paid: opened inside the activity that sends the payout, and nowhere else."""

    pix_key: str
    pix_key_kind: str
    holder_name: str
    holder_tax_id: str

    def __repr__(self) -> str:
        return "Payee(...)"
