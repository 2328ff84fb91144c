"""What the wallet's routes share: whose wallet, which asset, and how both are shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth import Caller
from api.deps import Deps
from api.ids import IdText
from models.assets import Asset
from models.errors import Forbidden, NotFound, UnknownAsset, UnknownNetwork
from models.hold.types import Hold
from models.ledger.history import Balance, Line
from models.ledger.types import Kind, Operation
from models.money import units_text
from models.network import queries as networks
from models.user import queries as users
from models.user.types import Actor

_OPERATORS_REFERENCE = "operator/"


class BalanceView(BaseModel):
    """``total = available + locked``. ``network`` is null for reais."""

    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    available: str = Field(examples=["1.250000000000000000"])
    locked: str = Field(examples=["0.500000000000000000"])
    total: str = Field(examples=["1.750000000000000000"])
    last_reason: str | None = Field(
        examples=["deposit"], description="why it moved last: a person's words, or the kind of movement; null: never"
    )
    updated_at: datetime | None = Field(description="when it moved last; null: never")


class LineView(BaseModel):
    """One movement. ``amount`` is signed: what came or went, and for freezes what left the available balance."""

    at: datetime
    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    operation: Operation
    kind: Kind = Field(description="the operation more exactly")
    amount: str = Field(examples=["-0.500000000000000000"])
    available_before: str = Field(examples=["1.750000000000000000"])
    available_after: str = Field(examples=["1.250000000000000000"])
    locked_before: str = Field(examples=["0.000000000000000000"])
    locked_after: str = Field(examples=["0.500000000000000000"])
    reference: str = Field(
        examples=["7c9e6679742540de944be07fc1f90ae7"], description="the trade, deposit or hold that it belongs to"
    )
    reason: str | None = Field(description="a person's words, where a person did it")


class HoldView(BaseModel):
    """``amount = remaining + released + captured``."""

    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    user_id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    amount: str = Field(examples=["0.500000000000000000"])
    remaining: str = Field(examples=["0.300000000000000000"])
    released: str = Field(examples=["0.200000000000000000"])
    captured: str = Field(examples=["0.000000000000000000"])
    reference: str = Field(examples=["operator/7c9e6679742540de944be07fc1f90ae7"])
    reason: str | None
    created_at: datetime
    expires_at: datetime | None = Field(description="what remains then is released by itself; null: never")
    ended_at: datetime | None = Field(description="since when nothing remains")


async def _owner(
    services: Deps,
    caller: Caller,
    user_id: Annotated[IdText | None, Query(description="operators only: whose wallet; left out: your own")] = None,
) -> str:
    """:raises Forbidden: a plain user, who names another.
    :raises NotFound: an operator, who names nobody.
    """
    if user_id is None or user_id == caller.user_id:
        return caller.user_id
    if not caller.is_operator:
        raise Forbidden("this is not your wallet, and looking into others' needs the role operator", field="user_id")
    async with services.engine.connect() as conn:
        await require_user(conn, user_id)
    return user_id


Owner = Annotated[str, Depends(_owner)]
Symbol = Annotated[str, Query(alias="asset", max_length=32, description="its symbol", examples=["ETH"])]
NetworkId = Annotated[
    str | None, Query(max_length=32, description="needed where the symbol is on several", examples=["ethereum"])
]


async def require_user(conn: AsyncConnection, user_id: str) -> None:
    """:raises NotFound: there is no such user."""
    if await users.by_id(conn, user_id) is None:
        raise NotFound("there is no such user", field="user_id")


async def one_asset(conn: AsyncConnection, symbol: str, network: str | None) -> Asset:
    """The asset of this symbol; ``network`` is needed where there are several.

    :raises UnknownAsset: no asset has this symbol.
    :raises UnknownNetwork: it is not on this network, or on several and none was named.
    """
    places = await networks.decimals(conn)
    found = matching(places, symbol, network)
    if len(found) > 1:
        several = ", ".join(_network(asset_id) or "" for asset_id in found)
        raise UnknownNetwork(f"{symbol} is on several networks: choose one of {several}", field="network")
    return Asset(found[0], symbol, places[found[0]], _network(found[0]))


def matching(places: Mapping[str, int], symbol: str | None, network: str | None) -> list[str]:
    """Ids of the assets of this symbol on this network; None matches all.

    :raises UnknownAsset: no asset has this symbol.
    :raises UnknownNetwork: none of them is on this network.
    """
    named = sorted(asset_id for asset_id in places if symbol in {None, _symbol(asset_id)})
    if not named:
        known = ", ".join(sorted({_symbol(asset_id) for asset_id in places}))
        raise UnknownAsset(f"choose one of: {known}", field="asset")
    found = [asset_id for asset_id in named if network in {None, _network(asset_id)}]
    if not found:
        known = ", ".join(sorted({_network(asset_id) or "" for asset_id in named} - {""}))
        raise UnknownNetwork(
            f"choose one of: {known}" if known else f"{symbol} is on no network: leave network out", field="network"
        )
    return found


def balance_view(balance: Balance, decimals: int) -> BalanceView:
    return BalanceView(
        asset=_symbol(balance.asset_id),
        network=_network(balance.asset_id),
        available=units_text(balance.available_units, decimals),
        locked=units_text(balance.locked_units, decimals),
        total=units_text(balance.total_units, decimals),
        last_reason=balance.last_reason,
        updated_at=balance.moved_at,
    )


def line_view(line: Line, decimals: int, reader: Actor) -> LineView:
    return LineView(
        at=line.recorded_at,
        asset=_symbol(line.asset_id),
        network=_network(line.asset_id),
        operation=line.operation,
        kind=line.kind,
        amount=units_text(line.amount_units, decimals),
        available_before=units_text(line.available_before, decimals),
        available_after=units_text(line.available_after, decimals),
        locked_before=units_text(line.locked_before, decimals),
        locked_after=units_text(line.locked_after, decimals),
        reference=_reference(line.reference, reader),
        reason=line.reason,
    )


def hold_view(hold: Hold, decimals: int) -> HoldView:
    return HoldView(
        id=hold.id,
        user_id=hold.user_id,
        asset=_symbol(hold.asset_id),
        network=_network(hold.asset_id),
        amount=units_text(hold.amount_units, decimals),
        remaining=units_text(hold.remaining_units, decimals),
        released=units_text(hold.released_units, decimals),
        captured=units_text(hold.captured_units, decimals),
        reference=hold.reference,
        reason=hold.reason,
        created_at=hold.created_at,
        expires_at=hold.expires_at,
        ended_at=hold.ended_at,
    )


def _reference(reference: str, reader: Actor) -> str:
    """Which operator it was is not for users to know."""
    is_plain = reader.is_operator or not reference.startswith(_OPERATORS_REFERENCE)
    return reference if is_plain else "operator"


def _symbol(asset_id: str) -> str:
    return asset_id.partition(".")[0]


def _network(asset_id: str) -> str | None:
    return asset_id.partition(".")[2] or None
