"""Reads of payouts."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.document.tables import user_documents
from models.instant_trade.tables import instant_trades
from models.payout.states import KNOWN
from models.payout.tables import payouts
from models.payout.types import Payout

_P = payouts.c
_COLUMNS = (
    _P.key,
    _P.trade_id,
    _P.provider,
    _P.amount_centavos,
    _P.bank_data_id,
    _P.status,
    _P.version,
    _P.provider_id,
    _P.end_to_end_id,
    _P.reason,
    func.extract("epoch", func.clock_timestamp() - _P.submitted_at).label("silent_seconds"),
    _P.not_before,
)


async def payout(conn: AsyncConnection, key: str, *, lock: bool = False) -> Payout | None:
    """The payout of this key, or None; with ``lock``, its row is ours until the transaction ends."""
    statement = select(*_COLUMNS).where(_P.key == key)
    row = (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).first()
    return None if row is None else Payout(**row._mapping)


async def by_end_to_end_id(conn: AsyncConnection, provider: str, end_to_end_id: str) -> Payout | None:
    """The payout that this provider sent as this PIX, or None."""
    statement = select(*_COLUMNS).where(_P.end_to_end_id == end_to_end_id, _P.provider == provider)
    row = (await conn.execute(statement)).first()
    return None if row is None else Payout(**row._mapping)


async def unended_providers(conn: AsyncConnection) -> set[str]:
    """The providers of payouts whose end is not known."""
    statement = select(_P.provider).where(_P.status.not_in(sorted(KNOWN))).distinct()
    return set((await conn.execute(statement)).scalars())


async def of_trade(conn: AsyncConnection, trade_id: str) -> Payout | None:
    row = (await conn.execute(select(*_COLUMNS).where(_P.trade_id == trade_id))).first()
    return None if row is None else Payout(**row._mapping)


async def holder_fingerprint(conn: AsyncConnection, key: str) -> bytes | None:
    """Of the verified document of the user whose trade is paid out; None while nobody has verified it."""
    d, t = user_documents.c, instant_trades.c
    statement = (
        select(d.tax_id_fingerprint).join(instant_trades, t.user_id == d.user_id).join(payouts, _P.trade_id == t.id)
    )
    found: bytes | None = (await conn.execute(statement.where(_P.key == key))).scalar_one_or_none()
    return found
