"""How many reais a user may still move by PIX today."""

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Caller
from api.deps import Deps
from api.views import REAIS, reais
from models.pix_limit import queries
from models.pix_limit.rules import day_of
from models.pix_limit.types import Used

router = APIRouter(prefix="/api/v1/wallet/pix", tags=["reais"])


class PixLimitView(BaseModel):
    """Of the calendar day in São Paulo."""

    limit: str = REAIS
    used: str = REAIS
    left: str = REAIS


class PixLimitsView(BaseModel):
    min: str = Field(examples=["1.00"], description="least of one deposit or withdrawal, in reais")
    deposit: PixLimitView
    withdrawal: PixLimitView
    resets_at: datetime = Field(description="midnight in São Paulo")


@router.get("/limits")
async def limits(services: Deps, caller: Caller) -> PixLimitsView:
    """The caller's limits. Deposits that expired unpaid, and withdrawals that came back, do not count."""
    now, rule = datetime.now(UTC), services.pix_limits
    async with services.engine.connect() as conn:
        deposited = await queries.deposited(conn, caller.user_id, rule, now)
        withdrawn = await queries.withdrawn(conn, caller.user_id, rule, now)
    return PixLimitsView(
        min=reais(rule.min_centavos),
        deposit=_view(deposited),
        withdrawal=_view(withdrawn),
        resets_at=day_of(now).ends_at,
    )


def _view(used: Used) -> PixLimitView:
    return PixLimitView(
        limit=reais(used.most_centavos), used=reais(used.used_centavos), left=reais(used.left_centavos)
    )
