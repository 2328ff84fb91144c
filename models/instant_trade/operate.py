"""What operators do to a trade, with evidence; every action ends in :func:`models.instant_trade.advance.advance`."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import IllegalTransition
from models.instant_trade import queries, signature
from models.instant_trade.advance import advance
from models.instant_trade.buy_effects import delivery_key_of, send_back
from models.instant_trade.effects import intend_refund
from models.instant_trade.flow import FLOWS
from models.instant_trade.rules import NOT_MOVED
from models.instant_trade.states import ENDED, TradeStatus
from models.instant_trade.types import (
    Advance,
    Attestation,
    BuyFacts,
    Decision,
    Facts,
    Lock,
    Nudge,
    Operation,
    Outcome,
    Progress,
    Ruling,
    Step,
    Terms,
    Trade,
)
from models.instant_trade.writes import note, set_lock, step, write
from models.outbox import look, put
from models.payout import queries as payout_queries
from models.payout import writes as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Report
from models.receipt.states import ReceiptStatus
from models.transfer import queries as transfer_queries
from models.transfer.states import TransferStatus

S = TradeStatus


async def operate(conn: AsyncConnection, operation: Operation, *, now: datetime) -> Progress:
    """Apply an operator's action, with its evidence in the log, then advance.

    :raises IllegalTransition: the trade's state does not ask for it; the detail says what would.
    """
    trade = await queries.trade(conn, operation.trade_id, lock=True)
    facts = await FLOWS[trade.operation].facts(conn, trade)
    if operation.attestation is not None:
        await _attest(conn, trade, operation.attestation)
    if operation.decision is not None:
        await _rule(conn, trade, facts, operation.decision)
    if operation.nudge is not None:
        await _nudge(conn, trade, facts, operation.nudge, operation.terms, now)
    return await advance(conn, Advance(operation.trade_id, operation.terms), now=now)


async def _attest(conn: AsyncConnection, trade: Trade, word: Attestation) -> None:
    payout = await payout_queries.payout(conn, trade.id, lock=True)
    if payout is None or trade.status not in {S.PAYING_OUT, S.NEEDS_REVIEW}:
        raise IllegalTransition(f"a trade that is {trade.status} waits for no payout")
    status = PayoutStatus.PAID if word.paid else PayoutStatus.REJECTED
    if payout.status is status:
        return
    evidence: dict[str, JsonValue] = {"actor": word.actor, "evidence": word.evidence}
    report = Report(status, end_to_end_id=word.end_to_end_id, reason=None if word.paid else "attested_by_operator")
    await payouts.attest(conn, payout, report, evidence=evidence)
    await note(conn, trade, f"payout_attested_{status}", actor=word.actor, details={"evidence": word.evidence})
    await put(conn, look(f"payout/{payout.key}"))


async def _rule(conn: AsyncConnection, trade: Trade, facts: Facts | BuyFacts, decision: Decision) -> None:
    if trade.ruling is decision.ruling:
        return
    if trade.status is not S.NEEDS_REVIEW:
        raise IllegalTransition(f"a trade that is {trade.status} needs no ruling")
    if isinstance(facts, Facts):
        await _check_sale(conn, trade, facts, decision.ruling)
    else:
        await _check_purchase(conn, trade, facts, decision.ruling)
    details: dict[str, JsonValue] = {"evidence": decision.evidence}
    trade = await note(conn, trade, f"ruled_{decision.ruling}", actor=decision.actor, details=details)
    await write(conn, trade, ruling=decision.ruling)


async def _check_sale(conn: AsyncConnection, trade: Trade, facts: Facts, ruling: Ruling) -> None:
    if facts.payout not in {None, PayoutStatus.RETURNED}:
        raise IllegalTransition(
            f"the payout is {facts.payout}: only the provider's word, or confirm-payment with evidence, can end it"
        )
    if facts.refund is not None:
        raise IllegalTransition("the refund is on its way; POST transfer looks after it")
    if facts.funding is TransferStatus.INTENDED and ruling is Ruling.REFUND:
        await signature.refuse(conn, f"{trade.id}/transfer", "ruled_refund")


async def _check_purchase(conn: AsyncConnection, trade: Trade, facts: BuyFacts, ruling: Ruling) -> None:
    got = facts.receipts
    if facts.outcome is Outcome.REFUND:
        if got.get(ReceiptStatus.REFUNDING):
            raise IllegalTransition("the payment is on its way back; the bank's word ends it")
        if ruling is Ruling.REFUND:
            raise IllegalTransition("the refund was refused; POST transfer tries it anew")
        return
    if facts.delivery is TransferStatus.INTENDED and ruling is Ruling.REFUND:
        await signature.refuse(conn, delivery_key_of(trade), "ruled_refund")
    elif facts.outcome is Outcome.DELIVERY:
        raise IllegalTransition("the delivery is on its way; POST transfer looks after it")
    elif not got.get(ReceiptStatus.CREDITED) and (ruling is Ruling.COMPLETE or got.get(ReceiptStatus.BLOCKED)):
        raise IllegalTransition("there is no payment to rule on; the bank's word ends the waiting")


async def _nudge(
    conn: AsyncConnection, trade: Trade, facts: Facts | BuyFacts, nudge: Nudge, terms: Terms, now: datetime
) -> None:
    """A payment that the bank would not send back is sent back anew, of a purchase that has ended too."""
    is_refused = isinstance(facts, BuyFacts) and bool(facts.receipts.get(ReceiptStatus.REFUND_FAILED))
    if trade.status in ENDED and not is_refused:
        raise IllegalTransition(f"a trade that is {trade.status} has no transfer to look after")
    trade = await note(conn, trade, "transfer_nudged", actor=nudge.actor, details={"evidence": nudge.evidence})
    moving = await transfer_queries.of_trade(conn, trade.id)
    await put(conn, *(look(f"transfer/{transfer.key}") for transfer in moving))
    if is_refused:
        await send_back(conn, trade, {ReceiptStatus.REFUND_FAILED})
    if trade.status is not S.NEEDS_REVIEW:
        return
    again = Step(S.REFUNDING, "refund_tried_again")
    if isinstance(facts, Facts) and facts.refund in NOT_MOVED:
        await intend_refund(conn, trade, facts)
        await step(conn, trade, again, actor=nudge.actor)
        await set_lock(conn, trade.id, Lock.CHAIN_TIMEOUT, now, terms.chain_timeout_seconds)
    elif is_refused and isinstance(facts, BuyFacts) and facts.outcome is Outcome.REFUND:
        await step(conn, trade, again, actor=nudge.actor)
        await set_lock(conn, trade.id, Lock.REFUND_DEADLINE, now, terms.refund_deadline_seconds)
