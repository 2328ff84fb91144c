"""What else happens when a purchase changes its state: outcome, intents, postings."""

from collections.abc import Awaitable, Callable

from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL
from models.charge import queries as charges
from models.instant_trade.moment import Moment, require
from models.instant_trade.states import TradeStatus
from models.instant_trade.tables import trade_outcomes
from models.instant_trade.types import BuyFacts, Lock, Outcome, Ruling, Trade
from models.instant_trade.writes import set_lock, write
from models.ledger.chart import Account, Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, Posting, Transaction, move
from models.quote.types import Delivery
from models.receipt import queries as receipts
from models.receipt import writes as receipt_writes
from models.receipt.rules import RefundReason
from models.receipt.states import ReceiptStatus
from models.transfer import writes as transfers
from models.transfer.types import Intent, TransferPurpose

S = TradeStatus

LOCKS: dict[TradeStatus, set[Lock]] = {
    S.AWAITING_PAYMENT: {Lock.PAYMENT_WINDOW},
    S.CONFIRMING_PAYMENT: {Lock.PAYMENT_DEADLINE},
    S.DELIVERING: {Lock.CHAIN_TIMEOUT},
    S.REFUNDING: {Lock.REFUND_DEADLINE},
}
"""The locks that bind a purchase in each state."""


def delivery_key_of(trade: Trade) -> str:
    """A purchase has one delivery: if it definitely fails, the reais go back."""
    return f"{trade.id}/delivery"


async def _await_the_bank(conn: AsyncConnection, trade: Trade, moment: Moment[BuyFacts]) -> Trade:
    is_blocked = moment.facts.receipts.get(ReceiptStatus.BLOCKED)
    terms = moment.terms
    seconds = terms.block_deadline_seconds if is_blocked else terms.payment_deadline_seconds
    await set_lock(conn, trade.id, Lock.PAYMENT_DEADLINE, moment.now, seconds)
    return trade


async def _deliver(conn: AsyncConnection, trade: Trade, moment: Moment[BuyFacts]) -> Trade:
    """The reais are the desk's and the coins are owed; the order to send them is written with the debt."""
    await conn.execute(insert(trade_outcomes).values(trade_id=trade.id, outcome=Outcome.DELIVERY))
    await post(conn, _purchase(trade, held(trade.user_id, BRL.id)))
    await transfers.intend(
        conn,
        Intent(
            key=delivery_key_of(trade),
            purpose=TransferPurpose.DELIVERY,
            network_id=trade.network_id,
            asset_id=trade.asset_id,
            from_address_id=trade.source_address_id,
            to_address=require(trade.delivery_address),
            amount_units=trade.amount_units,
            trade_id=trade.id,
        ),
    )
    await set_lock(conn, trade.id, Lock.CHAIN_TIMEOUT, moment.now, moment.terms.chain_timeout_seconds)
    return await write(conn, trade, held_units=trade.amount_units, ruling=None)


async def _complete(conn: AsyncConnection, trade: Trade, _moment: Moment[BuyFacts]) -> Trade:
    """What left on chain leaves the books; what came to the user's platform address is theirs to use."""
    source = held(trade.user_id, trade.asset_id)
    stays = trade.delivery is Delivery.CUSTODY
    target = available(trade.user_id, trade.asset_id) if stays else custody(trade.network_id, trade.asset_id)
    key = delivery_key_of(trade)
    await post(conn, move(key, Kind.DELIVERY, trade.id, source, target, trade.amount_units))
    return await write(conn, trade, held_units=0)


async def _begin_refund(conn: AsyncConnection, trade: Trade, moment: Moment[BuyFacts]) -> Trade:
    """The one outcome becomes the refund; a purchase already booked is booked back, and its payment sent back.

    Where the bank has taken the payment back meanwhile, there is nothing to send, and what the house had lost by it
    is the house's again.
    """
    if moment.facts.outcome is Outcome.DELIVERY:
        await conn.execute(
            update(trade_outcomes)
            .where(trade_outcomes.c.trade_id == trade.id, trade_outcomes.c.voided_at.is_(None))
            .values(voided_at=func.now(), void_reason=f"delivery_{moment.facts.delivery}")
        )
        is_there = moment.facts.receipts.get(ReceiptStatus.CREDITED)
        payer = held(trade.user_id, BRL.id) if is_there else house(Purpose.DESK, BRL.id)
        await post(conn, _purchase(trade, payer, undone=True))
        trade = await write(conn, trade, held_units=0)
    await conn.execute(insert(trade_outcomes).values(trade_id=trade.id, outcome=Outcome.REFUND))
    reason = RefundReason.DELIVERY_FAILED if trade.ruling is None else RefundReason.RULED
    await send_back(conn, trade, {ReceiptStatus.CREDITED}, reason)
    await set_lock(conn, trade.id, Lock.REFUND_DEADLINE, moment.now, moment.terms.refund_deadline_seconds)
    return trade


async def send_back(
    conn: AsyncConnection, trade: Trade, states: set[ReceiptStatus], reason: RefundReason | None = None
) -> None:
    """Order the devolução of the trade's receipts in these states; ``reason`` None: as they had it."""
    charge = require(await charges.of_trade(conn, trade.id))
    for receipt in await receipts.of_charge(conn, charge.key):
        if receipt.status in states:
            why = reason or RefundReason(require(receipt.reason))
            await receipt_writes.begin_refund(conn, charge, receipt, why)


async def _end_refund(conn: AsyncConnection, trade: Trade, _moment: Moment[BuyFacts]) -> Trade:
    """What the bank would not send back stays the user's, where an operator ruled so."""
    if trade.ruling is not Ruling.COMPLETE:
        return trade
    charge = require(await charges.of_trade(conn, trade.id))
    for receipt in await receipts.of_charge(conn, charge.key):
        if receipt.status is ReceiptStatus.REFUND_FAILED:
            await receipt_writes.leave_to_user(conn, charge, receipt)
    return trade


def _purchase(trade: Trade, payer: Account, *, undone: bool = False) -> Transaction:
    """The quote, as postings: coins from the desk; total = gross + spread + network fee, to the centavo."""
    sign = -1 if undone else 1
    parts = (
        (payer, -trade.total_centavos),
        (house(Purpose.DESK, BRL.id), trade.gross_centavos),
        (house(Purpose.FEES, BRL.id), trade.spread_centavos),
        (house(Purpose.NETWORK_FEES, BRL.id), trade.network_fee_centavos),
        (house(Purpose.DESK, trade.asset_id), -trade.amount_units),
        (held(trade.user_id, trade.asset_id), trade.amount_units),
    )
    sums: dict[Account, int] = {}
    for account, units in parts:
        sums[account] = sums.get(account, 0) + sign * units
    kind = Kind.UNBUY if undone else Kind.BUY
    postings = tuple(Posting(account, units) for account, units in sums.items() if units)
    return Transaction(f"{trade.id}/{kind}", kind, trade.id, postings)


EFFECTS: dict[TradeStatus, Callable[[AsyncConnection, Trade, Moment[BuyFacts]], Awaitable[Trade]]] = {
    S.CONFIRMING_PAYMENT: _await_the_bank,
    S.DELIVERING: _deliver,
    S.COMPLETED: _complete,
    S.REFUNDING: _begin_refund,
    S.REFUNDED: _end_refund,
}
"""By the state a step leads to. Each effect returns the trade as it leaves it."""
