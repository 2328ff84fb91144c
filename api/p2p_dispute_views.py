"""A dispute between users as its two parties see it, and as arbiters do."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Services
from api.ids import IdText
from api.p2p_parts import Part, part_of
from api.routes.p2p_message import MessageShown
from api.views import REAIS, reais, temporal_ui
from models.evidence_pack.gather import bank_webhooks
from models.inbound_webhook.queries import Told
from models.p2p_dispute import queries
from models.p2p_dispute.messages import workflow_id
from models.p2p_dispute.states import P2PDisputeStatus
from models.p2p_dispute.types import (
    HELD_GOOD,
    STATEMENT_MOST,
    DisputeLine,
    DisputeReason,
    Offer,
    P2PDispute,
    Ruling,
    RulingFate,
    RulingReason,
    Statement,
    Step,
)
from models.p2p_message import queries as chats
from models.p2p_order.types import Settlement
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import P2PTrade
from models.payment_method import queries as methods
from models.payment_method.types import MethodKind

CHAT_MOST = 200
BPS = Field(ge=0, le=10_000, examples=[5000], description="the buyer's part of the coins, in basis points")
ID = Field(examples=["7c9e6679742540de944be07fc1f90ae7"])

StatementText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=STATEMENT_MOST,
        pattern=r"^[^\x00]*[^\s\x00][^\x00]*$",
        description="kept encrypted; the other party and arbiters read it",
        examples=["I paid 150.00 at 14:02 from my own account; the receipt is attached."],
    ),
]
FileIds = Annotated[
    list[IdText], Field(max_length=20, description="files of the trade's chat that this speaks of", examples=[[]])
]


class StatementRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    statement: StatementText
    file_ids: FileIds = []


class StatementShown(BaseModel):
    id: str = ID
    by: Part
    text: str
    file_ids: list[str]
    at: datetime

    @classmethod
    def of(cls, said: Statement, trade: P2PTrade) -> Self:
        return cls(
            id=said.id, by=part_of(trade, said.user_id), text=said.text, file_ids=list(said.file_ids), at=said.at
        )


class OfferShown(BaseModel):
    id: str = ID
    by: Part
    buyer_bps: int = BPS
    stands: bool = Field(
        description="whether it may be accepted: it is its party's last one, and nothing was ruled since"
    )
    at: datetime


class RulingShown(BaseModel):
    """A ruling that holds good. Who made it is not shown."""

    id: str = ID
    round: int = Field(description="2: after an appeal, and final")
    buyer_bps: int = BPS
    reason: RulingReason
    text: str
    at: datetime = Field(description="since when it holds good")


class StepShown(BaseModel):
    version: int
    step: Step
    old_status: P2PDisputeStatus | None
    new_status: P2PDisputeStatus
    by: Part
    at: datetime


class P2PDisputeView(BaseModel):
    """``deadline_at``: of `ruled`: until when either party may appeal. ``buyer_bps``: how it ended."""

    id: str = ID
    trade_id: str
    status: P2PDisputeStatus
    reason: DisputeReason
    opened_by: Part
    deadline_at: datetime | None
    buyer_accepted: bool = Field(description="the ruling")
    seller_accepted: bool = Field(description="the ruling")
    appealed_by: Part | None
    buyer_bps: int | None
    statements: list[StatementShown] = Field(description="oldest first")
    proposals: list[OfferShown] = Field(description="to settle, oldest first")
    rulings: list[RulingShown] = Field(description="oldest first")
    history: list[StepShown] = Field(description="oldest first")
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


async def for_party(conn: AsyncConnection, trade: P2PTrade, services: Services) -> P2PDisputeView:
    """:raises NotFound: this trade was never in dispute."""
    found = await queries.require_of_trade(conn, trade.id)
    said = await queries.statements(conn, services.box, found.id)
    ruled = await queries.rulings(conn, services.box, found.id)
    history = await queries.history(conn, found.id)
    return P2PDisputeView(
        **_head(trade, found),
        appealed_by=None if found.appealed_by is None else part_of(trade, found.appealed_by),
        statements=[StatementShown.of(each, trade) for each in said],
        proposals=_offers(trade, found, await queries.offers(conn, found.id)),
        rulings=[_ruling(each) for each in ruled if each.fate in HELD_GOOD],
        history=[
            StepShown(
                version=line.version,
                step=line.step,
                old_status=line.old_status,
                new_status=line.new_status,
                by=part_of(trade, line.actor),
                at=line.at,
            )
            for line in history
        ],
    )


class P2PDisputeSummary(BaseModel):
    id: str = ID
    trade_id: str
    reference: str = Field(examples=["P2P-2026-000123"])
    asset: str = Field(examples=["USDT.polygon"])
    total: str = REAIS
    status: P2PDisputeStatus
    reason: DisputeReason
    age_hours: float = Field(ge=0, examples=[5.5], description="since it was opened, until it ended")
    deadline_at: datetime | None = Field(
        description="of `proposed`: when it expires; of `ruled`: when it is carried out"
    )
    appealed: bool
    created_at: datetime

    @classmethod
    def of(cls, listed: queries.Listed, now: datetime) -> Self:
        found = listed.dispute
        return cls(
            id=found.id,
            trade_id=found.trade_id,
            reference=listed.reference,
            asset=listed.asset_id,
            total=reais(listed.total_centavos),
            status=found.status,
            reason=found.reason,
            age_hours=_age(found, now),
            deadline_at=found.deadline_at,
            appealed=found.appealed_by is not None,
            created_at=found.created_at,
        )


class P2PDisputePage(BaseModel):
    disputes: list[P2PDisputeSummary] = Field(description="oldest first")
    next_cursor: str | None = Field(description="pass it back for the disputes that follow; null at the end")


class ToldToPay(BaseModel):
    """Where the buyer was told to pay: the seller's own account, as it was when the trade was opened."""

    kind: MethodKind
    details: dict[str, str]


class DisputedP2PTrade(BaseModel):
    """What is fought over. Who the two are: `buyer_id`, `seller_id`."""

    id: str = ID
    reference: str
    status: P2PTradeStatus
    buyer_id: str
    seller_id: str
    maker_id: str
    asset: str = Field(examples=["USDT.polygon"])
    units: str = Field(examples=["1000000"], description="in the asset's base units")
    total: str = REAIS
    settlement: Settlement
    payment: ToldToPay | None = Field(description="of a trade settled `direct`")
    paid_at: datetime | None = Field(description="when the buyer said so")
    created_at: datetime


class ProposedRulingShown(RulingShown):
    fate: RulingFate | None = Field(description="null: it waits for a second arbiter")
    proposed_by: str
    needs_second: bool
    decided_by: str | None
    decided_at: datetime | None


class DisputeStepShown(StepShown):
    actor: str = Field(examples=["system"], description="`system`, or a user's id")
    reason: str | None
    details: dict[str, JsonValue]


class BankWebhookShown(BaseModel):
    """What the bank told of the trade's charge: a hint and no fact."""

    provider: str
    event_id: str
    state: str
    received_at: datetime

    @classmethod
    def of(cls, told: Told) -> Self:
        return cls(provider=told.provider, event_id=told.event_id, state=told.state, received_at=told.received_at)


class P2PDisputeRecord(BaseModel):
    """Everything that an arbiter needs. ``chat``: its first lines; the rest at the trade's own address."""

    id: str = ID
    trade_id: str
    status: P2PDisputeStatus
    reason: DisputeReason
    opened_by: Part
    deadline_at: datetime | None
    buyer_accepted: bool
    seller_accepted: bool
    buyer_bps: int | None
    age_hours: float
    needs_second: bool = Field(description="one arbiter alone may not rule on so much")
    trade: DisputedP2PTrade
    statements: list[StatementShown]
    proposals: list[OfferShown]
    rulings: list[ProposedRulingShown]
    chat: list[MessageShown]
    chat_cursor: int | None = Field(description="where `GET /api/v1/p2p/trades/{id}/messages` goes on; null: nowhere")
    bank_webhooks: list[BankWebhookShown]
    history: list[DisputeStepShown]
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    workflow_id: str
    temporal_ui: str | None = Field(description="admins only")


async def for_arbiter(
    conn: AsyncConnection, trade: P2PTrade, found: P2PDispute, services: Services, now: datetime, *, is_admin: bool
) -> P2PDisputeRecord:
    chat = await chats.page(conn, services.box, trade.id, limit=CHAT_MOST)
    said = await queries.statements(conn, services.box, found.id)
    workflow = workflow_id(found.id)
    return P2PDisputeRecord(
        **_head(trade, found),
        age_hours=_age(found, now),
        needs_second=trade.total_centavos > services.p2p_disputes.alone_most_centavos,
        trade=_trade(trade, await _told_to_pay(conn, trade, services)),
        statements=[StatementShown.of(each, trade) for each in said],
        proposals=_offers(trade, found, await queries.offers(conn, found.id)),
        rulings=[_proposed(each) for each in await queries.rulings(conn, services.box, found.id)],
        chat=[MessageShown.of(message, trade) for message in chat.messages],
        chat_cursor=chat.next_number,
        bank_webhooks=[BankWebhookShown.of(each) for each in await bank_webhooks(conn, trade)],
        history=[_step(line, trade) for line in await queries.history(conn, found.id)],
        workflow_id=workflow,
        temporal_ui=temporal_ui(workflow, services) if is_admin else None,
    )


def _head(trade: P2PTrade, found: P2PDispute) -> dict[str, object]:
    return {
        "id": found.id,
        "trade_id": found.trade_id,
        "status": found.status,
        "reason": found.reason,
        "opened_by": part_of(trade, found.opened_by),
        "deadline_at": found.deadline_at,
        "buyer_accepted": found.buyer_accepted_at is not None,
        "seller_accepted": found.seller_accepted_at is not None,
        "buyer_bps": found.buyer_bps,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "ended_at": found.ended_at,
    }


def _offers(trade: P2PTrade, found: P2PDispute, offers: list[Offer]) -> list[OfferShown]:
    last = {each.user_id: each.id for each in offers}
    return [
        OfferShown(
            id=each.id,
            by=part_of(trade, each.user_id),
            buyer_bps=each.buyer_bps,
            stands=found.ended_at is None and last[each.user_id] == each.id and not each.is_overtaken,
            at=each.at,
        )
        for each in offers
    ]


def _ruling(each: Ruling) -> RulingShown:
    return RulingShown(
        id=each.id,
        round=each.round,
        buyer_bps=each.buyer_bps,
        reason=each.reason,
        text=each.text,
        at=each.decided_at or each.at,
    )


def _proposed(each: Ruling) -> ProposedRulingShown:
    return ProposedRulingShown(
        id=each.id,
        round=each.round,
        buyer_bps=each.buyer_bps,
        reason=each.reason,
        text=each.text,
        at=each.at,
        fate=each.fate,
        proposed_by=each.proposed_by,
        needs_second=each.needs_second,
        decided_by=each.decided_by,
        decided_at=each.decided_at,
    )


def _step(line: DisputeLine, trade: P2PTrade) -> DisputeStepShown:
    return DisputeStepShown(
        version=line.version,
        step=line.step,
        old_status=line.old_status,
        new_status=line.new_status,
        by=part_of(trade, line.actor),
        at=line.at,
        actor=line.actor,
        reason=line.reason,
        details=line.details,
    )


async def _told_to_pay(conn: AsyncConnection, trade: P2PTrade, services: Services) -> ToldToPay | None:
    if trade.method_id is None:
        return None
    method = await methods.clear(conn, services.box, trade.method_id)
    return ToldToPay(kind=method.kind, details=method.details)


def _trade(trade: P2PTrade, payment: ToldToPay | None) -> DisputedP2PTrade:
    return DisputedP2PTrade(
        id=trade.id,
        reference=trade.reference,
        status=trade.status,
        buyer_id=trade.buyer_id,
        seller_id=trade.seller_id,
        maker_id=trade.maker_id,
        asset=trade.asset_id,
        units=str(trade.units),
        total=reais(trade.total_centavos),
        settlement=trade.settlement,
        payment=payment,
        paid_at=trade.paid_at,
        created_at=trade.created_at,
    )


def _age(found: P2PDispute, now: datetime) -> float:
    return round(max(0.0, ((found.ended_at or now) - found.created_at).total_seconds()) / 3600, 2)
