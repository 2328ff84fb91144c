"""When a payout may leave: at night only small ones do.

Bacen bounds PIX between persons at night (Res. BCB 142/2021: 20:00 to 06:00); for companies each provider sets its
own limits, so ours is a setting. A payout above it is not refused: it waits for the morning, and says so.
"""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic.dataclasses import dataclass

from models.money import Units

BANK_TIME = ZoneInfo("America/Sao_Paulo")


@dataclass(frozen=True, slots=True)
class Night:
    """``most_centavos``: what a single payout may be between these hours, in the bank's time."""

    most_centavos: Units
    from_hour: int = 20
    until_hour: int = 6


def not_before(now: datetime, amount_centavos: int, night: Night | None) -> datetime | None:
    """The end of the night that a payout of this amount must wait for; None: it may leave now."""
    if night is None or amount_centavos <= night.most_centavos:
        return None
    local = now.astimezone(BANK_TIME)
    morning = datetime.combine(local.date(), time(night.until_hour), BANK_TIME)
    if night.from_hour > night.until_hour and local.hour >= night.from_hour:
        return morning + timedelta(days=1)
    is_night = (
        local < morning if night.from_hour > night.until_hour else night.from_hour <= local.hour < night.until_hour
    )
    return morning if is_night else None
