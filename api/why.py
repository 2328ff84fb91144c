"""Why is my trade where it is? Plain words by status, and everything that is known in one answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Services
from api.views import TradeView, reais, temporal_ui, trade_view
from models.deposit import queries as deposits
from models.deposit.types import DepositView, ReturnView
from models.inbound_webhook import queries as webhooks
from models.instant_trade import queries, rules
from models.instant_trade.queries import LockView
from models.instant_trade.states import TradeStatus
from models.instant_trade.types import Lock, Trade
from models.ledger import queries as ledger
from models.ledger.queries import PostingView
from models.money import units_text
from models.network import queries as networks
from models.payout import queries as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Payout
from models.transfer import queries as transfers
from models.transfer.states import TransferStatus
from models.transfer.types import Attempt, Transfer, TransferPurpose
from models.user.types import Actor

S = TradeStatus
Who = Literal["you", "the network", "the PIX provider", "an operator", "nobody"]


@dataclass(frozen=True, slots=True)
class Story:
    """One state in plain words, with the trade's own figures put in.

    ``lock``: the one whose end ends the waiting; None: no end is set.
    """

    waits_for: str
    who: Who
    then: str
    lock: Lock | None = None


STORIES: dict[TradeStatus, Story] = {
    S.AWAITING_DEPOSIT: Story(
        "your deposit of {amount} {asset} on {network} to {address}",
        "you",
        "Deposits add up. If the amount is not reached in time, what arrived is sent back to your refund address; "
        "if nothing arrived, the trade expires. What is more, or late, is sent back.",
        Lock.DEPOSIT_WINDOW,
    ),
    S.TRANSFERRING: Story(
        "the transfer of {amount} {asset} from your platform address to be taken into a block of {network}",
        "the network",
        "A transfer that is stuck is sent again with a higher fee, as the same transaction. If it is not final in "
        "time, an operator looks at it. If the network refuses it, the trade is cancelled and the coins stay yours.",
        Lock.CHAIN_TIMEOUT,
    ),
    S.CONFIRMING: Story(
        "enough confirmations of {amount} {asset} on {network}",
        "the network",
        "Then R$ {total} are paid out by PIX. If a reorganisation drops the block, we wait again; if it takes too "
        "long, an operator looks at it.",
        Lock.CHAIN_TIMEOUT,
    ),
    S.PAYING_OUT: Story(
        "the PIX provider to say what became of R$ {total}",
        "the PIX provider",
        "It is asked again and again, under one key, until it knows: paid ends the trade, rejected sends the crypto "
        "back. If it has not said so in time, an operator looks at it.",
        Lock.PAYOUT_DEADLINE,
    ),
    S.REFUNDING: Story(
        "the refund to be final on {network}",
        "the network",
        "Then the trade is refunded. If it is not final in time, an operator looks at it.",
        Lock.CHAIN_TIMEOUT,
    ),
    S.NEEDS_REVIEW: Story("a decision", "an operator", "Facts that arrive late still count, by themselves."),
    S.COMPLETED: Story("nothing: R$ {total} were paid", "nobody", "If the bank returns the PIX, the trade reopens."),
    S.CANCELLED: Story("nothing: it was cancelled", "nobody", "Nothing. Coins sent to it now are sent back."),
    S.EXPIRED: Story("nothing: no deposit came in time", "nobody", "Nothing. Coins sent to it now are sent back."),
    S.REFUNDED: Story("nothing: the coins went back", "nobody", "Nothing. Coins sent to it now are sent back."),
}

REVIEWS: dict[str, Story] = {
    "transfer_not_final_in_time": Story(
        "the transfer of {amount} {asset}, which was not final in time",
        "an operator",
        "POST transfer looks after it now. Once it is final, POST complete says whether the reais are paid or the "
        "crypto goes back.",
    ),
    "deposit_not_final_in_time": Story(
        "the deposit of {amount} {asset}, which was not final in time",
        "an operator",
        "Once it is final, POST complete says whether the reais are paid or the crypto goes back.",
    ),
    "payout_outcome_unknown": Story(
        "the outcome of the payout of R$ {total}, which the PIX provider has not told",
        "an operator",
        "The provider is still asked, and its answer ends the waiting by itself. With evidence of what happened, "
        "POST confirm-payment ends it too. Nothing is sent twice meanwhile.",
    ),
    "payout_returned": Story(
        "a ruling: the receiving bank returned R$ {total}",
        "an operator",
        "POST complete: `complete` leaves the reais with the user as a balance, `refund` sends the crypto back.",
    ),
    "refund_not_possible": Story(
        "the refund, which the network refused", "an operator", "POST transfer tries it anew, under a new key."
    ),
    "refund_not_final_in_time": Story(
        "the refund, which was not final in time",
        "an operator",
        "POST transfer looks after it now. Once it is final, the trade is refunded by itself.",
    ),
}
"""Of ``needs_review``, by its reason."""

REASONS: dict[str, str] = {
    "cancelled_by_user": "its user cancelled it before any coin moved",
    "no_deposit_in_time": "no deposit came before the window ended",
    "deposit_too_small": "the deposits were smaller than the amount when the window ended",
    "deposits_too_small_so_far": "the deposits do not reach the amount yet",
    "last_deposits_confirming": "the window has ended, and the last deposits are being confirmed",
    "transfer_not_possible": "the network refuses the transfer",
    "transfer_reverted": "the network undid the transfer: no coin moved",
    "transfer_left_the_chain": "a reorganisation dropped the transfer's block",
    "transfer_not_final_in_time": "the transfer was not final in time",
    "deposit_not_final_in_time": "the deposit was not final in time",
    "payout_rejected": "the PIX was rejected for good",
    "payout_outcome_unknown": "the PIX provider did not say in time what became of the payout",
    "payout_returned": "the receiving bank returned the PIX",
    "refund_not_possible": "the network refused the refund",
    "refund_not_final_in_time": "the refund was not final in time",
    "refund_tried_again": "an operator had the refund tried again",
    "late_confirmation": "the outcome became known after its time",
    "operator_ruling": "an operator ruled so",
}


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
    facts = await queries.facts(conn, trade)
    decimals = await networks.decimals(conn)
    moves = await transfers.of_trade(conn, trade.id)
    attempts = await transfers.attempts(conn, [move.key for move in moves])
    postings = await ledger.postings_of(conn, [trade.id, *(move.key for move in moves)])
    payout = await payouts.of_trade(conn, trade.id)
    deliveries = [] if payout is None else await webhooks.of_payout(conn, payout.key)
    view = trade_view(trade, locks, reader, services)
    return WhyView(
        **_waiting(trade, view, locks, can_cancel=rules.may_cancel(trade, facts)).model_dump(),
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
            provider_key=None if payout is None else payout.key,
            temporal_ui=temporal_ui(view.workflow_id, services) if reader.is_operator else None,
        ),
    )


def _waiting(trade: Trade, view: TradeView, locks: list[LockView], *, can_cancel: bool) -> Waiting:
    story = REVIEWS.get(trade.reason or "", STORIES[trade.status])
    if trade.status is not S.NEEDS_REVIEW:
        story = STORIES[trade.status]
    ends = {lock.kind: lock.expires_at for lock in locks if lock.released_at is None}
    until = ends.get(story.lock) if story.lock is not None else None
    waits_for = story.waits_for.format(
        amount=view.amount, asset=view.asset, network=view.network, address=trade.source_address, total=view.total
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
