"""What the comparisons with the banks came to, day by day."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Operator
from api.deps import Deps
from api.instants import FirstDayIfAny, LastDayIfAny, bank_date
from api.problems import problems
from api.views import reais
from models.errors import Forbidden, InvalidInput, LimitExceeded
from models.reconciliation import queries
from models.reconciliation.queries import DayView
from models.reconciliation.types import Class, Tally, bank_day

router = APIRouter(prefix="/api/v1/ops/reconciliations", tags=["reconciliation"])

DAYS_MOST = 366
DAYS_BY_DEFAULT = 31


class TallyShown(BaseModel):
    """One class: its rows on either side and their sums, signed as the bank sees them."""

    cls: Class = Field(serialization_alias="class", examples=[Class.MATCHED])
    lines: int = Field(examples=[120])
    movements: int = Field(examples=[120])
    bank: str = Field(examples=["-15200.40"], description="reais")
    ledger: str = Field(examples=["-15200.40"], description="reais")


class ReconciliationShown(BaseModel):
    """Figures are of the newest run that the bank answered; null, and no classes, if it never did."""

    provider: str = Field(examples=["sandbox"])
    day: date = Field(description="in the bank's time (America/Sao_Paulo)")
    last_run_at: datetime
    bank_answered: bool = Field(description="in that last run")
    compared_at: datetime | None = Field(description="the end of the run that the figures are of")
    lines: int | None
    lines_sum: str | None = Field(examples=["-15010.40"], description="reais")
    movements: int | None
    movements_sum: str | None = Field(examples=["-15200.40"], description="reais")
    opening: str | None = Field(examples=["250000.00"], description="reais; where the bank's balance is known")
    closing: str | None = Field(examples=["234989.60"], description="reais; of today: when the statement was read")
    classes: list[TallyShown]
    live_breaks: int = Field(examples=[2], description="of the day, open or acknowledged now")


class ReconciliationList(BaseModel):
    reconciliations: list[ReconciliationShown] = Field(description="newest day first")


@router.get("", responses=problems(Forbidden, InvalidInput, LimitExceeded))
async def reconciliations(
    services: Deps,
    _caller: Operator,
    provider: Annotated[str | None, Query(max_length=32, examples=["sandbox"])] = None,
    since: FirstDayIfAny = None,
    until: LastDayIfAny = None,
) -> ReconciliationList:
    """Operators: each provider's bank days, with what their comparison came to. At most 366 days."""
    after = bank_date(until, "to") or bank_day(datetime.now(UTC)) + timedelta(days=1)
    first = bank_date(since, "from") or after - timedelta(days=DAYS_BY_DEFAULT)
    if first >= after:
        raise InvalidInput("`to` must be later than `from`", field="to")
    if (after - first).days > DAYS_MOST:
        raise LimitExceeded(f"at most {DAYS_MOST} days", field="to")
    async with services.engine.connect() as conn:
        found = await queries.days(conn, since=first, until=after, provider=provider)
    return ReconciliationList(reconciliations=[_shown(day) for day in found])


def _shown(day: DayView) -> ReconciliationShown:
    return ReconciliationShown(
        provider=day.provider,
        day=day.day,
        last_run_at=day.last_run_at,
        bank_answered=day.bank_answered,
        compared_at=day.compared_at,
        lines=day.lines,
        lines_sum=_reais(day.lines_centavos),
        movements=day.movements,
        movements_sum=_reais(day.movements_centavos),
        opening=_reais(day.opening_centavos),
        closing=_reais(day.closing_centavos),
        classes=[_tally(cls, day.classes[cls]) for cls in Class if cls in day.classes],
        live_breaks=day.live_breaks,
    )


def _tally(cls: Class, tally: Tally) -> TallyShown:
    return TallyShown(
        cls=cls,
        lines=tally.lines,
        movements=tally.movements,
        bank=reais(tally.bank_centavos),
        ledger=reais(tally.ledger_centavos),
    )


def _reais(centavos: int | None) -> str | None:
    return None if centavos is None else reais(centavos)
