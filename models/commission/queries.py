"""What the house earned by P2P trades, read from the postings that ended them."""

from datetime import date

from pydantic.dataclasses import dataclass
from sqlalchemy import Date, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger.chart import Purpose
from models.ledger.tables import ledger_accounts, ledger_postings, ledger_transactions
from models.ledger.types import Kind
from models.money import Units
from models.p2p_trade.party import Party
from models.p2p_trade.tables import p2p_trades
from models.reconciliation.types import BANK_TIME, bank_hours

_T = p2p_trades.c
_L, _P, _A = ledger_transactions.c, ledger_postings.c, ledger_accounts.c


@dataclass(frozen=True, slots=True)
class Earned:
    """Of one day (America/Sao_Paulo) and asset, and one user who paid it. ``trades``: that paid a commission."""

    day: date
    asset_id: str
    user_id: str
    trades: int
    units: Units


async def earned(
    conn: AsyncConnection, *, since: date, until: date, user_id: str | None = None, most: int, skip: int = 0
) -> list[Earned]:
    """From ``since`` on, before ``until``, the newest day first.

    :param user_id: only what this user paid. :param skip: lines of the pages before.
    """
    start, end = bank_hours(since)[0], bank_hours(until)[0]
    day = cast(func.timezone(str(BANK_TIME), _L.recorded_at), Date)
    payer = case((_T.fee_payer == Party.BUYER, _T.buyer_id), else_=_T.seller_id)
    statement = (
        select(
            day.label("day"),
            _A.asset_id,
            payer.label("user_id"),
            func.count().label("trades"),
            func.sum(_P.amount).label("units"),
        )
        .select_from(ledger_transactions)
        .join(p2p_trades, _T.id == _L.reference)
        .join(ledger_postings, _P.transaction_id == _L.id)
        .join(ledger_accounts, _A.id == _P.account_id)
        .where(
            _L.kind == Kind.P2P_TRADE,
            _A.purpose == Purpose.FEES,
            _A.owner.is_(None),
            _L.recorded_at >= start,
            _L.recorded_at < end,
        )
        .group_by("day", _A.asset_id, "user_id")
        .order_by(day.desc(), _A.asset_id, "user_id")
    )
    if user_id is not None:
        statement = statement.where(payer == user_id)
    found = await conn.execute(statement.limit(most).offset(skip))
    return [Earned(row.day, row.asset_id, row.user_id, row.trades, int(row.units)) for row in found]


async def collected(conn: AsyncConnection) -> dict[str, int]:
    """What is in the house's fees now, by asset: earned, and not paid out yet. Of reais, other trades' fees too."""
    statement = (
        select(_A.asset_id, func.sum(_P.amount).label("units"))
        .join(ledger_postings, _P.account_id == _A.id)
        .where(_A.purpose == Purpose.FEES, _A.owner.is_(None))
        .group_by(_A.asset_id)
        .order_by(_A.asset_id)
    )
    return {row.asset_id: int(row.units) for row in await conn.execute(statement)}
