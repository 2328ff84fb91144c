"""What a user's ended P2P trades say of them. Public among users, and without a name."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Caller
from api.deps import Deps
from api.ids import IdInPath
from api.problems import problems
from api.views import REAIS, reais
from api.wallets import require_user
from models.errors import NotFound
from models.reputation import queries
from models.reputation.types import Reputation

router = APIRouter(prefix="/api/v1/p2p/users", tags=["p2p"])


class ReputationView(BaseModel):
    """Null: nothing counts yet."""

    user_id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    trades: int = Field(description="completed, on either side")
    volume: str = REAIS
    completion_bps: int | None = Field(
        examples=[9800],
        description="of the trades that count, how many completed, in basis points. Those count against a user that "
        "they as the buyer let expire or cancelled, and disputes that they lost",
    )
    release_seconds: int | None = Field(
        description="the median of the user's sales: from the buyer's word that they paid to the release"
    )
    disputes_lost: int
    rating: str | None = Field(examples=["4.75"], description="average of the reviews' stars, 1 to 5")
    reviews: int


def reputation_view(found: Reputation) -> ReputationView:
    return ReputationView(
        user_id=found.user_id,
        trades=found.trades,
        volume=reais(found.volume_centavos),
        completion_bps=found.completion_bps,
        release_seconds=found.release_seconds,
        disputes_lost=found.disputes_lost,
        rating=None if found.rating is None else f"{found.rating:.2f}",
        reviews=found.reviews,
    )


@router.get("/{user_id:id}/reputation", responses=problems(NotFound))
async def show(user_id: IdInPath, services: Deps, _caller: Caller) -> ReputationView:
    """Anybody's, also one's own."""
    async with services.engine.connect() as conn:
        await require_user(conn, user_id)
        return reputation_view((await queries.of_users(conn, [user_id]))[user_id])
