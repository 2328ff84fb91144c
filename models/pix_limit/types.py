"""How many reais a user may move by PIX in a day."""

from datetime import datetime

from pydantic.dataclasses import dataclass

from models.money import Units


@dataclass(frozen=True, slots=True)
class PixLimits:
    """Centavos: the least of one movement, and the most of a user's calendar day in the bank's time."""

    min_centavos: Units
    deposit_day_most_centavos: Units
    withdrawal_day_most_centavos: Units


@dataclass(frozen=True, slots=True)
class Day:
    """``starts_at`` included, ``ends_at`` not."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Used:
    """Of one kind of movement, on one day: the limit, and what of it is taken."""

    most_centavos: Units
    used_centavos: Units

    @property
    def left_centavos(self) -> int:
        return max(0, self.most_centavos - self.used_centavos)
