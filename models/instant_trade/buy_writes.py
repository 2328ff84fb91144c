"""The acceptance of a purchase."""

from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge import writes as charges
from models.document import queries as documents
from models.errors import DocumentMissing
from models.event.writes import tell
from models.instant_trade.moment import require
from models.instant_trade.states import TradeStatus
from models.instant_trade.tables import instant_trades
from models.instant_trade.types import Lock, Step, Terms, TradeInput, Waits
from models.instant_trade.writes import QUOTED, accepted, log, next_reference, set_lock, start
from models.outbox import put
from models.quote.types import Delivery, Quote
from models.wallet import allocate
from models.wallet.allocate import AddressRole


async def accept(
    conn: AsyncConnection, quote: Quote, *, trade_id: str, terms: Terms, waits: Waits, now: datetime
) -> list[int]:
    """Make a trade of a quote to buy: trade row, charge, lock and both workflows' starts, in one transaction.

    :returns: the outbox rows to deliver after the commit.
    :raises DocumentMissing: nobody knows yet who the user is, so no payer could be told from a stranger.
    :raises NodeUnavailable: the custody worker has derived no address yet.
    """
    if await documents.fingerprint_of(conn, quote.user_id) is None:
        raise DocumentMissing(
            f"your document is not verified yet; an operator does that: PUT /api/v1/users/{quote.user_id}/document"
        )
    house = await allocate.house(conn, quote.network_id)
    reference = await next_reference(conn, now)
    status = TradeStatus.AWAITING_PAYMENT
    await conn.execute(
        insert(instant_trades).values(
            **{name: getattr(quote, name) for name in QUOTED},
            id=trade_id,
            reference=reference,
            quote_id=quote.id,
            source_address_id=house.id,
            delivery=quote.delivery,
            delivery_address=await _destination(conn, quote),
            held_units=0,
            status=status,
        )
    )
    await log(conn, trade_id, 1, None, Step(status), actor=quote.user_id)
    await tell(conn, accepted(trade_id, quote, status))
    window = terms.payment_window_seconds
    await set_lock(conn, trade_id, Lock.PAYMENT_WINDOW, now, window)
    charge = await charges.order(
        conn,
        key=trade_id,
        user_id=quote.user_id,
        trade_id=trade_id,
        provider=terms.provider,
        amount_centavos=quote.total_centavos,
        now=now,
        window_seconds=window,
        leniency_seconds=terms.payment_leniency_seconds,
        waits=waits,
    )
    return [*charge, *await put(conn, start(quote, reference, TradeInput(trade_id, status, terms, waits)))]


async def _destination(conn: AsyncConnection, quote: Quote) -> str:
    """The address named, or the user's own on the platform, which becomes theirs now if they have none."""
    if quote.delivery is Delivery.ADDRESS:
        return require(quote.delivery_address)
    known = await allocate.of_user(conn, user_id=quote.user_id, network_id=quote.network_id)
    if known is None:
        known = await allocate.take(conn, network_id=quote.network_id, role=AddressRole.USER, user_id=quote.user_id)
    return known.address
