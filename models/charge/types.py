"""A PIX charge: a request for reais, of a trade, of a P2P trade, or into a user's balance."""

from datetime import datetime

from pydantic.dataclasses import dataclass

from models.charge.states import ChargeStatus
from models.instant_trade.types import Waits
from models.money import Units


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge's row. The user pays it. ``p2p_trade_id``: the reais go to that trade's seller. Neither it nor
    ``trade_id``: they go to the user's balance.

    ``expires_at`` is what the payer sees; a payment stamped until ``accepts_until`` still counts, because two clocks
    never agree. Its own workflow looks at it until ``watched_until``. ``asked_at``: when the provider was last asked
    about it and answered.
    """

    key: str
    user_id: str
    trade_id: str | None
    provider: str
    amount_centavos: Units
    expires_at: datetime
    accepts_until: datetime
    watched_until: datetime
    status: ChargeStatus
    version: int
    window_seconds: int | None = None
    provider_id: str | None = None
    br_code: str | None = None
    reason: str | None = None
    asked_at: datetime | None = None
    created_at: datetime | None = None
    p2p_trade_id: str | None = None

    @property
    def is_deposit(self) -> bool:
        return self.trade_id is None and self.p2p_trade_id is None


@dataclass(frozen=True, slots=True)
class ChargeProgress:
    """``waits_for``: in words, for operators. ``seconds_to_next``: until the next moment that matters, if any."""

    status: ChargeStatus
    is_over: bool
    waits_for: str = ""
    seconds_to_next: float | None = None


@dataclass(frozen=True, slots=True)
class ChargeInput:
    """One charge, named by its key."""

    key: str
    waits: Waits
