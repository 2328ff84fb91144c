"""Why is my trade where it is? Plain words by status, and everything that is known in one answer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Services
from api.stories import REASONS, Who, story_of
from api.views import TradeView, read_payment, reais, temporal_ui, trade_view
from models.charge import queries as charges
from models.deposit import queries as deposits
from models.deposit.types import DepositView, ReturnView
from models.inbound_webhook import queries as webhooks
from models.instant_trade import queries
from models.instant_trade.flow import FLOWS
from models.instant_trade.queries import LockView
from models.instant_trade.types import Trade
from models.ledger import queries as ledger
from models.ledger.queries import PostingView
from models.money import units_text
from models.network import queries as networks
from models.payout import queries as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Payout
from models.quote.types import Side
from models.transfer import queries as transfers
from models.transfer.states import TransferStatus
from models.transfer.types import Attempt, Transfer, TransferPurpose
from models.user.types import Actor


class Waiting(BaseModel):
    summary: str = Field(description="all of it in a sentence or two")
    waits_for: str
    who_must_act: Who
    until: datetime | None = Field(description="null: nobody's clock runs")
    next: str = Field(description="what happens by itself next")
    because: str | None = Field(description="how it came to this status, where the status does not say it")
    can_cancel: bool


class AttemptShown(BaseModel):
    """``fee``: the most that was offered, in base units of the network's own coin."""

    txid: str
    fee: dict[str, JsonValue]


class TransferShown(BaseModel):
    """``attempts``: all signed versions; they share ``nonce``, so at most one gets into a block: ``txid``."""

    key: str
    purpose: TransferPurpose
    status: TransferStatus
    reason: str | None
    network: str
    asset: str
    amount: str
    from_address: str
    to_address: str
    nonce: int | None
    txid: str | None
    attempts: list[AttemptShown]
    block_height: int | None
    confirmations: int
    confirmations_required: int | None


class DepositShown(BaseModel):
    txid: str
    asset: str
    amount: str
    block_height: int
    block_time: datetime
    status: str = Field(description="seen, orphaned or final")
    booked_to: str | None


class ReturnShown(BaseModel):
    id: str
    amount: str
    reason: str
    status: str


class PostingShown(BaseModel):
    """``amount`` is signed: what we owe is positive, what we own is negative. A key's postings sum to zero."""

    key: str
    kind: str
    account: str = Field(examples=["held", "desk"])
    whose: Literal["user", "house"]
    asset: str
    amount: str


class PayoutShown(BaseModel):
    key: str = Field(description="the provider's idempotency key, for ever")
    provider: str
    status: PayoutStatus
    amount: str
    provider_id: str | None
    end_to_end_id: str | None
    reason: str | None


class DeliveryShown(BaseModel):
    id: str
    state: str = Field(description="what it claimed")
    received_at: datetime


class Identifiers(BaseModel):
    """One id runs end to end: each of these is made of ``trade_id``."""

    trade_id: str
    workflow_id: str
    ledger_keys: list[str]
    transfer_keys: list[str]
    provider_key: str | None
    temporal_ui: str | None = Field(description="shown to operators only")


class WhyView(Waiting):
    trade: TradeView
    transfers: list[TransferShown]
    deposits: list[DepositShown]
    returns: list[ReturnShown]
    postings: list[PostingShown]
    payout: PayoutShown | None
    webhook_deliveries: list[DeliveryShown]
    identifiers: Identifiers


async def explain(conn: AsyncConnection, trade: Trade, reader: Actor, services: Services) -> WhyView:
    """Everything about ``trade``, which ``reader`` may see, read in one database connection."""
    locks = await queries.locks(conn, trade.id)
    flow = FLOWS[trade.operation]
    facts = await flow.facts(conn, trade)
    decimals = await networks.decimals(conn)
    moves = await transfers.of_trade(conn, trade.id)
    attempts = await transfers.attempts(conn, [move.key for move in moves])
    postings = await ledger.postings_of(conn, [trade.id, *(move.key for move in moves)])
    payout = await payouts.of_trade(conn, trade.id)
    provider = await _provider(conn, trade, payout)
    deliveries = [] if provider is None else await webhooks.of_key(conn, provider, trade.id)
    view = trade_view(trade, await read_payment(conn, trade), locks, reader, services)
    return WhyView(
        **_waiting(trade, view, locks, can_cancel=flow.may_cancel(trade, facts)).model_dump(),
        trade=view,
        transfers=[_transfer(move, attempts.get(move.key, []), decimals, services) for move in moves],
        deposits=[_deposit(found, decimals) for found in await deposits.of_trade(conn, trade.id)],
        returns=[_return(found, trade) for found in await deposits.returns_of_trade(conn, trade.id)],
        postings=[_posting(posting, decimals) for posting in postings],
        payout=None if payout is None else _payout(payout),
        webhook_deliveries=[
            DeliveryShown(id=found.event_id, state=found.state, received_at=found.received_at) for found in deliveries
        ],
        identifiers=Identifiers(
            trade_id=trade.id,
            workflow_id=view.workflow_id,
            ledger_keys=list(dict.fromkeys(posting.key for posting in postings)),
            transfer_keys=[move.key for move in moves],
            provider_key=None if provider is None else trade.id,
            temporal_ui=temporal_ui(view.workflow_id, services) if reader.is_operator else None,
        ),
    )


async def _provider(conn: AsyncConnection, trade: Trade, payout: Payout | None) -> str | None:
    """Through whom the trade's reais move; None while nobody has been asked to."""
    if payout is not None:
        return payout.provider
    charge = await charges.of_trade(conn, trade.id)
    return None if charge is None else charge.provider


def _waiting(trade: Trade, view: TradeView, locks: list[LockView], *, can_cancel: bool) -> Waiting:
    story = story_of(trade)
    ends = {lock.kind: lock.expires_at for lock in locks if lock.released_at is None}
    until = ends.get(story.lock) if story.lock is not None else None
    waits_for = story.waits_for.format(
        amount=view.amount, asset=view.asset, network=view.network, address=_place(trade), total=view.total
    )
    then = story.then.format(total=view.total)
    because = REASONS.get(trade.reason) if trade.reason is not None else None
    deadline = "" if until is None else f", until {until.isoformat(timespec='seconds')}"
    return Waiting(
        summary=f"It waits for {waits_for}{deadline}. {then}",
        waits_for=waits_for,
        who_must_act=story.who,
        until=until,
        next=then,
        because=because,
        can_cancel=can_cancel,
    )


def _place(trade: Trade) -> str:
    """Where the coins of the trade go to: the user's deposit, or our delivery."""
    return trade.source_address if trade.operation is Side.SELL else trade.delivery_address or ""


def _transfer(
    move: Transfer, signed: list[Attempt], decimals: Mapping[str, int], services: Services
) -> TransferShown:
    network = services.catalogue.networks.get(move.network_id)
    return TransferShown(
        key=move.key,
        purpose=move.purpose,
        status=move.status,
        reason=move.reason,
        network=move.network_id,
        asset=_symbol(move.asset_id),
        amount=units_text(move.amount_units, decimals[move.asset_id]),
        from_address=move.from_address,
        to_address=move.to_address,
        nonce=move.nonce,
        txid=move.txid,
        attempts=[AttemptShown(txid=attempt.txid, fee=attempt.fee) for attempt in signed],
        block_height=move.block_height,
        confirmations=move.confirmations,
        confirmations_required=None if network is None else network.confirmations,
    )


def _deposit(found: DepositView, decimals: Mapping[str, int]) -> DepositShown:
    return DepositShown(
        txid=found.txid,
        asset=_symbol(found.asset_id),
        amount=units_text(found.amount_units, decimals[found.asset_id]),
        block_height=found.block_height,
        block_time=found.block_time,
        status=found.status,
        booked_to=found.booked_to,
    )


def _return(found: ReturnView, trade: Trade) -> ReturnShown:
    amount = units_text(found.amount_units, trade.asset_decimals)
    return ReturnShown(id=found.id, amount=amount, reason=found.reason, status=found.status)


def _posting(posting: PostingView, decimals: Mapping[str, int]) -> PostingShown:
    return PostingShown(
        key=posting.key,
        kind=posting.kind,
        account=posting.purpose,
        whose="house" if posting.owner is None else "user",
        asset=_symbol(posting.asset),
        amount=units_text(posting.amount_units, decimals[posting.asset]),
    )


def _payout(payout: Payout) -> PayoutShown:
    return PayoutShown(
        key=payout.key,
        provider=payout.provider,
        status=payout.status,
        amount=reais(payout.amount_centavos),
        provider_id=payout.provider_id,
        end_to_end_id=payout.end_to_end_id,
        reason=payout.reason,
    )


def _symbol(asset_id: str) -> str:
    return asset_id.partition(".")[0]
