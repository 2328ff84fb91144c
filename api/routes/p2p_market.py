"""What the P2P market is like, and by which rules it is played."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Caller
from api.deps import Deps
from api.p2p_orders import books, price_text
from api.problems import problems
from api.routes.p2p_order import assets_named
from api.views import REAIS, reais
from models.assets import Asset
from models.errors import UnknownAsset, UnknownNetwork
from models.money import units_text
from models.p2p_order import market
from models.p2p_order.types import MarketStats, Settlement
from models.p2p_trade.party import Party
from models.payment_method.types import MethodKind

router = APIRouter(prefix="/api/v1/p2p", tags=["p2p"])


class MarketStatsView(BaseModel):
    """Prices are reais per unit; null: there is none."""

    asset: str = Field(examples=["ETH"])
    network: str = Field(examples=["ethereum"])
    last: str | None = Field(examples=["15000.00"], description="of the last trade completed")
    bid: str | None = Field(description="the most that an order buys for now")
    ask: str | None = Field(description="the least that an order sells for now")
    volume: str = Field(examples=["1.250000000000000000"], description="of trades completed in the last 24 hours")
    volume_total: str = REAIS
    trades: int = Field(description="completed in the last 24 hours")
    open_orders: int


class TradedAsset(BaseModel):
    asset: str = Field(examples=["ETH"])
    network: str = Field(examples=["ethereum"])
    decimals: int
    price_decimals: int


class TierView(BaseModel):
    from_volume: str = Field(examples=["1000000.00"], description="reais that the payer traded in 30 days")
    bps: int


class CommissionView(BaseModel):
    bps: int = Field(description="of the coins, in basis points")
    payer: Party
    tiers: list[TierView] = Field(description="the last one reached holds")


class ConfigView(BaseModel):
    assets: list[TradedAsset]
    settlements: list[Settlement]
    method_kinds: list[MethodKind]
    trade_min: str = REAIS
    trade_max: str = REAIS
    window_least_seconds: int = Field(description="for the buyer to pay")
    window_most_seconds: int
    window_default_seconds: int
    confirm_seconds: int = Field(description="for the seller to confirm the payment")
    orders_most: int = Field(description="not closed, of one user")
    unpaid_most: int = Field(
        description="live trades that a user may have taken as the buyer at once, but for those paid from the balance"
    )
    unpaid_day_most: int = Field(description="trades that may end unpaid in 24 hours before a cool-down")
    cooldown_seconds: float
    commission: CommissionView


@router.get("/market-stats", responses=problems(UnknownAsset, UnknownNetwork))
async def market_stats(
    services: Deps,
    _caller: Caller,
    symbol: Annotated[str | None, Query(alias="asset", max_length=32, examples=["ETH"])] = None,
    network: Annotated[str | None, Query(max_length=32, examples=["ethereum"])] = None,
) -> list[MarketStatsView]:
    """One for each asset on each network, or for those named."""
    assets = {asset.id: asset for asset in assets_named(services.catalogue, symbol, network)}
    async with services.engine.connect() as conn:
        floating = await market.floating_assets(conn, list(assets))
    prices = await books(services, assets.values(), floating)
    async with services.engine.connect() as conn:
        found = await market.stats(conn, list(prices.values()), datetime.now(UTC))
    return [_stats(one, assets[one.asset_id]) for one in found]


@router.get("/config")
async def config(services: Deps, _caller: Caller) -> ConfigView:
    """Assets, limits, windows and the commission, as they are for new orders and trades."""
    rules = services.p2p
    return ConfigView(
        assets=[
            TradedAsset(
                asset=asset.symbol,
                network=asset.network,
                decimals=asset.decimals,
                price_decimals=asset.price_decimals,
            )
            for asset in services.catalogue.assets.values()
            if asset.network is not None
        ],
        settlements=list(Settlement),
        method_kinds=list(MethodKind),
        trade_min=reais(rules.trade_min_centavos),
        trade_max=reais(rules.trade_max_centavos),
        window_least_seconds=rules.window_least_seconds,
        window_most_seconds=rules.window_most_seconds,
        window_default_seconds=rules.window_default_seconds,
        confirm_seconds=rules.confirm_seconds,
        orders_most=rules.orders_most,
        unpaid_most=rules.unpaid_most,
        unpaid_day_most=rules.unpaid_day_most,
        cooldown_seconds=rules.cooldown_seconds,
        commission=CommissionView(
            bps=rules.commission_bps,
            payer=rules.commission_payer,
            tiers=[TierView(from_volume=reais(tier.from_centavos), bps=tier.bps) for tier in rules.commission_tiers],
        ),
    )


def _stats(found: MarketStats, asset: Asset) -> MarketStatsView:
    return MarketStatsView(
        asset=asset.symbol,
        network=asset.network or "",
        last=price_text(found.last, asset),
        bid=price_text(found.bid, asset),
        ask=price_text(found.ask, asset),
        volume=units_text(found.units, asset.decimals),
        volume_total=reais(found.centavos),
        trades=found.trades,
        open_orders=found.open_orders,
    )
