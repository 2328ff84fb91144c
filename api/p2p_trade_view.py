"""What the API shows of P2P trades. Where the seller is paid is shown to the buyer only, while it is needed."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Services
from api.p2p_trade_story import Who, commands, story_of
from api.routes.reputation import ReputationView, reputation_view
from api.views import REAIS, price_text, reais, temporal_ui
from models.errors import NotFound
from models.money import units_text
from models.network import queries as networks
from models.p2p_order.types import Settlement
from models.p2p_trade import queries
from models.p2p_trade.division import divide
from models.p2p_trade.messages import workflow_id
from models.p2p_trade.party import Party
from models.p2p_trade.queries import EscrowLeg
from models.p2p_trade.states import ENDED, P2PTradeStatus
from models.p2p_trade.types import Command, P2PTrade
from models.payment_method import queries as methods
from models.payment_method.types import MethodKind, PaymentMethod
from models.quote.rules import BPS
from models.reputation import queries as reputations
from models.user.types import Actor
from payments import br_code

CITY = "BRASIL"
"""A BR Code must name a city, and nobody has told us one: banks show the one of the key's owner."""
_COINS = Field(examples=["0.100000000000000000"], description="of `asset`")
_ID = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])


class FeeShown(BaseModel):
    """The commission if all is released: out of what the buyer receives, or on top of what the seller hands in."""

    bps: int = Field(examples=[200], description="basis points of `amount`")
    amount: str = Field(examples=["0.002000000000000000"], description="of the trade's `asset`")
    paid_by: Party


class P2PTradeSummary(BaseModel):
    id: str = _ID
    reference: str = Field(examples=["P2P-2026-000123"], description="also in a PIX's text")
    order_id: str = _ID
    role: Party | None = Field(description="the reader's; null for operators")
    buyer_id: str = _ID
    seller_id: str = _ID
    status: P2PTradeStatus
    reason: str | None = Field(description="why it is in this status, where that is not plain", examples=[None])
    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    amount: str = _COINS
    price: str = Field(examples=["15000.00"], description="reais per unit of `asset`, fixed when it was opened")
    total: str = REAIS
    settlement: Settlement
    fee: FeeShown
    buyer_receives: str = Field(examples=["0.098000000000000000"], description="of `asset`, if all is released")
    seller_hands_in: str = _COINS
    who_must_act: Who
    deadline_at: datetime | None = Field(description="when the present status ends by itself; null: never")
    paid_at: datetime | None = Field(description="when the buyer said so")
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime


class EscrowShown(BaseModel):
    """``status``: `locked`, `released`, `refunded` or `split`. What was held, read from the ledger's own trades."""

    owner: Party
    asset: str = Field(examples=["ETH"])
    network: str | None = Field(examples=["ethereum"])
    amount: str = _COINS
    status: str = Field(examples=["locked"])


class PaymentShown(BaseModel):
    """Where the buyer pays, outside. Put the trade's `reference` in the payment's text."""

    kind: MethodKind
    details: dict[str, str] = Field(
        examples=[{"pix_key": "ana@example.com", "pix_key_kind": "email", "holder_name": "Ana Maria da Silva"}]
    )
    br_code: str | None = Field(description="of a PIX: to copy and pay; null where it cannot be written")
    qr_svg: str | None = Field(
        examples=["/api/v1/p2p/trades/7c9e6679742540de944be07fc1f90ae7/qr.svg"], description="the same as a picture"
    )


class P2PTradeView(P2PTradeSummary):
    counterparty: ReputationView | None = Field(description="the other side, by its trades; null for operators")
    commands: list[Command] = Field(description="that the reader may give now")
    escrow: list[EscrowShown]
    payment: PaymentShown | None = Field(
        description="of a trade settled `direct`: to its buyer, while it is open, paid or disputed"
    )
    buyer_bps: int | None = Field(description="of a split: the buyer's part in basis points")
    workflow_id: str = Field(examples=["p2p/7c9e6679742540de944be07fc1f90ae7"])
    temporal_ui: str | None = Field(description="operators only")


async def visible(conn: AsyncConnection, trade_id: str, actor: Actor) -> P2PTrade:
    """:raises NotFound: none, or other people's; operators see all."""
    return await queries.trade(conn, trade_id, user_id=None if actor.is_operator else actor.user_id)


async def read(conn: AsyncConnection, trade_id: str, actor: Actor, services: Services) -> P2PTradeView:
    """One trade as ``actor`` may see it.

    :raises NotFound: none, or other people's.
    """
    trade = await visible(conn, trade_id, actor)
    decimals = await networks.decimals(conn)
    party = trade.party(actor.user_id)
    undone = await queries.undone(conn, trade.id)
    allowed = [] if party is None else commands(trade, party, undone=undone, now=datetime.now(UTC))
    workflow = workflow_id(trade.id)
    return P2PTradeView(
        **_summary(trade, party, decimals),
        counterparty=None if party is None else await _counterparty(conn, trade, party),
        commands=[shown.command for shown in allowed if shown.allowed],
        escrow=[escrow_shown(trade, leg, decimals) for leg in await queries.escrow(conn, trade.id)],
        payment=await _payment(conn, trade, party, services),
        buyer_bps=trade.buyer_bps,
        workflow_id=workflow,
        temporal_ui=temporal_ui(workflow, services) if actor.is_operator else None,
    )


def summary(trade: P2PTrade, actor: Actor, decimals: Mapping[str, int]) -> P2PTradeSummary:
    return P2PTradeSummary(**_summary(trade, trade.party(actor.user_id), decimals))


def escrow_shown(trade: P2PTrade, leg: EscrowLeg, decimals: Mapping[str, int]) -> EscrowShown:
    symbol, _, network = leg.asset_id.partition(".")
    return EscrowShown(
        owner=Party.SELLER if leg.owner == trade.seller_id else Party.BUYER,
        asset=symbol,
        network=network or None,
        amount=units_text(leg.units, decimals[leg.asset_id]),
        status=leg.status,
    )


async def br_code_of(conn: AsyncConnection, trade_id: str, actor: Actor, services: Services) -> str:
    """:raises NotFound: no trade of this buyer that is to be paid by a PIX to the seller's key."""
    trade = await visible(conn, trade_id, actor)
    payment = await _payment(conn, trade, trade.party(actor.user_id), services)
    if payment is None or payment.br_code is None:
        raise NotFound("this trade has no BR Code for you")
    return payment.br_code


async def _counterparty(conn: AsyncConnection, trade: P2PTrade, party: Party) -> ReputationView:
    other = trade.seller_id if party is Party.BUYER else trade.buyer_id
    return reputation_view((await reputations.of_users(conn, [other]))[other])


async def _payment(
    conn: AsyncConnection, trade: P2PTrade, party: Party | None, services: Services
) -> PaymentShown | None:
    if party is not Party.BUYER or trade.method_id is None or trade.status in ENDED:
        return None
    method = await methods.clear(conn, services.box, trade.method_id)
    code = _br_code(trade, method)
    picture = None if code is None else f"/api/v1/p2p/trades/{trade.id}/qr.svg"
    return PaymentShown(kind=method.kind, details=method.details, br_code=code, qr_svg=picture)


def _br_code(trade: P2PTrade, method: PaymentMethod) -> str | None:
    """A static one: the seller's key, the amount, and the reference by its letters and digits as the txid."""
    if method.kind is not MethodKind.PIX or trade.total_centavos > br_code.AMOUNT_CENTAVOS_MAX:
        return None
    txid = re.sub("[^A-Za-z0-9]", "", trade.reference)
    code = br_code.static(
        method.details["pix_key"], _printable(method.details["holder_name"]), CITY, trade.total_centavos, txid
    )
    return br_code.encode(code)


def _printable(name: str) -> str:
    """At most 25 characters of plain ASCII; the payer's bank shows the key's owner in full."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return plain[: br_code.NAME_LENGTH_MAX].strip() or "PIX"


def _summary(trade: P2PTrade, party: Party | None, decimals: Mapping[str, int]) -> dict[str, Any]:
    symbol, _, network = trade.asset_id.partition(".")
    places = decimals[trade.asset_id]
    return {
        "id": trade.id,
        "reference": trade.reference,
        "order_id": trade.order_id,
        "role": party,
        "buyer_id": trade.buyer_id,
        "seller_id": trade.seller_id,
        "status": trade.status,
        "reason": trade.reason,
        "asset": symbol,
        "network": network or None,
        "amount": units_text(trade.units, places),
        "price": price_text(trade.price),
        "total": reais(trade.total_centavos),
        "settlement": trade.settlement,
        "fee": FeeShown(bps=trade.fee_bps, amount=units_text(trade.fee_units, places), paid_by=trade.fee_payer),
        "buyer_receives": units_text(divide(trade, BPS).buyer_units, places),
        "seller_hands_in": units_text(trade.held_units, places),
        "who_must_act": story_of(trade).who,
        "deadline_at": trade.deadline_at,
        "paid_at": trade.paid_at,
        "ended_at": trade.ended_at,
        "created_at": trade.created_at,
        "updated_at": trade.updated_at,
    }
