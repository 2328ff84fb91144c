"""A deposit's acceptance: a charge that belongs to no trade. What is paid on it becomes the user's balance."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge import writes as charges
from models.document import queries as documents
from models.errors import DocumentMissing
from models.instant_trade.types import Terms, Waits
from models.pix_limit import queries as limits
from models.pix_limit.rules import Movement, require
from models.pix_limit.types import PixLimits
from models.user import writes as users


async def accept(
    conn: AsyncConnection,
    *,
    key: str,
    user_id: str,
    amount_centavos: int,
    pix_limits: PixLimits,
    terms: Terms,
    waits: Waits,
    now: datetime,
) -> list[int]:
    """Order the charge and start its workflow; the outbox rows to deliver after the commit.

    :raises DocumentMissing: nobody knows yet who the user is, so no payer could be told from a stranger.
    :raises LimitExceeded: too little, or more than is left of the user's day.
    """
    # Requests of one user wait here for each other, or each would see the limits as if it were alone.
    await users.lock(conn, user_id)
    if await documents.fingerprint_of(conn, user_id) is None:
        raise DocumentMissing(
            f"your document is not verified yet; an operator does that: PUT /api/v1/users/{user_id}/document"
        )
    require(Movement.DEPOSIT, amount_centavos, await limits.deposited(conn, user_id, pix_limits, now), pix_limits)
    return await charges.order(
        conn,
        key=key,
        user_id=user_id,
        trade_id=None,
        provider=terms.provider,
        amount_centavos=amount_centavos,
        now=now,
        window_seconds=terms.payment_window_seconds,
        leniency_seconds=terms.payment_leniency_seconds,
        waits=waits,
    )
