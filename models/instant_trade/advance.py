"""Move a trade as far as the facts allow: the one function that every workflow step, webhook and operator ends in."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from models.deposit import returns
from models.errors import IllegalTransition
from models.instant_trade import queries, rules, signature
from models.instant_trade.effects import refund_key_of
from models.instant_trade.flow import FLOWS
from models.instant_trade.states import ENDED, TradeStatus
from models.instant_trade.types import Advance, BuyFacts, Facts, Lock, Progress, Step, Trade
from models.instant_trade.writes import note, step, workflow_id, write
from models.ledger.chart import Purpose, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.outbox import look, put
from models.payout.states import PayoutStatus
from models.transfer.states import TransferStatus

S = TradeStatus


async def advance(conn: AsyncConnection, order: Advance, *, now: datetime) -> Progress:
    """Take every step that the facts demand. Harmless to repeat, at any time, by anyone.

    :raises IllegalTransition: ``order.cancel``, but coins or reais have moved or may move.
    """
    trade = await queries.trade(conn, order.trade_id, lock=True)
    flow = FLOWS[trade.operation]
    facts = await flow.facts(conn, trade)
    if order.cancel and trade.status is not S.CANCELLED:
        if not flow.may_cancel(trade, facts):
            what = "coins have moved" if isinstance(facts, Facts) else "reais have come"
            raise IllegalTransition(f"a trade that is {trade.status} cannot be cancelled: {what} or may move")
        await _close_the_door(conn, trade, facts)
        cancelled = Step(S.CANCELLED, "cancelled_by_user")
        trade = await flow.move_to(conn, trade, facts, cancelled, order.terms, now, actor=order.actor)
    if order.reopen and _has_come_back(trade, facts):
        trade = await flow.move_to(conn, trade, facts, Step(S.NEEDS_REVIEW, "payout_returned"), order.terms, now)
    while to := flow.decide(trade, facts, now):
        trade = await flow.move_to(conn, trade, facts, to, order.terms, now)
        if trade.status in ENDED:
            break
        facts = await flow.facts(conn, trade)
    ends = [(end - now).total_seconds() for end in facts.locks.values() if end > now]
    return Progress(
        trade.status, None if trade.status in ENDED else min(ends, default=None), _refund_key(trade, facts)
    )


async def receive(
    conn: AsyncConnection,
    trade_id: str,
    units: int,
    *,
    network_id: str,
    asset_id: str,
    block_time: datetime,
    deposit_id: int,
) -> Purpose:
    """Book a final deposit to a trade's address; where it was booked (``held`` or ``suspense``).

    In time and for an open trade it funds the trade; late, it goes back; of another asset, it waits for a person.
    ``network_id``: where the coins are; a family shares its addresses, so it may be another than the trade's.
    """
    trade = await queries.trade(conn, trade_id, lock=True)
    key, coins = f"deposit/{deposit_id}", custody(network_id, asset_id)
    if asset_id != trade.asset_id:
        await post(conn, move(key, Kind.DEPOSIT, trade.id, coins, house(Purpose.SUSPENSE, asset_id), units))
        details: dict[str, JsonValue] = {"asset": asset_id, "units": str(units)}
        await note(conn, trade, "wrong_asset_received", actor="system", details=details)
        return Purpose.SUSPENSE
    await post(conn, move(key, Kind.DEPOSIT, trade.id, coins, held(trade.user_id, asset_id), units))
    ends = {lock.kind: lock.expires_at for lock in await queries.locks(conn, trade_id)}
    if trade.status in ENDED or block_time > ends[Lock.DEPOSIT_WINDOW]:
        await returns.give_back(conn, trade, units, "late")
    else:
        await write(conn, trade, held_units=trade.held_units + units)
        await put(conn, look(workflow_id(trade_id)))
    return Purpose.HELD


async def follow_transfer(conn: AsyncConnection, trade_id: str, *, now: datetime) -> None:
    """Show at once what the chain shows of a custody transfer; everything further is the workflow's to do."""
    trade = await queries.trade(conn, trade_id, lock=True)
    if trade.status not in {S.TRANSFERRING, S.CONFIRMING}:
        return
    to = rules.decide(trade, await queries.facts(conn, trade), now)
    if to is not None and to.status in {S.TRANSFERRING, S.CONFIRMING}:
        await step(conn, trade, to)


async def _close_the_door(conn: AsyncConnection, trade: Trade, facts: Facts | BuyFacts) -> None:
    """To the signature of a sale's transfer."""
    if isinstance(facts, Facts) and facts.funding is TransferStatus.INTENDED:
        await signature.refuse(conn, f"{trade.id}/transfer", "cancelled")


def _has_come_back(trade: Trade, facts: Facts | BuyFacts) -> bool:
    is_returned = isinstance(facts, Facts) and facts.payout is PayoutStatus.RETURNED
    return is_returned and trade.status is S.COMPLETED and not trade.ruling


def _refund_key(trade: Trade, facts: Facts | BuyFacts) -> str | None:
    """Of the coins of a sale that are on their way back."""
    return refund_key_of(trade, facts.refunds) if isinstance(facts, Facts) and facts.refunds else None
