"""Reads of payouts."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.document.tables import user_documents
from models.instant_trade.tables import instant_trades
from models.payout.states import KNOWN
from models.payout.tables import payouts
from models.payout.types import Payout
from models.pix_withdrawal.tables import pix_withdrawals

_P = payouts.c
_COLUMNS = (
    _P.key,
    _P.trade_id,
    _P.withdrawal_id,
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


async def of_withdrawals(conn: AsyncConnection, withdrawal_ids: list[str]) -> dict[str, Payout]:
    """The payout of each of these withdrawals."""
    rows = await conn.execute(select(*_COLUMNS).where(_P.withdrawal_id.in_(withdrawal_ids)))
    return {row.withdrawal_id: Payout(**row._mapping) for row in rows}


async def holder_fingerprint(conn: AsyncConnection, key: str) -> bytes | None:
    """Of the verified document of the user who is paid; None while nobody has verified it."""
    d, t, w = user_documents.c, instant_trades.c, pix_withdrawals.c
    statement = (
        select(d.tax_id_fingerprint)
        .select_from(payouts)
        .outerjoin(instant_trades, t.id == _P.trade_id)
        .outerjoin(pix_withdrawals, w.id == _P.withdrawal_id)
        .join(user_documents, d.user_id == func.coalesce(t.user_id, w.user_id))
        .where(_P.key == key)
    )
    found: bytes | None = (await conn.execute(statement)).scalar_one_or_none()
    return found
