"""A PIX that came in on a charge."""

from datetime import datetime
from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.money import Units
from models.receipt.states import ReceiptStatus


class Payer(StrEnum):
    """Who paid, compared with the user's verified document; the document itself is not kept here."""

    SAME = "same"
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the provider shows of one receipt. ``taken_back_centavos``: of it, what the bank sent back without us."""

    end_to_end_id: str
    amount_centavos: Units
    received_at: datetime
    payer: Payer
    is_blocked: bool = False
    taken_back_centavos: Units = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt's row. ``reason``: why it goes back, coded; see ``models/receipt/rules.py``.

    ``taken_back_centavos``: of it, what the bank took back, as far as it is booked. A receipt of which a part was
    taken stays what it is, with less left.
    """

    id: str
    provider: str
    end_to_end_id: str
    charge_key: str
    user_id: str
    amount_centavos: Units
    received_at: datetime
    payer: Payer
    status: ReceiptStatus
    version: int
    reason: str | None = None
    taken_back_centavos: Units = 0
    created_at: datetime | None = None

    @property
    def left_centavos(self) -> int:
        return self.amount_centavos - self.taken_back_centavos
