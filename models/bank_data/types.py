"""Where a user is paid."""

from datetime import datetime, timedelta

from pydantic.dataclasses import dataclass

from models.money import Units


@dataclass(frozen=True, slots=True)
class BankData:
    """As shown: nothing that identifies a person beyond a masked key.

    ``verified_at``: since when its holder is known to be the user; None while that is not known, or not so.
    """

    id: str
    pix_key_kind: str
    pix_key_masked: str
    is_primary: bool
    verified_at: datetime | None
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


@dataclass(frozen=True, slots=True)
class NewKeyRule:
    """A PIX key younger than ``cooldown_seconds`` receives at most ``most_centavos``, trades and withdrawals
    together.
    """

    cooldown_seconds: float
    most_centavos: Units

    def usable_from(self, created_at: datetime) -> datetime:
        """When a key kept at ``created_at`` may receive any amount."""
        return created_at + timedelta(seconds=self.cooldown_seconds)
