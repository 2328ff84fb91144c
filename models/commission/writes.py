"""Take collected fees to the house's desk, where they can be traded or sent."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import InsufficientFunds
from models.ledger import queries as ledger
from models.ledger.chart import Purpose, house
from models.ledger.post import post
from models.ledger.types import Kind, move

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('commission/' || :asset, 0))")


async def pay_out(
    conn: AsyncConnection, *, operation: str, operator_id: str, asset_id: str, units: int | None, reason: str
) -> int:
    """Base units moved, once for each ``operation`` of an operator.

    :param units: None: all there is.
    :raises InsufficientFunds: there is less, or nothing.
    :raises OperationKeyReused: the operation was another one before.
    """
    # The house's accounts have no floor of their own, so two payouts at once would each see all of it.
    await conn.execute(_LOCK, {"asset": asset_id})
    fees, desk = house(Purpose.FEES, asset_id), house(Purpose.DESK, asset_id)
    there = await ledger.balance(conn, fees)
    moving = there if units is None else units
    if not 0 < moving <= there:
        raise InsufficientFunds("the collected fees are less than the amount", field="amount")
    reference = f"operator/{operator_id}"
    await post(conn, move(f"{reference}/{operation}", Kind.COMMISSION, reference, fees, desk, moving, reason=reason))
    return moving
