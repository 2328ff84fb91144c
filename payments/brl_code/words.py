"""The gateway's words and ours. Other fields may come and go; what it says of money is exact, or unreadable."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from payments.protocol import PayoutState

STATES = {
    "pending": PayoutState.PROCESSING,
    "sent": PayoutState.PROCESSING,
    "confirmed": PayoutState.PAID,
    "failed": PayoutState.REJECTED,
}
"""The four that its former client kept. Any other may be anything, so it is no end."""

NAME_LENGTH_MAX = 100

_REAIS = re.compile(r"[0-9]{1,13}(\.[0-9]{1,2}0*)?")


def reais(centavos: int) -> str:
    """``reais(1_050) == "10.50"``: as text, and as the digits of a JSON number."""
    return f"{centavos // 100}.{centavos % 100:02d}"


def _centavos(value: object) -> int:
    """``"130.00"``, ``130.00`` read as Decimal, or ``130``: reais in each case."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal) or not _REAIS.fullmatch(str(value)):
        raise ValueError("an amount is reais with at most two decimals")
    return int(Decimal(value) * 100)


def _name(value: object) -> object:
    """Some gateways number their payments."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Centavos = Annotated[int, BeforeValidator(_centavos)]
Name = Annotated[str, BeforeValidator(_name), Field(min_length=1, max_length=NAME_LENGTH_MAX)]


class Words(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)


class CreatedPayment(Words):
    """The answer to ``POST /payments/create``. It need not repeat what it was told."""

    payment_id: Name
    status: str
    external_id: Name | None = None
    amount: Centavos | None = None


class Payment(Words):
    """``GET /payments/{payment_id}``. Without an amount nothing it says can be believed."""

    payment_id: Name
    status: str
    amount: Centavos
    external_id: Name | None = None


class Event(Words):
    """The webhook. ``timestamp``: when it happened, in RFC 3339 or seconds since 1970."""

    event: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH_MAX)]
    payment_id: Name
    external_id: Annotated[str, Field(min_length=1)]
    status: str = ""
    timestamp: str | Annotated[Decimal, Field(ge=0, lt=10**12)] | None = None


def state_of(status: str) -> PayoutState:
    return STATES.get(status.casefold(), PayoutState.PROCESSING)
