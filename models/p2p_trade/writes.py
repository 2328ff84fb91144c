"""A trade's acceptance and the two parties' commands: each one database transaction, whatever else is away.

The row's lock and its state decide between two who come at once; the second learns in a sentence why it is too late.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import JsonValue
from pydantic.dataclasses import dataclass
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL, Asset
from models.charge import writes as charges
from models.document import queries as documents
from models.errors import (
    DocumentMissing,
    IllegalTransition,
    InsufficientFunds,
    InvalidInput,
    LimitExceeded,
    PriceMoved,
)
from models.instant_trade.types import Terms, Waits
from models.ledger import queries as ledger
from models.ledger.chart import available
from models.ledger.post import post
from models.money import units_text
from models.outbox import look, put
from models.p2p_block import queries as blocks
from models.p2p_order import amounts
from models.p2p_order import queries as orders
from models.p2p_order.rules import price_now, quote_take, require_taker
from models.p2p_order.types import P2POrder, P2PRules, Settlement
from models.p2p_trade import messages, queries
from models.p2p_trade.commission import VOLUME_SPAN, fee_of
from models.p2p_trade.division import escrow
from models.p2p_trade.rules import Refusal, judge, refuse
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.steps import log, take
from models.p2p_trade.tables import p2p_trades
from models.p2p_trade.types import Command, P2PTrade, P2PTradeInput, Party, Step
from models.payment_method import queries as methods
from models.payment_method.types import MethodKind
from models.quote.types import Side
from models.user import writes as users

S = P2PTradeStatus
_METHOD = "payment_method_id"


@dataclass(frozen=True, slots=True)
class Done:
    """``messages``: the outbox rows to deliver after the commit."""

    trade: P2PTrade
    messages: list[int]


@dataclass(frozen=True, slots=True)
class Take:
    """What somebody asks of an order. Exactly one of ``units`` and ``centavos`` is named; the other follows.

    ``method_id``: with ``Settlement.DIRECT``, where the seller is paid; None: the first that the maker names, of
    ``method_kind`` if that is given. ``price_limit``: reais per unit shown, the worst that the taker accepts.
    """

    taker_id: str
    settlement: Settlement
    units: int | None = None
    centavos: int | None = None
    method_id: str | None = None
    method_kind: MethodKind | None = None
    price_limit: Decimal | None = None


async def accept(
    conn: AsyncConnection,
    *,
    trade_id: str,
    order: P2POrder,
    asset: Asset,
    wanted: Take,
    market: Decimal | None,
    rules: P2PRules,
    terms: Terms,
    waits: Waits,
    now: datetime,
) -> Done:
    """Row, escrow, the order's amount, history, events and the workflow's start, in the caller's one transaction.

    :param order: its row is locked. :param market: the market's price, for an order with a floating one.
    :raises TakeRefused: the taker cannot take this order now; it says why.
    :raises InvalidInput: the settlement or the payment method is not one of this order's.
    :raises NotFound: the taker has no such payment method.
    :raises LimitExceeded: outside the order's limits.
    :raises PriceUnavailable: the price floats, and nobody knows the market's.
    :raises PriceMoved: it is worse than the taker accepts.
    :raises IllegalTransition: less is left of the order.
    :raises InsufficientFunds: the seller's coins, or with ``BALANCE`` the buyer's reais, are fewer.
    :raises DocumentMissing: with ``CHARGE``: nobody has verified who the buyer is, so no payer could be told from a
        stranger.
    """
    await _gate(conn, order, wanted.taker_id, rules, now)
    _check_settlement(order, wanted)
    price = price_now(order, market, asset)
    _check_price(order, price, asset, wanted)
    units, centavos = quote_take(order, price, asset, units=wanted.units, centavos=wanted.centavos)
    if wanted.settlement is Settlement.CHARGE and centavos > rules.charge_most_centavos:
        most = units_text(rules.charge_most_centavos, BRL.decimals)
        raise LimitExceeded(f"a PIX charge pays for trades of R$ {most} at most", field="settlement")
    maker_sells = order.side is Side.SELL
    seller_id, buyer_id = (order.user_id, wanted.taker_id) if maker_sells else (wanted.taker_id, order.user_id)
    payer_id = buyer_id if rules.commission_payer is Party.BUYER else seller_id
    volume = await queries.volume_centavos(conn, payer_id, since=now - VOLUME_SPAN)
    bps = rules.commission_bps_at(volume)
    trade = P2PTrade(
        id=trade_id,
        reference=await _next_reference(conn, now),
        order_id=order.id,
        terms_version=order.version,
        maker_id=order.user_id,
        seller_id=seller_id,
        buyer_id=buyer_id,
        asset_id=order.asset_id,
        units=units,
        price=price,
        total_centavos=centavos,
        fee_bps=bps,
        fee_units=fee_of(units, bps),
        fee_payer=rules.commission_payer,
        settlement=wanted.settlement,
        method_id=await _place(conn, order, wanted),
        status=S.OPEN,
        version=1,
        reason=None,
        buyer_bps=None,
        window_seconds=order.window_seconds,
        confirm_seconds=rules.confirm_seconds,
        deadline_at=now + timedelta(seconds=order.window_seconds),
        paid_at=None,
        reminded_at=None,
        ended_at=None,
        created_at=now,
        updated_at=now,
    )
    await _reserve(conn, trade, asset)
    await conn.execute(
        insert(p2p_trades).values({each.name: getattr(trade, each.name) for each in p2p_trades.columns})
    )
    await log(conn, trade, Step(trade.status), before=None, actor=wanted.taker_id)
    await _check_funds(conn, trade)
    await post(conn, escrow(trade))
    await messages.told(conn, trade)
    start = P2PTradeInput(trade_id, trade.window_seconds, trade.confirm_seconds, waits)
    begun = await put(conn, messages.start(start, trade))
    return Done(trade, begun + await _charge(conn, trade, terms, waits, now))


async def command(
    conn: AsyncConnection,
    trade_id: str,
    order: Command,
    *,
    user_id: str,
    now: datetime,
    details: Mapping[str, JsonValue] | None = None,
) -> Done:
    """Carry out what one of the two orders.

    :param now: when the command arrived, so that waiting for the row makes nobody late.
    :raises NotFound: there is no such trade of this user.
    :raises Forbidden: it is the other party's to say.
    :raises IllegalTransition: not possible, or not any more; the detail says why.
    """
    found = await queries.trade(conn, trade_id, user_id=user_id, lock=True)
    party = found.party(user_id)
    assert party is not None
    step = judge(
        found.status,
        order,
        party,
        found.settlement,
        is_late=found.deadline_at is not None and now >= found.deadline_at,
        undone=await queries.undone(conn, trade_id) if order is Command.UNDO_PAYMENT_SENT else 0,
    )
    if isinstance(step, Refusal):
        raise refuse(step, found.status)
    after = await take(conn, found, step, actor=user_id, now=now, details=details)
    return Done(after, await put(conn, look(messages.workflow_id(trade_id))))


async def _gate(conn: AsyncConnection, order: P2POrder, taker_id: str, rules: P2PRules, now: datetime) -> None:
    """Of one taker, who takes two orders at once, each would otherwise be seen as the only one."""
    await users.lock(conn, taker_id)
    taker = await orders.taker(conn, taker_id, rules, now)
    blocked = await blocks.between(conn, order.user_id, taker_id)
    require_taker(order, taker, now, blocked=blocked)


def _check_price(order: P2POrder, price: Decimal, asset: Asset, wanted: Take) -> None:
    """Of a purchase by the taker a higher price is worse, of a sale a lower one."""
    limit = wanted.price_limit
    if limit is not None and (price > limit if order.side is Side.SELL else price < limit):
        shown = f"{price:.{asset.price_decimals}f}"
        raise PriceMoved(f"the price is R$ {shown} now, which is worse than your limit", field="price_limit")


def _check_settlement(order: P2POrder, wanted: Take) -> None:
    if wanted.settlement not in order.settlements:
        raise InvalidInput(f"this order is settled by one of: {', '.join(order.settlements)}", field="settlement")


async def _place(conn: AsyncConnection, order: P2POrder, wanted: Take) -> str | None:
    """Where the seller is paid directly: one of the maker's own that the order names, or one of the taker's own."""
    if wanted.settlement is not Settlement.DIRECT:
        if wanted.method_id is not None or wanted.method_kind is not None:
            raise InvalidInput("name a payment method with the settlement direct only", field=_METHOD)
        return None
    if order.side is Side.BUY:
        if wanted.method_id is None:
            raise InvalidInput("say where you are paid: name a payment method of yours", field=_METHOD)
        named, owner = [wanted.method_id], wanted.taker_id
    else:
        named, owner = [one for one in order.method_ids if wanted.method_id in {None, one}], order.user_id
    document = await documents.fingerprint_of(conn, owner)
    for method_id in named:
        (kind,) = await methods.require(
            conn, user_id=owner, method_ids=[method_id], fingerprint=document, field=_METHOD
        )
        if kind in order.method_kinds and wanted.method_kind in {None, kind}:
            return method_id
    kinds = ", ".join(order.method_kinds)
    raise InvalidInput(f"this order is paid by one of: {kinds}; by no such payment method", field=_METHOD)


async def _charge(conn: AsyncConnection, trade: P2PTrade, terms: Terms, waits: Waits, now: datetime) -> list[int]:
    """What the buyer pays, where our own provider takes it for the seller; outbox rows."""
    if trade.settlement is not Settlement.CHARGE:
        return []
    if await documents.fingerprint_of(conn, trade.buyer_id) is None:
        raise DocumentMissing("the buyer's document is not verified yet: nobody could tell who pays")
    return await charges.order(
        conn,
        key=trade.id,
        user_id=trade.buyer_id,
        trade_id=None,
        p2p_trade_id=trade.id,
        provider=terms.provider,
        amount_centavos=trade.total_centavos,
        now=now,
        window_seconds=trade.window_seconds,
        leniency_seconds=terms.payment_leniency_seconds,
        waits=waits,
    )


async def _reserve(conn: AsyncConnection, trade: P2PTrade, asset: Asset) -> None:
    """Of two who want the last of an order, the second finds too little."""
    if not await amounts.reserve(conn, trade.order_id, trade.units):
        wanted = units_text(trade.units, asset.decimals)
        raise IllegalTransition(f"of this order less than {wanted} {asset.symbol} is left")


async def _check_funds(conn: AsyncConnection, trade: P2PTrade) -> None:
    """The ledger refuses as well, under its locks, but cannot say whose balance it is."""
    if await ledger.balance(conn, available(trade.seller_id, trade.asset_id)) < trade.held_units:
        raise InsufficientFunds("the seller's available coins are fewer than the trade needs")
    if await ledger.balance(conn, available(trade.buyer_id, BRL.id)) < trade.held_centavos:
        raise InsufficientFunds("the buyer's available reais are fewer than the trade needs")


async def _next_reference(conn: AsyncConnection, now: datetime) -> str:
    """What people call a trade by; a database sequence, so never given twice."""
    number = (await conn.execute(text("SELECT nextval('p2p_trade_references')"))).scalar_one()
    return f"P2P-{now.year}-{number:06d}"
