"""What the house earned by P2P trades, and its way to the desk."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Operator
from api.deps import Deps
from api.evidence import Reason
from api.idempotency import OncePerKey
from api.ids import IdText
from api.instants import FirstDayIfAny, LastDayIfAny, bank_date
from api.problems import problems
from api.routes.quote import PlainAmount, positive
from api.wallets import one_asset
from models.commission import queries, writes
from models.errors import (
    Forbidden,
    IdempotencyMismatch,
    InsufficientFunds,
    InvalidInput,
    LimitExceeded,
    NotAnAmount,
    PayloadTooLarge,
    TooPrecise,
    UnknownAsset,
    UnknownNetwork,
)
from models.money import units_text
from models.network import queries as networks
from models.reconciliation.types import bank_day

router = APIRouter(prefix="/api/v1/ops/commissions", tags=["commissions"])

DAYS_MOST = 366
DAYS_BY_DEFAULT = 31
_COINS = Field(examples=["0.002000000000000000"], description="of `asset`")


class CommissionLine(BaseModel):
    """One day, asset and user who paid."""

    day: date = Field(description="in the bank's time (America/Sao_Paulo)")
    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    user_id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"], description="who paid it")
    trades: int = Field(ge=1, examples=[3])
    amount: str = _COINS


class Collected(BaseModel):
    """What is there to be paid out now. Of reais, the fees of instant trades are in it too."""

    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    amount: str = _COINS


class CommissionPage(BaseModel):
    lines: list[CommissionLine] = Field(description="newest day first")
    collected: list[Collected]
    next_cursor: str | None = Field(description="pass it back for the lines that follow; null at the end")


class PayoutRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    asset: str = Field(max_length=32, examples=["ETH"])
    network: str | None = Field(
        default=None, max_length=32, examples=["ethereum"], description="needed where the symbol is on several"
    )
    amount: PlainAmount | None = Field(default=None, examples=["0.002"], description="left out: all there is")
    reason: Reason


class PaidOut(BaseModel):
    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    amount: str = _COINS
    left: str = Field(examples=["0.000000000000000000"], description="in the collected fees")


@router.get("", responses=problems(Forbidden, InvalidInput, LimitExceeded))
async def commissions(
    services: Deps,
    _caller: Operator,
    since: FirstDayIfAny = None,
    until: LastDayIfAny = None,
    user_id: Annotated[IdText | None, Query(description="only what this user paid")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    cursor: Annotated[str | None, Query(pattern="^[0-9]{1,9}$")] = None,
) -> CommissionPage:
    """Operators: what P2P trades brought, by day, asset and the user who paid it. At most 366 days."""
    after = bank_date(until, "to") or bank_day(datetime.now(UTC)) + timedelta(days=1)
    first = bank_date(since, "from") or after - timedelta(days=DAYS_BY_DEFAULT)
    if first >= after:
        raise InvalidInput("`to` must be later than `from`", field="to")
    if (after - first).days > DAYS_MOST:
        raise LimitExceeded(f"at most {DAYS_MOST} days", field="to")
    skip = int(cursor or 0)
    async with services.engine.connect() as conn:
        decimals = await networks.decimals(conn)
        found = await queries.earned(conn, since=first, until=after, user_id=user_id, most=limit + 1, skip=skip)
        there = await queries.collected(conn)
    lines = [
        CommissionLine(
            day=line.day,
            user_id=line.user_id,
            trades=line.trades,
            amount=units_text(line.units, decimals[line.asset_id]),
            **_named(line.asset_id),
        )
        for line in found[:limit]
    ]
    return CommissionPage(
        lines=lines,
        collected=[
            Collected(amount=units_text(units, decimals[asset_id]), **_named(asset_id))
            for asset_id, units in there.items()
        ],
        next_cursor=str(skip + limit) if len(found) > limit else None,
    )


@router.post(
    "/payout",
    response_model=PaidOut,
    responses=problems(
        PayloadTooLarge,
        Forbidden,
        InvalidInput,
        NotAnAmount,
        TooPrecise,
        UnknownAsset,
        UnknownNetwork,
        InsufficientFunds,
        IdempotencyMismatch,
    ),
)
async def payout(body: PayoutRequest, services: Deps, caller: Operator, once: OncePerKey) -> JSONResponse:
    """Operators: move collected fees to the house's desk. Never more than there is; no coin moves on a chain."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        asset = await one_asset(conn, body.asset, body.network)
        moved = await writes.pay_out(
            conn,
            operation=once.operation,
            operator_id=caller.user_id,
            asset_id=asset.id,
            units=None if body.amount is None else positive(body.amount, asset, "amount"),
            reason=body.reason,
        )
        left = (await queries.collected(conn)).get(asset.id, 0)
        view = PaidOut(
            amount=units_text(moved, asset.decimals), left=units_text(left, asset.decimals), **_named(asset.id)
        )
        return await once.answer(conn, 200, view)


def _named(asset_id: str) -> dict[str, Any]:
    symbol, _, network = asset_id.partition(".")
    return {"asset": symbol, "network": network or None}
