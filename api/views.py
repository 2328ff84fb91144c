"""What the API shows of quotes and trades, and how it is read off the rows. Amounts are decimal strings."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Services
from models.assets import BRL
from models.instant_trade import queries
from models.instant_trade.queries import LockView
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Lock, Trade
from models.instant_trade.writes import workflow_id
from models.money import EXACT, units_text
from models.quote.types import Funding, LockedSide, Quote
from models.user.types import Actor

REAIS = Field(examples=["145.12"], description="reais, exact to the centavo")


def reais(centavos: int) -> str:
    return units_text(centavos, BRL.decimals)


class Amounts(BaseModel):
    """``total = gross - spread - network_fee``, exactly, as they will be posted in the ledger."""

    asset: str = Field(examples=["ETH"])
    network: str = Field(examples=["ethereum"])
    amount: str = Field(examples=["0.010000000000000000"], description="of `asset`: what the user hands in")
    currency: Literal["BRL"] = "BRL"
    price: str = Field(examples=["15000.00"], description="reais per unit of `asset`")
    gross: str = REAIS
    spread: str = REAIS
    network_fee: str = REAIS
    total: str = Field(examples=["145.12"], description="reais, exact to the centavo: what the user receives")


class DepositPolicy(BaseModel):
    """What happens to deposits that are not as quoted. Nothing that arrives is ever kept."""

    window_seconds: float = Field(examples=[900], description="from the trade's creation")
    short: Literal["top_up_until_the_window_ends_then_return"] = "top_up_until_the_window_ends_then_return"
    over: Literal["settle_the_quoted_amount_and_return_the_rest"] = "settle_the_quoted_amount_and_return_the_rest"
    late: Literal["return"] = "return"
    several: Literal["add_up"] = "add_up"
    wrong_asset: Literal["keep_safe_for_an_operator"] = "keep_safe_for_an_operator"
    return_min: str = Field(
        examples=["5.00"], description="returns worth fewer reais than this become a platform balance instead"
    )


class QuoteView(Amounts):
    id: str = Field(examples=["0f8fad5bd9cb469fa16570867728950e"])
    operation: Literal["sell"] = "sell"
    funding: Funding
    locked_side: LockedSide = Field(description="which side is exact as asked: `amount`, or what is received")
    refund_address: str | None = Field(description="where coins go back to; only with funding `deposit`")
    deposit_policy: DepositPolicy | None = Field(description="only with funding `deposit`")
    created_at: datetime
    expires_at: datetime


class LockShown(BaseModel):
    """While a lock runs, somebody outside keeps a promise to us, or we to them. No trade outlives one."""

    kind: Lock
    expires_at: datetime
    released_at: datetime | None


class TradeSummary(Amounts):
    id: str = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])
    reference: str = Field(examples=["OTC-2026-000123"])
    status: TradeStatus
    reason: str | None = Field(description="why it is in this status, where that is not plain", examples=[None])
    operation: Literal["sell"] = "sell"
    funding: Funding
    quote_id: str
    bank_data_id: str
    created_at: datetime
    updated_at: datetime


class TradeView(TradeSummary):
    deposit_address: str | None = Field(description="where the user sends the coins; only with funding `deposit`")
    custody_address: str | None = Field(description="the user's platform address; only with funding `custody`")
    refund_address: str | None = Field(
        description="only with funding `deposit`; otherwise coins stay on the platform"
    )
    expires_at: datetime | None = Field(description="when the next lock runs out; null once the trade has ended")
    locks: list[LockShown]
    workflow_id: str = Field(examples=["otc-sell/7c9e6679742540de944be07fc1f90ae7"])
    temporal_ui: str | None = Field(description="the workflow's page; shown to operators only")


def quote_view(quote: Quote, services: Services) -> QuoteView:
    asset = services.catalogue.by_id(quote.asset_id)
    policy = DepositPolicy(
        window_seconds=services.terms.deposit_window_seconds, return_min=reais(quote.return_min_centavos)
    )
    return QuoteView(
        **_amounts(quote, asset.decimals),
        id=quote.id,
        funding=quote.funding,
        locked_side=quote.locked_side,
        refund_address=quote.refund_address,
        deposit_policy=policy if quote.funding is Funding.DEPOSIT else None,
        created_at=quote.created_at,
        expires_at=quote.expires_at,
    )


async def read_trade(conn: AsyncConnection, trade_id: str, actor: Actor, services: Services) -> TradeView:
    """:raises NotFound: none, or somebody else's."""
    trade = await visible(conn, trade_id, actor)
    return trade_view(trade, await queries.locks(conn, trade_id), actor, services)


async def visible(conn: AsyncConnection, trade_id: str, actor: Actor) -> Trade:
    """The trade, if this caller may see it: operators see all, users their own.

    :raises NotFound: none, or somebody else's.
    """
    return await queries.trade(conn, trade_id, user_id=None if actor.is_operator else actor.user_id)


def trade_summary(trade: Trade) -> TradeSummary:
    return TradeSummary(**_summary(trade))


def trade_view(trade: Trade, locks: list[LockView], actor: Actor, services: Services) -> TradeView:
    by_deposit = trade.funding is Funding.DEPOSIT
    running = [lock.expires_at for lock in locks if lock.released_at is None]
    workflow = workflow_id(trade.id)
    return TradeView(
        **_summary(trade),
        deposit_address=trade.source_address if by_deposit else None,
        custody_address=None if by_deposit else trade.source_address,
        refund_address=trade.refund_address if by_deposit else None,
        expires_at=min(running, default=None),
        locks=[LockShown(kind=lock.kind, expires_at=lock.expires_at, released_at=lock.released_at) for lock in locks],
        workflow_id=workflow,
        temporal_ui=temporal_ui(workflow, services) if actor.is_operator else None,
    )


def temporal_ui(workflow: str, services: Services) -> str:
    """The page that lists this workflow's runs; the id's slash must not look like a path."""
    return f"{services.temporal_ui_url}/namespaces/{services.namespace}/workflows/{workflow.replace('/', '%2F')}"


def _summary(trade: Trade) -> dict[str, object]:
    return {
        **_amounts(trade, trade.asset_decimals),
        "id": trade.id,
        "reference": trade.reference,
        "status": trade.status,
        "reason": trade.reason,
        "funding": trade.funding,
        "quote_id": trade.quote_id,
        "bank_data_id": trade.bank_data_id,
        "created_at": trade.created_at,
        "updated_at": trade.updated_at,
    }


def _amounts(row: Quote | Trade, decimals: int) -> dict[str, object]:
    return {
        "asset": row.asset_id.partition(".")[0],
        "network": row.network_id,
        "amount": units_text(row.amount_units, decimals),
        "price": _price_text(row.price),
        "gross": reais(row.gross_centavos),
        "spread": reais(row.spread_centavos),
        "network_fee": reais(row.network_fee_centavos),
        "total": reais(row.total_centavos),
    }


def _price_text(price: Decimal) -> str:
    """Without the zeros that its column adds; ``"5.90"`` has two places at least."""
    short = price.normalize(EXACT)
    exponent = short.as_tuple().exponent
    is_short = isinstance(exponent, int) and exponent > -BRL.decimals
    return f"{short.quantize(Decimal(1).scaleb(-BRL.decimals), context=EXACT) if is_short else short:f}"
