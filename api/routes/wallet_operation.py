"""What operators do to a user's wallet by hand, for testing and support, each with its reason."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth import Operator
from api.deps import Deps
from api.evidence import Reason
from api.idempotency import OncePerKey
from api.ids import IdText
from api.problems import problems
from api.routes.quote import PlainAmount
from api.wallets import BalanceView, HoldView, balance_view, hold_view, one_asset, require_user
from models.assets import Asset
from models.errors import (
    Forbidden,
    HoldExceeded,
    IdempotencyMismatch,
    IllegalTransition,
    InsufficientFunds,
    InvalidInput,
    LimitExceeded,
    NotAnAmount,
    NotFound,
    PayloadTooLarge,
    TooPrecise,
    UnknownAsset,
    UnknownNetwork,
)
from models.hold import queries as holds
from models.hold import writes as hold_writes
from models.ledger import history
from models.ledger import writes as ledger
from models.money import Amount
from models.network import queries as networks

router = APIRouter(prefix="/api/v1/wallet", tags=["wallet"])

UNITS_MOST = 10**40
"""Base units moved by one order: beyond any real coin's supply, and far from what a column holds."""
HOLD_MOST = timedelta(days=3660)
OPERATOR = "operator/"

_COMMON = (PayloadTooLarge, Forbidden, NotFound, InvalidInput, NotAnAmount, TooPrecise, IdempotencyMismatch)
_NAMING = (*_COMMON, UnknownAsset, UnknownNetwork, LimitExceeded)


class DepositRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user_id: IdText
    asset: str = Field(max_length=32, examples=["ETH"])
    network: str | None = Field(
        default=None, max_length=32, examples=["ethereum"], description="needed where the symbol is on several"
    )
    amount: PlainAmount = Field(examples=["0.5"])
    reason: Reason


class FreezeRequest(DepositRequest):
    expires_at: AwareDatetime | None = Field(
        default=None,
        examples=["2036-01-05T12:00:00Z"],
        description="what remains then is released by itself; at most ten years ahead; left out: never",
    )


class UnfreezeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hold_id: IdText
    amount: PlainAmount | None = Field(default=None, examples=["0.2"], description="left out: all that remains")
    reason: Reason


@router.post("/deposit", response_model=BalanceView, responses=problems(*_NAMING))
async def deposit(body: DepositRequest, services: Deps, caller: Operator, once: OncePerKey) -> JSONResponse:
    """Operators: give a user some of the house's own; the balance afterwards. No coin moves on a chain."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        asset = await _asset(conn, body)
        await ledger.adjust(
            conn,
            operation=once.operation,
            operator_id=caller.user_id,
            user_id=body.user_id,
            asset_id=asset.id,
            units=_units(body.amount, asset),
            reason=body.reason,
        )
        after = (await history.balances(conn, body.user_id))[asset.id]
        return await once.answer(conn, 200, balance_view(after, asset.decimals))


@router.post("/freeze", status_code=201, response_model=HoldView, responses=problems(*_NAMING, InsufficientFunds))
async def freeze(body: FreezeRequest, services: Deps, caller: Operator, once: OncePerKey) -> JSONResponse:
    """Operators: set some of a user's available balance aside."""
    _check_time(body.expires_at)
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        asset = await _asset(conn, body)
        placed = await hold_writes.place(
            conn,
            hold_id=once.operation,
            user_id=body.user_id,
            asset_id=asset.id,
            units=_units(body.amount, asset),
            reference=f"{OPERATOR}{caller.user_id}",
            reason=body.reason,
            expires_at=body.expires_at,
        )
        return await once.answer(conn, 201, hold_view(placed, asset.decimals))


@router.post(
    "/unfreeze", response_model=HoldView, responses=problems(*_COMMON, LimitExceeded, HoldExceeded, IllegalTransition)
)
async def unfreeze(body: UnfreezeRequest, services: Deps, caller: Operator, once: OncePerKey) -> JSONResponse:
    """Operators: give back what was frozen by hand, or a part of it. What a flow holds, only that flow gives back."""
    async with services.engine.begin() as conn:
        if (known := await once.claim(conn)) is not None:
            return known
        hold = await holds.hold(conn, body.hold_id)
        if not hold.reference.startswith(OPERATOR):
            raise IllegalTransition(f"this hold belongs to {hold.reference}, which alone gives it back")
        decimals = (await networks.decimals(conn))[hold.asset_id]
        asset = Asset(hold.asset_id, hold.asset_id.partition(".")[0], decimals)
        left = await hold_writes.release(
            conn,
            hold.id,
            operation=f"{caller.user_id}/{once.operation}",
            units=None if body.amount is None else _units(body.amount, asset),
            reason=body.reason,
        )
        return await once.answer(conn, 200, hold_view(left, decimals))


async def _asset(conn: AsyncConnection, body: DepositRequest) -> Asset:
    await require_user(conn, body.user_id)
    return await one_asset(conn, body.asset, body.network)


def _units(amount: str, asset: Asset) -> int:
    units = Amount.parse(amount, asset).units
    if units <= 0:
        raise InvalidInput("amount must be more than zero", field="amount")
    if units > UNITS_MOST:
        raise LimitExceeded("amount is more than there can be", field="amount")
    return units


def _check_time(expires_at: datetime | None) -> None:
    now = datetime.now(UTC)
    if expires_at is not None and not now < expires_at <= now + HOLD_MOST:
        raise InvalidInput("expires_at must be in the future, at most ten years ahead", field="expires_at")
