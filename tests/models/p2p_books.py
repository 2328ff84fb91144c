"""P2P trades to test with: two people, an order, and a trade whose escrow is posted, by the models' own arithmetic."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from models.assets import BRL
from models.ids import new_id
from models.ledger.chart import Purpose, available, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.p2p_order.queries import auto_reply_place
from models.p2p_order.tables import p2p_orders
from models.p2p_order.types import Settlement
from models.p2p_trade import queries, steps
from models.p2p_trade.commission import fee_of
from models.p2p_trade.division import escrow
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.tables import p2p_trades
from models.p2p_trade.types import P2PTrade, Party, Step
from models.payment_method import queries as methods
from models.payment_method.tables import payment_methods
from models.secret_box import SecretBox
from tests.models.world import BOX

ETH = "ETH.ethereum"
DETAILS = {"pix_key": "sara@example.com", "holder_name": "Sara"}
UNITS = 10**18
TOTAL = 15_000_00
FEE_BPS = 200
S = P2PTradeStatus


async def open_trade(
    engine: AsyncEngine,
    *,
    seller: str,
    buyer: str,
    units: int = UNITS,
    total_centavos: int = TOTAL,
    fee_payer: Party = Party.BUYER,
    settlement: Settlement = Settlement.DIRECT,
    auto_reply: str = "",
    box: SecretBox = BOX,
    now: datetime | None = None,
) -> P2PTrade:
    """A trade in ``open``; the seller is its maker. What it holds comes from nowhere."""
    trade_id = new_id()
    async with engine.begin() as conn:
        order_id, method_id = await _order(conn, box, seller, units, total_centavos, settlement, auto_reply)
        at = now or datetime.now(UTC)
        fee = fee_of(units, FEE_BPS)
        row = {
            "id": trade_id,
            "reference": f"P2P-{trade_id[:12]}",
            "order_id": order_id,
            "terms_version": 1,
            "maker_id": seller,
            "seller_id": seller,
            "buyer_id": buyer,
            "asset_id": ETH,
            "units": units,
            "price": Decimal("15000.00"),
            "total_centavos": total_centavos,
            "fee_bps": FEE_BPS,
            "fee_units": fee,
            "fee_payer": fee_payer,
            "settlement": settlement,
            "method_id": method_id if settlement is Settlement.DIRECT else None,
            "window_seconds": 900,
            "confirm_seconds": 3600,
            "deadline_at": at + timedelta(seconds=900),
            "created_at": at,
        }
        await conn.execute(insert(p2p_trades).values(row))
        trade = await queries.trade(conn, trade_id, lock=True)
        await give(conn, seller, ETH, trade.held_units)
        if trade.held_centavos:
            await give(conn, buyer, BRL.id, trade.held_centavos)
        await post(conn, escrow(trade))
        await steps.log(conn, trade, Step(S.OPEN), before=None, actor=buyer)
    return trade


async def pay(engine: AsyncEngine, trade_id: str, *, now: datetime | None = None) -> P2PTrade:
    """The buyer says that they paid."""
    return await move_to(engine, trade_id, S.PAYMENT_SENT, now=now)


async def move_to(
    engine: AsyncEngine,
    trade_id: str,
    status: P2PTradeStatus,
    *,
    actor: str | None = None,
    reason: str | None = None,
    now: datetime | None = None,
) -> P2PTrade:
    """One step of a trade as its own commands take it; by the buyer, unless ``actor`` is named."""
    async with engine.begin() as conn:
        trade = await queries.trade(conn, trade_id, lock=True)
        step = Step(status, reason)
        return await steps.take(conn, trade, step, actor=actor or trade.buyer_id, now=now or datetime.now(UTC))


async def give(conn: AsyncConnection, user: str, asset: str, units: int) -> None:
    source = house(Purpose.DESK, asset)
    key = f"operator/x/{new_id()}"
    await post(conn, move(key, Kind.ADJUSTMENT, "operator/x", source, available(user, asset), units))


async def _order(
    conn: AsyncConnection,
    box: SecretBox,
    maker: str,
    units: int,
    total: int,
    settlement: Settlement,
    auto_reply: str,
) -> tuple[str, str]:
    order_id, method_id = new_id(), new_id()
    method = {
        "id": method_id,
        "user_id": maker,
        "kind": "pix",
        "label": "mine",
        "details_sealed": box.seal(json.dumps(DETAILS), place=methods.place(method_id)),
        "tax_id_fingerprint": b"",
    }
    await conn.execute(insert(payment_methods).values(method))
    await conn.execute(
        insert(p2p_orders).values(
            id=order_id,
            user_id=maker,
            side="sell",
            asset_id=ETH,
            total_units=units,
            available_units=0,
            price_kind="fixed",
            price=Decimal("15000.00"),
            min_centavos=1,
            max_centavos=total,
            settlements=[settlement],
            method_ids=[method_id],
            method_kinds=[],
            window_seconds=900,
            auto_reply_sealed=BOX.seal(auto_reply, place=auto_reply_place(order_id)) if auto_reply else None,
        )
    )
    return order_id, method_id
