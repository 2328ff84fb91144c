"""Payouts: the order first, then what the provider says of it."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.errors import Broken
from models.payout.states import PayoutStatus
from models.payout.tables import payouts
from models.payout.types import Payout, Report

REASON_MOST = 100
"""A provider's word is cut rather than lost: without it the payout's end could not be written."""


async def order(
    conn: AsyncConnection,
    *,
    key: str,
    trade_id: str,
    provider: str,
    amount_centavos: int,
    bank_data_id: str,
    not_before: datetime | None = None,
) -> None:
    """Write the order under the key that the provider will know it by, for ever."""
    await conn.execute(
        insert(payouts).values(
            key=key,
            trade_id=trade_id,
            provider=provider,
            amount_centavos=amount_centavos,
            bank_data_id=bank_data_id,
            not_before=not_before,
        )
    )


async def mark_submitting(conn: AsyncConnection, payout: Payout) -> None:
    """Say, before the call, that the provider may be about to hear of it. ``payout`` must be locked."""
    await _step(conn, payout, PayoutStatus.SUBMITTED, submitted_at=func.clock_timestamp())


async def record(conn: AsyncConnection, payout: Payout, report: Report, *, attested: JsonValue = None) -> None:
    """Write what became known. ``payout`` must be locked.

    :raises IllegalTransition: the table does not allow it (a paid payout is never rejected).
    """
    await _step(
        conn,
        payout,
        report.status,
        provider_id=payout.provider_id or report.provider_id,
        end_to_end_id=report.end_to_end_id or payout.end_to_end_id,
        reason=report.reason and report.reason[:REASON_MOST],
        **({"attested": attested} if attested is not None else {}),
    )


async def learn_provider_id(conn: AsyncConnection, payout: Payout, provider_id: str) -> bool:
    """Write down the provider's own name for a payout, where none is known. ``payout`` must be locked.

    False: it has another name. The provider may hold two payments for one order of ours.
    """
    if payout.provider_id is None:
        await _step(conn, payout, payout.status, provider_id=provider_id)
        return True
    return payout.provider_id == provider_id


async def _step(conn: AsyncConnection, payout: Payout, after: PayoutStatus, **columns: object) -> None:
    if after is not payout.status:
        transitions.check("payout", payout.status, after)
    statement = (
        update(payouts)
        .where(
            payouts.c.key == payout.key,
            payouts.c.status == payout.status,
            payouts.c.version == payout.version,
        )
        .values(status=after, version=payout.version + 1, updated_at=func.now(), **columns)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"payout {payout.key} changed while its row was locked")
