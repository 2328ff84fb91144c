"""What the API shows of quotes and trades, and how it is read off the rows. Amounts are decimal strings."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Services
from models.assets import BRL
from models.charge import queries as charges
from models.charge.states import ChargeStatus
from models.charge.types import Charge
from models.instant_trade import queries
from models.instant_trade.queries import LockView
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Lock, Trade
from models.instant_trade.writes import workflow_id
from models.money import EXACT, units_text
from models.pix_refund import queries as refunds
from models.pix_refund.types import PixRefund
from models.quote.types import Delivery, Funding, LockedSide, Quote, Side
from models.receipt import queries as receipts
from models.receipt.states import ReceiptStatus
from models.receipt.types import Receipt
from models.user.types import Actor

REAIS = Field(examples=["145.12"], description="reais, exact to the centavo")


def reais(centavos: int) -> str:
    return units_text(centavos, BRL.decimals)


class Amounts(BaseModel):
    """Exactly as they will be posted in the ledger: ``total = gross - spread - network_fee`` of a sale, and of a
    purchase ``total = gross + spread + network_fee``.
    """

    asset: str = Field(examples=["ETH"])
    network: str = Field(examples=["ethereum"])
    amount: str = Field(
        examples=["0.010000000000000000"], description="of `asset`: what the user hands in, or receives of a purchase"
    )
    currency: Literal["BRL"] = "BRL"
    price: str = Field(examples=["15000.00"], description="reais per unit of `asset`")
    gross: str = REAIS
    spread: str = REAIS
    network_fee: str = REAIS
    total: str = Field(
        examples=["145.12"], description="reais, exact to the centavo: what the user receives, or pays for a purchase"
    )


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


class PaymentPolicy(BaseModel):
    """What happens to payments that are not as asked. Nothing that arrives is ever kept."""

    window_seconds: float = Field(examples=[900], description="from the trade's creation")
    amount_differs: Literal["refund"] = "refund"
    payer_is_not_the_user: Literal["refund"] = "refund"
    payer_unknown: Literal["refund"] = "refund"
    paid_after_expiry: Literal["refund"] = "refund"
    duplicate_payment: Literal["refund"] = "refund"
    delivery_failed: Literal["refund"] = "refund"


class QuoteView(Amounts):
    id: str = Field(examples=["0f8fad5bd9cb469fa16570867728950e"])
    operation: Side
    funding: Funding
    locked_side: LockedSide = Field(description="which side is exact as asked: `amount`, or the reais")
    delivery: Delivery | None = Field(description="of a purchase: to your platform address, or to one outside")
    delivery_address: str | None = Field(description="only with delivery `address`")
    payment_policy: PaymentPolicy | None = Field(description="only of a purchase")
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
    operation: Side
    funding: Funding
    quote_id: str
    bank_data_id: str | None = Field(description="of a sale: where the reais go")
    delivery: Delivery | None = Field(description="of a purchase: where the coins go")
    created_at: datetime
    updated_at: datetime


class ReceiptShown(BaseModel):
    """One PIX that paid the charge. ``reason``: why it goes back, where it does."""

    end_to_end_id: str
    amount: str = REAIS
    status: ReceiptStatus
    reason: str | None
    received_at: datetime
    return_id: str | None = Field(description="the devolução's own id, once the bank has given it one")


class PaymentShown(BaseModel):
    """How a purchase or a deposit is paid. ``br_code`` is null for the moment that the bank takes to make it."""

    status: ChargeStatus
    br_code: str | None = Field(description='"copia e cola"; as a picture: `GET .../qr.svg`')
    amount: str = REAIS
    expires_at: datetime
    reason: str | None = Field(description="why the bank refused to make it, if it did")
    receipts: list[ReceiptShown]


class TradeView(TradeSummary):
    deposit_address: str | None = Field(description="where the user sends the coins; only with funding `deposit`")
    custody_address: str | None = Field(description="the user's platform address; only with funding `custody`")
    refund_address: str | None = Field(
        description="only with funding `deposit`; otherwise coins stay on the platform"
    )
    delivery_address: str | None = Field(description="of a purchase: the address the coins are sent to")
    payment: PaymentShown | None = Field(description="of a purchase")
    expires_at: datetime | None = Field(description="when the next lock runs out; null once the trade has ended")
    locks: list[LockShown]
    workflow_id: str = Field(examples=["otc-sell/7c9e6679742540de944be07fc1f90ae7"])
    temporal_ui: str | None = Field(description="the workflow's page; shown to operators only")


def quote_view(quote: Quote, services: Services) -> QuoteView:
    asset = services.catalogue.by_id(quote.asset_id)
    policy = DepositPolicy(
        window_seconds=services.terms.deposit_window_seconds, return_min=reais(quote.return_min_centavos)
    )
    payment = PaymentPolicy(window_seconds=services.terms.payment_window_seconds)
    return QuoteView(
        **_amounts(quote, asset.decimals),
        id=quote.id,
        operation=quote.operation,
        funding=quote.funding,
        locked_side=quote.locked_side,
        delivery=quote.delivery,
        delivery_address=quote.delivery_address,
        refund_address=quote.refund_address,
        deposit_policy=policy if quote.funding is Funding.DEPOSIT else None,
        payment_policy=payment if quote.operation is Side.BUY else None,
        created_at=quote.created_at,
        expires_at=quote.expires_at,
    )


async def read_trade(conn: AsyncConnection, trade_id: str, actor: Actor, services: Services) -> TradeView:
    """:raises NotFound: none, or somebody else's."""
    trade = await visible(conn, trade_id, actor)
    payment = await read_payment(conn, trade)
    return trade_view(trade, payment, await queries.locks(conn, trade_id), actor, services)


async def read_payment(conn: AsyncConnection, trade: Trade) -> PaymentShown | None:
    """How a purchase is paid, and what was paid so far; None for a sale."""
    charge = await charges.of_trade(conn, trade.id) if trade.operation is Side.BUY else None
    return None if charge is None else (await read_payments(conn, [charge]))[charge.key]


async def read_payments(conn: AsyncConnection, found: list[Charge]) -> dict[str, PaymentShown]:
    """How each of these charges is paid, and what was paid so far, by key."""
    paid = await receipts.of_charges(conn, [charge.key for charge in found])
    returns = await refunds.of_receipts(conn, [receipt.id for several in paid.values() for receipt in several])
    return {charge.key: payment_shown(charge, paid.get(charge.key, []), returns) for charge in found}


def payment_shown(charge: Charge, found: list[Receipt], returns: Mapping[str, PixRefund]) -> PaymentShown:
    return PaymentShown(
        status=charge.status,
        br_code=charge.br_code,
        amount=reais(charge.amount_centavos),
        expires_at=charge.expires_at,
        reason=charge.reason,
        receipts=[
            ReceiptShown(
                end_to_end_id=receipt.end_to_end_id,
                amount=reais(receipt.amount_centavos),
                status=receipt.status,
                reason=receipt.reason,
                received_at=receipt.received_at,
                return_id=returns[receipt.id].return_id if receipt.id in returns else None,
            )
            for receipt in found
        ],
    )


async def visible(conn: AsyncConnection, trade_id: str, actor: Actor) -> Trade:
    """The trade, if this caller may see it: operators see all, users their own.

    :raises NotFound: none, or somebody else's.
    """
    return await queries.trade(conn, trade_id, user_id=None if actor.is_operator else actor.user_id)


def trade_summary(trade: Trade) -> TradeSummary:
    return TradeSummary(**_summary(trade))


def trade_view(
    trade: Trade, payment: PaymentShown | None, locks: list[LockView], actor: Actor, services: Services
) -> TradeView:
    by_deposit, by_custody = trade.funding is Funding.DEPOSIT, trade.funding is Funding.CUSTODY
    running = [lock.expires_at for lock in locks if lock.released_at is None]
    workflow = workflow_id(trade.id, trade.operation)
    return TradeView(
        **_summary(trade),
        deposit_address=trade.source_address if by_deposit else None,
        custody_address=trade.source_address if by_custody else None,
        refund_address=trade.refund_address if by_deposit else None,
        delivery_address=trade.delivery_address,
        payment=payment,
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
        "operation": trade.operation,
        "funding": trade.funding,
        "delivery": trade.delivery,
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
        "price": price_text(row.price),
        "gross": reais(row.gross_centavos),
        "spread": reais(row.spread_centavos),
        "network_fee": reais(row.network_fee_centavos),
        "total": reais(row.total_centavos),
    }


def price_text(price: Decimal) -> str:
    """Without the zeros that its column adds; ``"5.90"`` has two places at least."""
    short = price.normalize(EXACT)
    exponent = short.as_tuple().exponent
    is_short = isinstance(exponent, int) and exponent > -BRL.decimals
    return f"{short.quantize(Decimal(1).scaleb(-BRL.decimals), context=EXACT) if is_short else short:f}"
