"""What a user's trades say of them. It names nobody: a user is shown by their id."""

from decimal import Decimal

from pydantic.dataclasses import dataclass

from models.money import Units


@dataclass(frozen=True, slots=True)
class Reputation:
    """``trades``: completed, on either side; ``volume_centavos``: theirs.

    ``completion_bps``: the completed ones among those that count: a trade that the user as the buyer let expire or
    gave up, in a dispute too, and a dispute that the user lost, count against them. None: none counts.
    ``release_seconds``: from the buyer's word that they paid to the release, the median of the user's sales that
    nobody disputed and that no bank released. ``disputes_lost``: by a ruling that held good, waited for or given in
    to. ``rating``: average stars, to two places. None: there are none.
    """

    user_id: str
    trades: int = 0
    volume_centavos: Units = 0
    completion_bps: int | None = None
    release_seconds: int | None = None
    disputes_lost: int = 0
    rating: Decimal | None = None
    reviews: int = 0
