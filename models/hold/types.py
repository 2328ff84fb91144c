"""Money of a user that is set aside for a stated reason."""

from datetime import datetime

from pydantic.dataclasses import dataclass

from models.money import Units


@dataclass(frozen=True, slots=True)
class Hold:
    """``amount_units`` were set aside; each of them is still here, released to the user, or captured (spent).

    ``reference``: what it is for, such as ``operator/<id>``. ``expires_at``: what is left then goes back by itself.
    ``ended_at``: since when nothing is left.
    """

    id: str
    user_id: str
    asset_id: str
    amount_units: Units
    released_units: Units
    captured_units: Units
    reference: str
    reason: str | None
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None

    @property
    def remaining_units(self) -> int:
        return self.amount_units - self.released_units - self.captured_units
