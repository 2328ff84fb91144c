"""What else happens when a sale changes its state: outcome, intents, postings."""

from collections.abc import Awaitable, Callable

from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL
from models.deposit import returns
from models.instant_trade.moment import Moment, require
from models.instant_trade.states import TradeStatus
from models.instant_trade.tables import trade_outcomes
from models.instant_trade.types import Facts, Lock, Outcome, Trade
from models.instant_trade.writes import set_lock, write
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.post import post
from models.ledger.types import Kind, Posting, Transaction, move
from models.payout import writes as payouts
from models.payout.night import not_before
from models.payout.states import PayoutStatus
from models.quote.types import Funding
from models.transfer import queries as transfer_queries
from models.transfer import writes as transfers
from models.transfer.types import Intent, TransferPurpose
from models.wallet import allocate

S = TradeStatus

LOCKS: dict[TradeStatus, set[Lock]] = {
    S.AWAITING_DEPOSIT: {Lock.DEPOSIT_WINDOW, Lock.CHAIN_TIMEOUT},
    S.TRANSFERRING: {Lock.CHAIN_TIMEOUT},
    S.CONFIRMING: {Lock.CHAIN_TIMEOUT},
    S.PAYING_OUT: {Lock.PAYOUT_DEADLINE},
    S.REFUNDING: {Lock.CHAIN_TIMEOUT},
}
"""The locks that bind a sale in each state. The other states wait for nobody outside, or for an operator."""


def refund_key_of(trade: Trade, number: int) -> str:
    """A first refund has the key ``<trade>/refund``; each definite failure allows one more, numbered."""
    return f"{trade.id}/refund" if number == 1 else f"{trade.id}/refund/{number}"


async def intend_refund(conn: AsyncConnection, trade: Trade, facts: Facts) -> None:
    """Write the order to give the coins back, under the refund's next key."""
    from_custody = trade.funding is Funding.CUSTODY
    desk = await allocate.house(conn, trade.network_id)
    await transfers.intend(
        conn,
        Intent(
            key=refund_key_of(trade, facts.refunds + 1),
            purpose=TransferPurpose.REFUND,
            network_id=trade.network_id,
            asset_id=trade.asset_id,
            from_address_id=desk.id if from_custody else trade.source_address_id,
            to_address=require(trade.refund_address),
            amount_units=trade.held_units,
            trade_id=trade.id,
        ),
    )


async def _promise_payout(conn: AsyncConnection, trade: Trade, moment: Moment[Facts]) -> Trade:
    """The coins are the desk's and the reais are owed; the payout's order is written with the debt.

    A ruling to pay out is used up by it: a PIX that comes back later asks for a ruling of its own.
    """
    await conn.execute(insert(trade_outcomes).values(trade_id=trade.id, outcome=Outcome.PAYOUT))
    await post(conn, _sale(trade))
    morning = not_before(moment.now, trade.total_centavos, moment.terms.night)
    await payouts.order(
        conn,
        key=trade.id,
        trade_id=trade.id,
        provider=moment.terms.provider,
        amount_centavos=trade.total_centavos,
        bank_data_id=require(trade.bank_data_id),
        not_before=morning,
    )
    leaves = morning or moment.now
    await set_lock(conn, trade.id, Lock.PAYOUT_DEADLINE, leaves, moment.terms.payout_deadline_seconds)
    return await write(conn, trade, held_units=trade.held_units - trade.amount_units, ruling=None)


async def _complete(conn: AsyncConnection, trade: Trade, moment: Moment[Facts]) -> Trade:
    """The debt is paid, or, where the bank gave the PIX back and an operator ruled so, is the user's balance."""
    owed = held(trade.user_id, BRL.id)
    if moment.facts.payout is PayoutStatus.RETURNED and moment.before is S.NEEDS_REVIEW:
        kept = available(trade.user_id, BRL.id)
        await post(conn, move(f"{trade.id}/credit", Kind.CREDIT, trade.id, owed, kept, trade.total_centavos))
    else:
        bank = house(Purpose.PIX_CLEARING, BRL.id)
        await post(conn, move(f"{trade.id}/payout", Kind.PAYOUT, trade.id, owed, bank, trade.total_centavos))
    return trade


async def _reopen(conn: AsyncConnection, trade: Trade, moment: Moment[Facts]) -> Trade:
    """After completion only: the bank gave the PIX back, so the debt stands again."""
    if moment.before is S.COMPLETED:
        bank, owed = house(Purpose.PIX_CLEARING, BRL.id), held(trade.user_id, BRL.id)
        key = f"{trade.id}/payout-return"
        await post(conn, move(key, Kind.PAYOUT_RETURN, trade.id, bank, owed, trade.total_centavos))
    return trade


async def _begin_refund(conn: AsyncConnection, trade: Trade, moment: Moment[Facts]) -> Trade:
    """The one outcome becomes the refund; a sale already booked is booked back."""
    if moment.facts.payout is not None:
        await conn.execute(
            update(trade_outcomes)
            .where(trade_outcomes.c.trade_id == trade.id, trade_outcomes.c.voided_at.is_(None))
            .values(voided_at=func.now(), void_reason=f"payout_{moment.facts.payout}")
        )
        await post(conn, _sale(trade, undone=True))
        trade = await write(conn, trade, held_units=trade.held_units + trade.amount_units)
    await conn.execute(insert(trade_outcomes).values(trade_id=trade.id, outcome=Outcome.REFUND))
    if trade.funding is Funding.CUSTODY or not returns.is_dust(trade, trade.held_units):
        await intend_refund(conn, trade, moment.facts)
    await set_lock(conn, trade.id, Lock.CHAIN_TIMEOUT, moment.now, moment.terms.chain_timeout_seconds)
    return trade


async def _book_refund(conn: AsyncConnection, trade: Trade, _moment: Moment[Facts]) -> Trade:
    """What left on chain leaves the books; what stayed under our keys becomes available again."""
    refunds = [
        transfer.amount_units
        for transfer in await transfer_queries.of_trade(conn, trade.id)
        if transfer.purpose is TransferPurpose.REFUND
    ]
    units = refunds[-1] if refunds else trade.held_units
    left = refunds and trade.funding is Funding.DEPOSIT
    source = held(trade.user_id, trade.asset_id)
    target = custody(trade.network_id, trade.asset_id) if left else available(trade.user_id, trade.asset_id)
    await post(conn, move(f"{trade.id}/refund", Kind.REFUND, trade.id, source, target, units))
    return await write(conn, trade, held_units=trade.held_units - units)


async def _release(conn: AsyncConnection, trade: Trade, _moment: Moment[Facts]) -> Trade:
    if not trade.held_units:
        return trade
    source, target = held(trade.user_id, trade.asset_id), available(trade.user_id, trade.asset_id)
    await post(conn, move(f"{trade.id}/release", Kind.RELEASE, trade.id, source, target, trade.held_units))
    return await write(conn, trade, held_units=0)


def _sale(trade: Trade, *, undone: bool = False) -> Transaction:
    """The quote, as postings: coins to the desk; gross = total + spread + network fee, to the centavo."""
    sign = -1 if undone else 1
    parts = (
        (held(trade.user_id, trade.asset_id), -trade.amount_units),
        (house(Purpose.DESK, trade.asset_id), trade.amount_units),
        (house(Purpose.DESK, BRL.id), -trade.gross_centavos),
        (house(Purpose.FEES, BRL.id), trade.spread_centavos),
        (house(Purpose.NETWORK_FEES, BRL.id), trade.network_fee_centavos),
        (held(trade.user_id, BRL.id), trade.total_centavos),
    )
    kind = Kind.UNSELL if undone else Kind.SELL
    postings = tuple(Posting(account, sign * units) for account, units in parts if units)
    return Transaction(f"{trade.id}/{kind}", kind, trade.id, postings)


EFFECTS: dict[TradeStatus, Callable[[AsyncConnection, Trade, Moment[Facts]], Awaitable[Trade]]] = {
    S.PAYING_OUT: _promise_payout,
    S.COMPLETED: _complete,
    S.NEEDS_REVIEW: _reopen,
    S.REFUNDING: _begin_refund,
    S.REFUNDED: _book_refund,
    S.CANCELLED: _release,
}
"""By the state a step leads to. Each effect returns the trade as it leaves it."""
