"""Payouts: the order first, then what the provider says of it."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.errors import Broken, IllegalTransition
from models.payout.states import PayoutStatus
from models.payout.tables import payouts
from models.payout.types import Payout, Report

SENDING_SECONDS_MOST = 90
"""An order handed to a provider so recently may still be on its way there: longer than any call may take."""

REASON_MOST = 100
"""A provider's word is cut rather than lost: without it the payout's end could not be written."""


async def order(
    conn: AsyncConnection,
    *,
    key: str,
    trade_id: str | None = None,
    withdrawal_id: str | None = None,
    provider: str,
    amount_centavos: int,
    bank_data_id: str,
    not_before: datetime | None = None,
) -> None:
    """Write the order under the key that the provider will know it by, for ever; of a trade or of a withdrawal."""
    await conn.execute(
        insert(payouts).values(
            key=key,
            trade_id=trade_id,
            withdrawal_id=withdrawal_id,
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


async def attest(conn: AsyncConnection, payout: Payout, report: Report, *, evidence: JsonValue) -> None:
    """Write an operator's word about a payout whose provider cannot be asked. ``payout`` must be locked.

    :param report: ``PAID`` or ``REJECTED``.
    :raises IllegalTransition: the table does not allow it; or it is said not to be paid, but may just be on its way.
    """
    is_silent = (payout.silent_seconds or 0) >= SENDING_SECONDS_MOST
    is_on_its_way = payout.status is PayoutStatus.SUBMITTED and not is_silent
    if report.status is PayoutStatus.REJECTED and is_on_its_way:
        raise IllegalTransition("the order is on its way to the provider at this moment; try again in two minutes")
    await record(conn, payout, report, attested=evidence)


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
