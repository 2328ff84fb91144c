"""Move a trade as far as the facts allow: the one function that every workflow step, webhook and operator ends in."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from models.deposit import returns
from models.errors import IllegalTransition
from models.instant_trade import queries
from models.instant_trade.effects import intend_refund, move_to, refund_key_of
from models.instant_trade.rules import NOT_MOVED, decide, may_cancel
from models.instant_trade.states import ENDED, TradeStatus
from models.instant_trade.types import (
    Advance,
    Attestation,
    Decision,
    Facts,
    Lock,
    Nudge,
    Operation,
    Progress,
    Ruling,
    Step,
    Trade,
)
from models.instant_trade.writes import note, set_lock, step, workflow_id, write
from models.ledger.chart import Purpose, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.outbox import look, put
from models.payout import queries as payout_queries
from models.payout import writes as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Report
from models.transfer import queries as transfer_queries
from models.transfer import writes as transfers
from models.transfer.states import TransferStatus

S = TradeStatus


async def advance(conn: AsyncConnection, order: Advance, *, now: datetime) -> Progress:
    """Take every step that the facts demand. Harmless to repeat, at any time, by anyone.

    :raises IllegalTransition: ``order.cancel``, but coins have moved or may move.
    """
    trade = await queries.trade(conn, order.trade_id, lock=True)
    facts = await queries.facts(conn, trade)
    if order.cancel and trade.status is not S.CANCELLED:
        await _check_cancel(conn, trade, facts)
        cancelled = Step(S.CANCELLED, "cancelled_by_user")
        trade = await move_to(conn, trade, facts, cancelled, order.terms, now, actor=order.actor)
    if order.reopen and trade.status is S.COMPLETED and facts.payout is PayoutStatus.RETURNED and not trade.ruling:
        trade = await move_to(conn, trade, facts, Step(S.NEEDS_REVIEW, "payout_returned"), order.terms, now)
    while to := decide(trade, facts, now):
        trade = await move_to(conn, trade, facts, to, order.terms, now)
        if trade.status in ENDED:
            break
        facts = await queries.facts(conn, trade)
    ends = [(end - now).total_seconds() for end in facts.locks.values() if end > now]
    refund_key = refund_key_of(trade, facts.refunds) if facts.refunds else None
    return Progress(trade.status, None if trade.status in ENDED else min(ends, default=None), refund_key)


async def operate(conn: AsyncConnection, operation: Operation, *, now: datetime) -> Progress:
    """Apply an operator's action, with its evidence in the log, then advance.

    :raises IllegalTransition: the trade's state does not ask for it; the detail says what would.
    """
    trade = await queries.trade(conn, operation.trade_id, lock=True)
    facts = await queries.facts(conn, trade)
    if operation.attestation is not None:
        await _attest(conn, trade, operation.attestation)
    if operation.decision is not None:
        await _rule(conn, trade, facts, operation.decision)
    if operation.nudge is not None:
        await _nudge(conn, trade, facts, operation.nudge, operation, now)
    return await advance(conn, Advance(operation.trade_id, operation.terms), now=now)


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
    to = decide(trade, await queries.facts(conn, trade), now)
    if to is not None and to.status in {S.TRANSFERRING, S.CONFIRMING}:
        await step(conn, trade, to)


async def _check_cancel(conn: AsyncConnection, trade: Trade, facts: Facts) -> None:
    """Close the door to the signature, if no coin has moved yet."""
    if not may_cancel(trade, facts):
        raise IllegalTransition(f"a trade that is {trade.status} cannot be cancelled: coins have moved or may move")
    if facts.funding is TransferStatus.INTENDED:
        await _refuse_signature(conn, trade, "cancelled")


async def _refuse_signature(conn: AsyncConnection, trade: Trade, reason: str) -> None:
    """:raises IllegalTransition: custody was faster."""
    intent = await transfer_queries.transfer(conn, f"{trade.id}/transfer", lock=True)
    if intent.status is not TransferStatus.INTENDED:
        raise IllegalTransition("the transfer has just been signed; the trade goes on")
    await transfers.reject(conn, intent, reason)


async def _attest(conn: AsyncConnection, trade: Trade, word: Attestation) -> None:
    payout = await payout_queries.payout(conn, trade.id, lock=True)
    if payout is None or trade.status not in {S.PAYING_OUT, S.NEEDS_REVIEW}:
        raise IllegalTransition(f"a trade that is {trade.status} waits for no payout")
    status = PayoutStatus.PAID if word.paid else PayoutStatus.REJECTED
    if payout.status is status:
        return
    evidence: dict[str, JsonValue] = {"actor": word.actor, "evidence": word.evidence}
    report = Report(status, end_to_end_id=word.end_to_end_id, reason=None if word.paid else "attested_by_operator")
    await payouts.record(conn, payout, report, attested=evidence)
    await note(conn, trade, f"payout_attested_{status}", actor=word.actor, details={"evidence": word.evidence})
    await put(conn, look(f"payout/{payout.key}"))


async def _rule(conn: AsyncConnection, trade: Trade, facts: Facts, decision: Decision) -> None:
    if trade.ruling is decision.ruling:
        return
    if trade.status is not S.NEEDS_REVIEW:
        raise IllegalTransition(f"a trade that is {trade.status} needs no ruling")
    if facts.payout not in {None, PayoutStatus.RETURNED}:
        raise IllegalTransition(
            f"the payout is {facts.payout}: only the provider's word, or confirm-payment with evidence, can end it"
        )
    if facts.refund is not None:
        raise IllegalTransition("the refund is on its way; POST transfer looks after it")
    if facts.funding is TransferStatus.INTENDED and decision.ruling is Ruling.REFUND:
        await _refuse_signature(conn, trade, "ruled_refund")
    details: dict[str, JsonValue] = {"evidence": decision.evidence}
    trade = await note(conn, trade, f"ruled_{decision.ruling}", actor=decision.actor, details=details)
    await write(conn, trade, ruling=decision.ruling)


async def _nudge(
    conn: AsyncConnection, trade: Trade, facts: Facts, nudge: Nudge, operation: Operation, now: datetime
) -> None:
    if trade.status in ENDED:
        raise IllegalTransition(f"a trade that is {trade.status} has no transfer to look after")
    trade = await note(conn, trade, "transfer_nudged", actor=nudge.actor, details={"evidence": nudge.evidence})
    moving = await transfer_queries.of_trade(conn, trade.id)
    await put(conn, *(look(f"transfer/{transfer.key}") for transfer in moving))
    if trade.status is S.NEEDS_REVIEW and facts.refund in NOT_MOVED:
        await intend_refund(conn, trade, facts)
        await step(conn, trade, Step(S.REFUNDING, "refund_tried_again"), actor=nudge.actor)
        await set_lock(conn, trade.id, Lock.CHAIN_TIMEOUT, now, operation.terms.chain_timeout_seconds)
