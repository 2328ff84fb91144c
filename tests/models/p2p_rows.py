"""Orders and trades as rows, for tests of what is read from them: no money moves."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.p2p_dispute.tables import p2p_dispute_rulings, p2p_disputes
from models.p2p_order.tables import p2p_orders
from models.p2p_order.types import OrderTerms, P2POrder, PriceKind, Settlement
from models.p2p_trade.states import ENDED, P2PTradeStatus
from models.p2p_trade.tables import p2p_trade_history, p2p_trades
from models.quote.types import Side
from models.user.types import Role
from models.user.writes import add_user

_NUMBERS = itertools.count(1)
_NOON = datetime(2026, 1, 5, 15, tzinfo=UTC)

TERMS = OrderTerms(
    total_units=10**18,
    price_kind=PriceKind.FIXED,
    price=Decimal("15000.00"),
    margin_bps=None,
    price_floor=None,
    price_ceiling=None,
    min_centavos=5_000,
    max_centavos=500_000,
    settlements=(Settlement.BALANCE,),
    method_ids=(),
    method_kinds=(),
    window_seconds=1_800,
    terms="",
    auto_reply="",
    opens_at=None,
    closes_at=None,
    require_verified=False,
    min_trades=0,
    min_completion_bps=0,
)


def _terms() -> dict[str, Any]:
    values = {name: getattr(TERMS, name) for name in OrderTerms.__dataclass_fields__}
    del values["auto_reply"]
    return values | {"auto_reply_sealed": None}


def an_order(**changes: Any) -> P2POrder:
    """One that is in no database."""
    values = _terms()
    more = {
        "id": "o" * 32,
        "user_id": "maker",
        "side": Side.SELL,
        "asset_id": "ETH.ethereum",
        "status": "active",
        "version": 1,
        "available_units": 10**18,
        "created_at": _NOON,
        "updated_at": _NOON,
    }
    return P2POrder(**{**values, **more, **changes})


async def order_row(conn: AsyncConnection, maker: str, **changes: Any) -> str:
    """Its id."""
    values = _terms()
    values |= {"id": new_id(), "user_id": maker, "side": Side.SELL, "asset_id": "ETH.ethereum"} | changes
    values.setdefault("available_units", values["total_units"])
    await conn.execute(
        insert(p2p_orders).values({k: list(v) if isinstance(v, tuple) else v for k, v in values.items()})
    )
    return str(values["id"])


async def trade_row(
    conn: AsyncConnection,
    *,
    seller: str,
    buyer: str,
    status: P2PTradeStatus = P2PTradeStatus.COMPLETED,
    maker: str = "",
    order_id: str = "",
    ended_at: datetime | None = None,
    release_seconds: float = 60,
    ruled: bool = False,
    by: str = "system",
    **changes: Any,
) -> str:
    """Its id. The order is a new one of ``maker``, by default the seller.

    :param ruled: by an arbiter, from a dispute.
    :param by: whose doing its present status is.
    """
    maker = maker or seller
    asset_id = changes.get("asset_id", "ETH.ethereum")
    order_id = order_id or await order_row(conn, maker, asset_id=asset_id, status="closed")
    end = ended_at or datetime.now(UTC) - timedelta(minutes=1)
    is_ended = status in ENDED
    paid = end - timedelta(seconds=release_seconds)
    values: dict[str, Any] = {
        "id": new_id(),
        "reference": f"TEST-{next(_NUMBERS)}-{new_id()[:8]}",
        "order_id": order_id,
        "terms_version": 1,
        "maker_id": maker,
        "seller_id": seller,
        "buyer_id": buyer,
        "asset_id": asset_id,
        "units": 10**16,
        "price": Decimal("15000.00"),
        "total_centavos": 15_000,
        "fee_bps": 200,
        "fee_units": 2 * 10**14,
        "fee_payer": "buyer",
        "settlement": Settlement.BALANCE,
        "status": status,
        "buyer_bps": 5_000 if status is P2PTradeStatus.SPLIT else None,
        "window_seconds": 900,
        "confirm_seconds": 900,
        "deadline_at": end if status in {P2PTradeStatus.OPEN, P2PTradeStatus.PAYMENT_SENT} else None,
        "paid_at": None if status in {P2PTradeStatus.OPEN, P2PTradeStatus.EXPIRED} else paid,
        "ended_at": end if is_ended else None,
        **changes,
    }
    await conn.execute(insert(p2p_trades).values(values))
    lines = [(None, P2PTradeStatus.OPEN, None, "system")]
    before = P2PTradeStatus.OPEN
    if ruled or status in {P2PTradeStatus.DISPUTED, P2PTradeStatus.REFUNDED, P2PTradeStatus.SPLIT}:
        lines.append((before, P2PTradeStatus.DISPUTED, None, buyer))
        before = P2PTradeStatus.DISPUTED
    if status not in {P2PTradeStatus.OPEN, before}:
        lines.append((before, status, "ruled_evidence" if ruled else None, by))
    rows = [
        {
            "trade_id": values["id"],
            "version": n,
            "old_status": old,
            "new_status": new,
            "reason": reason,
            "actor": actor,
        }
        for n, (old, new, reason, actor) in enumerate(lines, start=1)
    ]
    await conn.execute(insert(p2p_trade_history).values(rows))
    if ruled:
        await _ruling(conn, values["id"], values["buyer_bps"], to_buyer=status is P2PTradeStatus.COMPLETED)
    return str(values["id"])


async def _ruling(conn: AsyncConnection, trade_id: str, bps: int | None, *, to_buyer: bool) -> None:
    """One arbiter's, that held good and was carried out."""
    arbiter = await add_user(conn, email=f"{new_id()}@example.com", role=Role.ARBITER)
    bps = bps if bps is not None else 10_000 if to_buyer else 0
    at = datetime.now(UTC)
    dispute = {"id": new_id(), "trade_id": trade_id, "reason": "other"}
    end = {"status": "settled", "buyer_bps": bps, "ended_at": at}
    await conn.execute(insert(p2p_disputes).values(dispute | end))
    ruling = {"id": new_id(), "dispute_id": dispute["id"], "version": 2, "round": 1, "buyer_bps": bps}
    words = {"reason": "other", "text_sealed": b"", "proposed_by": arbiter.user_id, "needs_second": False}
    await conn.execute(insert(p2p_dispute_rulings).values(ruling | words | {"fate": "alone", "decided_at": at}))
