"""How somebody is paid outside the platform, in a P2P trade."""

from dataclasses import field
from datetime import datetime
from enum import StrEnum

from pydantic.dataclasses import dataclass


class MethodKind(StrEnum):
    """``TED``: a transfer to a bank account by branch and number."""

    PIX = "pix"
    TED = "ted"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """``label``: its owner's own name for it; others never see it. ``details``: in clear, never shown in a repr."""

    id: str
    user_id: str
    kind: MethodKind
    label: str
    details: dict[str, str] = field(repr=False)
    created_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MethodDraft:
    """What its owner says of it. ``tax_id``: bare, of the holder where the details tell it; None: they do not.

    ``tax_id_field``: which of the request's fields told it.
    """

    kind: MethodKind
    label: str
    details: dict[str, str] = field(repr=False)
    tax_id: str | None = field(default=None, repr=False)
    tax_id_field: str = "holder_tax_id"
