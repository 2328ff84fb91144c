"""The limits' arithmetic. Pure: no clock, no database."""

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from models.assets import BRL
from models.errors import LimitExceeded
from models.money import units_text
from models.pix_limit.types import Day, PixLimits, Used
from models.reconciliation.types import BANK_TIME


class Movement(StrEnum):
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


def day_of(now: datetime) -> Day:
    """The calendar day in the bank's time that ``now`` belongs to, whatever length its clock gives it."""
    today = now.astimezone(BANK_TIME).date()
    midnights = (datetime.combine(day, time(), BANK_TIME) for day in (today, today + timedelta(days=1)))
    # As UTC: of two zones, Python calls times unequal that fall where a clock was put forward.
    return Day(*(midnight.astimezone(UTC) for midnight in midnights))


def require(movement: Movement, amount_centavos: int, used: Used, limits: PixLimits) -> None:
    """:raises LimitExceeded: with the limit, what of it is used, and what is left, in reais."""
    if amount_centavos < limits.min_centavos:
        raise LimitExceeded(f"the least {movement} is R$ {_reais(limits.min_centavos)}", field="amount")
    if amount_centavos > used.left_centavos:
        most, taken, left = (_reais(c) for c in (used.most_centavos, used.used_centavos, used.left_centavos))
        raise LimitExceeded(
            f"{movement}s of one day may be R$ {most} in all: R$ {taken} are used today, R$ {left} are left",
            field="amount",
        )


def _reais(centavos: int) -> str:
    return units_text(centavos, BRL.decimals)
