"""The rows of an instant trade: its acceptance, its compare-and-set, its log and its locks."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import JsonValue, TypeAdapter
from sqlalchemy import case, func, insert, null, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.bank_data import writes as bank_data
from models.bank_data.types import NewKeyRule
from models.errors import Broken, InsufficientFunds
from models.event.types import Event, EventKind
from models.event.writes import tell
from models.instant_trade.states import TradeStatus
from models.instant_trade.tables import instant_trade_history, instant_trades, trade_locks
from models.instant_trade.types import Lock, Step, Terms, Trade, TradeInput, Waits
from models.ledger.chart import available, held
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.outbox import Message, MessageKind, put
from models.quote.types import Funding, Quote, Side
from models.secret_box import SecretBox
from models.transfer import writes as transfers
from models.transfer.types import Intent, TransferPurpose
from models.wallet import allocate
from models.wallet.allocate import AddressRole, SystemAddress

WORKFLOWS = {Side.SELL: "otc-sell", Side.BUY: "otc-buy"}
RETURN_WORKFLOW = "payout-return"

_INPUT = TypeAdapter(TradeInput)
QUOTED = (
    "user_id",
    "operation",
    "funding",
    "asset_id",
    "network_id",
    "amount_units",
    "price",
    "gross_centavos",
    "spread_centavos",
    "network_fee_centavos",
    "total_centavos",
    "return_min_centavos",
)


def workflow_id(trade_id: str, operation: Side = Side.SELL) -> str:
    return f"{WORKFLOWS[operation]}/{trade_id}"


def return_message(trade_id: str) -> Message:
    """Start the look after a payout that came back; once per trade, however many webhooks say so.

    The relay adds this installation's terms and waits.
    """
    return Message(
        MessageKind.START,
        f"{RETURN_WORKFLOW}/{trade_id}",
        workflow=RETURN_WORKFLOW,
        input={"trade_id": trade_id, "status": TradeStatus.COMPLETED},
        summary="the receiving bank returned the payout",
        attributes={"Kind": RETURN_WORKFLOW},
    )


async def accept(
    conn: AsyncConnection,
    quote: Quote,
    *,
    box: SecretBox,
    trade_id: str,
    bank_data_id: str | None,
    new_key: NewKeyRule,
    terms: Terms,
    waits: Waits,
    now: datetime,
) -> list[int]:
    """Make a trade of a quote to sell: row, hold, first intent, locks and the workflow's start, in one transaction.

    :param bank_data_id: where the reais go; None: to the user's primary.
    :returns: the outbox rows to deliver after the commit.
    :raises NotFound: the bank data is not this user's.
    :raises DocumentMissing: nobody has verified who the user is.
    :raises NotTheHolder: the bank data is not the user's own account.
    :raises KeyTooNew: the PIX key is too new for the amount.
    :raises InsufficientFunds: custody funding, and the user's available balance is smaller than the amount.
    """
    paid_to = await bank_data.require(
        conn,
        box,
        user_id=quote.user_id,
        bank_data_id=bank_data_id,
        amount_centavos=quote.total_centavos,
        rule=new_key,
        now=now,
    )
    from_custody = quote.funding is Funding.CUSTODY
    source = await _source(conn, quote, trade_id)
    reference = await next_reference(conn, now)
    status = TradeStatus.TRANSFERRING if from_custody else TradeStatus.AWAITING_DEPOSIT
    await conn.execute(
        insert(instant_trades).values(
            **{name: getattr(quote, name) for name in QUOTED},
            id=trade_id,
            reference=reference,
            quote_id=quote.id,
            bank_data_id=paid_to,
            source_address_id=source.id,
            refund_address=source.address if from_custody else quote.refund_address,
            held_units=quote.amount_units if from_custody else 0,
            status=status,
        )
    )
    await log(conn, trade_id, 1, None, Step(status), actor=quote.user_id)
    await tell(conn, accepted(trade_id, quote, status))
    if from_custody:
        await _begin_custody_transfer(conn, quote, trade_id, source)
        await set_lock(conn, trade_id, Lock.CHAIN_TIMEOUT, now, terms.chain_timeout_seconds)
    else:
        window = terms.deposit_window_seconds
        await set_lock(conn, trade_id, Lock.DEPOSIT_WINDOW, now, window)
        await set_lock(conn, trade_id, Lock.CHAIN_TIMEOUT, now, window + terms.chain_timeout_seconds)
    return await put(conn, start(quote, reference, TradeInput(trade_id, status, terms, waits)))


async def step(conn: AsyncConnection, trade: Trade, to: Step, *, actor: str = "system") -> Trade:
    """Change the state, with its line in the log.

    :raises IllegalTransition: the picture in ``states.py`` has no such arrow.
    """
    transitions.check("instant_trade", trade.status, to.status)
    await log(conn, trade.id, trade.version + 1, trade.status, to, actor=actor)
    after = await write(conn, trade, status=to.status, reason=to.reason)
    await tell(conn, _changed(trade.user_id, trade.id, trade.operation, to, after.version))
    return after


def accepted(trade_id: str, quote: Quote, status: TradeStatus) -> Event:
    """The first event of a trade."""
    return _changed(quote.user_id, trade_id, quote.operation, Step(status), 1)


def _changed(user_id: str, trade_id: str, operation: Side, to: Step, version: int) -> Event:
    payload: dict[str, JsonValue] = {
        "trade_id": trade_id,
        "operation": operation,
        "status": to.status,
        "reason": to.reason,
        "version": version,
    }
    return Event(EventKind.TRADE_STATUS_CHANGE, user_id, payload)


async def note(
    conn: AsyncConnection, trade: Trade, reason: str, *, actor: str, details: dict[str, JsonValue]
) -> Trade:
    """A line in the log without a change of state."""
    await log(
        conn,
        trade.id,
        trade.version + 1,
        trade.status,
        Step(trade.status, reason),
        actor=actor,
        details=details,
    )
    return await write(conn, trade)


async def write(conn: AsyncConnection, trade: Trade, **columns: Any) -> Trade:
    """Compare-and-set on (status, version); the trade as it is afterwards."""
    t = instant_trades.c
    statement = (
        update(instant_trades)
        .where(t.id == trade.id, t.status == trade.status, t.version == trade.version)
        .values(version=trade.version + 1, updated_at=func.now(), **columns)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"trade {trade.id} changed while its row was locked")
    return replace(trade, version=trade.version + 1, **columns)


async def log(
    conn: AsyncConnection,
    trade_id: str,
    version: int,
    before: TradeStatus | None,
    to: Step,
    *,
    actor: str,
    details: dict[str, JsonValue] | None = None,
) -> None:
    await conn.execute(
        insert(instant_trade_history).values(
            trade_id=trade_id,
            version=version,
            old_status=before,
            new_status=to.status,
            reason=to.reason,
            actor=actor,
            details=details or {},
        )
    )


async def set_lock(conn: AsyncConnection, trade_id: str, kind: Lock, now: datetime, seconds: float) -> None:
    ends = {"expires_at": now + timedelta(seconds=seconds), "released_at": None}
    await conn.execute(
        upsert(trade_locks)
        .values(trade_id=trade_id, kind=kind, **ends)
        .on_conflict_do_update(index_elements=["trade_id", "kind"], set_=ends)
    )


async def keep_locks(conn: AsyncConnection, trade_id: str, kinds: set[Lock], now: datetime) -> None:
    """Exactly these locks bind the trade now; the others are released."""
    released = case((trade_locks.c.kind.in_(kinds), null()), else_=func.coalesce(trade_locks.c.released_at, now))
    await conn.execute(update(trade_locks).where(trade_locks.c.trade_id == trade_id).values(released_at=released))


async def _source(conn: AsyncConnection, quote: Quote, trade_id: str) -> SystemAddress:
    if quote.funding is Funding.DEPOSIT:
        return await allocate.take(
            conn,
            network_id=quote.network_id,
            role=AddressRole.TRADE,
            user_id=quote.user_id,
            trade_id=trade_id,
        )
    address = await allocate.of_user(conn, user_id=quote.user_id, network_id=quote.network_id)
    if address is None:
        raise InsufficientFunds(f"you have no platform address on {quote.network_id}, so nothing can be there")
    return address


async def _begin_custody_transfer(conn: AsyncConnection, quote: Quote, trade_id: str, source: SystemAddress) -> None:
    free, kept = available(quote.user_id, quote.asset_id), held(quote.user_id, quote.asset_id)
    await post(conn, move(f"{trade_id}/hold", Kind.HOLD, trade_id, free, kept, quote.amount_units))
    desk = await allocate.house(conn, quote.network_id)
    await transfers.intend(
        conn,
        Intent(
            key=f"{trade_id}/transfer",
            purpose=TransferPurpose.CUSTODY,
            network_id=quote.network_id,
            asset_id=quote.asset_id,
            from_address_id=source.id,
            to_address=desk.address,
            amount_units=quote.amount_units,
            trade_id=trade_id,
        ),
    )


async def next_reference(conn: AsyncConnection, now: datetime) -> str:
    """What people call a trade by; a database sequence, so never given twice."""
    number = (await conn.execute(text("SELECT nextval('instant_trade_references')"))).scalar_one()
    return f"OTC-{now.year}-{number:06d}"


def start(quote: Quote, reference: str, order: TradeInput) -> Message:
    """The start of the trade's own workflow."""
    kind = WORKFLOWS[quote.operation]
    return Message(
        MessageKind.START,
        workflow_id(order.trade_id, quote.operation),
        workflow=kind,
        input=_INPUT.dump_python(order, mode="json"),
        summary=f"{reference}: {quote.amount_units} units of {quote.asset_id} for {quote.total_centavos} centavos",
        attributes={
            "Kind": kind,
            "Status": str(order.status),
            "UserId": quote.user_id,
            "Asset": quote.asset_id,
            "Network": quote.network_id,
            "AmountCents": quote.total_centavos,
            "Reference": reference,
        },
    )
