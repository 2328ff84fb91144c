"""Reads of instant trades."""

from datetime import datetime

from pydantic.dataclasses import dataclass
from sqlalchemy import ScalarSelect, Select, and_, false, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge.tables import charges
from models.deposit.tables import deposits
from models.errors import NotFound
from models.instant_trade.states import ENDED, TradeStatus
from models.instant_trade.tables import instant_trade_history, instant_trades, trade_locks, trade_outcomes
from models.instant_trade.types import BuyFacts, Facts, HistoryEntry, Lock, Outcome, Trade
from models.network.tables import assets
from models.payout.tables import payouts
from models.receipt.states import ReceiptStatus
from models.receipt.tables import pix_receipts
from models.transfer.tables import transfer_transactions
from models.transfer.types import TransferPurpose
from models.wallet.tables import system_addresses

_T = instant_trades.c
_X = transfer_transactions.c

GOING_BACK = frozenset({ReceiptStatus.REFUNDING, ReceiptStatus.REFUNDED, ReceiptStatus.REFUND_FAILED})


def _trades() -> Select[tuple[object, ...]]:
    own = [column for column in instant_trades.columns if column.name in Trade.__dataclass_fields__]
    return (
        select(
            *own,
            assets.c.decimals.label("asset_decimals"),
            system_addresses.c.address.label("source_address"),
        )
        .join(assets, assets.c.id == _T.asset_id)
        .join(system_addresses, system_addresses.c.id == _T.source_address_id)
    )


async def trade(conn: AsyncConnection, trade_id: str, *, user_id: str | None = None, lock: bool = False) -> Trade:
    """One trade; with ``user_id``, only if it is that user's; with ``lock``, its row is ours.

    The lock lets foreign keys through, so that a deposit can be recorded while its trade is moved.
    :raises NotFound: none, or somebody else's: the two look the same from outside.
    """
    statement = _trades().where(_T.id == trade_id)
    if user_id is not None:
        statement = statement.where(_T.user_id == user_id)
    if lock:
        statement = statement.with_for_update(of=instant_trades, key_share=True)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("there is no such trade", field="trade_id")
    return Trade(**row._mapping)


@dataclass(frozen=True, slots=True)
class Page:
    """``next_cursor``: pass it back for the trades that follow; None at the end."""

    trades: list[Trade]
    next_cursor: tuple[datetime, str] | None


async def trades_of(conn: AsyncConnection, user_id: str, *, limit: int, cursor: tuple[datetime, str] | None) -> Page:
    """A user's trades, newest first."""
    statement = _trades().where(_T.user_id == user_id).order_by(_T.created_at.desc(), _T.id.desc())
    if cursor is not None:
        statement = statement.where(tuple_(_T.created_at, _T.id) < tuple_(*cursor))
    found = [Trade(**row._mapping) for row in await conn.execute(statement.limit(limit + 1))]
    page, more = found[:limit], len(found) > limit
    return Page(page, (page[-1].created_at, page[-1].id) if more else None)


async def facts(conn: AsyncConnection, trade: Trade) -> Facts:
    """All that :func:`models.instant_trade.rules.decide` wants to know, in one statement."""
    window = (
        select(trade_locks.c.expires_at)
        .where(trade_locks.c.trade_id == trade.id, trade_locks.c.kind == Lock.DEPOSIT_WINDOW)
        .scalar_subquery()
    )
    in_time = and_(
        deposits.c.trade_id == trade.id,
        deposits.c.asset_id == trade.asset_id,
        deposits.c.block_time <= window,
        deposits.c.status != "orphaned",
    )
    funding = select(_X.status).where(_X.trade_id == trade.id, _X.purpose == TransferPurpose.CUSTODY)
    refunds = and_(_X.trade_id == trade.id, _X.purpose == TransferPurpose.REFUND)
    latest = select(_X.status).where(refunds).order_by(_X.created_at.desc(), _X.key.desc()).limit(1)
    total = func.coalesce(func.sum(deposits.c.amount_units), 0)
    statement = select(
        select(total).where(in_time).scalar_subquery().label("seen_units"),
        select(total).where(in_time, deposits.c.status == "seen").scalar_subquery().label("pending_units"),
        funding.scalar_subquery().label("funding"),
        latest.scalar_subquery().label("refund"),
        select(func.count()).where(refunds).scalar_subquery().label("refunds"),
        select(payouts.c.status).where(payouts.c.trade_id == trade.id).scalar_subquery().label("payout"),
        _locks(trade.id).label("locks"),
    )
    row = (await conn.execute(statement)).one()
    return Facts(
        int(row.seen_units),
        int(row.pending_units),
        row.funding,
        row.refund,
        row.refunds,
        row.payout,
        row.locks or {},
    )


async def buy_facts(conn: AsyncConnection, trade: Trade) -> BuyFacts:
    """All that :func:`models.instant_trade.buy_rules.decide` wants to know, in one statement."""
    c, r = charges.c, pix_receipts.c
    own = and_(r.charge_key == c.key, c.trade_id == trade.id)
    counted = select(r.status, func.count().label("many")).where(own).group_by(r.status).subquery()
    latest = (
        select(r.reason)
        .where(own, r.status.in_(GOING_BACK))
        .order_by(r.received_at.desc(), r.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    delivery = select(_X.status).where(_X.trade_id == trade.id, _X.purpose == TransferPurpose.DELIVERY)
    statement = (
        select(
            c.status.label("charge"),
            func.coalesce(c.asked_at >= c.accepts_until, false()).label("is_asked_in_full"),
            select(func.jsonb_object_agg(counted.c.status, counted.c.many)).scalar_subquery().label("receipts"),
            latest.label("refund_reason"),
            delivery.scalar_subquery().label("delivery"),
            _outcome(trade.id).scalar_subquery().label("outcome"),
            _locks(trade.id).label("locks"),
        )
        .select_from(instant_trades)
        .outerjoin(charges, c.trade_id == _T.id)
        .where(_T.id == trade.id)
    )
    row = (await conn.execute(statement)).one()
    return BuyFacts(
        row.charge,
        row.is_asked_in_full,
        row.receipts or {},
        row.refund_reason,
        row.delivery,
        row.outcome,
        row.locks or {},
    )


async def outcome(conn: AsyncConnection, trade_id: str) -> Outcome | None:
    """What the trade was decided to end with, unless that was voided."""
    found = (await conn.execute(_outcome(trade_id))).scalar()
    return None if found is None else Outcome(found)


def _outcome(trade_id: str) -> Select[str]:
    o = trade_outcomes.c
    return select(o.outcome).where(o.trade_id == trade_id, o.voided_at.is_(None))


def _locks(trade_id: str) -> ScalarSelect[dict[str, str]]:
    """Kind → end, of the locks that bind the trade now."""
    ends = func.jsonb_object_agg(trade_locks.c.kind, trade_locks.c.expires_at)
    unreleased = and_(trade_locks.c.trade_id == trade_id, trade_locks.c.released_at.is_(None))
    return select(ends).where(unreleased).scalar_subquery()


async def history(conn: AsyncConnection, trade_id: str) -> list[HistoryEntry]:
    """The audit log, oldest first."""
    h = instant_trade_history.c
    statement = (
        select(h.version, h.old_status, h.new_status, h.reason, h.actor, h.details, h.at)
        .where(h.trade_id == trade_id)
        .order_by(h.version)
    )
    return [HistoryEntry(**row._mapping) for row in await conn.execute(statement)]


@dataclass(frozen=True, slots=True)
class LockView:
    kind: Lock
    expires_at: datetime
    released_at: datetime | None


async def locks(conn: AsyncConnection, trade_id: str) -> list[LockView]:
    """Every lock the trade ever had, in the order they run out."""
    c = trade_locks.c
    statement = select(c.kind, c.expires_at, c.released_at).where(c.trade_id == trade_id).order_by(c.expires_at)
    return [LockView(**row._mapping) for row in await conn.execute(statement)]


async def open_by_status(conn: AsyncConnection) -> dict[TradeStatus, int]:
    """How many trades are in each state that is not an end."""
    statement = select(_T.status, func.count()).where(_T.status.not_in(ENDED)).group_by(_T.status)
    return {TradeStatus(status): count for status, count in (await conn.execute(statement))}


async def longest_in_review_seconds(conn: AsyncConnection) -> float:
    """How long the trade that waits longest for an operator has waited; 0 if none does."""
    since = (
        select(func.max(instant_trade_history.c.at))
        .where(
            instant_trade_history.c.trade_id == _T.id,
            instant_trade_history.c.new_status == TradeStatus.NEEDS_REVIEW,
            instant_trade_history.c.old_status != TradeStatus.NEEDS_REVIEW,
        )
        .scalar_subquery()
    )
    age = func.extract("epoch", func.now() - func.min(since))
    statement = select(func.coalesce(age, 0)).where(_T.status == TradeStatus.NEEDS_REVIEW)
    return float((await conn.execute(statement)).scalar_one())


async def outlived(conn: AsyncConnection, *, grace_seconds: float) -> list[str]:
    """Trades that outlived a lock: none, ever. ``grace_seconds`` is the time a workflow may take to act."""
    limit = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, grace_seconds)
    statement = select(trade_locks.c.trade_id).where(
        trade_locks.c.released_at.is_(None), trade_locks.c.expires_at < limit
    )
    return list((await conn.execute(statement)).scalars())
